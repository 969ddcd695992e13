"""SIGTERM and SIGINT: the run ends where nothing is half done."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import typing as t

COME_AGAIN_SECONDS = 0.02


class Terminated(BaseException):
    """The run was told to end.

    Not an Exception, so that nothing on the way up takes it for a failure of its own.

    Args:
        number: The signal's number.
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
        self._was_swallowed = False

    def handle(self, number: int) -> None:
        """Take a signal; a second one ends the process at once.

        Args:
            number: The signal's number.

        Raises:
            Terminated: If the main thread waits.
        """
        if self._number is not None and not self._was_swallowed:
            os._exit(128 + number)
        self._number = number
        self._was_swallowed = False
        if self._may_raise:
            sys.unraisablehook = self._come_again
            raise Terminated(number)

    def _come_again(self, unraisable: sys.UnraisableHookArgs) -> None:
        """Python drops what is raised while it clears away an object, so the signal comes once more in a moment.

        What else objects complain of then comes of the breaking off, and the run ends anyway: a temporary file, say, that
        the compiler had deleted before the library which asked it for a path could take note.
        """
        if isinstance(unraisable.exc_value, Terminated):
            self._was_swallowed = True
            threading.Timer(COME_AGAIN_SECONDS, os.kill, (os.getpid(), unraisable.exc_value.number)).start()

    def check(self) -> None:
        """Stop here if a signal came.

        Raises:
            Terminated: If one did.
        """
        if self._number is not None:
            raise Terminated(self._number)

    @contextlib.contextmanager
    def interruptible(self) -> t.Iterator[None]:
        """A stretch in which the main thread only waits.

        Raises:
            Terminated: If a signal came, now or earlier.
        """
        self._may_raise = True
        try:
            self.check()
            yield
        except Exception:
            # A library may raise something of its own in place of what the handler raised, as DuckDB does.
            self.check()
            raise
        finally:
            self._may_raise = False
