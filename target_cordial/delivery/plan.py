"""What a run would do, for people: collected while a plan goes through all that a run does but for Cordial and the storage."""

from __future__ import annotations

import itertools
import math
import string
import typing as t
from array import array
from dataclasses import dataclass, field

from lytics_to_cordial.progress import counted, duration
from target_cordial.delivery.importfile import unquoted
from target_cordial.history.summary import read_text, reject_reasons, rows_text

if t.TYPE_CHECKING:
    from target_cordial.cordial.api import Pace, Sizes
    from target_cordial.delivery.importfile import Cells
    from target_cordial.delivery.order import ImportFile
    from target_cordial.history.totals import Totals
    from target_cordial.settings import Settings

SAMPLE_ROWS = 3
SHOWN_CHARACTERS = 20
CALLS_OF_EVERY_RUN = 10
"""The check and the look at earlier runs, about."""
_SHARDS = 256
_SHAPE = frozenset(string.punctuation + " ")


@dataclass
class Plan:
    """Collects what a run would send.

    Attributes:
        settings: How it would be sent.
        null_marker: The cell that leaves an attribute as it is.
        removals: How many contacts would leave each list, by its name, and how many are on it.
        pace: How fast Cordial was with earlier imports; None if nobody knows.
    """

    settings: Settings
    null_marker: str
    removals: dict[str, tuple[int, int]] = field(default_factory=dict)
    pace: Pace | None = None
    _samples: list[list[str]] = field(default_factory=list)
    _header: t.Sequence[str] = ()
    # Counting a shard at a time needs little memory also for millions.
    _contacts: list[array[int]] = field(default_factory=lambda: [array("q") for _ in range(_SHARDS)])

    def add_rows(self, header: t.Sequence[str], rows: t.Iterable[Cells]) -> None:
        """Keep some rows as samples.

        Args:
            header: Column names.
            rows: Rows of a file of enters.
        """
        self._header = header
        for cells in itertools.islice(rows, SAMPLE_ROWS - len(self._samples)):
            self._samples.append([masked(unquoted(cell), self.null_marker) for cell in cells])

    def add_file(self, file: ImportFile) -> None:
        """Count an import file's contacts.

        Args:
            file: The file.
        """
        for contact in file.contacts:
            self._contacts[contact % _SHARDS].append(contact)

    def lines(
        self, totals: Totals, sizes: t.Mapping[str, Sizes], records: int, rejects: int
    ) -> t.Iterator[str]:
        """The plan.

        Args:
            totals: What the run would do.
            sizes: How many contacts are on each list, by its name.
            records: How many records were read.
            rejects: How many of them would be rejected.

        Yields:
            Sentences.
        """
        for name in totals.lists:
            size = sizes[name].size_before if name in sizes else None
            now = "" if size is None else f" ({counted(size, 'contact')} now)"
            yield (
                f"list {name}{now}: {read_text(totals, name)}; would import {rows_text(totals, name)} in "
                f"{counted(totals.imports_of[name], 'file')}{self._removal(name)}."
            )
        contacts = sum(len(set(shard)) for shard in self._contacts)
        passed = f", {counted(totals.ignored_exits, 'exit')} passed over" if totals.ignored_exits else ""
        yield (
            f"{counted(records, 'record')} read{passed}; {counted(totals.rows, 'row')} for {counted(contacts, 'contact')} in "
            f"{counted(totals.imports, 'file')}."
        )
        yield f"{counted(rejects, 'record')} would be rejected{f': {reject_reasons(totals)}' if rejects else ''}."
        yield self._effort(totals)
        yield from self._sample_lines()
        yield "nothing was uploaded, created, imported or acknowledged."

    def _sample_lines(self) -> t.Iterator[str]:
        if not self._samples:
            return
        yield f"{len(self._samples)} of the rows, each run of letters as x and of digits as 9:"
        for column in zip(self._header, *self._samples, strict=True):
            name, *cells = column
            shown = "  ".join(f"{cell:<{SHOWN_CHARACTERS}}" for cell in cells)
            yield f"    {name:<{max(map(len, self._header))}}  {shown}".rstrip()

    def _removal(self, name: str) -> str:
        if name not in self.removals:
            return ""
        exits, size = self.removals[name]
        share = f" ({100 * exits / size:.1f} %)" if size else ""
        return f"; {exits:,} of {counted(size, 'contact')}{share} would be removed, max_removal_percent is {self.settings.max_removal_percent:g}"

    def _effort(self, totals: Totals) -> str:
        files = totals.imports
        side_by_side = max(1, min(files, self.settings.max_concurrent_imports))
        pace = self.pace
        looks = 1
        told = "no estimate of time, as Cordial lists no import that is done"
        if pace is not None:
            seconds = totals.rows / pace.rows_per_second
            looks = max(1, math.ceil(seconds / max(1, files) / self.settings.poll_interval_seconds))
            wait = files * self.settings.poll_interval_seconds
            told = (
                f"about {duration((seconds + wait) / side_by_side)} for the imports, at {pace.rows_per_second:,.0f} rows a second as in "
                f"the {pace.imports:,} that Cordial lists as done, {side_by_side} side by side"
            )
        calls = CALLS_OF_EVERY_RUN + 4 * len(totals.lists) + files * (1 + looks)
        return f"about {calls:,} calls to Cordial; {told}."


def masked(cell: str, null_marker: str) -> str:
    """A cell's shape: each run of letters as x, each run of digits as 9, so that neither a value nor its length shows.

    Args:
        cell: The cell.
        null_marker: The cell that leaves an attribute as it is.

    Returns:
        What may be shown of it.
    """
    if cell == null_marker:
        return "(left as it is)"
    if not cell:
        return "(emptied)"
    kinds = (character if character in _SHAPE else "9" if character.isdigit() else "x" for character in cell)
    # A run of one kind is one character, also where it is punctuation.
    shape = "".join(kind for kind, _ in itertools.groupby(kinds))
    return shape if len(shape) <= SHOWN_CHARACTERS else shape[: SHOWN_CHARACTERS - 3] + "..."
