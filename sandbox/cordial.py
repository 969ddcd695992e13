"""Cordial's API v2 as its Swagger shows it, strict about what it is asked."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import csv
import datetime as dt
import gzip
import hmac
import io
import random
import re
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor

import aiohttp
import asyncssh
import msgspec
from aiohttp import web

from sandbox.account import Account, Contact
from sandbox.faults import Faults  # noqa: TC001 - aiohttp keys are typed at run time
from sandbox.importing import FailedImportError, Importing

JOB_SECONDS = 0.01
IMPORT_FIELDS: dict[str, type | tuple[type, ...]] = {
    "importName": str,
    "source": dict,
    "hasHeader": bool,
    "columns": list,
    "delimiter": str,
    "confirmEmail": str,
    "strategy": str,
    "suppressTriggers": bool,
    "jobStatusWebhookUrl": str,
    "lists": dict,
    "nullMarker": str,
}
TRANSPORTS: dict[str, tuple[str, ...]] = {
    "http": ("url",),
    "https": ("url",),
    "ftp": ("server", "port", "username", "path"),
    "sftp": ("server", "port", "username", "path"),
    "s3": ("aws_bucket", "aws_region", "path"),
    "gcs": ("buket", "path"),
    "azureblob": ("account", "container", "path"),
}
SOURCE_FIELDS = frozenset(
    [
        "transport",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_bucket",
        "aws_region",
        "url",
        "server",
        "port",
        "username",
        "password",
        "savedKey",
        "path",
        "buket",
        "bucket",
        "account",
        "container",
    ]
)
STATUSES = ("Scheduled", "Pending", "Processing", "Throttled", "Failed", "Done")
ATTRIBUTE_TYPES = frozenset({"string", "number", "date", "geo", "array"})
MAX_NAME = 128


class CordialServer:
    """The API and its import workers.

    Args:
        account: The account.
        faults: What goes wrong.
        api_key: The key that it takes.
        seed: Decides the order of imported rows.
        s3_endpoint: Where `s3` sources really are; for tests.
    """

    def __init__(
        self, account: Account, faults: Faults, api_key: str, *, seed: int, s3_endpoint: str | None = None
    ) -> None:
        self._account = account
        self._faults = faults
        self._api_key = api_key
        self._order = random.Random(seed)  # noqa: S311 - order, not keys
        self._s3_endpoint = s3_endpoint
        self._workers = ThreadPoolExecutor(8, thread_name_prefix="cordial")
        self._running: set[asyncio.Task[None]] = set()
        self._listed_at: dict[str, dt.datetime] = {}
        self.stopping = threading.Event()

    def app(self, middlewares: t.Sequence[t.Any] = ()) -> web.Application:
        """The API as a web application.

        Args:
            middlewares: More to do around each call.

        Returns:
            The application.
        """
        app = web.Application(middlewares=[*middlewares, self._guard], client_max_size=10 * 1024 * 1024)
        app.router.add_post("/v2/contactimports", self._post_import)
        app.router.add_get("/v2/jobs", self._get_jobs)
        app.router.add_get("/v2/jobs/{id}", self._get_job)
        app.router.add_get("/v2/accountlists", self._get_lists)
        app.router.add_post("/v2/accountlists", self._post_list)
        app.router.add_get("/v2/accountlists/{id}", self._get_list)
        app.router.add_get("/v2/accountlists/{id}/count", self._get_list)
        app.router.add_put("/v2/accountlists/{id}/clear", self._clear_list)
        app.router.add_get("/v2/accountcontactattributes", self._get_attributes)
        app.router.add_post("/v2/accountcontactattributes", self._post_attribute)
        app.router.add_get("/v2/contacts/{key}", self._get_contact)
        app.router.add_post("/v2/contacts", self._post_contact)
        app.router.add_post("/v2/contactexports", self._post_export)
        return app

    def is_idle(self) -> bool:
        """Whether no job is under way."""
        return not self._running

    async def close(self) -> None:
        """End all jobs that are under way."""
        self.stopping.set()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._workers.shutdown(wait=True)

    @web.middleware
    async def _guard(self, request: web.Request, handler: t.Any) -> web.StreamResponse:
        path = request.path
        expected = base64.b64encode(f"{self._api_key}:".encode()).decode()
        given = request.headers.get("Authorization", "").removeprefix("Basic ")
        if not hmac.compare_digest(given.encode(), expected.encode()):
            return _json({"error": "Access Denied: Authentication Failure"}, 401)
        if self._faults.get("cut_connection", path) is not None:
            _abort(request)
        if (seconds := self._faults.get("slow_answer", path)) is not None:
            await asyncio.sleep(float(seconds))
        if (status := self._faults.get("cordial_status", path)) is not None:
            return _refusal(int(status), "Failed on purpose")
        if (wait := self._faults.get("rate_limit", path)) is not None:
            reply = _refusal(429, "Too many requests")
            reply.headers["X-Rate-Limit-Remaining"] = "0"
            if wait is not True:
                reply.headers["Retry-After"] = str(wait)
            return reply
        if (
            request.method in {"POST", "PUT"}
            and request.body_exists
            and request.content_type != "application/json"
        ):
            return _refusal(415, "Unsupported Media Type")
        try:
            reply = await handler(request)
        except web.HTTPNotFound:
            return _not_found()
        except msgspec.DecodeError:
            return _refusal(400, "The body is not JSON")
        if self._faults.get("answer_lost", path) is not None:
            _abort(request)
        return t.cast("web.StreamResponse", reply)

    async def _post_import(self, request: web.Request) -> web.Response:
        body = await _body(request)
        problem = _import_problem(body)
        if problem is not None:
            return _refusal(406, problem)
        if (message := self._faults.get("jobid_error")) is not None:
            message = "Can't login to the server (sandbox)" if message is True else str(message)
            return _json({"jobId": {"error": True, "errorKey": "GENERIC_ERROR_KEY", "message": message}}, 201)
        late = self._faults.get("late_fetch")
        content: bytes | None = None
        if late is None:
            try:
                content = await self._fetch(body["source"])
            except FailedImportError as error:
                return _json(
                    {"jobId": {"error": True, "errorKey": "GENERIC_ERROR_KEY", "message": str(error)}}, 201
                )
        job_id = self._add_job(body, None)
        self._start(self._run(job_id, body, content, float(late or 0)))
        return _json({"jobId": job_id}, 201)

    def _add_job(self, body: dict[str, t.Any], parent: str | None) -> str:
        source = body["source"]
        metadata = {
            "importName": body.get("importName", ""),
            "fileName": str(source.get("path") or source.get("url") or "").rpartition("/")[2],
            "lists": [str(name) for names in body.get("lists", {}).values() for name in names],
        }
        if parent is not None:
            metadata["parentJobId"] = parent
        job_id = self._account.add_job(
            {
                "status": "Scheduled",
                "jobName": "ImportContacts",
                "totalItems": 0,
                "completedItems": 0,
                "times": {},
                "metadata": metadata,
            }
        )
        late = float(self._faults.get("jobs_listed_late") or 0)
        self._listed_at[job_id] = _now() + dt.timedelta(seconds=late)
        return job_id

    def _start(self, work: t.Coroutine[t.Any, t.Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _run(self, job_id: str, body: dict[str, t.Any], content: bytes | None, late: float) -> None:
        await asyncio.sleep(late or JOB_SECONDS)
        started = _stamp()
        self._account.change_job(job_id, status="Processing", times={"start": started})
        seconds = float(self._faults.get("slow_jobs") or 0)
        if self._faults.get("job_never_ends") is not None:
            await asyncio.Event().wait()
        try:
            if content is None:
                content = await self._fetch(body["source"])
            if self._faults.get("job_fails") is not None:
                msg = "Failed on purpose"
                raise FailedImportError(msg)  # noqa: TRY301 - acts like the real ones
            children = int(self._faults.get("child_jobs") or 0)
            if children:
                counters = await self._run_children(job_id, body, content, seconds, children)
            else:
                counters = await self._import(body, content, seconds)
        except FailedImportError as error:
            self._account.change_job(
                job_id, status="Failed", times={"start": started, "end": _stamp()}, message=str(error)
            )
            return
        if self.stopping.is_set():
            return
        self._account.change_job(
            job_id, status="Done", times={"start": started, "end": _stamp()}, **self._counters(counters)
        )

    async def _run_children(
        self, parent: str, body: dict[str, t.Any], content: bytes, seconds: float, children: int
    ) -> dict[str, int]:
        """Split the file; the parent is done at once, its parts take their time."""
        text = content.decode()
        rows = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        for number in range(children):
            part = io.StringIO()
            csv.writer(part, lineterminator="\r\n").writerows([rows[0], *rows[1:][number::children]])
            child = self._add_job(body, parent)
            self._account.change_job(child, status="Pending")
            self._start(
                self._run_child(child, body, part.getvalue().encode(), seconds * (number + 1) / children)
            )
        return {}

    async def _run_child(self, job_id: str, body: dict[str, t.Any], content: bytes, seconds: float) -> None:
        await asyncio.sleep(seconds or 5 * JOB_SECONDS)
        self._account.change_job(job_id, status="Processing", times={"start": _stamp()})
        try:
            counters = await self._import(body, content, seconds)
        except FailedImportError as error:
            self._account.change_job(job_id, status="Failed", times={"start": _stamp()}, message=str(error))
            return
        if not self.stopping.is_set():
            self._account.change_job(
                job_id, status="Done", times={"start": _stamp(), "end": _stamp()}, **self._counters(counters)
            )

    async def _import(self, body: dict[str, t.Any], content: bytes, seconds: float) -> dict[str, int]:
        importing = Importing(self._account, self._faults, random.Random(self._order.random()))  # noqa: S311 - order
        loop = asyncio.get_running_loop()
        return dict(
            await loop.run_in_executor(self._workers, importing.run, body, content, seconds, self.stopping)
        )

    def _counters(self, counters: dict[str, int]) -> dict[str, t.Any]:
        if self._faults.get("counters_missing") is not None or not counters:
            return {}
        short = int(self._faults.get("counters_short") or 0)
        counters = {**counters, "totalRecords": counters["totalRecords"] - short}
        return {
            "result": counters,
            "totalItems": counters["totalRecords"],
            "completedItems": counters["totalRecords"],
        }

    async def _fetch(self, source: dict[str, t.Any]) -> bytes:
        transport = source["transport"]
        path = source.get("path", "")
        if transport == "sftp":
            return await self._fetch_sftp(source)
        if transport in {"http", "https"}:
            auth = (
                aiohttp.BasicAuth(source["username"], source.get("password", ""))
                if source.get("username")
                else None
            )
            try:
                async with aiohttp.ClientSession(auth=auth) as session, session.get(source["url"]) as reply:
                    if reply.status != 200:  # noqa: PLR2004
                        msg = f"Couldn't get the size of the file ({source['url']})"
                        raise FailedImportError(msg)
                    return await reply.read()
            except aiohttp.ClientError as error:
                msg = f"Can't connect to the server ({source['url']})"
                raise FailedImportError(msg) from error
        if transport == "s3" and self._s3_endpoint is not None:
            return await asyncio.get_running_loop().run_in_executor(self._workers, self._fetch_s3, source)
        msg = f"Can't connect to the server ({transport} {path})"
        raise FailedImportError(msg)

    async def _fetch_sftp(self, source: dict[str, t.Any]) -> bytes:
        server = source["server"]
        password = source.get("password", "")
        if self._faults.get("source_login_fails") is not None:
            password += " no longer"
        try:
            async with _sftp(source, password) as files, files.open(source["path"], "rb") as file:
                return t.cast("bytes", await file.read())
        except asyncssh.PermissionDenied as error:
            msg = f"Can't login to the server ({server})"
            raise FailedImportError(msg) from error
        except (OSError, asyncssh.SFTPNoSuchFile) as error:
            kind = (
                "Couldn't get the size of the file"
                if isinstance(error, asyncssh.SFTPNoSuchFile)
                else "Can't connect to the server"
            )
            place = source["path"] if isinstance(error, asyncssh.SFTPNoSuchFile) else server
            msg = f"{kind} ({place})"
            raise FailedImportError(msg) from error
        except asyncssh.Error as error:
            msg = f"Can't connect to the server ({server})"
            raise FailedImportError(msg) from error

    def _fetch_s3(self, source: dict[str, t.Any]) -> bytes:
        import s3fs  # noqa: PLC0415 - an extra

        files = s3fs.S3FileSystem(
            key=source.get("aws_access_key_id"),
            secret=source.get("aws_secret_access_key"),
            client_kwargs={"endpoint_url": self._s3_endpoint, "region_name": source["aws_region"]},
            skip_instance_cache=True,
        )
        try:
            return t.cast("bytes", files.cat_file(f"{source['aws_bucket']}/{source['path']}"))
        except (OSError, ValueError) as error:
            msg = f"Couldn't get the size of the file ({source['path']})"
            raise FailedImportError(msg) from error

    async def _get_jobs(self, request: web.Request) -> web.Response:
        query = request.query
        status = query.get("status")
        if status is not None and status not in STATUSES:
            return _refusal(422, "The selected status is invalid.")
        now = _now()
        field = str(self._faults.get("job_id_field") or "_id")
        found = [
            {**_public(job), field: id_}
            for id_, job in self._account.jobs().items()
            if query.get("jobName") in {None, job["jobName"]}
            and status in {None, job["status"]}
            and job.get("times", {}).get("start", "") >= query.get("times[start][gte]", "")
            and self._listed_at.get(id_, now) <= now
        ]
        size = int(query.get("per_page", "25"))
        page = int(query.get("page", "1"))
        part = found[(page - 1) * size : page * size]
        return _json(part) if part else _not_found()

    async def _get_job(self, request: web.Request) -> web.Response:
        job = self._account.job(request.match_info["id"])
        return _not_found() if job is None else _json(_public(job))

    async def _get_lists(self, request: web.Request) -> web.Response:
        name = request.query.get("name")
        found = [
            {"id": id_, "name": known, "enhanced": True}
            for id_, known in self._account.lists().items()
            if name in {None, known}
        ]
        return _json(found) if found else _not_found()

    async def _post_list(self, request: web.Request) -> web.Response:
        body = await _body(request)
        name = body.get("name")
        if not isinstance(name, str) or not name:
            return _refusal(422, {"validationErrors": {"name": ["The name field is required."]}})
        allowed = r"[A-Za-z0-9-]+" if self._faults.get("no_underscores") is not None else r"[A-Za-z0-9_-]+"
        if not re.fullmatch(allowed, name) or len(name) > MAX_NAME:
            return _refusal(
                422, "Name must contain only letters, numbers, and dashes. Should not exceed 128 characters"
            )
        attributes = self._account.attributes()
        if self._account.list_id(name) is not None or any(
            name in {key, value["name"]} for key, value in attributes.items()
        ):
            return _refusal(422, "Name must be unique")
        return _json({"success": True, "id": self._account.add_list(name)})

    async def _get_list(self, request: web.Request) -> web.Response:
        id_ = request.match_info["id"]
        name = self._account.lists().get(int(id_)) if id_.isdigit() else None
        if name is None:
            return _not_found()
        reply: dict[str, t.Any] = {"id": int(id_), "name": name, "enhanced": True}
        if request.path.endswith("/count"):
            reply["count"] = self._account.list_size(int(id_))
        return _json(reply)

    async def _clear_list(self, request: web.Request) -> web.Response:
        self._account.clear_list(int(request.match_info["id"]))
        return _json({"success": True})

    async def _get_attributes(self, _: web.Request) -> web.Response:
        attributes = self._account.attributes()
        shape = self._faults.get("attributes_shape")
        if shape == "empty" or not attributes:
            return _json([])
        return _json(attributes if shape == "object" else list(attributes.values()))

    async def _post_attribute(self, request: web.Request) -> web.Response:
        body = await _body(request)
        key, kind = body.get("key"), body.get("type")
        if not isinstance(key, str) or kind not in ATTRIBUTE_TYPES:
            return _refusal(422, "invalid field type")
        more = {name: body[name] for name in ("validators", "options") if name in body}
        if not self._account.add_attribute(key, kind, body.get("name"), **more):
            return _refusal(422, "Key must be unique")
        return _json({"success": True})

    async def _get_contact(self, request: web.Request) -> web.Response:
        address = request.match_info["key"].removeprefix("email:")
        contact = self._account.contact(address.lower())
        if contact is None:
            return _not_found()
        return _json(_contact(address.lower(), contact))

    async def _post_contact(self, request: web.Request) -> web.Response:
        body = await _body(request)
        email = body.get("channels", {}).get("email", {})
        if not isinstance(email.get("address"), str):
            return _refusal(422, "The channels.email.address field is required.")
        address = email["address"].lower()
        known = self._account.contact(address) or Contact()
        attributes = {**known.attributes, **body.get("attributes", {})}
        self._account.put_contact(address, attributes, email.get("subscribeStatus", known.subscribe_status))
        return _json({"success": True})

    async def _post_export(self, request: web.Request) -> web.Response:
        body = await _body(request)
        for name in ("destination", "fields", "accountId"):
            if name not in body:
                return _refusal(400, f"The {name} field is required.")
        job_id = self._account.add_job(
            {"status": "Done", "jobName": "ExportContacts", "times": {"start": _stamp(), "end": _stamp()}}
        )
        content = self._export(body)
        destination = body["destination"]
        name = f"{body.get('name', job_id)}.csv" + (".gz" if body.get("compress") else "")
        try:
            async with (
                _sftp(destination, destination.get("password", "")) as files,
                files.open(f"{destination['path'].rstrip('/')}/{name}", "wb") as file,
            ):
                await file.write(content)
        except (OSError, KeyError, asyncssh.Error):
            return _refusal(400, "Can't write to the destination")
        return _json({"jobId": job_id})

    def _export(self, body: dict[str, t.Any]) -> bytes:
        fields = [str(name) for name in body["fields"]]
        lists = {name: self._account.list_id(str(name)) for name in body.get("lists", ())}
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        if body.get("showHeader", True):
            writer.writerow(["channels.email.address", *fields, *map(str, lists)])
        names = self._account.lists()
        for address, contact in self._account.contacts().items():
            values = [contact.attributes.get(name, "") for name in fields]
            on = [int(names.get(list_id or 0) in contact.lists) for list_id in lists.values()]
            writer.writerow([address, *values, *on])
        content = text.getvalue().encode()
        return gzip.compress(content) if body.get("compress") else content


@contextlib.asynccontextmanager
async def _sftp(place: dict[str, t.Any], password: str) -> t.AsyncIterator[asyncssh.SFTPClient]:
    async with (
        asyncssh.connect(
            place["server"],
            int(place["port"]),
            username=place["username"],
            password=password,
            known_hosts=None,
            client_keys=None,
            agent_path=None,
        ) as connection,
        connection.start_sftp_client() as files,
    ):
        yield files


def _import_problem(body: dict[str, t.Any]) -> str | None:
    """What is wrong with an import call, in Cordial's words."""
    unknown = sorted(set(body) - set(IMPORT_FIELDS))
    if unknown:
        return f"The {unknown[0]} field is not allowed."
    for name, kind in IMPORT_FIELDS.items():
        if name in body and not isinstance(body[name], kind):
            return f"The {name} field is invalid."
    source = body.get("source")
    if not isinstance(source, dict):
        return "The source field is required."
    transport = source.get("transport")
    if not transport:
        return "The source.transport field is required."
    if transport not in TRANSPORTS:
        return "The selected source.transport is invalid."
    for name in TRANSPORTS[transport]:
        if not source.get(name):
            return f"The source.{name} field is required."
    if set(source) - SOURCE_FIELDS:
        return f"The source.{min(set(source) - SOURCE_FIELDS)} field is not allowed."
    if body.get("hasHeader") is not True and not body.get("columns"):
        return "The columns field is required."
    if body.get("strategy") not in {None, "insertOnly", "updateOnly"}:
        return "The selected strategy is invalid."
    lists = body.get("lists", {})
    if set(lists) - {"addTo", "removeFrom"} or any(
        not isinstance(names, list) or not all(isinstance(name, str) for name in names)
        for names in lists.values()
    ):
        return "The lists field is invalid."
    return None


def _public(job: dict[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in job.items() if name != "message"}


def _contact(address: str, contact: Contact) -> dict[str, t.Any]:
    return {
        "_id": address.encode().hex()[:24],
        "attributes": contact.attributes,
        "channels": {"email": {"address": address, "subscribeStatus": contact.subscribe_status}},
        "lists": sorted(contact.lists),
    }


def _refusal(status: int, message: t.Any) -> web.Response:
    name = "messages" if isinstance(message, dict) else "message"
    return _json({"error": True, "errorKey": "GENERIC_ERROR_KEY", name: message}, status)


def _not_found() -> web.Response:
    return _json({"error": True, "errorKey": "RECORD_NOT_FOUND", "message": "record not found"}, 404)


def _abort(request: web.Request) -> t.NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError


async def _body(request: web.Request) -> dict[str, t.Any]:
    found = msgspec.json.decode(await request.read())
    return found if isinstance(found, dict) else {}


def _json(body: t.Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def _stamp() -> str:
    return f"{_now():%Y-%m-%dT%H:%M:%SZ}"
