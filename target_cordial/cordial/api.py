"""Cordial's API v2: the calls that the target makes, and what their answers mean."""

from __future__ import annotations

import base64
import itertools
import typing as t
from dataclasses import dataclass
from http import HTTPStatus
from importlib import metadata

import msgspec

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.http import Service
from target_cordial.cordial.answers import (
    count_of,
    is_json,
    job_id_of,
    limit_of,
    mapping,
    message_of,
    seconds_between,
)

if t.TYPE_CHECKING:
    import datetime as dt
    import decimal

TIMEOUT_SECONDS = 60
MAX_ANSWER_BYTES = 64 * 1024 * 1024
TRIES = 6
CONNECT_TRIES = 4
"""Where nobody listens, a wrong api_url is more likely than a short outage."""
JOB_ID_FIELDS = ("jobId", "_id", "id", "jobID", "job_id")
JOBS_PER_PAGE = 100
MAX_JOB_PAGES = 200

FINAL_STATUSES = ("Done", "Failed")
UNFINISHED_STATUSES = ("Scheduled", "Pending", "Processing", "Throttled")

MAX_ARRAY_ITEMS = 25
"""Where an attribute says nothing else (Cordial Swagger v2: contact attribute)."""


class CordialError(UserError):
    """Cordial refused a call or could not be reached; the sentence says which and what to do."""


class UnansweredError(CordialError):
    """Cordial gave no usable answer: what was asked for may have been done or not."""


class SourceUnreadableError(CordialError):
    """Cordial could not read the import file: nothing was registered."""


@dataclass(frozen=True)
class Attribute:
    """A contact attribute of the account (Cordial Swagger v2: contact attribute).

    Attributes:
        key: Its key; case counts.
        type: string, number, date, geo or array.
        required: Whether each contact must have it.
        min: Least length of a string, or least number.
        max: Greatest length of a string, or greatest number.
        max_items: Most items of an array.
    """

    key: str
    type: str
    required: bool = False
    min: decimal.Decimal | None = None
    max: decimal.Decimal | None = None
    max_items: int = MAX_ARRAY_ITEMS

    @classmethod
    def from_reply(cls, reply: dict[str, t.Any]) -> Attribute:
        """Read an attribute from Cordial's answer."""
        validators = mapping(reply.get("validators"))
        options = mapping(reply.get("options"))
        max_items = limit_of(options.get("maxitems"))
        return cls(
            key=str(reply["key"]),
            type=str(reply.get("type", "string")).lower(),
            required=validators.get("required") in (True, 1, "1", "true"),
            min=limit_of(validators.get("min")),
            max=limit_of(validators.get("max")),
            max_items=MAX_ARRAY_ITEMS if max_items is None else int(max_items),
        )


@dataclass(frozen=True)
class ContactList:
    """A list as Cordial has it."""

    id: int
    name: str


@dataclass
class Sizes:
    """How many contacts were on a list before and after a run; None where nobody asked, or Cordial does not say."""

    size_before: int | None = None
    size_after: int | None = None


@dataclass(frozen=True)
class Job:
    """An import job as Cordial tells it (Cordial Swagger v2: JobJ). Every counter may be missing."""

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
        metadata_ = mapping(reply.get("metadata"))
        result = mapping(reply.get("result"))
        return cls(
            id=job_id or next(filter(None, (job_id_of(reply.get(name)) for name in JOB_ID_FIELDS)), ""),
            status=str(reply.get("status", "")),
            import_name=metadata_.get("importName"),
            parent_id=job_id_of(metadata_.get("parentJobId")) or None,
            total_items=count_of(reply.get("totalItems")),
            completed_items=count_of(reply.get("completedItems")),
            total_records=count_of(result.get("totalRecords")),
            inserted=count_of(result.get("inserted")),
            updated=count_of(result.get("updated")),
            rejected=count_of(result.get("rejected")),
            errors=count_of(result.get("error")),
            ignored=count_of(result.get("ignored")),
            seconds=seconds_between(mapping(reply.get("times"))),
        )


@dataclass(frozen=True)
class Pace:
    """How fast Cordial was with so many earlier imports, as the mean over their rows."""

    imports: int
    rows_per_second: float


class Cordial:
    """A Cordial account behind its API key. Several threads may use it.

    Reads are repeated, writes only where Cordial says that it did not act (429); see `Service`. A call that Cordial refuses raises
    a `CordialError`, one without a usable answer an `UnansweredError`.
    """

    def __init__(self, api_url: str, api_key: str) -> None:
        # The key is the user name of HTTP Basic (Cordial Swagger v2: basicAuth).
        self._service = Service(
            name="Cordial",
            url=api_url,
            authorization=f"Basic {base64.b64encode(f'{api_key}:'.encode()).decode()}",
            user_agent=f"target-cordial/{metadata.version('lytics-to-cordial')}",
            error=UnansweredError,
            endpoint_of=_endpoint,
            timeout_seconds=TIMEOUT_SECONDS,
            max_answer_bytes=MAX_ANSWER_BYTES,
            too_large="check that api_url is Cordial's API",
            tries=TRIES,
            connect_tries=CONNECT_TRIES,
            connections=40,
        )
        self.metrics = self._service.metrics

    def attributes(self) -> dict[str, Attribute]:
        """All contact attributes by key, in whichever of three shapes Cordial answers."""
        reply = self._get("/accountcontactattributes", absent=None)
        if reply is None:
            # An account without attributes answers with an empty list.
            _raise_for_status(HTTPStatus.NOT_FOUND, b"", "/accountcontactattributes")
        if isinstance(reply, dict):
            reply = [{"key": key, **mapping(value)} for key, value in reply.items()]
        return {item["key"]: Attribute.from_reply(item) for item in _items(reply) if item.get("key")}

    def find_list(self, name: str) -> ContactList | None:
        """The list of exactly this name, or None."""
        for item in _items(self._get("/accountlists", {"name": name}, absent=[])):
            if item.get("name") == name and count_of(item.get("id")) is not None:
                return ContactList(int(item["id"]), name)
        return None

    def list_by_id(self, list_id: int) -> ContactList | None:
        """The list of this id, or None."""
        reply = mapping(self._get(f"/accountlists/{list_id}/count", absent={}))
        return ContactList(list_id, str(reply["name"])) if reply.get("name") else None

    def list_size(self, list_id: int) -> int:
        """How many contacts are on a list now; a `CordialError` if Cordial does not say."""
        size = count_of(mapping(self._get(f"/accountlists/{list_id}/count", absent={})).get("count"))
        if size is None:
            raise CordialError(
                f"Cordial does not say how many contacts are on list {list_id}: check that it still exists."
            )
        return size

    def create_list(self, name: str) -> ContactList | None:
        """Create a list, of a name in Cordial's alphabet; None if the name is taken, by a list made meanwhile or by an attribute."""
        status, body = self._post("/accountlists", {"name": name, "enhanced": True})
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            message = message_of(body)
            if "unique" in message.lower():
                return None
            raise CordialError(
                f"Cordial does not take {name!r} as the name of a list ({message}): set list_name to another."
            )
        _raise_for_status(status, body, "/accountlists")
        list_id = count_of(mapping(_decoded(body)).get("id"))
        return ContactList(list_id, name) if list_id is not None else self.find_list(name)

    def start_import(self, body: dict[str, t.Any]) -> str:
        """Register an import file (Cordial Swagger v2: ContactImportJob), and give the job's id.

        Raises:
            SourceUnreadableError: If Cordial could not read the file; nothing was registered.
            UnansweredError: If nobody knows whether it was registered.
            CordialError: If Cordial refused it; nothing was registered.
        """
        status, reply = self._post("/contactimports", body)
        _raise_for_status(status, reply, "/contactimports")
        answer = mapping(_decoded(reply)).get("jobId")
        job_id = job_id_of(answer)
        if job_id:
            return job_id
        # In place of the id there may be an error.
        if isinstance(answer, dict):
            raise SourceUnreadableError(
                f"Cordial cannot read the import file ({message_of(msgspec.json.encode(answer))}): check storage_url, "
                "import_source, import_username and import_password as seen from Cordial's side."
            )
        raise UnansweredError(
            "Cordial answered an import call without a job id: look at the jobs in Cordial, then run again."
        )

    def job(self, job_id: str) -> Job | None:
        """One job, or None if Cordial does not know it (yet)."""
        reply = self._get(f"/jobs/{job_id}", absent=None)
        return None if reply is None else Job.from_reply(mapping(reply), job_id)

    def import_jobs(self, status: str, since: dt.datetime | None = None) -> t.Iterator[Job]:
        """All import jobs of one of Cordial's statuses, child jobs too, but for those that started before a time."""
        query = {"jobName": "ImportContacts", "status": status, "per_page": str(JOBS_PER_PAGE)}
        if since is not None:
            query["times[start][gte]"] = since.strftime("%Y-%m-%dT%H:%M:%SZ")
        for page in range(1, MAX_JOB_PAGES + 1):
            jobs = _items(self._get("/jobs", {**query, "page": str(page)}, absent=[]))
            yield from map(Job.from_reply, jobs)
            if len(jobs) < JOBS_PER_PAGE:
                return
        raise CordialError(
            f"Cordial lists more than {JOBS_PER_PAGE * MAX_JOB_PAGES} {status} import jobs: ask Cordial's support to end old ones."
        )

    def pace(self) -> Pace | None:
        """How fast Cordial was with imports that it lists as done; None if nobody can tell."""
        jobs = itertools.islice(self.import_jobs("Done"), JOBS_PER_PAGE)
        timed = [(job.total_records, job.seconds) for job in jobs if job.total_records and job.seconds]
        seconds = sum(taken for _, taken in timed if taken)
        return Pace(len(timed), sum(rows for rows, _ in timed if rows) / seconds) if seconds else None

    def _get(self, path: str, query: dict[str, str] | None = None, *, absent: t.Any) -> t.Any:
        answer = self._service.read(self._service.request("GET", path, query), bytes)
        if answer.status == HTTPStatus.NOT_FOUND and is_json(answer.content):
            return absent
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise UnansweredError(
                f"Cordial still answers {_endpoint(path)} with 429 (too many requests): run again later."
            )
        _raise_for_status(answer.status, answer.content, path)
        body = _decoded(answer.content)
        # An attribute may be called `error`, but is an object.
        if isinstance(body, dict) and body.get("error") and not isinstance(body["error"], dict):
            raise CordialError(
                f"Cordial answered {_endpoint(path)} with an error: {message_of(answer.content)}."
            )
        return body

    def _post(self, path: str, body: dict[str, t.Any]) -> tuple[int, bytes]:
        content = msgspec.json.encode(body)
        answer = self._service.write(
            self._service.request("POST", path, body=content, kind="application/json")
        )
        return answer.status, answer.content


def _decoded(body: bytes) -> t.Any:
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise UnansweredError(
            "Cordial's answer is not JSON: check that api_url is Cordial's API, with its version."
        ) from error


def _items(reply: t.Any) -> list[dict[str, t.Any]]:
    if not isinstance(reply, list):
        raise CordialError(
            "Cordial's answer is not a list: check that api_url is Cordial's API, with its version."
        )
    return [item for item in reply if isinstance(item, dict)]


def _endpoint(path: str) -> str:
    return "/" + path.split("/")[1]


def _raise_for_status(status: int, body: bytes, path: str) -> None:
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return
    endpoint = _endpoint(path)
    if status == HTTPStatus.UNAUTHORIZED:
        sentence = "Cordial refuses the API key (401): check api_key, and that this machine's address is on its allow-list."
    elif status == HTTPStatus.FORBIDDEN:
        sentence = f"The API key may not use {endpoint} (403): tick it on the key in Cordial."
    elif status == HTTPStatus.NOT_FOUND:
        sentence = f"Cordial does not know {endpoint} (404): check api_url, with its version, such as https://api.cordial.io/v2."
    else:
        sentence = f"Cordial answered {endpoint} with {status}: {message_of(body)}."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UnansweredError(sentence)
    raise CordialError(sentence)
