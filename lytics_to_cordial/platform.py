"""Where the plugins run: on Linux and macOS. Their files need locks and modes that Windows itself does not have."""

from __future__ import annotations

import os
import sys


def refuse_windows(plugin: str) -> None:
    """End the process with one sentence on Windows. Call it before anything is imported that Windows lacks."""
    if os.name == "nt":
        sys.stderr.write(
            f"{plugin} does not run on Windows itself: install and run it in WSL (https://learn.microsoft.com/windows/wsl/install).\n"
        )
        raise SystemExit(2)
