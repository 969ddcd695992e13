"""What became of records and of import files: counted, reported, and held against the limit of rejects."""

from __future__ import annotations

import logging
import typing as t

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.limits import too_many
from lytics_to_cordial.progress import counted
from target_cordial.delivery.imports import ImportResult
from target_cordial.delivery.jobs import JOBS_PAGE
from target_cordial.delivery.limits import HOPELESS_REJECTS, mostly_lost
from target_cordial.delivery.naming import LostRows
from target_cordial.delivery.order import ImportFile
from target_cordial.delivery.rejects import Reject, Rejects, SkippedValue
from target_cordial.history.journal import NO_LIST
from target_cordial.history.totals import Totals

logger = logging.getLogger("target-cordial")


class Outcomes:
    """Counts what a run did, and says when too many records were rejected.

    Attributes:
        totals: What the run did so far.
        records: How many records were read; the newest one's position.
        named: The contacts of rows that Cordial rejected, as far as they are named.
        acknowledged: How many of them the newest acknowledged state stands for.
        contacts: Tells how many contacts are on the lists of the run.

    Args:
        rejects: The reject report.
        max_reject_percent: The setting.
    """

    def __init__(self, rejects: Rejects, max_reject_percent: float) -> None:
        self.totals = Totals()
        self.records = 0
        self.named: set[str] = set()
        self.acknowledged = 0
        self.contacts: t.Callable[[], int] = lambda: 0
        self._rejects = rejects
        self._max_percent = max_reject_percent

    def reject(self, reject: Reject) -> None:
        """Count and report a record that cannot be sent."""
        self._rejects.add(reject)
        reason = reject.reason if reject.field is None else f"{reject.field}: {reject.reason}"
        self.totals.reject_reasons[reason] += 1
        self.totals.without_contact += reject.lacks_contact
        if reject.exit_from is not None:
            self.totals.exits_failed[reject.exit_from] += 1

    def count_values(self, values: t.Counter[str], skipped: t.Iterable[SkippedValue]) -> None:
        """Count the values of records by column, and report those that their contacts go without."""
        self.totals.values.update(values)
        for value in skipped:
            self._rejects.add_value(value)
            self.totals.values_skipped[value.column] += 1

    def imported(self, file: ImportFile, result: ImportResult) -> None:
        """Count and report what Cordial made of a file.

        Raises:
            UserError: If the file must not be acknowledged.
        """
        totals = self.totals
        name = NO_LIST if file.target_list is None else file.target_list.name
        totals.imports += 1
        totals.rows += file.rows
        totals.imports_of[name] += 1
        totals.by_list[name]["exits" if file.is_exits else "enters"] += file.rows
        totals.inserted += result.inserted or 0
        totals.ignored_of[name] += result.ignored or 0
        if not file.is_exits:
            totals.most_rows_of[name] = max(totals.most_rows_of[name], file.rows)
        lost = result.lost
        if not lost.count:
            return
        self._rejects.add_import(file, result, lost)
        sentence = (
            f"Cordial rejected {lost.count} of {counted(file.rows, 'row')} of import {result.name} (job {result.job_id}); the report at "
            f"{self._rejects.place} names {len(lost.named)}"
        )
        if lost.unnamed:
            sentence += f", {lost.unnamed} are not named, so download them within 7 days in {JOBS_PAGE}. {lost.why.rstrip('.')}"
        if mostly_lost(lost.count, file.rows):
            raise UserError(
                f"{sentence}. With so many something is wrong with all of them, so nothing of this import is acknowledged: correct it, then run again."
            )
        logger.warning("%s.", sentence)
        self._count_lost(file, result, lost)
        if not file.is_exits:
            self.raise_hopeless_rejects()

    def read_back(self, file: ImportFile, result: ImportResult, lost: LostRows) -> None:
        """Count and report the rows of an imported file that are not in Cordial, now that an export was read."""
        if lost.count < result.lost.count or lost.named:
            self._rejects.add_import(file, result, lost)
        self._count_lost(file, result, lost, result.lost)
        why = f" {lost.why}" if lost.unnamed else ""
        logger.warning(
            "Of the %s of import %s that Cordial rejected or did not count, an export shows that %d are not in Cordial, and names %d.%s",
            counted(file.rows, "row"),
            result.name,
            lost.count,
            len(lost.named),
            why,
        )

    def _count_lost(
        self, file: ImportFile, result: ImportResult, lost: LostRows, earlier: LostRows | None = None
    ) -> None:
        """Count rows that are not in Cordial, in place of what was known of them earlier."""
        earlier = earlier or LostRows()
        totals = self.totals
        name = NO_LIST if file.target_list is None else file.target_list.name
        more = lost.count - earlier.count
        self.named.update(next(iter(row.values())) for row in lost.named)
        if file.is_exits:
            _add(totals.exits_failed, name, more)
            return
        totals.rejected += more
        totals.rejected_of[name] += more
        _add(totals.unnamed, result.job_id, lost.unnamed - earlier.unnamed)

    def problems(self) -> list[str]:
        """What a person has to settle although all else is done, in sentences."""
        totals = self.totals
        unnamed = totals.unnamed
        problems = []
        columns = [
            f"{skipped} of {totals.values[column]} values of {column}"
            for column, skipped in sorted(totals.values_skipped.items())
            if too_many(skipped, totals.values[column], self._max_percent)
        ]
        if columns:
            problems.append(
                f"{' and '.join(columns)} do not fit, more than max_reject_percent ({self._max_percent:g} %) allows. Their contacts went "
                f"without them and are acknowledged: read the reasons in {self._rejects.place}, correct field_mapping, the source or the "
                "attribute, then run once with --full-refresh, which sends the values."
            )
        if unnamed:
            problems.append(
                f"Cordial rejected {counted(unnamed.total(), 'row')} that could not be named (job {', '.join(unnamed)}). All others are "
                f"acknowledged, and these do not go again by themselves: download them within 7 days in {JOBS_PAGE}, correct them at "
                "their source, then run once with --full-refresh."
            )
        return problems

    def has_too_many_rejects(self) -> bool:
        """Whether more records were rejected so far than `max_reject_percent` allows."""
        return any(too_many(rejects, whole, self._max_percent) for rejects, whole, _ in self._rejected())

    def raise_hopeless_rejects(self) -> None:
        """Raise `UserError` if rejects are so many that the end of the input need not be waited for."""
        if self._rejects.count + self.totals.rejected >= HOPELESS_REJECTS:
            self.raise_too_many_rejects()

    def raise_too_many_rejects(self) -> None:
        """Raise `UserError` if too many records were rejected."""
        for rejects, whole, kind in self._rejected():
            if too_many(rejects, whole, self._max_percent):
                after = f" after the first {self.acknowledged} records" if self.acknowledged else ""
                raise UserError(
                    f"{rejects} of {self.records} records were rejected{kind}, more than max_reject_percent ({self._max_percent:g} %) "
                    f"allows, so nothing{after} is acknowledged and no exit was sent: read the reasons in {self._rejects.place}, then "
                    "correct the source or the mapping, or run once with TARGET_CORDIAL_MAX_REJECT_PERCENT=100."
                )

    def _rejected(self) -> list[tuple[int, int, str]]:
        """Rejects of each kind, what they are held against, and the kind in words.

        Bad identifiers are held against the list, too: a dozen on a quiet day are few.
        """
        totals = self.totals
        others = self._rejects.count - totals.without_contact + totals.rejected
        return [
            (totals.without_contact, max(self.records, self.contacts()), " for their identifier"),
            (others, self.records, ""),
        ]


def _add(counts: t.Counter[str], name: str, more: int) -> None:
    """Count more, or fewer; what is nothing has no entry."""
    counts[name] += more
    if not counts[name]:
        del counts[name]
