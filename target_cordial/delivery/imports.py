"""One import file's way: uploaded, registered with Cordial, followed until every job of it is final."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import typing as t
from dataclasses import dataclass, field

from lytics_to_cordial.errors import UserError
from target_cordial.cordial.errors import SourceUnreadableError, UnansweredError
from target_cordial.cordial.jobs import Job
from target_cordial.delivery.jobs import (
    JOBS_PAGE,
    LOOKUPS,
    ImportFailedError,
    Jobs,
    rejected_rows,
    sum_of_known,
    total_rows,
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
KEPT_PREFIX = "kept-"

logger = logging.getLogger("target-cordial")


@dataclass
class ImportResult:
    """What became of a file.

    Attributes:
        name: Its last import name.
        job_id: Its job.
        rejected: Rows that Cordial rejected or that were errors.
        inserted: New contacts; None if Cordial does not say, as with the next two.
        updated: Changed contacts.
        ignored: Rows that the strategy passed over.
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

    def __post_init__(self) -> None:
        self.jobs = Jobs(self.cordial, self.settings)

    def deliver(self, file: ImportFile) -> ImportResult:
        """Bring one file, complete on this machine, into Cordial.

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
        job = self.jobs.follow(job_id, names[-1])
        children: list[Job] = []
        if len(names) > 1 or job.outcomes < file.rows:
            # Outcomes that cover every row prove that nothing of it is under way; without them only the list of jobs tells.
            relatives = self.jobs.wait_for_relatives(job, set(names), file.rows, self.run_started_at)
            children = [
                self.jobs.wait_until_done(relative.id, names[-1])
                for relative in relatives
                if relative.parent_id == job_id
            ]
            job = self.jobs.wait_until_done(job_id, names[-1])
        result = self._result(file, names[-1], job, children)
        result.seconds = time.monotonic() - started
        self._put_away(f"{names[-1]}.csv", keep=result.rejected > 0)
        file.path.unlink(missing_ok=True)
        return result

    def _register(self, file: ImportFile, name: str) -> tuple[list[str], str]:
        """Register a file; when a call's answer was lost, nobody knows whether it was, which is settled in four steps.

        Returns:
            All names under which it was registered, and the id of the last job.
        """
        names = [name]
        while True:
            try:
                return names, self._start(file, names[-1])
            except UnansweredError as error:
                # 1. The call may have arrived: then its job is listed sooner or later.
                job = self._look_up(names[-1])
                if job is not None:
                    logger.warning("Import %s was registered although its answer was lost.", names[-1])
                    return names, job.id
                # 2. Tries have an end.
                if len(names) == REGISTRATIONS:
                    raise ImportFailedError(
                        f"Import {name} could not be registered in {REGISTRATIONS} tries ({error}) "
                        "What it holds is not acknowledged: run again."
                    ) from error
            if self.stopping.is_set():
                raise Stopped
            # 3. A call that still arrives now finds no file under the name that it was given.
            new_name = f"{name}-{len(names) + 1}"
            self.storage.rename(f"{names[-1]}.csv", f"{new_name}.csv")
            logger.warning(
                "Nobody knows whether import %s was registered; registering it as %s.", names[-1], new_name
            )
            # 4. The file goes again, and `deliver` waits for the jobs of all its names.
            names.append(new_name)

    def _start(self, file: ImportFile, name: str) -> str:
        for tries_left in range(SOURCE_TRIES - 1, -1, -1):
            if self.stopping.is_set():
                raise Stopped
            try:
                return self.cordial.imports.start(self._body(file, name))
            except SourceUnreadableError:
                if not tries_left:
                    raise
                self.jobs.pause()
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
                for job in self.jobs.listed(self.run_started_at):
                    if job.import_name == name:
                        return job if job.parent_id is None else Job(id=job.parent_id, status="")
            self.jobs.pause()
        return None

    def _result(self, file: ImportFile, name: str, job: Job, children: list[Job]) -> ImportResult:
        # Whether a job's counters hold those of its children is not documented: the greater of both covers either.
        rejected = max(rejected_rows(job), sum(map(rejected_rows, children)))
        totals = (total_rows(job), sum_of_known(map(total_rows, children)))
        total = max((total for total in totals if total is not None), default=None)
        if total is None:
            logger.warning(
                "Import %s (job %s) has no counters: its %d rows cannot be checked.", name, job.id, file.rows
            )
        elif total < file.rows:
            raise ImportFailedError(
                f"Import {name} (job {job.id}) accounts for {total} of {file.rows} rows: look at the job in {JOBS_PAGE}; "
                "what it holds is not acknowledged and goes again with the next run."
            )
        elif total > file.rows:
            logger.warning(
                "Import %s (job %s) counts %d rows where %d were sent.", name, job.id, total, file.rows
            )
        return ImportResult(
            name=name,
            job_id=job.id,
            rejected=rejected,
            inserted=sum_of_known(part.inserted for part in (job, *children)),
            updated=sum_of_known(part.updated for part in (job, *children)),
            ignored=sum_of_known(part.ignored for part in (job, *children)),
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
