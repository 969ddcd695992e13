"""SIGTERM and SIGINT: the run ends where nothing is half done."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import typing as t
from types import FrameType

RESEND_SECONDS = 0.02


class Terminated(BaseException):
    """A signal asked the run to end.

    It is no Exception, or code on the way up would take it for a failure of its own.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class StopSignal:
    """Remembers a signal, and raises it only where the main thread waits.

    Raised anywhere else it could leave a row neither open nor held, and a state would be acknowledged without it.
    """

    def __init__(self) -> None:
        self._number: int | None = None
        self._may_raise = False
        self._comes_again = False

    def handle(self, number: int, frame: FrameType | None) -> None:
        """Take a signal that came while a frame ran; a second one ends the process at once.

        Raises:
            Terminated: If the main thread waits.
        """
        if self._number is not None and not self._comes_again:
            os._exit(128 + number)
        self._number = number
        self._comes_again = False
        if not self._may_raise:
            return
        if _is_logging(frame):
            # Broken off as it gives back the lock of the log, it would keep it, and threads would wait for it for ever.
            self._resend(number)
            return
        sys.unraisablehook = self._take_swallowed
        raise Terminated(number)

    def _take_swallowed(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Send the signal once more: Python drops what is raised while it clears away an object.

        Other complaints of objects are dropped too: they come of the interruption, and the run ends anyway. An example is a
        temporary file that was deleted before the library which asked for it noted its path.
        """
        if isinstance(unraisable.exc_value, Terminated):
            self._resend(unraisable.exc_value.number)

    def _resend(self, number: int) -> None:
        self._comes_again = True
        timer = threading.Timer(RESEND_SECONDS, os.kill, (os.getpid(), number))
        timer.daemon = True
        timer.start()

    def check(self) -> None:
        """Raise Terminated if a signal came."""
        if self._number is not None:
            raise Terminated(self._number)

    @contextlib.contextmanager
    def interruptible(self) -> t.Iterator[None]:
        """A block in which the main thread only waits: a signal that comes in it, or came before, raises Terminated."""
        # One block may stand in another, which goes on waiting after it.
        before = self._may_raise
        self._may_raise = True
        try:
            self.check()
            yield
        except Exception:
            # A library may raise an error of its own in place of what the handler raised, as DuckDB does.
            self.check()
            raise
        finally:
            self._may_raise = before


def _is_logging(frame: FrameType | None) -> bool:
    """Whether a line of the log is being written."""
    while frame is not None:
        if frame.f_code.co_filename == logging.__file__:
            return True
        frame = frame.f_back
    return False
