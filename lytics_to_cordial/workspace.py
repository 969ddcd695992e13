"""A run's folder on this machine, for files that may hold personal data; gone when the run ends."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import tempfile
import typing as t
from pathlib import Path

from lytics_to_cordial.errors import UserError

_LOCK = "run.lock"
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def open_workspace(plugin: str) -> Path:
    """Make a run's folder, and remove those that killed runs of the plugin left.

    Args:
        plugin: The plugin's name.

    Returns:
        A new folder that only its owner can enter.

    Raises:
        UserError: If there is no room for one.
    """
    folder, _ = _open(plugin)
    return folder


def _open(plugin: str) -> tuple[Path, int]:
    """A new folder, and the descriptor of its lock."""
    try:
        for abandoned in Path(tempfile.gettempdir()).glob(f"{plugin}-*/{_LOCK}"):
            with contextlib.suppress(OSError), abandoned.open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(abandoned.parent, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{plugin}-"))
        return folder, _lock(folder)
    except OSError as error:
        msg = f"No folder for temporary files can be made ({error.strerror}): make room, or set TMPDIR to another folder."
        raise UserError(msg) from error


def _lock(folder: Path) -> int:
    """Show that the folder is in use: the lock goes when the process ends, however it ends."""
    unlocked = folder / f"{_LOCK}.new"
    descriptor = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    # Where locks do not work, nobody can tell later, so the folder stays.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unlocked.rename(folder / _LOCK)
    return descriptor


@contextlib.contextmanager
def workspace(plugin: str) -> t.Iterator[Path]:
    """A run's folder, for as long as the context lasts.

    Args:
        plugin: The plugin's name.

    Yields:
        A new folder that only its owner can enter.
    """
    folder, lock = _open(plugin)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def is_full(error: BaseException) -> bool:
    """Whether an error means that there is no room to write.

    Args:
        error: The error.
    """
    return isinstance(error, OSError) and error.errno in _FULL


def no_room() -> str:
    """What to say when the folder for temporary files is full."""
    return f"There is no room for temporary files in {tempfile.gettempdir()}: make room, or set TMPDIR to another folder, then run again."
