"""Open batches: one row for each list and contact, kept until the batch is closed into an import file."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

if t.TYPE_CHECKING:
    from target_cordial.cordial.api import ContactList
    from target_cordial.delivery.importfile import Cells


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
        self.rows[key] = cells if earlier is None else merged(earlier, cells, null_marker)


def merged(earlier: Cells, newer: Cells, null_marker: str) -> Cells:
    """Newer cells win over earlier ones.

    Args:
        earlier: The open row.
        newer: Cells of the same columns.
        null_marker: The cell that leaves an earlier one as it is.

    Returns:
        The row.
    """
    return tuple([old if new == null_marker else new for old, new in zip(earlier, newer, strict=True)])
