"""Long work logs where it is, about every ten seconds."""

from __future__ import annotations

import logging
import threading
import time
import typing as t
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from typing_extensions import Self

_Item = t.TypeVar("_Item")

INTERVAL_SECONDS = 10.0
_MINUTE = 60
_HOUR = 60 * _MINUTE


@dataclass
class Work:
    """How far something is that takes long.

    Attributes:
        what: What is done, such as `profiles read`; blank before it began.
        total: None if nobody knows.
        began_at: Seconds of the monotonic clock.
    """

    what: str = ""
    done: int = 0
    total: int | None = None
    began_at: float = field(default_factory=time.monotonic)

    def counting(self, items: Iterable[_Item]) -> Iterator[_Item]:
        """Yield things, and count each of them as done."""
        for item in items:
            self.done += 1
            yield item

    def describe(self, now: float) -> str:
        """Half a sentence: how far it is, how fast it goes, and how long it may take."""
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
    """Logs where the work is from a thread of its own, also while the work itself waits.

    `describe` gives the sentence, or None if there is nothing to say.
    """

    def __init__(self, describe: Callable[[], str | None], logger: logging.Logger) -> None:
        self._describe = describe
        self._logger = logger
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._log, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        # No line comes after this, unless the log is blocked.
        self._thread.join(timeout=1)

    def _log(self) -> None:
        while not self._is_over.wait(INTERVAL_SECONDS):
            sentence = self._describe()
            if sentence is not None:
                self._logger.info("%s", sentence)


def counted(number: int, noun: str) -> str:
    """A number of things for people, such as `1,200 rows`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """A duration for people, to two places."""
    if seconds < 10:  # noqa: PLR2004 - below it, a tenth is worth showing
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 2 * _MINUTE:
        return f"{whole} s"
    if whole < 2 * _HOUR:
        return f"{round(whole / _MINUTE)} min"
    hours, minutes = divmod(round(whole / _MINUTE), _MINUTE)
    return f"{hours} h {minutes} min"
