"""A run's folder on this machine, for files that may hold personal data; gone when the run ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
import typing as t
from pathlib import Path


def open_workspace(plugin: str) -> Path:
    """Make a run's folder, and remove those that killed runs of the plugin left.

    Args:
        plugin: The plugin's name.

    Returns:
        A new folder that only its owner can enter.
    """
    prefix = f"{plugin}-"
    for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*-*"):
        with contextlib.suppress(OSError, ValueError):
            owner = int(folder.name.removeprefix(prefix).split("-")[0])
            if folder.stat().st_uid == os.getuid() and not _is_alive(owner):
                shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))


@contextlib.contextmanager
def workspace(plugin: str) -> t.Iterator[Path]:
    """A run's folder, for as long as the context lasts.

    Args:
        plugin: The plugin's name.

    Yields:
        A new folder that only its owner can enter.
    """
    folder = open_workspace(plugin)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
