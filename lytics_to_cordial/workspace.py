"""A run's folder on this machine, for files that may hold personal data; it goes when the run ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import stat
import tempfile
import typing as t
from pathlib import Path

from lytics_to_cordial.errors import UserError

_LOCK = "run.lock"
_PRIVATE = 0o077
"""The umask of a process with a workspace: databases make their files themselves, and these are their owner's alone, too."""


def open_workspace(plugin: str) -> Path:
    """Make a run's folder for the rest of the process, and remove those that killed runs of the plugin left.

    Only its owner can enter it, and from now on each file of the process is its owner's alone unless it is made otherwise.

    Raises:
        UserError: If there is no room for one.
    """
    os.umask(_PRIVATE)
    folder, _ = _open(plugin)
    return folder


@contextlib.contextmanager
def workspace(plugin: str) -> t.Iterator[Path]:
    """The same for as long as the context lasts."""
    umask = os.umask(_PRIVATE)
    try:
        folder, lock = _open(plugin)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            os.close(lock)
    finally:
        os.umask(umask)


def _open(plugin: str) -> tuple[Path, int]:
    """A new folder, and the descriptor of its lock."""
    try:
        for lock in Path(tempfile.gettempdir()).glob(f"{plugin}-*/{_LOCK}"):
            with contextlib.suppress(OSError):
                _remove_abandoned(lock)
        folder = Path(tempfile.mkdtemp(prefix=f"{plugin}-"))
        return folder, _lock(folder)
    except OSError as error:
        raise UserError(
            f"No folder for temporary files can be made ({error.strerror}): make room, or set TMPDIR to another folder."
        ) from error


def _remove_abandoned(lock: Path) -> None:
    # Everybody may write to the folder of temporary files: a pipe of this name would block, and a link would lead elsewhere.
    descriptor = os.open(lock, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW)
    try:
        file = os.fstat(descriptor)
        if stat.S_ISREG(file.st_mode) and file.st_uid == os.geteuid():
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(lock.parent, ignore_errors=True)
    finally:
        os.close(descriptor)


def _lock(folder: Path) -> int:
    """Show that the folder is in use: the lock goes when the process ends, however it ends."""
    unlocked = folder / f"{_LOCK}.new"
    descriptor = os.open(unlocked, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    # Where locks do not work, a later run cannot know whether the folder is in use, so the folder stays.
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        unlocked.rename(folder / _LOCK)
    return descriptor
