"""One import file's way: uploaded, registered with Cordial, followed until every job of it is final."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import typing as t
from dataclasses import dataclass, field

from target_cordial.cordial import (
    UNFINISHED_STATUSES,
    CordialError,
    Job,
    SourceUnreadableError,
    UnansweredError,
)
from target_cordial.errors import UserError

if t.TYPE_CHECKING:
    import datetime as dt

    from target_cordial.cordial import Cordial
    from target_cordial.order import ImportFile
    from target_cordial.settings import Settings
    from target_cordial.storage import Storage

REGISTRATIONS = 4
"""How often a file is registered, under a new name each time, when nobody knows what became of the earlier call."""
SOURCE_TRIES = 3
LOOKUPS = 12
"""How often a job is looked for, a poll interval apart, before its call counts as lost."""
ALL_STATUSES = (*UNFINISHED_STATUSES, "Done", "Failed")
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
        self.storage.put(file.path, f"{name}.csv")
        names, job_id = self._register(file, name)
        job = self.wait_for(job_id, names[-1])
        children: list[Job] = []
        if len(names) > 1 or _outcomes(job) < file.rows:
            # Outcomes that cover every row prove that nothing of it is under way; else only the list of jobs tells.
            children = self._wait_for_relatives(set(names), job)
            job = self.cordial.job(job_id) or job
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
                self._pause()
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
                found = [job for job in self._listed_jobs(ALL_STATUSES) if job.import_name == name]
                for job in sorted(found, key=lambda job: job.parent_id is not None):
                    if job.id:
                        return job
            self._pause()
        return None

    def _listed_jobs(self, statuses: t.Iterable[str]) -> t.Iterator[Job]:
        for status in statuses:
            # A job that has not started yet has no start to filter by; finished ones go back 60 days.
            since = None if status in UNFINISHED_STATUSES else self.run_started_at
            yield from self.cordial.import_jobs(status, since)

    def wait_for(self, job_id: str, name: str) -> Job:
        """Wait until a job is final.

        Args:
            job_id: The job.
            name: Its import name.

        Returns:
            The job, Done.

        Raises:
            ImportFailedError: If it failed, or showed no progress for `import_timeout_seconds`.
        """
        progress: object = None
        progressed_at = time.monotonic()
        while True:
            job = None
            with contextlib.suppress(UnansweredError):
                job = self.cordial.job(job_id)
            if job is not None and job.status == "Failed":
                msg = (
                    f"Import {name} failed in Cordial (job {job_id}): look at the job in {JOBS_PAGE}, then run again; "
                    "what it holds is not acknowledged and goes again."
                )
                raise ImportFailedError(msg)
            if job is not None and job.is_final:
                return job
            if job != progress:
                progress, progressed_at = job, time.monotonic()
            elif time.monotonic() - progressed_at > self.settings.import_timeout_seconds:
                msg = (
                    f"Import {name} (job {job_id}) has shown no progress for {self.settings.import_timeout_seconds:g} seconds: "
                    f"look at the job in {JOBS_PAGE}, then run again, or set import_timeout_seconds higher; "
                    "what it holds is not acknowledged."
                )
                raise ImportFailedError(msg)
            self._pause()

    def _wait_for_relatives(self, names: set[str], job: Job) -> list[Job]:
        """Wait until no job of the same file is under way: children, and calls that were thought lost.

        Returns:
            The job's children.
        """
        while True:
            relatives = [
                other
                for other in self._listed_jobs(ALL_STATUSES)
                if other.id != job.id and (other.import_name in names or other.parent_id == job.id)
            ]
            unfinished = [other for other in relatives if not other.is_final]
            if not unfinished:
                break
            for other in unfinished:
                # A call that came too late found no file, so that its job fails: nothing that it holds is missing.
                with contextlib.suppress(ImportFailedError):
                    self.wait_for(other.id, other.import_name or max(names))
        children = [other for other in relatives if other.parent_id == job.id]
        for child in children:
            if child.status == "Failed":
                msg = f"A part of import {max(names)} failed in Cordial (job {child.id}): look at the job in {JOBS_PAGE}, then run again."
                raise ImportFailedError(msg)
        return children

    def _result(self, file: ImportFile, name: str, job: Job, children: list[Job]) -> ImportResult:
        # Whether a job's counters hold those of its children is not documented: the greater of both covers either.
        rejected = max(_rejected(job), sum(map(_rejected, children)))
        total = max(_total(job), sum(map(_total, children)))
        if not total:
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
            inserted=job.inserted,
            updated=job.updated,
            ignored=job.ignored,
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

    def _pause(self) -> None:
        time.sleep(self.settings.poll_interval_seconds)


def _rejected(job: Job) -> int:
    return (job.rejected or 0) + (job.errors or 0)


def _outcomes(job: Job) -> int:
    """How many rows came to an end, as far as Cordial says."""
    return sum(count or 0 for count in (job.inserted, job.updated, job.rejected, job.errors, job.ignored))


def _total(job: Job) -> int:
    return _outcomes(job) if job.total_records is None else job.total_records


def clear_earlier_runs(importer: Importer, pipeline: str) -> None:
    """Delete the import files that an earlier run left, and wait for imports of it that are still under way.

    Args:
        importer: This run's importer.
        pipeline: The tag with which all names of the pipeline begin.

    Raises:
        UserError: If an earlier import does not come to an end.
    """
    for name in importer.storage.names():
        if name.startswith(f"{pipeline}-"):
            importer.storage.delete(name)
    unfinished = [
        job
        for status in UNFINISHED_STATUSES
        for job in importer.cordial.import_jobs(status)
        if job.import_name and job.import_name.startswith(f"{pipeline}-") and job.id
    ]
    for job in unfinished:
        logger.info("Waiting for import %s of an earlier run (job %s).", job.import_name, job.id)
        try:
            importer.wait_for(job.id, str(job.import_name))
        except ImportFailedError as error:
            now = importer.cordial.job(job.id)
            if now is None or not now.is_final:
                msg = (
                    f"Import {job.import_name} of an earlier run (job {job.id}) does not come to an end, and new imports could "
                    "be overtaken by it: ask Cordial's support to end the job, or set storage_url to a new folder once it is harmless."
                )
                raise CordialError(msg) from error
