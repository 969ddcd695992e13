"""Cordial's API v2 as its Swagger shows it, strict about what it is asked: access, imports, exports and jobs."""

from __future__ import annotations

import asyncio
import base64
import binascii
import datetime as dt
import hmac
import re
import typing as t
from collections.abc import Mapping
from http import HTTPStatus

import msgspec
from aiohttp import web

from sandbox.account import Account
from sandbox.cordial_call import RefusedError, no_record, page_reply, paging, read_body
from sandbox.cordial_contacts import ContactCalls
from sandbox.cordial_lists import ListCalls
from sandbox.export_call import problem_of_export
from sandbox.faults import Faults
from sandbox.import_call import problem_of
from sandbox.jobs import Jobs
from sandbox.replies import abort, cut, drip, json_reply
from sandbox.transports import TransportError

MAX_BODY = 10 * 1024 * 1024
MAX_STATISTICS = 25
JOB_STATUSES = ("Scheduled", "Pending", "Processing", "Throttled", "Failed", "Done")
_COMPARED: dict[str, t.Callable[[t.Any, t.Any], bool]] = {
    "gt": lambda left, right: left > right,
    "gte": lambda left, right: left >= right,
    "lt": lambda left, right: left < right,
    "lte": lambda left, right: left <= right,
}


class CordialServer:
    """The API."""

    def __init__(self, account: Account, jobs: Jobs, faults: Faults, api_key: str) -> None:
        self._account = account
        self._jobs = jobs
        self._faults = faults
        self._api_key = api_key

    def app(self, middlewares: t.Sequence[t.Any] = ()) -> web.Application:
        """The API as a web application."""
        app = web.Application(middlewares=[*middlewares, self._guard], client_max_size=MAX_BODY)
        app.router.add_post("/v2/contactimports", self._post_import)
        app.router.add_post("/v2/contactexports", self._post_export)
        app.router.add_get("/v2/health", self._get_health)
        app.router.add_get("/v2/jobs", self._get_jobs)
        app.router.add_get("/v2/jobs/{id}", self._get_job)
        for calls in (ListCalls(self._account, self._faults), ContactCalls(self._account, self._faults)):
            calls.route(app)
        return app

    @web.middleware
    async def _guard(self, request: web.Request, handler: t.Any) -> web.StreamResponse:
        """Checks the key and acts out the faults that any call may meet."""
        if not self._has_key(request):
            return _unauthorized()
        if self._faults.get("cut_connection") is not None:
            abort(request)
        if (seconds := self._faults.get("slow_answer")) is not None:
            await asyncio.sleep(seconds)
        reply = await self._refusal_on_purpose() or await self._answer(request, handler)
        if reply.status >= HTTPStatus.BAD_REQUEST and reply.status != HTTPStatus.UNAUTHORIZED:
            reply = self._reshaped(reply)
        if self._faults.get("answer_lost") is not None:
            abort(request)
        if self._faults.get("answer_cut") is not None:
            await cut(request, reply)
        if (seconds := self._faults.get("cordial_drip")) is not None:
            await drip(request, reply, seconds)
        if self._faults.get("cordial_garbage") is not None:
            return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
        return reply

    def _has_key(self, request: web.Request) -> bool:
        kind, _, given = request.headers.get("Authorization", "").partition(" ")
        try:
            login = base64.b64decode(given, validate=True)
        except binascii.Error:
            return False
        return kind == "Basic" and hmac.compare_digest(login, f"{self._api_key}:".encode())

    async def _refusal_on_purpose(self) -> web.Response | None:
        if (status := self._faults.get("cordial_status")) is not None:
            if status == HTTPStatus.UNAUTHORIZED:
                return _unauthorized()
            return _refusal(RefusedError(status, "Failed on purpose"))
        if (wait := self._faults.get("rate_limit")) is not None:
            reply = _refusal(RefusedError(429, "Too many requests"))
            reply.headers["X-Rate-Limit-Limit"] = "100"
            reply.headers["X-Rate-Limit-Remaining"] = "0"
            if wait is not True:
                reply.headers["X-Rate-Limit-Reset"] = reply.headers["Retry-After"] = str(wait)
            return reply
        return None

    async def _answer(self, request: web.Request, handler: t.Any) -> web.Response:
        try:
            if (request.content_length or 0) > MAX_BODY:
                raise RefusedError(413, "Request Entity Too Large")
            if request.body_exists and request.content_type != "application/json":
                words = "Content-Type header must be application/json or application/x-www-form-urlencoded."
                raise RefusedError(415, f"Unsupported Media Type: {words}", "UNSUPPORTED_MEDIA_TYPE")
            return t.cast("web.Response", await handler(request))
        except RefusedError as error:
            return _refusal(error)
        except web.HTTPNotFound:
            return _refusal(no_record())
        except web.HTTPException as error:
            return _refusal(RefusedError(error.status, error.reason))

    def _reshaped(self, reply: web.Response) -> web.Response:
        shape = self._faults.get("error_shape")
        if shape is None:
            return reply
        body = msgspec.json.decode(t.cast("bytes", reply.body))
        message, by_field = body.pop("message"), body.pop("messages", None)
        if shape == "error":
            body = {"error": message}
        elif shape == "messages":
            body["messages"] = message
        else:
            body["messages"] = by_field or {"validationErrors": {"body": [message]}}
        return json_reply(body, reply.status)

    async def _get_health(self, _: web.Request) -> web.Response:
        """Not in the Swagger, but asked by Segment's integration."""
        return web.Response(text="Good")

    async def _post_import(self, request: web.Request) -> web.Response:
        body = await read_body(request, 406)
        problem = problem_of(body)
        if problem is None and "subscribe" in body and self._faults.get("subscribe_refused") is not None:
            problem = "The subscribe field is not allowed."
        if problem is not None:
            raise RefusedError(406, problem)
        if (seconds := self._faults.get("zombie_import")) is not None:
            self._jobs.start_import_later(body, seconds)
            abort(request)
        try:
            if (message := self._faults.get("jobid_error")) is not None:
                raise TransportError(message)
            return json_reply({"jobId": self._shown_id(await self._jobs.start_import(body))}, 201)
        except TransportError as error:
            reason = {"error": True, "errorKey": "GENERIC_ERROR_KEY", "message": str(error)}
            return json_reply({"jobId": reason}, 201)

    async def _post_export(self, request: web.Request) -> web.Response:
        body = await read_body(request, 400)
        problem = problem_of_export(body, self._account, self._faults)
        if problem is not None:
            raise RefusedError(400, problem)
        return json_reply({"jobId": self._shown_id(self._jobs.start_export(body))})

    async def _get_jobs(self, request: web.Request) -> web.Response:
        query = request.query
        status = query.get("status")
        if status is not None and status not in JOB_STATUSES:
            raise RefusedError(422, "The selected status is invalid.")
        bounds = _time_bounds(query, refused=self._faults.get("time_form_refused"))
        size, _ = paging(query)
        if query.get("include") == "statistic" and size > MAX_STATISTICS:
            message = f"When include=statistic is requested, per_page must not exceed {MAX_STATISTICS}."
            raise RefusedError(400, message, "JOBS_STATISTIC_PER_PAGE_EXCEEDED")
        field = self._faults.get("job_id_field") or "_id"
        is_nested = self._faults.get("job_id_shape") == "nested"
        found = [
            {**_public(job), field: {"$oid": id_} if is_nested else self._shown_id(id_)}
            for id_, job in self._jobs.listed().items()
            if query.get("jobName") in {None, job["jobName"]}
            and status in {None, job["status"]}
            and all(_is_within(job["times"].get(name), sign, bound) for name, sign, bound in bounds)
        ]
        return page_reply(found, query, most=self._faults.get("job_page_limit"))

    async def _get_job(self, request: web.Request) -> web.Response:
        job = self._account.job(request.match_info["id"])
        if job is None:
            raise no_record()
        return json_reply(_public(job))

    def _shown_id(self, job_id: str) -> str | int:
        is_number = self._faults.get("job_id_shape") == "number"
        return self._account.job_number(job_id) if is_number else job_id


def _time_bounds(query: Mapping[str, str], *, refused: str | None) -> list[tuple[str, str, dt.datetime]]:
    """The bounds of times in a query, such as `times[start][gte]`; in one form or the other if that is refused."""
    bounds = []
    for name, value in query.items():
        found = re.fullmatch(r"times\[(start|end)\]\[(gte?|lte?)\]", name)
        if found is None:
            continue
        bound = _day(value)
        form = "day" if bound is not None else "time"
        bound = bound or _time(value)
        if bound is None or refused in {form, "both"}:
            raise RefusedError(422, "Time value is incorrect")
        bounds.append((found[1], found[2], bound))
    return bounds


def _day(text: str) -> dt.datetime | None:
    """A day as Cordial's article 204570807 writes it: 31-01-2025."""
    found = re.fullmatch(r"(\d\d)-(\d\d)-(\d{4})", text.strip())
    return _time(f"{found[3]}-{found[2]}-{found[1]}") if found is not None else None


def _time(text: str) -> dt.datetime | None:
    try:
        # Python 3.10 does not read Z.
        time = dt.datetime.fromisoformat(re.sub(r"[Zz]$", "+00:00", text.strip()))
    except ValueError:
        return None
    return time if time.tzinfo is not None else time.replace(tzinfo=dt.timezone.utc)


def _is_within(text: str | None, sign: str, bound: dt.datetime) -> bool:
    time = None if text is None else _time(text)
    return time is not None and _COMPARED[sign](time, bound)


def _public(job: dict[str, t.Any]) -> dict[str, t.Any]:
    return {name: value for name, value in job.items() if name != "message"}


def _refusal(error: RefusedError) -> web.Response:
    return json_reply(error.body, error.status)


def _unauthorized() -> web.Response:
    return json_reply({"error": "Access Denied: Authentication Failure"}, 401)
