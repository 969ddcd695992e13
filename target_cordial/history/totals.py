"""A run's figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field


@dataclass
class Totals:
    """What a run did.

    Attributes:
        arrived: Records to send, by list name and kind: `enters`, `updates` or `exits`.
        ignored_exits: Exits passed over because of `list_action`.
        rows: Rows imported.
        imports: Imports done.
        rejected: Rows that Cordial rejected.
        by_list: Rows imported, as `enters` and `exits`, by list name.
        imports_of: Imports done, by list name.
        rejected_of: Rows that Cordial rejected, by list name.
        reject_reasons: Records rejected here, by reason.
    """

    arrived: Counter[tuple[str, str]] = field(default_factory=Counter)
    ignored_exits: int = 0
    rows: int = 0
    imports: int = 0
    rejected: int = 0
    by_list: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    imports_of: Counter[str] = field(default_factory=Counter)
    rejected_of: Counter[str] = field(default_factory=Counter)
    reject_reasons: Counter[str] = field(default_factory=Counter)

    @property
    def lists(self) -> list[str]:
        """The names of all lists that records came for."""
        return sorted({name for name, _ in self.arrived})

    def rows_of(self, name: str) -> int:
        """How many rows were imported for a list.

        Args:
            name: The list.
        """
        return sum(self.by_list[name].values())
