"""The rest of an input that is of no use any more: read for a while, so that its writer comes to its own end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import stat
import time
import typing as t
from types import FrameType

STDIN = 0
QUIET_SECONDS = 2
"""An input that ends within it is not waited for in silence for long."""
MOST_SECONDS = 60
MOST_BYTES = 4 << 30
_CHUNK_BYTES = 1 << 20


class _StopDraining(Exception):  # noqa: N818 - not an error: a signal asked for it
    pass


def drain_input(seconds: float) -> bool:
    """Read the standard input, if it is a pipe, for so long; whether nothing more comes. A signal ends it."""

    def stop(_number: int, _frame: FrameType | None) -> t.NoReturn:
        raise _StopDraining

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        return _drain(time.monotonic() + seconds)
    except (OSError, _StopDraining):
        return True
    finally:
        for number, handler in before.items():
            with contextlib.suppress(_StopDraining):
                signal.signal(number, handler)


def _drain(until: float) -> bool:
    kind = os.fstat(STDIN).st_mode
    if not stat.S_ISFIFO(kind) and not stat.S_ISSOCK(kind):
        return True
    left = MOST_BYTES
    while left > 0:
        is_ready, _, _ = select.select([STDIN], [], [], max(0.0, until - time.monotonic()))
        if not is_ready:
            return False
        size = len(os.read(STDIN, _CHUNK_BYTES))
        if not size:
            return True
        if time.monotonic() > until:
            return False
        left -= size
    return True
