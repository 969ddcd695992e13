"""Lytics' API as its documentation and its recorded replies show it."""

from __future__ import annotations

import asyncio
import hmac
import time
import typing as t
from http import HTTPStatus

import msgspec
from aiohttp import web

from sandbox.people import IDENTIFIERS
from sandbox.replies import cut, json_reply
from sandbox.scans import MAX_PAGE, CursorError, Scans

if t.TYPE_CHECKING:
    from sandbox.faults import Faults
    from sandbox.world import Audience, World

DEFAULT_PAGE = 20
MAX_BODY = 10 * 1024 * 1024
SPLITS = 100
SECONDS_BETWEEN_SIZES = 10
CREATED = "2024-01-01T00:00:00Z"
SCAN_PARAMETERS = frozenset(
    ["limit", "start", "fields", "splits", "recent", "meta", "account_id", "table", "key", "access_token"]
)


def lytics_app(
    world: World, scans: Scans, faults: Faults, api_token: str, middlewares: t.Sequence[t.Any] = ()
) -> web.Application:
    """The API as a web application.

    Args:
        world: The account.
        scans: Its scans.
        faults: What goes wrong.
        api_token: The token that it takes.
        middlewares: More to do around each call.

    Returns:
        The application.
    """
    api = _Lytics(world, scans, faults, api_token)
    app = web.Application(middlewares=[*middlewares, api.guard], client_max_size=MAX_BODY)
    app.router.add_get("/api/segment", api.segments)
    app.router.add_get("/api/segment/sizes", api.sizes)
    app.router.add_post("/api/segment/size", api.ad_hoc_size)
    app.router.add_post("/api/segment/scan", api.ad_hoc_scan)
    app.router.add_get("/api/segment/{name}", api.segment)
    app.router.add_get("/api/segment/{name}/scan", api.scan)
    app.router.add_get("/v2/segment", api.segments)
    app.router.add_get("/v2/segment/{name}", api.segment)
    app.router.add_get("/api/schema/user", api.old_schema)
    app.router.add_get("/v2/schema/user/field", api.schema)
    return app


class _Lytics:
    def __init__(self, world: World, scans: Scans, faults: Faults, api_token: str) -> None:
        self._world = world
        self._scans = scans
        self._faults = faults
        self._api_token = api_token
        self._sized_at = -float(SECONDS_BETWEEN_SIZES)

    @web.middleware
    async def guard(self, request: web.Request, handler: t.Any) -> web.StreamResponse:
        """Checks the token and acts out the faults that any call may meet."""
        given = (
            request.headers.get("Authorization")
            or request.query.get("key")
            or request.query.get("access_token")
            or ""
        )
        if not hmac.compare_digest(given.encode(), self._api_token.encode()):
            return _error(request, 401, "Not authorized")
        if (seconds := self._faults.get("lytics_slow")) is not None:
            await asyncio.sleep(seconds)
        if (status := self._faults.get("lytics_status")) is not None:
            return _error(request, status, "The service failed on purpose")
        if (wait := self._faults.get("lytics_rate_limit")) is not None:
            reply = _error(request, 429, "Too many requests")
            if wait is not True:
                reply.headers["Retry-After"] = str(wait)
            return reply
        if self._faults.get("lytics_garbage") is not None:
            return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
        if (message := self._faults.get("lytics_timed_out")) is not None:
            return json_reply({"status": 200, "message": message, "data": None})
        if (request.content_length or 0) > MAX_BODY:
            return _error(request, 413, "Request body too large")
        try:
            reply = await handler(request)
        except web.HTTPException as error:
            return _error(request, error.status, error.reason)
        except CursorError as error:
            return _error(request, error.status, str(error))
        except ValueError as error:
            return _error(request, 400, str(error))
        if self._faults.get("lytics_cut") is not None:
            await cut(request, reply)
        return t.cast("web.StreamResponse", reply)

    async def segments(self, request: web.Request) -> web.Response:
        """All audiences."""
        kind = request.query.get("table")
        only_valid = request.query.get("valid") == "true"
        found = [
            self._segment(request, audience)
            for audience in self._world.audiences()
            if kind in {None, audience.kind} and not (only_valid and audience.is_invalid)
        ]
        return self._success(request, found)

    async def segment(self, request: web.Request) -> web.Response:
        """One audience."""
        audience = self._find(request.match_info["name"])
        if audience is None:
            return _error(request, 404, "Could not find that segment")
        return self._success(request, self._segment(request, audience))

    async def sizes(self, request: web.Request) -> web.Response:
        """Sizes of audiences."""
        ids = request.query.get("ids")
        names = None if ids is None else ids.split(",")
        found = [
            {
                "id": audience.id,
                "name": audience.name,
                "slug_name": audience.slug,
                "size": len(audience.members),
            }
            for audience in self._world.audiences()
            if names is None or audience.id in names or audience.slug in names
        ]
        return self._success(request, found if self._faults.get("sizes_missing") is None else [])

    async def ad_hoc_size(self, request: web.Request) -> web.Response:
        """How many profiles a filter matches; one call in ten seconds."""
        if time.monotonic() - self._sized_at < SECONDS_BETWEEN_SIZES:
            return _error(request, 429, "Too many requests")
        self._sized_at = time.monotonic()
        filter_text = await _filter_text(request)
        page = msgspec.json.decode(self._scans.ad_hoc_page(filter_text, fields=["_id"], limit=1, cursor=""))
        return self._success(request, {"size": page["total"]})

    async def scan(self, request: web.Request) -> web.Response:
        """A page of an audience's members."""
        audience = self._find(request.match_info["name"])
        if audience is None:
            return _error(request, 404, "Could not find that segment")
        if audience.kind != "user":
            return _error(request, 400, "Segment is not of table user")
        if audience.is_invalid:
            return _error(request, 400, "Segment is invalid")
        body = self._scans.page(
            audience.id,
            fields=_fields(request),
            splits=_splits(request),
            limit=self._limit(request),
            cursor=request.query.get("start", ""),
        )
        return web.Response(body=body, content_type="application/json")

    async def ad_hoc_scan(self, request: web.Request) -> web.Response:
        """A page of the profiles that a filter matches."""
        if request.query.get("table") != "user":
            return _error(request, 400, "table is required")
        body = self._scans.ad_hoc_page(
            await _filter_text(request),
            fields=_fields(request),
            limit=self._limit(request),
            cursor=request.query.get("start", ""),
        )
        return web.Response(body=body, content_type="application/json")

    async def schema(self, request: web.Request) -> web.Response:
        """The profile fields."""
        if self._faults.get("old_schema_only") is not None:
            return _error(request, 404, "Not found")
        return self._success(
            request,
            [
                {
                    "id": name,
                    "type": kind,
                    "shortdesc": description,
                    "longdesc": "",
                    "is_identifier": name in IDENTIFIERS,
                    "is_pii": name in {"email", "first_name", "last_name"},
                    "mergeop": "latest",
                }
                for name, (kind, description) in self._world.fields.items()
            ],
        )

    async def old_schema(self, request: web.Request) -> web.Response:
        """The profile fields, in the older shape."""
        columns = [
            {"as": name, "type": kind, "is_by": name in IDENTIFIERS, "shortdesc": description, "longdesc": ""}
            for name, (kind, description) in self._world.fields.items()
        ]
        place = "fields" if self._faults.get("old_schema_fields") is not None else "columns"
        return self._success(request, {"name": "user", "by_fields": sorted(IDENTIFIERS), place: columns})

    def _find(self, name: str) -> Audience | None:
        return next(
            (audience for audience in self._world.audiences() if name in {audience.id, audience.slug}), None
        )

    def _segment(self, request: web.Request, audience: Audience) -> dict[str, t.Any]:
        segment = {
            "id": audience.id,
            "slug_name": audience.slug,
            "name": audience.name,
            "description": f"Made for the sandbox: {audience.name}",
            "kind": "segment",
            "table": audience.kind,
            "is_public": True,
            "segment_ql": "FILTER *",
            "created": CREATED,
            "updated": CREATED,
            "tags": [],
            "invalid": audience.is_invalid,
        }
        if request.query.get("sizes") == "true" and self._faults.get("sizes_missing") is None:
            segment["size"] = len(audience.members)
        return segment

    def _limit(self, request: web.Request) -> int:
        unknown = sorted(set(request.query) - SCAN_PARAMETERS)
        if unknown:
            msg = f"the sandbox does not know the parameter {unknown[0]}"
            raise ValueError(msg)
        given = request.query.get("limit", str(DEFAULT_PAGE))
        if not given.isdecimal() or int(given) < 1:
            msg = "limit must be a positive integer"
            raise ValueError(msg)
        limit = int(given)
        if limit <= MAX_PAGE:
            return limit
        over = self._faults.get("limit_over_100")
        if over == "refused":
            msg = f"limit must be at most {MAX_PAGE}"
            raise ValueError(msg)
        return limit if over == "served" else MAX_PAGE

    def _success(self, request: web.Request, data: t.Any) -> web.Response:
        if request.path.startswith("/v2/"):
            return json_reply({"data": data, "status": 200, "request_id": "sandbox"})
        status = "success" if self._faults.get("status_text") is not None else 200
        return json_reply({"data": data, "status": status, "message": "success"})


def _fields(request: web.Request) -> list[str] | None:
    given = request.query.get("fields")
    return given.split(",") if given else None


def _splits(request: web.Request) -> frozenset[int] | None:
    given = request.query.get("splits")
    if given is None:
        return None
    parts = given.split(",")
    if not all(part.isdecimal() and int(part) < SPLITS for part in parts):
        msg = "splits must be integers from 0 to 99"
        raise ValueError(msg)
    return frozenset(map(int, parts))


async def _filter_text(request: web.Request) -> str:
    if request.content_type != "text/plain":
        msg = "the body must be text/plain"
        raise ValueError(msg)
    return await request.text()


def _error(request: web.Request, status: int, message: str) -> web.Response:
    if status == HTTPStatus.UNAUTHORIZED:
        return json_reply({"data": None, "message": "Not authorized", "status": status}, status)
    if request.path.startswith("/v2/"):
        error = {"code": f"SANDBOX-{status}", "message": message, "level": "warn", "timestamp": CREATED}
        return json_reply({"status": status, "errors": [error], "request_id": "sandbox"}, status)
    return json_reply({"data": None, "status": status, "message": message}, status)
