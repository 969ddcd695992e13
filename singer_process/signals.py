"""SIGTERM and SIGINT: the run ends where nothing is half done."""

from __future__ import annotations

import contextlib
import os
import typing as t


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

    def handle(self, number: int) -> None:
        """Take a signal; a second one ends the process at once.

        Args:
            number: The signal's number.

        Raises:
            Terminated: If the main thread waits.
        """
        if self._number is not None:
            os._exit(128 + number)
        self._number = number
        if self._may_raise:
            raise Terminated(number)

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
        finally:
            self._may_raise = False
