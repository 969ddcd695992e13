"""Import and export jobs of the account."""

from __future__ import annotations

import contextlib
import datetime as dt
import itertools
import time
import typing as t
from dataclasses import dataclass

from target_cordial.cordial.answers import count_of, job_id_of, mapping, seconds_between
from target_cordial.cordial.connection import Connection, items
from target_cordial.cordial.errors import CordialError, InvalidValueError, UnansweredError

JOB_ID_FIELDS = ("jobId", "_id", "id", "jobID", "job_id")
JOBS_PER_PAGE = 100
MAX_JOB_PAGES = 200
FIRST_LOOK_SECONDS = 0.5
"""A job of few rows is done by then; later looks are further and further apart."""

FINAL_STATUSES = ("Done", "Failed")
UNFINISHED_STATUSES = ("Scheduled", "Pending", "Processing", "Throttled")
_PATH = "/jobs"
_TIME_FORMS: tuple[tuple[str, dt.timedelta], ...] = (
    ("%Y-%m-%dT%H:%M:%SZ", dt.timedelta(0)),
    # A day of some time zone.
    ("%d-%m-%Y", dt.timedelta(days=1)),
)
"""How a time may be written, which Cordial's articles show as a day alone, and how much earlier it has to be then."""


@dataclass(frozen=True)
class Job:
    """An import or export job as Cordial tells it (Cordial Swagger v2: JobJ). Every counter may be missing.

    Attributes:
        export_name: What the export was called in its call.
        lists: The lists that an import adds to or removes from, or an export shows, by name or id.
        id_field: The field that a listed job has its id in, such as `_id` or `_id.$oid`; blank if none is known.
    """

    id: str
    status: str
    import_name: str | None = None
    parent_id: str | None = None
    total_items: int | None = None
    completed_items: int | None = None
    total_records: int | None = None
    inserted: int | None = None
    updated: int | None = None
    rejected: int | None = None
    errors: int | None = None
    ignored: int | None = None
    seconds: float | None = None
    export_name: str | None = None
    lists: frozenset[str] = frozenset()
    id_field: str = ""

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen in this job."""
        return self.status in FINAL_STATUSES

    @property
    def outcomes(self) -> int:
        """How many rows came to an end, as far as Cordial says."""
        counts = (self.inserted, self.updated, self.rejected, self.errors, self.ignored)
        return sum(count for count in counts if count is not None)

    @classmethod
    def from_reply(cls, reply: dict[str, t.Any], job_id: str | None = None) -> Job:
        """Read a job from Cordial's answer, asked for by its id or listed; for listed jobs no field of the id is documented."""
        metadata = mapping(reply.get("metadata"))
        result = mapping(reply.get("result"))
        lists = metadata.get("lists")
        id_field = next((name for name in JOB_ID_FIELDS if job_id_of(reply.get(name))), "")
        is_nested = isinstance(reply.get(id_field), dict)
        return cls(
            id=job_id or job_id_of(reply.get(id_field)),
            status=str(reply.get("status", "")),
            import_name=metadata.get("importName"),
            parent_id=job_id_of(metadata.get("parentJobId")) or None,
            total_items=count_of(reply.get("totalItems")),
            completed_items=count_of(reply.get("completedItems")),
            total_records=count_of(result.get("totalRecords")),
            inserted=count_of(result.get("inserted")),
            updated=count_of(result.get("updated")),
            rejected=count_of(result.get("rejected")),
            errors=count_of(result.get("error")),
            ignored=count_of(result.get("ignored")),
            seconds=seconds_between(mapping(reply.get("times"))),
            export_name=metadata.get("name"),
            lists=frozenset(map(str, lists)) if isinstance(lists, list) else frozenset(),
            id_field=f"{id_field}.$oid" if is_nested else id_field,
        )


@dataclass(frozen=True)
class Pace:
    """How fast Cordial was with so many earlier imports, as the mean over their rows."""

    imports: int
    rows_per_second: float


class JobCalls:
    """Calls of `/jobs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._time_forms = _TIME_FORMS

    @property
    def time_form(self) -> str | None:
        """How times are written that Cordial has not refused so far, for `strftime`; None if it refused each form."""
        return self._time_forms[0][0] if self._time_forms else None

    def find(self, job_id: str) -> Job | None:
        """One job, or None if Cordial does not know it (yet)."""
        reply = self._connection.get(f"{_PATH}/{job_id}", absent=None)
        return None if reply is None else Job.from_reply(mapping(reply), job_id)

    def follow(self, job_id: str, *, patience: float, interval: float) -> Job | None:
        """Wait until a job is final: Done or Failed; None if it shows no progress.

        Args:
            job_id: The job.
            patience: For so many seconds without progress it is waited.
            interval: The longest time between two looks, in seconds.
        """
        progress: Job | None = None
        progressed_at = time.monotonic()
        wait = min(FIRST_LOOK_SECONDS, interval)
        while True:
            job = None
            with contextlib.suppress(UnansweredError):
                job = self.find(job_id)
            if job is not None and job.is_final:
                return job
            # No answer is no progress: a job whose answers come and go would be waited for without end.
            if job is not None and job != progress:
                progress, progressed_at = job, time.monotonic()
            elif time.monotonic() - progressed_at > patience:
                return None
            time.sleep(wait)
            wait = min(2 * wait, interval)

    def imports(self, status: str, since: dt.datetime | None = None) -> t.Iterator[Job]:
        """All import jobs of one of Cordial's statuses, child jobs too, but for those that started before a time."""
        return self._listed({"jobName": "ImportContacts", "status": status}, since)

    def exports(self, since: dt.datetime) -> t.Iterator[Job]:
        """All export jobs that started after a time, and those that have not started yet."""
        for status in UNFINISHED_STATUSES:
            yield from self._listed({"jobName": "ExportContacts", "status": status}, None)
        for status in FINAL_STATUSES:
            yield from self._listed({"jobName": "ExportContacts", "status": status}, since)

    def _listed(self, query: dict[str, str], since: dt.datetime | None) -> t.Iterator[Job]:
        query = {**query, "per_page": str(JOBS_PER_PAGE)}
        before: list[dict[str, t.Any]] = []
        for page in range(1, MAX_JOB_PAGES + 1):
            jobs = self._page({**query, "page": str(page)}, since)
            # A page may hold fewer than asked for though more follow; where pages mean nothing, the first comes again.
            if not jobs or jobs == before:
                return
            yield from map(Job.from_reply, jobs)
            before = jobs
        raise CordialError(
            f"Cordial lists more than {JOBS_PER_PAGE * MAX_JOB_PAGES} jobs of one status: ask Cordial's support to end old ones."
        )

    def _page(self, query: dict[str, str], since: dt.datetime | None) -> list[dict[str, t.Any]]:
        for form, earlier in self._time_forms:
            if since is None:
                break
            asked = {**query, "times[start][gte]": (since - earlier).strftime(form)}
            try:
                return items(self._connection.get(_PATH, asked, absent=[]))
            except InvalidValueError:
                # "Time value is incorrect" (Cordial Swagger v2: JobsFilterError): never again in this form.
                self._time_forms = tuple(other for other in self._time_forms if other[0] != form)
        return items(self._connection.get(_PATH, query, absent=[]))

    def pace(self) -> Pace | None:
        """How fast Cordial was with imports that it lists as done; None if nobody can tell."""
        jobs = itertools.islice(self.imports("Done"), JOBS_PER_PAGE)
        timed = [(job.total_records, job.seconds) for job in jobs if job.total_records and job.seconds]
        seconds = sum(taken for _, taken in timed if taken)
        return Pace(len(timed), sum(rows for rows, _ in timed if rows) / seconds) if seconds else None
