"""What became of records and of import files: counted, reported, and held against the limit of rejects."""

from __future__ import annotations

import logging
import typing as t

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.progress import counted
from target_cordial.delivery.jobs import JOBS_PAGE
from target_cordial.delivery.limits import hopeless_rejects, mostly_lost, too_many_rejects
from target_cordial.history.journal import NO_LIST
from target_cordial.history.totals import Totals

if t.TYPE_CHECKING:
    from target_cordial.delivery.imports import ImportResult
    from target_cordial.delivery.order import ImportFile
    from target_cordial.delivery.rejects import Rejects

logger = logging.getLogger("target-cordial")


class Outcomes:
    """Counts what a run did, and says when too many records were rejected.

    Attributes:
        totals: What the run did so far.
        records: How many records were read; the newest one's position.
        named: The contacts of rows that Cordial rejected, as far as they are named.

    Args:
        rejects: The reject report.
        max_reject_percent: The setting.
    """

    def __init__(self, rejects: Rejects, max_reject_percent: float) -> None:
        self.totals = Totals()
        self.records = 0
        self.named: set[str] = set()
        self._rejects = rejects
        self._max_percent = max_reject_percent

    def reject(self, stream: str, record: dict[str, t.Any], reason: str, field: str | None) -> None:
        """Count and report a record that cannot be sent."""
        self._rejects.add(stream, record, reason, field)
        self.totals.reject_reasons[reason if field is None else f"{field}: {reason}"] += 1

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
        self._rejects.add_import(file, result)
        self.named.update(next(iter(row.values())) for row in lost.named)
        sentence = (
            f"Cordial rejected {lost.count} of {file.rows} rows of import {result.name} (job {result.job_id}): {len(lost.named)} are named "
            f"in {self._rejects.place}"
        )
        if lost.unnamed:
            sentence += f", {lost.unnamed} could not be named, so download them within 7 days in {JOBS_PAGE}. {lost.why.rstrip('.')}"
        if mostly_lost(lost.count, file.rows):
            raise UserError(
                f"{sentence}. With so many something is wrong with all of them, so nothing of this import is acknowledged: correct it, then run again."
            )
        logger.warning("%s.", sentence)
        if file.is_exits:
            totals.exits_failed[name] += lost.count
            return
        totals.rejected += lost.count
        totals.rejected_of[name] += lost.count
        if lost.unnamed:
            totals.unnamed[result.job_id] += lost.unnamed
        self.raise_hopeless_rejects()

    def problems(self) -> list[str]:
        """What a person has to settle although all else is done, in sentences."""
        unnamed = self.totals.unnamed
        problems = []
        if unnamed:
            problems.append(
                f"Cordial rejected {counted(unnamed.total(), 'row')} that could not be named (job {', '.join(unnamed)}). All others are "
                f"acknowledged, and these do not go again by themselves: download them within 7 days in {JOBS_PAGE}, correct them at "
                "their source, then run once with --full-refresh."
            )
        return problems

    def has_too_many_rejects(self) -> bool:
        """Whether more records were rejected so far than `max_reject_percent` allows."""
        return too_many_rejects(self._rejected, self.records, self._max_percent)

    def raise_hopeless_rejects(self) -> None:
        """Raise `UserError` if rejects are so many that the end of the input need not be waited for."""
        if hopeless_rejects(self._rejected, self.records, self._max_percent):
            self._raise_rejects()

    def raise_too_many_rejects(self) -> None:
        """Raise `UserError` if too many records were rejected."""
        if self.has_too_many_rejects():
            self._raise_rejects()

    @property
    def _rejected(self) -> int:
        return self._rejects.count + self.totals.rejected

    def _raise_rejects(self) -> t.NoReturn:
        raise UserError(
            f"{self._rejected} of {self.records} records were rejected, more than max_reject_percent ({self._max_percent:g} %) "
            f"allows, so none of them is acknowledged and no exit was sent: read the reasons in {self._rejects.place}, then correct "
            "the source or the mapping, or run once with TARGET_CORDIAL_MAX_REJECT_PERCENT=100."
        )
