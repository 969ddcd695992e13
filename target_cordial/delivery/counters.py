"""What the jobs of an import say of its rows, of which every counter may be missing."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from target_cordial.cordial.jobs import Job


@dataclass(frozen=True)
class Counters:
    """The rows of an import as its jobs count them.

    Attributes:
        rows: How many were sent.
        total: How many Cordial accounts for; None if it does not say, as with the next three.
        inserted: New contacts.
        updated: Changed contacts.
        ignored: Rows that the strategy passed over.
        least_lost: So many rows are not in Cordial, as it says itself.
        lost: So many are not, if nobody can look: rejected rows, and those that the total lacks.
        most_lost: So many may not be, as no counter tells of them.
    """

    rows: int
    total: int | None
    inserted: int | None
    updated: int | None
    ignored: int | None
    least_lost: int
    lost: int
    most_lost: int

    @classmethod
    def of(cls, rows: int, job: Job, children: t.Sequence[Job]) -> Counters:
        """The counters of a job and its children, which may be those of the children once more."""

        def count(counter: t.Callable[[Job], int | None]) -> int | None:
            # Whether a job's counters hold those of its children is not documented: the greater of both covers either.
            return _greatest((counter(job), _sum(map(counter, children))))

        inserted, updated = count(lambda part: part.inserted), count(lambda part: part.updated)
        ignored = count(lambda part: part.ignored)
        rejected = count(lambda part: _sum((part.rejected, part.errors)))
        ended = _sum((inserted, updated, ignored, rejected))
        total = count(lambda part: part.total_records)
        total = ended if total is None else total
        least = min(rejected or 0, rows)
        lacking = 0 if total is None else max(0, rows - total)
        unexplained = 0 if ended is None else max(0, rows - lacking - ended)
        lost = min(rows, least + lacking)
        return cls(
            rows, total, inserted, updated, ignored, least, lost, most_lost=min(rows, lost + unexplained)
        )

    def followed_by(self, later: Counters) -> Counters:
        """Of two imports of the same rows: a row is lost only if neither took it."""
        taken = self.inserted or 0, later.updated or 0
        most = min(self.rows - max(taken), self.most_lost + later.most_lost)
        updated = None if later.updated is None else max(0, later.updated - taken[0])
        return Counters(
            self.rows,
            _greatest((self.total, later.total)),
            self.inserted,
            updated,
            later.ignored,
            min(most, max(0, self.rows - sum(taken))),
            min(most, self.lost + later.lost),
            most,
        )


def _greatest(counts: t.Iterable[int | None]) -> int | None:
    return max((count for count in counts if count is not None), default=None)


def _sum(counts: t.Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
