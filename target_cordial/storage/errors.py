"""What is wrong with a storage, told in one sentence that names the setting to change."""

from __future__ import annotations

import errno
import re
import typing as t

from lytics_to_cordial.errors import UserError

if t.TYPE_CHECKING:
    from target_cordial.storage.location import Location

# By name, because the packages that they come from are extras.
_LOGIN_REFUSED = frozenset(
    {"PermissionDenied", "NoCredentialsError", "DefaultCredentialsError", "RefreshError"}
)
_LOGIN_REFUSED_CODES = re.compile(
    r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|invalid_grant|Anonymous caller|Invalid Credentials"
)
_NOT_ALLOWED = frozenset({"SFTPPermissionDenied", "SFTPWriteProtect"})
_NOT_ALLOWED_CODES = re.compile(r"^Forbidden: ")
_LOGINS = {
    "sftp": "storage_username, storage_password and storage_private_key",
    "s3": "storage_username (the access key id) and storage_password (the secret access key)",
    "gs": "storage_options.token, or the file that GOOGLE_APPLICATION_CREDENTIALS names",
}
_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})


class StorageError(UserError):
    """The storage does not work; the sentence says which setting to change."""


def lasting_failure(error: Exception, location: Location, what: str) -> StorageError | None:
    """What to tell of an error that no further try would change.

    Args:
        error: The error, of whichever of the storages' packages.
        location: The folder.
        what: What was tried, such as `write part-1.csv`.

    Returns:
        The sentence; None if another try may work.
    """
    if isinstance(error, StorageError):
        return error
    names = {type(cause).__name__ for cause in _causes(error)}
    if names & _LOGIN_REFUSED or _LOGIN_REFUSED_CODES.search(str(error)):
        return StorageError(
            f"The storage at {location} refuses the login: check {_LOGINS.get(location.scheme, 'the login')}."
        )
    number = error.errno if isinstance(error, OSError) else None
    if (
        isinstance(error, PermissionError)
        or names & _NOT_ALLOWED
        or _NOT_ALLOWED_CODES.search(str(error))
        or number == errno.EROFS
    ):
        return StorageError(
            f"The storage at {location} does not let target-cordial {what}: give the user the rights to read, write and delete in "
            "the folder, or correct storage_url."
        )
    if isinstance(error, (FileNotFoundError, NotADirectoryError, IsADirectoryError)):
        return StorageError(
            f"The storage at {location} has no place to {what}: check that the folder or bucket in storage_url exists."
        )
    if number in _NO_ROOM:
        return StorageError(
            f"The storage at {location} has no room to {what}: make room there, then run again."
        )
    return None


def failure(error: Exception, location: Location, what: str) -> StorageError:
    """What to tell of an error that further tries did not change.

    Args:
        error: The error.
        location: The folder.
        what: What was tried.

    Returns:
        The sentence.
    """
    return StorageError(
        f"Could not {what} in the storage at {location} ({type(error).__name__}): check storage_url, the network and the room there, "
        "then run again."
    )


def _causes(error: BaseException | None) -> t.Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
