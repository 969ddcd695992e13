"""What takes the rows, exits, rejects and states that an input becomes: the delivery, or an audit's members."""

from __future__ import annotations

import typing as t
from collections import Counter
from collections.abc import Sequence

from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.importfile import Cells
from target_cordial.delivery.rejects import Reject, SkippedValue
from target_cordial.history.totals import Totals


class Receiver(t.Protocol):
    """See `Delivery`, which does with each what it says."""

    records: int

    @property
    def totals(self) -> Totals:
        """What was done so far."""
        ...

    def enter(
        self,
        target_list: ContactList | None,
        keys: Sequence[str],
        rows: Sequence[Cells],
        *,
        position: int,
        updates: int,
    ) -> None:
        """Take contacts' rows."""
        ...

    def exit(
        self, target_list: ContactList, keys: Sequence[str], *, position: int, again: bool = False
    ) -> None:
        """Take contacts' exits."""
        ...

    def reject(self, reject: Reject) -> None:
        """Take a record that cannot be sent."""
        ...

    def count_values(self, values: Counter[str], skipped: Sequence[SkippedValue]) -> None:
        """Take how many values there were for each column, and those that are left out."""
        ...

    def state(self, state: dict[str, t.Any]) -> None:
        """Take a state."""
        ...

    def hold(self) -> None:
        """Acknowledge nothing until `release`."""
        ...

    def release(self) -> None:
        """End a `hold`."""
        ...

    def tick(self) -> None:
        """Do what is due."""
        ...
