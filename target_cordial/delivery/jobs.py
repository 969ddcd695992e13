"""Import jobs in Cordial: listed, and followed until they are final."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import dataclass

from lytics_to_cordial.errors import TransientError
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.errors import UnansweredError
from target_cordial.cordial.jobs import FINAL_STATUSES, FIRST_LOOK_SECONDS, UNFINISHED_STATUSES, Job
from target_cordial.settings import Settings

LOOKUPS = 12
"""How often a job is looked for, a poll interval apart: the grace for a new job to be listed."""
JOBS_PAGE = "https://admin.cordial.io (Data, Data jobs)"


class ImportFailedError(TransientError):
    """An import did not end well; nothing that it holds is acknowledged."""


@dataclass
class Jobs:
    """The import jobs of an account.

    Attributes:
        cordial: The account.
        settings: How long to wait.
    """

    cordial: Cordial
    settings: Settings

    def listed(self, since: dt.datetime) -> list[Job]:
        """The import jobs that started after a time, each with its newest status, and all that are not final.

        Raises:
            UnansweredError: If Cordial does not answer.
        """
        jobs: dict[str, Job] = {}
        # In the order in which a job goes through them, so that none slips by between two questions.
        for status in (*UNFINISHED_STATUSES, *FINAL_STATUSES):
            # A job that has not started yet has no start to filter by; final ones go back 60 days.
            for job in self.cordial.jobs.imports(status, None if status in UNFINISHED_STATUSES else since):
                jobs[job.id or f"without id {len(jobs)}"] = job
        return list(jobs.values())

    def follow(self, job_id: str, name: str) -> Job:
        """Wait until a job that was registered just now is done.

        Raises:
            ImportFailedError: If it failed, or showed no progress.
        """
        time.sleep(min(FIRST_LOOK_SECONDS, self.settings.poll_interval_seconds))
        return self.wait_until_done(job_id, name)

    def wait_for(self, job_id: str, name: str) -> Job:
        """Wait until a job, of an import of that name, is final: Done or Failed.

        Raises:
            ImportFailedError: If it showed no progress for `import_timeout_seconds`.
        """
        if not job_id:
            raise ImportFailedError(
                f"Cordial lists import {name} without an id that target-cordial knows, so it cannot be followed: wait until it is "
                f"done in {JOBS_PAGE}, then run again."
            )
        patience = self.settings.import_timeout_seconds
        job = self.cordial.jobs.follow(
            job_id, patience=patience, interval=self.settings.poll_interval_seconds
        )
        if job is None:
            raise ImportFailedError(
                f"Import {name} (job {job_id}) has shown no progress for {patience:g} seconds: look at the job in {JOBS_PAGE}, then run "
                "again, or set import_timeout_seconds higher; what it holds is not acknowledged."
            )
        return job

    def wait_until_done(self, job_id: str, name: str) -> Job:
        """Wait until a job is done.

        Raises:
            ImportFailedError: If it failed, or showed no progress.
        """
        job = self.wait_for(job_id, name)
        if job.status == "Failed":
            raise ImportFailedError(
                f"Import {name} failed in Cordial (job {job_id}): look at the job in {JOBS_PAGE}, then run again; "
                "what it holds is not acknowledged and goes again."
            )
        return job

    def wait_for_relatives(self, job: Job, names: set[str], rows: int, since: dt.datetime) -> list[Job]:
        """Wait until no job of the same file is under way: children, and calls that were thought lost.

        How late a job is listed is not documented. So the list of jobs is believed once (1) it shows the job itself as
        final, (2) twice with the same relatives, and (3) counters tell that no child is missing; or when the grace for
        new jobs is over.

        Args:
            job: The job, done.
            names: All import names under which the file was registered.
            rows: Rows of the file.
            since: No job of the file started earlier.

        Returns:
            The job's relatives, all final. The job of a call that came too late finds no file, and fails.
        """
        settled: set[str] | None = None
        relatives: list[Job] = []
        # What was waited for is final, also where the list of jobs is older.
        ended: dict[str, Job] = {}
        looks_left = LOOKUPS
        while looks_left:
            looks_left -= 1
            self.pause()
            try:
                listed = [ended.get(known.id, known) for known in self.listed(since)]
            except UnansweredError:
                if not looks_left:
                    raise
                continue
            relatives = _relatives_of(listed, names, job)
            for relative in relatives:
                if not relative.is_final:
                    ended[relative.id] = self.wait_for(relative.id, relative.import_name or max(names))
                    looks_left = LOOKUPS
            ids = {relative.id for relative in relatives}
            is_fresh = any(known.id == job.id and known.is_final for known in listed)
            is_settled = is_fresh and ids == settled and looks_left < LOOKUPS
            if is_settled and _is_counted(job, relatives, rows):
                break
            settled = ids if is_fresh else None
        return relatives

    def pause(self) -> None:
        """Wait until it is time to ask Cordial again."""
        time.sleep(self.settings.poll_interval_seconds)


def _relatives_of(listed: list[Job], names: set[str], job: Job) -> list[Job]:
    """The jobs of the same file: under any of its names, and their children."""
    family = {job.id} | {other.id for other in listed if other.import_name in names}
    return [
        other for other in listed if other.id != job.id and (other.id in family or other.parent_id in family)
    ]


def _is_counted(job: Job, relatives: list[Job], rows: int) -> bool:
    """Whether every import of a file came to an end with all rows, so that none has a child that is not listed yet."""
    imports = [job, *(other for other in relatives if other.parent_id is None and other.status == "Done")]
    return all(
        max(parent.outcomes, sum(child.outcomes for child in relatives if child.parent_id == parent.id))
        >= rows
        for parent in imports
    )
