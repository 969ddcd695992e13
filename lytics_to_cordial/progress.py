"""Long work says where it is, about every ten seconds."""

from __future__ import annotations

import threading
import time
import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from typing_extensions import Self

INTERVAL_SECONDS = 10.0
_MINUTE = 60
_HOUR = 60 * _MINUTE


@dataclass
class Work:
    """How far something is that takes long.

    Attributes:
        what: What is done, such as `profiles read`; blank before it began.
        done: How many.
        total: Of how many; None if nobody knows.
        began_at: When it began, in seconds of the monotonic clock.
    """

    what: str = ""
    done: int = 0
    total: int | None = None
    began_at: float = field(default_factory=time.monotonic)

    def told(self, now: float) -> str:
        """Where it is, how fast it goes, and how long it may take.

        Args:
            now: The time, in seconds of the monotonic clock.

        Returns:
            Half a sentence.
        """
        total = "" if self.total is None else f" of {self.total:,}"
        parts = [f"{self.done:,}{total} {self.what}"]
        seconds = now - self.began_at
        if self.done and seconds > 0:
            rate = self.done / seconds
            parts.append(f"{rate:,.0f} a second" if rate >= 1 else f"{rate * _MINUTE:,.1f} a minute")
            if self.total is not None and self.total > self.done:
                parts.append(f"about {duration((self.total - self.done) / rate)} left")
        return ", ".join(parts)


class Progress:
    """Says where the work is, from a thread of its own: also while the work itself waits.

    Args:
        tell: Says where it is; None if there is nothing to say.
        logger: Where to say it.
    """

    def __init__(self, tell: Callable[[], str | None], logger: logging.Logger) -> None:
        self._tell = tell
        self._logger = logger
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        # Nothing more is said after this, unless nobody takes the log.
        self._thread.join(timeout=1)

    def _work(self) -> None:
        while not self._is_over.wait(INTERVAL_SECONDS):
            told = self._tell()
            if told is not None:
                self._logger.info("%s", told)


def counted(number: int, noun: str) -> str:
    """A number of things for people.

    Args:
        number: How many.
        noun: What one of them is called.
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A duration for people, to two places.

    Args:
        seconds: How long.
    """
    if seconds < 10:  # noqa: PLR2004 - below it, a tenth is worth saying
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < 2 * _HOUR:
        return f"{round(whole / _MINUTE)} min"
    hours, rest = divmod(round(whole / _MINUTE), _MINUTE)
    return f"{hours} h {rest} min"
