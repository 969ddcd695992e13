"""What a run did, counted."""

from __future__ import annotations

import typing as t
from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, field

from target_cordial.cordial.lists import Sizes
from target_cordial.history.audits import ListAudit


@dataclass
class Totals:
    """The counts of a run. Enters are all records or rows of contacts that join a list or change, so they include updates.

    Attributes:
        arrived: Records to send, by list name and kind: `enters`, `updates` or `exits`.
        ignored_exits: Exits passed over because of `list_action`.
        exits_failed: Exits that could not be done, by list name, or by stream where no list is known.
        most_rows_of: The rows of the largest import of enters, by list name.
        ignored_of: Rows that Cordial passed over because of `import_strategy`, by list name.
        rows: Rows imported.
        imports: Imports done.
        inserted: Contacts that are new in Cordial, as far as it says.
        rejected: Rows of enters rejected by Cordial.
        unnamed: Rows rejected by Cordial that nobody could name, by job.
        by_list: Rows imported, as `enters` and `exits`, by list name.
        imports_of: Imports done, by list name.
        rejected_of: Rows of enters rejected by Cordial, by list name.
        reject_reasons: Records rejected here, by reason.
        without_contact: Records rejected here for their identifier.
        values: Values of enters, by column.
        values_skipped: Those of them that do not fit, so that the contacts went without them.
        audits: What an audit says of each list, by its name.
    """

    arrived: Counter[tuple[str, str]] = field(default_factory=Counter)
    ignored_exits: int = 0
    exits_failed: Counter[str] = field(default_factory=Counter)
    most_rows_of: Counter[str] = field(default_factory=Counter)
    ignored_of: Counter[str] = field(default_factory=Counter)
    rows: int = 0
    imports: int = 0
    inserted: int = 0
    rejected: int = 0
    unnamed: Counter[str] = field(default_factory=Counter)
    by_list: defaultdict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    imports_of: Counter[str] = field(default_factory=Counter)
    rejected_of: Counter[str] = field(default_factory=Counter)
    reject_reasons: Counter[str] = field(default_factory=Counter)
    without_contact: int = 0
    values: Counter[str] = field(default_factory=Counter)
    values_skipped: Counter[str] = field(default_factory=Counter)
    audits: dict[str, ListAudit] = field(default_factory=dict)

    @property
    def lists(self) -> list[str]:
        """The names of all lists that records came for."""
        return sorted({name for name, _ in self.arrived})

    def rows_of(self, name: str) -> int:
        """Rows imported for a list."""
        return self.by_list[name].total()

    def journal_lists(
        self, sizes: t.Mapping[str, Sizes], members: t.Mapping[str, int]
    ) -> dict[str, dict[str, t.Any]]:
        """What the journal's line of the run says of each list that rows or sizes are known of, with its audience's members."""
        return {
            name: {
                "enters": self.by_list[name]["enters"],
                "exits": self.by_list[name]["exits"],
                **asdict(sizes.get(name, Sizes())),
                "members": members.get(name),
                **({"audit": self.audits[name]} if name in self.audits else {}),
            }
            for name in sorted({*self.by_list, *sizes, *self.audits})
        }
