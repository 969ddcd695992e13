"""One import file's way: uploaded, registered with Cordial, followed until every job of it is final."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import typing as t
from dataclasses import dataclass, field

from lytics_to_cordial.errors import UserError
from target_cordial.cordial.api import (
    FINAL_STATUSES,
    UNFINISHED_STATUSES,
    Job,
    SourceUnreadableError,
    UnansweredError,
)

if t.TYPE_CHECKING:
    import datetime as dt

    from target_cordial.cordial.api import Cordial
    from target_cordial.delivery.order import ImportFile
    from target_cordial.settings import Settings
    from target_cordial.storage.storage import Storage

REGISTRATIONS = 4
"""How often a file is registered, under a new name each time, when nobody knows what became of the earlier call."""
SOURCE_TRIES = 3
LOOKUPS = 12
"""How often a job is looked for, a poll interval apart: the grace for a new job to be listed."""
KEPT_PREFIX = "kept-"
JOBS_PAGE = "https://admin.cordial.io (Data, Data jobs)"

logger = logging.getLogger("target-cordial")


class ImportFailedError(UserError):
    """An import did not end well; nothing that it holds is acknowledged."""


@dataclass
class ImportResult:
    """What became of a file.

    Attributes:
        name: Its last import name.
        job_id: Its job.
        rejected: Rows that Cordial rejected or that were errors.
        inserted: New contacts, where Cordial says so.
        updated: Changed contacts, where Cordial says so.
        ignored: Rows that the strategy passed over, where Cordial says so.
        seconds: From upload to end.
    """

    name: str
    job_id: str
    rejected: int = 0
    inserted: int | None = None
    updated: int | None = None
    ignored: int | None = None
    seconds: float = 0


class Stopped(Exception):  # noqa: N818 - not an error: the run was told to end
    """The run ends; what is not registered yet goes with the next run."""


@dataclass
class Importer:
    """Brings import files into Cordial.

    Attributes:
        cordial: The account.
        storage: Where Cordial fetches files from.
        settings: How to import.
        null_marker: The cell that leaves an attribute as it is.
        run_name: `<pipeline>-<run>`, with which the names of this run's files begin.
        run_started_at: No job of this run started earlier.
        stopping: Set when nothing more is to be registered.
    """

    cordial: Cordial
    storage: Storage
    settings: Settings
    null_marker: str
    run_name: str
    run_started_at: dt.datetime
    stopping: threading.Event = field(default_factory=threading.Event)

    def deliver(self, file: ImportFile) -> ImportResult:
        """Bring one file into Cordial.

        Args:
            file: The file; on this machine and complete.

        Returns:
            What Cordial made of it.

        Raises:
            Stopped: If the run ends before the file is registered.
            UserError: If it cannot be imported; the sentence says why.
        """
        started = time.monotonic()
        if self.stopping.is_set():
            raise Stopped
        name = f"{self.run_name}-{file.number:04d}"
        self.storage.put(f"{name}.csv", file.path)
        names, job_id = self._register(file, name)
        job = self._wait_until_done(job_id, names[-1])
        children: list[Job] = []
        if len(names) > 1 or job.outcomes < file.rows:
            # Outcomes that cover every row prove that nothing of it is under way; else only the list of jobs tells.
            relatives = self._wait_for_relatives(set(names), job, file.rows)
            children = [
                self._wait_until_done(relative.id, names[-1])
                for relative in relatives
                if relative.parent_id == job_id
            ]
            job = self._wait_until_done(job_id, names[-1])
        result = self._result(file, names[-1], job, children)
        result.seconds = time.monotonic() - started
        self._put_away(f"{names[-1]}.csv", keep=result.rejected > 0)
        file.path.unlink(missing_ok=True)
        return result

    def _register(self, file: ImportFile, name: str) -> tuple[list[str], str]:
        """Register a file, and find out what became of calls whose answer was lost.

        Returns:
            All names under which it was registered, and the id of the last job.
        """
        names = [name]
        while True:
            try:
                return names, self._start(file, names[-1])
            except UnansweredError as error:
                job = self._look_up(names[-1])
                if job is not None:
                    logger.warning("Import %s was registered although its answer was lost.", names[-1])
                    return names, job.id
                if len(names) == REGISTRATIONS:
                    msg = (
                        f"Import {name} could not be registered in {REGISTRATIONS} tries ({error}) "
                        "What it holds is not acknowledged: run again."
                    )
                    raise ImportFailedError(msg) from error
            if self.stopping.is_set():
                raise Stopped
            # A call that still arrives now finds no file under the name that it was given.
            new_name = f"{name}-{len(names) + 1}"
            self.storage.rename(f"{names[-1]}.csv", f"{new_name}.csv")
            logger.warning(
                "Nobody knows whether import %s was registered; registering it as %s.", names[-1], new_name
            )
            names.append(new_name)

    def _start(self, file: ImportFile, name: str) -> str:
        for tries_left in range(SOURCE_TRIES - 1, -1, -1):
            if self.stopping.is_set():
                raise Stopped
            try:
                return self.cordial.start_import(self._body(file, name))
            except SourceUnreadableError:
                if not tries_left:
                    raise
                self.pause()
        raise AssertionError

    def _body(self, file: ImportFile, name: str) -> dict[str, t.Any]:
        """The import call (Cordial Swagger v2: ContactImportJob)."""
        body: dict[str, t.Any] = {
            **self.settings.import_options,
            "importName": name,
            "source": self.storage.source(f"{name}.csv"),
            "hasHeader": True,
            "nullMarker": self.null_marker,
            "suppressTriggers": self.settings.suppress_triggers,
        }
        if file.is_exits or self.settings.import_strategy == "updateOnly":
            body["strategy"] = "updateOnly"
        if file.target_list is not None:
            body["lists"] = {"removeFrom" if file.is_exits else "addTo": [file.target_list.name]}
        return body

    def _look_up(self, name: str) -> Job | None:
        """The job of a call whose answer was lost, when it is listed within the grace period."""
        for _ in range(LOOKUPS):
            with contextlib.suppress(UnansweredError):
                for job in self.listed_jobs(self.run_started_at):
                    if job.import_name == name:
                        return job if job.parent_id is None else Job(id=job.parent_id, status="")
            self.pause()
        return None

    def listed_jobs(self, since: dt.datetime) -> list[Job]:
        """The import jobs that Cordial lists.

        Args:
            since: When those that interest us can have started at the earliest.

        Returns:
            The jobs, each with its newest status.

        Raises:
            UnansweredError: If Cordial does not answer.
        """
        found: dict[str, Job] = {}
        # In the order in which a job goes through them, so that none slips by between two questions.
        for status in (*UNFINISHED_STATUSES, *FINAL_STATUSES):
            # A job that has not started yet has no start to filter by; final ones go back 60 days.
            for job in self.cordial.import_jobs(status, None if status in UNFINISHED_STATUSES else since):
                found[job.id or f"without id {len(found)}"] = job
        return list(found.values())

    def wait_for(self, job_id: str, name: str) -> Job:
        """Wait until a job is final.

        Args:
            job_id: The job.
            name: Its import name.

        Returns:
            The job, Done or Failed.

        Raises:
            ImportFailedError: If it showed no progress for `import_timeout_seconds`.
        """
        if not job_id:
            msg = (
                f"Cordial lists import {name} without an id that target-cordial knows, so it cannot be followed: wait until it is "
                f"done in {JOBS_PAGE}, then run again."
            )
            raise ImportFailedError(msg)
        progress: Job | None = None
        progressed_at = time.monotonic()
        while True:
            job = None
            with contextlib.suppress(UnansweredError):
                job = self.cordial.job(job_id)
            if job is not None and job.is_final:
                return job
            # No answer is no progress: else one that comes and goes would be waited for without end.
            if job is not None and job != progress:
                progress, progressed_at = job, time.monotonic()
            elif time.monotonic() - progressed_at > self.settings.import_timeout_seconds:
                msg = (
                    f"Import {name} (job {job_id}) has shown no progress for {self.settings.import_timeout_seconds:g} seconds: "
                    f"look at the job in {JOBS_PAGE}, then run again, or set import_timeout_seconds higher; "
                    "what it holds is not acknowledged."
                )
                raise ImportFailedError(msg)
            self.pause()

    def _wait_until_done(self, job_id: str, name: str) -> Job:
        job = self.wait_for(job_id, name)
        if job.status == "Failed":
            msg = (
                f"Import {name} failed in Cordial (job {job_id}): look at the job in {JOBS_PAGE}, then run again; "
                "what it holds is not acknowledged and goes again."
            )
            raise ImportFailedError(msg)
        return job

    def _wait_for_relatives(self, names: set[str], job: Job, rows: int) -> list[Job]:
        """Wait until no job of the same file is under way: children, and calls that were thought lost.

        How late a job is listed is not documented. So the list of jobs is believed once it shows the job itself as
        final, twice with the same relatives, and counters tell that no child is missing; or when the grace for new
        jobs is over.

        Returns:
            The job's relatives, all final: a call that came too late finds no file, so that its job fails.
        """
        settled: set[str] | None = None
        relatives: list[Job] = []
        looks_left = LOOKUPS
        while looks_left:
            looks_left -= 1
            self.pause()
            try:
                listed = self.listed_jobs(self.run_started_at)
            except UnansweredError:
                if not looks_left:
                    raise
                continue
            relatives = _relatives(listed, names, job)
            for relative in relatives:
                if not relative.is_final:
                    self.wait_for(relative.id, relative.import_name or max(names))
                    looks_left = LOOKUPS
            ids = {relative.id for relative in relatives}
            is_fresh = any(known.id == job.id and known.is_final for known in listed)
            is_settled = is_fresh and ids == settled and looks_left < LOOKUPS
            if is_settled and _is_counted(job, relatives, rows):
                break
            settled = ids if is_fresh else None
        return relatives

    def _result(self, file: ImportFile, name: str, job: Job, children: list[Job]) -> ImportResult:
        # Whether a job's counters hold those of its children is not documented: the greater of both covers either.
        rejected = max(_rejected(job), sum(map(_rejected, children)))
        totals = [total for total in (_total(job), _sum(map(_total, children))) if total is not None]
        total = max(totals, default=None)
        if total is None:
            logger.warning(
                "Import %s (job %s) has no counters: its %d rows cannot be checked.", name, job.id, file.rows
            )
        elif total < file.rows:
            msg = (
                f"Import {name} (job {job.id}) accounts for {total} of {file.rows} rows: look at the job in {JOBS_PAGE}; "
                "what it holds is not acknowledged and goes again with the next run."
            )
            raise ImportFailedError(msg)
        elif total > file.rows:
            logger.warning(
                "Import %s (job %s) counts %d rows where %d were sent.", name, job.id, total, file.rows
            )
        return ImportResult(
            name=name,
            job_id=job.id,
            rejected=rejected,
            inserted=_sum(part.inserted for part in (job, *children)),
            updated=_sum(part.updated for part in (job, *children)),
            ignored=_sum(part.ignored for part in (job, *children)),
        )

    def _put_away(self, name: str, *, keep: bool) -> None:
        """Delete an imported file, or keep it as evidence of rejected rows; neither can undo the import."""
        try:
            if keep or self.settings.keep_files:
                # Under its own name the next run would take it for a leftover and delete it.
                self.storage.rename(name, KEPT_PREFIX + name)
            else:
                self.storage.delete(name)
        except UserError as error:
            logger.warning("Import file %s is imported but stays in the storage: %s", name, error)

    def pause(self) -> None:
        """Wait until it is time to ask Cordial again."""
        time.sleep(self.settings.poll_interval_seconds)


def _relatives(listed: list[Job], names: set[str], job: Job) -> list[Job]:
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


def _rejected(job: Job) -> int:
    return (job.rejected or 0) + (job.errors or 0)


def _total(job: Job) -> int | None:
    """How many rows a job accounts for; None if it has no counters."""
    if job.total_records is not None:
        return job.total_records
    return _sum((job.inserted, job.updated, job.rejected, job.errors, job.ignored))


def _sum(counts: t.Iterable[int | None]) -> int | None:
    known = [count for count in counts if count is not None]
    return sum(known) if known else None
