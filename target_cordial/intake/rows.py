"""The rows of enters: the contact, and a cell for each mapped field."""

from __future__ import annotations

import logging
import typing as t
from collections import Counter
from dataclasses import dataclass, field

import msgspec

from target_cordial.delivery.importfile import Cells
from target_cordial.intake.cells import EMPTY, FRACTION_DIGITS, RejectedError
from target_cordial.intake.columns import Column, Rejects, Values, kinds_of, quoted_all
from target_cordial.intake.fields import names_read, values_of
from target_cordial.settings import Settings

logger = logging.getLogger("target-cordial")


@dataclass(frozen=True)
class Rows:
    """The rows of contacts.

    Attributes:
        cells: The rows.
        columns: The cells of each mapped column.
        rejects: Why rows cannot be sent, by their place.
        skipped: Why values are left out, by the place of the row and the column's header.
    """

    cells: list[Cells]
    columns: list[t.Sequence[str]]
    rejects: Rejects = field(default_factory=dict)
    skipped: dict[tuple[int, str], RejectedError] = field(default_factory=dict)


class RowWriter:
    """Writes the rows of enters.

    Attributes:
        columns: The mapped columns.
        header: The names of all columns.
        kinds: What the cells of mapped columns hold, by header.
        fields: The fields that rows are made of; of a nested one its own name and its outermost object's.

    Args:
        columns: The mapped columns.
        settings: What a null means, and what must be there.
        null_marker: The cell that leaves an attribute as it is.
    """

    def __init__(self, columns: t.Sequence[Column], settings: Settings, null_marker: str) -> None:
        self.columns = columns
        self.kinds = kinds_of(columns)
        self.header = [settings.identifier_column, *[column.header for column in columns]]
        # Only a contact that is created, or whose attribute is emptied, can end up without it.
        may_lack = settings.import_strategy == "upsert" or settings.null_values == "clear"
        self._required: dict[str, list[Column]] = {}
        for column in columns:
            if column.attribute.required and may_lack:
                self._required.setdefault(column.attribute.key, []).append(column)
        self._absent = null_marker
        self._null = "" if settings.null_values == "clear" else null_marker
        self._null_if_any = None if settings.require_all_fields else self._null
        self._skips = settings.invalid_values == "skip" and not settings.require_all_fields
        self._has_cut = False
        self.fields = [name for column in columns for name in names_read(column.field)]

    def rows(self, keys: t.Sequence[str], values: t.Mapping[str, Values]) -> Rows:
        """The rows of contacts, from the values of each of `fields`."""
        mapped = {column.header: values_of(column.field, values) for column in self.columns}
        misfits: dict[str, Rejects] = {column.header: {} for column in self.columns}
        cells = [
            column.cells(
                mapped[column.header],
                null=self._null_if_any,
                absent=self._absent,
                misfits=misfits[column.header],
            )
            for column in self.columns
        ]
        rows = Rows(list(zip(quoted_all(keys), *cells, strict=True)), cells)
        self._judge(rows, misfits)
        self._reject_incomplete(rows, mapped, misfits)
        self._report_cut()
        return rows

    def count_values(self, rows: Rows, places: t.Collection[int]) -> Counter[str]:
        """How many values the rows at these places have for each column, by its header, those that do not fit too."""
        counts = Counter(header for place, header in rows.skipped if place in places)
        for column, cells in zip(self.columns, rows.columns, strict=True):
            own = cells if len(places) == len(cells) else [cells[place] for place in places]
            counts[column.header] += len(own) - own.count(self._absent) - (0 if self._null else own.count(""))
        return counts

    def _judge(self, rows: Rows, misfits: dict[str, Rejects]) -> None:
        """A value that does not fit rejects its record, or counts as absent."""
        for header, own in misfits.items():
            for place, error in own.items():
                if self._skips:
                    rows.skipped[place, header] = error
                else:
                    rows.rejects.setdefault(place, error)

    def _reject_incomplete(
        self, rows: Rows, mapped: t.Mapping[str, Values], misfits: t.Mapping[str, Rejects]
    ) -> None:
        """A record without a value for a required attribute is rejected; of a geo attribute any part will do."""
        for key, columns in self._required.items():
            headers = [column.header for column in columns]
            for place, values_of_parts in enumerate(
                zip(*(mapped[header] for header in headers), strict=True)
            ):
                reasons = [misfits[header].get(place) for header in headers]
                if all(
                    reason or value is msgspec.UNSET or value in EMPTY
                    for reason, value in zip(reasons, values_of_parts, strict=True)
                ):
                    lacking = RejectedError(f"no value for the required attribute {key}", columns[0].field)
                    rows.rejects.setdefault(place, next(filter(None, reasons), lacking))

    def _report_cut(self) -> None:
        cut = [] if self._has_cut else [column.field for column in self.columns if column.has_cut]
        if cut:
            self._has_cut = True
            logger.info(
                "Dates of %s are finer than microseconds: they are cut to %d digits of a second, as Cordial keeps no more.",
                ", ".join(cut),
                FRACTION_DIGITS,
            )
