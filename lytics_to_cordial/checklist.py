"""What a check tried, line by line: what works, what does not and its cure, and what was not tried."""

from __future__ import annotations

import contextlib
import typing as t
from collections.abc import Callable, Iterator

import click

from lytics_to_cordial.errors import UserError, joined
from lytics_to_cordial.foreign_text import cleaned

Status: t.TypeAlias = t.Literal["ok", "failed", "untried", "note"]

_COLORS: dict[Status, str] = {"ok": "green", "failed": "red", "untried": "yellow", "note": "cyan"}
_STATUS_WIDTH = max(map(len, _COLORS))
_TOPIC_WIDTH = len("permissions")


class Checklist:
    """Shows one line for each thing that is tried: its status, its topic in a word, and a sentence.

    Attributes:
        failures: What does not work, an error for each thing.
    """

    def __init__(self, show: Callable[[Status, str, str], None]) -> None:
        self.failures: list[UserError] = []
        self._show = show

    def ok(self, topic: str, text: str) -> None:
        """Show that something works."""
        self._show("ok", topic, text)

    def note(self, topic: str, text: str) -> None:
        """Show what is good to know."""
        self._show("note", topic, text)

    def untried(self, topic: str, text: str) -> None:
        """Show what was not tried, and why."""
        self._show("untried", topic, text)

    @contextlib.contextmanager
    def trying(self, topic: str) -> Iterator[None]:
        """Make a failure of this block a line of the list, and go on after the block."""
        try:
            yield
        except UserError as error:
            self.failures.append(error)
            self._show("failed", topic, str(error))

    def raise_failures(self) -> None:
        """Raise all failures as one, if there are any."""
        if self.failures:
            raise joined(self.failures)


def print_line(status: Status, topic: str, text: str) -> None:
    """Print a line of a checklist; in colour on a terminal, plain elsewhere."""
    mark = click.style(f"{status:<{_STATUS_WIDTH}}", fg=_COLORS[status], bold=status == "failed")
    click.echo(f"{mark}  {topic:<{_TOPIC_WIDTH}}  {cleaned(text)}")
