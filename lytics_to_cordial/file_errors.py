"""What can be wrong with a folder of files: each kind of error, how it is known, and its sentence, for all file systems."""

from __future__ import annotations

import errno
import typing as t

from lytics_to_cordial.errors import TransientError, UserError


class FolderError(UserError):
    """A folder does not work; the sentence names the place, what was tried, and the setting to change.

    Attributes:
        signs: By which this kind of error is known: names of exception classes, as the packages that define them are extras, and of
            error numbers of the system.
        codes: The same, in the text of an exception.
        sentence: What to say.
    """

    signs: t.ClassVar[frozenset[str]] = frozenset()
    codes: t.ClassVar[tuple[str, ...]] = ()
    sentence: t.ClassVar[str] = (
        "Could not {what} in the {noun} at {place} ({reason}): check {setting}, the network and the room there, then run again."
    )


class UnavailableError(FolderError, TransientError):
    """The network broke, or something that is not known is wrong."""


class LoginError(FolderError):
    """The login is missing or refused."""

    signs = frozenset(
        {
            "PermissionDenied",  # asyncssh's, of a login and not of a file
            "NoCredentialsError",
            "PartialCredentialsError",
            "DefaultCredentialsError",
            "RefreshError",
        }
    )
    codes = (
        *("InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken"),
        *("invalid_grant", "Anonymous caller", "Invalid Credentials"),
    )
    sentence = "The {noun} at {place} refuses the login: check {login}."


class HostKeyError(FolderError):
    """The server is not the one that it should be, or is not known."""

    signs = frozenset({"HostKeyNotVerifiable"})
    sentence = (
        "The host key of the server of the {noun} at {place} is not known: compare it with what the server's owner says, then add it to "
        "~/.ssh/known_hosts, or correct {setting}."
    )


class NotAllowedError(FolderError):
    """The login lacks a right."""

    signs = frozenset({"PermissionError", "SFTPPermissionDenied", "SFTPWriteProtect", "EROFS"})
    codes = ("Forbidden: ",)
    sentence = (
        "The {noun} at {place} does not let the plugin {what}: give it the rights to list, read, write and delete there, or set {setting} "
        "to another {kind}."
    )


class NoFolderError(FolderError):
    """The place is a file, or its URL is of no kind that can be opened."""

    signs = frozenset({"NotADirectoryError", "FileExistsError", "ENAMETOOLONG"})
    sentence = "The {noun} at {place} is not a folder: set {setting} to another {kind}."


class MissingFileError(FolderError):
    """The file, the folder or the bucket does not exist."""

    signs = frozenset({"FileNotFoundError", "IsADirectoryError"})
    sentence = (
        "The {noun} at {place} has no place to {what}: check that the folder or bucket in {setting} exists, or set {setting} to another "
        "{kind}."
    )


class NoRoomError(FolderError):
    """The disk or the quota is full."""

    signs = frozenset({"ENOSPC", "EDQUOT", "EFBIG"})
    sentence = "The {noun} at {place} has no room to {what} ({reason}): make room there, or set {setting} to another {kind}, then run again."


LASTING = (LoginError, HostKeyError, NotAllowedError, NoFolderError, MissingFileError, NoRoomError)
"""What no further try changes, in the order in which it is looked for."""


def kind_of(error: BaseException) -> type[FolderError]:
    """Which kind of error it is that a file system raised."""
    signs: set[str] = set()
    text = ""
    cause: BaseException | None = error
    while cause is not None:
        signs |= {kind.__name__ for kind in type(cause).__mro__}
        if isinstance(cause, OSError) and cause.errno:
            signs.add(errno.errorcode.get(cause.errno, ""))
        text += str(cause)
        cause = cause.__cause__
    return next(
        (kind for kind in LASTING if kind.signs & signs or any(code in text for code in kind.codes)),
        UnavailableError,
    )
