"""A plan: an importer that uploads and registers nothing, and tells people what a run would do."""

from __future__ import annotations

import itertools
import math
import string
import threading
import typing as t
from array import array

from lytics_to_cordial.progress import counted, duration
from target_cordial.cordial.jobs import Pace
from target_cordial.cordial.lists import Sizes
from target_cordial.delivery.importfile import read_csv
from target_cordial.delivery.imports import ImportResult
from target_cordial.delivery.naming import LostRows
from target_cordial.delivery.order import ImportFile
from target_cordial.history.summary import read_text, reject_reasons, rows_text, skipped_values
from target_cordial.history.totals import Totals
from target_cordial.settings import Settings

SAMPLE_ROWS = 3
SHOWN_CHARACTERS = 20
CALLS_OF_EVERY_RUN = 10
"""The check and the look at earlier runs, about."""
_SHARDS = 256
_SHAPE = frozenset(string.punctuation + " ")


class Plan:
    """Takes import files in place of `Importer`: counts their contacts, keeps some rows as samples, deletes them.

    Attributes:
        pace: How fast Cordial was with earlier imports; None if nobody knows.

    Args:
        settings: How the files would be sent.
        null_marker: The cell that leaves an attribute as it is.
    """

    def __init__(self, settings: Settings, null_marker: str) -> None:
        self.pace: Pace | None = None
        self._settings = settings
        self._null_marker = null_marker
        self._lock = threading.Lock()
        self._header: list[str] = []
        self._samples: list[tuple[int, list[str]]] = []
        # Counting a shard at a time needs little memory also for millions.
        self._contacts: list[array[int]] = [array("q") for _ in range(_SHARDS)]

    def deliver(self, file: ImportFile) -> ImportResult:
        """Count one file's contacts, keep samples of its rows, and delete it."""
        with self._lock:
            if not file.is_exits:
                self._keep_samples(file)
            for contact in file.contacts:
                self._contacts[contact % _SHARDS].append(contact)
        file.path.unlink()
        return ImportResult(name=file.path.stem, job_id="")

    def name_lost_rows(self) -> list[tuple[ImportFile, ImportResult, LostRows]]:
        """None is lost."""
        return []

    def finish(self) -> None:
        """Nothing was imported."""

    def lines(
        self,
        totals: Totals,
        sizes: t.Mapping[str, Sizes],
        removals: t.Mapping[str, tuple[int, int]],
        *,
        records: int,
        rejects: int,
    ) -> t.Iterator[str]:
        """The plan, in sentences.

        Args:
            totals: What the run would do.
            sizes: How many contacts are on each list, by its name.
            removals: How many exits of each list limits count, by its name, and how many contacts are on it.
            records: How many records were read.
            rejects: How many of them would be rejected.
        """
        for name in totals.lists:
            size = sizes[name].size_before if name in sizes else None
            now = "" if size is None else f" ({counted(size, 'contact')} now)"
            yield (
                f"list {name}{now}: {read_text(totals, name)}; would import {rows_text(totals, name)} in "
                f"{counted(totals.imports_of[name], 'file')}{self._removal(removals.get(name))}."
            )
        contacts = sum(len(set(shard)) for shard in self._contacts)
        passed = f", {counted(totals.ignored_exits, 'exit')} passed over" if totals.ignored_exits else ""
        yield (
            f"{counted(records, 'record')} read{passed}; {counted(totals.rows, 'row')} for {counted(contacts, 'contact')} in "
            f"{counted(totals.imports, 'file')}."
        )
        yield f"{counted(rejects, 'record')} would be rejected{f': {reject_reasons(totals)}' if rejects else ''}."
        if totals.values_skipped:
            yield f"{skipped_values(totals)} would be left out."
        yield self._effort(totals)
        yield from self._sample_lines()
        yield "nothing was uploaded, created, imported or acknowledged."

    def _keep_samples(self, file: ImportFile) -> None:
        self._header, *rows = itertools.islice(read_csv(file.path), 1 + SAMPLE_ROWS)
        samples = [(file.number, [masked(cell, self._null_marker) for cell in row]) for row in rows]
        # Threads bring files in any order; those of the first files are kept.
        self._samples = sorted([*self._samples, *samples], key=lambda sample: sample[0])[:SAMPLE_ROWS]

    def _sample_lines(self) -> t.Iterator[str]:
        if not self._samples:
            return
        yield f"{len(self._samples)} of the rows, each run of letters as x and of digits as 9:"
        for name, *cells in zip(self._header, *(row for _, row in self._samples), strict=True):
            shown = "  ".join(f"{cell:<{SHOWN_CHARACTERS}}" for cell in cells)
            yield f"    {name:<{max(map(len, self._header))}}  {shown}".rstrip()

    def _removal(self, removal: tuple[int, int] | None) -> str:
        if removal is None:
            return ""
        exits, size = removal
        share = f" ({100 * exits / size:.1f} %)" if size else ""
        limit = f"max_removal_percent is {self._settings.max_removal_percent:g}"
        return f"; {exits:,} of {counted(size, 'contact')}{share} would be removed, {limit}"

    def _effort(self, totals: Totals) -> str:
        files = totals.imports
        side_by_side = max(1, min(files, self._settings.max_concurrent_imports))
        pace = self.pace
        looks = 1
        estimate = "no estimate of time, as Cordial lists no import that is done"
        if pace is not None:
            seconds = totals.rows / pace.rows_per_second
            looks = max(1, math.ceil(seconds / max(1, files) / self._settings.poll_interval_seconds))
            wait = files * self._settings.poll_interval_seconds
            estimate = (
                f"about {duration((seconds + wait) / side_by_side)} for the imports, at {pace.rows_per_second:,.0f} rows a second as in "
                f"the {pace.imports:,} that Cordial lists as done, {side_by_side} side by side"
            )
        calls = CALLS_OF_EVERY_RUN + 4 * len(totals.lists) + files * (1 + looks)
        return f"about {calls:,} calls to Cordial; {estimate}."


def masked(cell: str, null_marker: str) -> str:
    """A cell's shape: each run of letters as x, each run of digits as 9, so that neither a value nor its length shows.

    Args:
        cell: The cell.
        null_marker: The cell that leaves an attribute as it is.
    """
    if cell == null_marker:
        return "(left as it is)"
    if not cell:
        return "(emptied)"
    kinds = (character if character in _SHAPE else "9" if character.isdigit() else "x" for character in cell)
    # A run of one kind is one character, also where it is punctuation.
    shape = "".join(kind for kind, _ in itertools.groupby(kinds))
    return shape if len(shape) <= SHOWN_CHARACTERS else shape[: SHOWN_CHARACTERS - 3] + "..."
