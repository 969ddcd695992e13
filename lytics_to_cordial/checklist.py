"""What a check tried, line by line: what works, what does not and how to mend it, and what was not tried."""

from __future__ import annotations

import contextlib
import typing as t

import click

from lytics_to_cordial.errors import UserError

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Status: t.TypeAlias = t.Literal["ok", "failed", "untried", "note"]

_COLORS: dict[Status, str] = {"ok": "green", "failed": "red", "untried": "yellow", "note": "cyan"}
_STATUS_WIDTH = max(map(len, _COLORS))
_WHAT_WIDTH = len("permissions")


class Checklist:
    """Takes one line for each thing that is tried.

    Attributes:
        failures: What does not work: one sentence for each thing, which says what to change.

    Args:
        show: Takes each line: its status, what it is about, and what is to be said.
    """

    def __init__(self, show: Callable[[Status, str, str], None]) -> None:
        self.failures: list[str] = []
        self._show = show

    def ok(self, what: str, text: str) -> None:
        """Say that something works.

        Args:
            what: What it is about, in a word.
            text: The line.
        """
        self._show("ok", what, text)

    def note(self, what: str, text: str) -> None:
        """Say what is good to know.

        Args:
            what: What it is about, in a word.
            text: The line.
        """
        self._show("note", what, text)

    def untried(self, what: str, text: str) -> None:
        """Say that something was not tried, and why.

        Args:
            what: What it is about, in a word.
            text: The line.
        """
        self._show("untried", what, text)

    def failed(self, what: str, text: str) -> None:
        """Say that something does not work.

        Args:
            what: What it is about, in a word.
            text: What to change.
        """
        self.failures.append(text)
        self._show("failed", what, text)

    @contextlib.contextmanager
    def trying(self, what: str) -> Iterator[None]:
        """A stretch whose failure is a line of the list, and not the end of it.

        Args:
            what: What it is about, in a word.
        """
        try:
            yield
        except UserError as error:
            self.failed(what, str(error))

    def raise_failures(self) -> None:
        """End the run if something does not work.

        Raises:
            UserError: With all failures.
        """
        if self.failures:
            raise UserError(" ".join(self.failures))


def print_line(status: Status, what: str, text: str) -> None:
    """Show a line on standard output; in colour on a terminal, plain elsewhere.

    Args:
        status: The line's status.
        what: What it is about.
        text: What is to be said.
    """
    mark = click.style(f"{status:<{_STATUS_WIDTH}}", fg=_COLORS[status], bold=status == "failed")
    click.echo(f"{mark}  {what:<{_WHAT_WIDTH}}  {text}")
