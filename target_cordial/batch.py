"""Open batches: one row for each list and contact, kept until the batch is closed into an import file."""

from __future__ import annotations

import csv
import os
import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from pathlib import Path

    from target_cordial.cordial import ContactList

Cells: t.TypeAlias = list[str]
"""A row's cells: the identifier, then one for each attribute column."""


@dataclass
class Batch:
    """The open rows of one list.

    Attributes:
        target_list: The list that the contacts go on; None for contacts alone.
        opened_at: When its first row came, in seconds of the outbox's clock.
        position: The oldest position (record count) that its rows stand for.
        rows: Cells by contact key.
    """

    target_list: ContactList | None
    opened_at: float
    position: int
    rows: dict[str, Cells] = field(default_factory=dict)

    def put(self, key: str, cells: Cells, null_marker: str) -> None:
        """Add a row, or merge it into the contact's open one.

        Args:
            key: The contact.
            cells: Its newer cells.
            null_marker: The cell that leaves an attribute as it is, and so an earlier cell too.
        """
        earlier = self.rows.get(key)
        if earlier is None:
            self.rows[key] = cells
        else:
            self.refresh(earlier, cells, null_marker)

    @staticmethod
    def refresh(earlier: Cells, newer: Cells, null_marker: str) -> None:
        """Let newer cells win over earlier ones, in place.

        Args:
            earlier: The open row.
            newer: Cells of the same columns.
            null_marker: The cell that leaves an earlier one as it is.
        """
        for column, cell in enumerate(newer):
            if cell != null_marker:
                earlier[column] = cell


def write_csv(path: Path, header: t.Sequence[str], rows: t.Iterable[t.Sequence[str]]) -> None:
    """Write an import file as Cordial reads it: RFC 4180, UTF-8, CRLF.

    A bare LF as line end would leave a lone CR in a cell unquoted.

    Args:
        path: The file; it must not exist yet. Readable by its owner alone.
        header: Column names.
        rows: Cells of each row.

    Raises:
        OSError: If the disk does not take it.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8", newline="") as file:  # noqa: PTH123 - Path has no open by descriptor
        writer = csv.writer(file, lineterminator="\r\n")
        writer.writerow(header)
        writer.writerows(rows)
