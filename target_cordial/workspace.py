"""The run's folder on this machine: import files before their upload and held exits, gone when the run ends."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from pathlib import Path

_PREFIX = "target-cordial-"


def open_workspace() -> Path:
    """Make the run's folder, and remove those that killed runs left.

    Returns:
        A new folder that only its owner can enter.
    """
    for folder in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*-*"):
        with contextlib.suppress(OSError, ValueError):
            owner = int(folder.name.removeprefix(_PREFIX).split("-")[0])
            if folder.stat().st_uid == os.getuid() and not _is_alive(owner):
                shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
