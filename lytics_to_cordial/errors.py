"""Errors that end a run with one sentence."""

from __future__ import annotations

import contextlib
import errno
import tempfile
import traceback
import typing as t
from collections.abc import Iterator, Sequence

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

FailureClass: t.TypeAlias = t.Literal["transient", "person", "program", "signal"]
"""What helps after a failure: another try, a person, a repair of the program; or nothing failed and a signal ended it."""


class UserError(Exception):
    """What is wrong, where, and what to do, in one sentence; never a secret, an address or a profile's value.

    A person has to act: the process ends with exit code 2.
    """

    exit_code = 2
    failure_class: FailureClass = "person"


class TransientError(UserError):
    """Another try may help: the process ends with exit code 1."""

    exit_code = 1
    failure_class = "transient"


class ProgramError(UserError):
    """A fault of the program: the process ends with exit code 1."""

    exit_code = 1
    failure_class = "program"


def as_user_error(error: BaseException) -> UserError:
    """An error of any kind as one that may be shown and kept: itself if it is made for that."""
    if isinstance(error, UserError):
        return error
    if is_full(error):
        return UserError(
            f"There is no room for temporary files in {tempfile.gettempdir()}: make room, or set TMPDIR to another folder, then run again."
        )
    return ProgramError(without_message(error))


def is_full(error: BaseException) -> bool:
    """Whether an error means that there is no room to write."""
    return isinstance(error, OSError) and error.errno in _FULL


def joined(errors: Sequence[UserError]) -> UserError:
    """Several errors as one; it is transient only if all of them are."""
    kind = TransientError if all(isinstance(error, TransientError) for error in errors) else UserError
    return kind(" ".join(map(str, errors)))


@contextlib.contextmanager
def collected(errors: list[UserError]) -> Iterator[None]:
    """Keep the error of a block about one thing, so that it keeps nothing else from being done."""
    try:
        yield
    except UserError as error:
        errors.append(error)


def without_message(error: BaseException) -> str:
    """An unexpected error by its type and where it came from, without its message, which may hold personal data."""
    frames = traceback.extract_tb(error.__traceback__)[-3:]
    place = " < ".join(f"{frame.filename.rpartition('/')[2]}:{frame.lineno}" for frame in reversed(frames))
    return f"Unexpected {type(error).__name__} ({place}): this is a fault of the program, please report it."
