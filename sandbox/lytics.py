"""Lytics' API as its documentation and its recorded replies show it."""

from __future__ import annotations

import asyncio
import hmac
import typing as t

import msgspec
from aiohttp import web

from sandbox.faults import Faults  # noqa: TC001 - aiohttp keys are typed at run time
from sandbox.filterql import FilterError
from sandbox.people import FIELDS, IDENTIFIERS
from sandbox.world import MAX_PAGE, Audience, CursorError, World

DEFAULT_PAGE = 20
CREATED = "2024-01-01T00:00:00Z"


def lytics_app(
    world: World, faults: Faults, api_token: str, middlewares: t.Sequence[t.Any] = ()
) -> web.Application:
    """The API as a web application.

    Args:
        world: The account.
        faults: What goes wrong.
        api_token: The token that it takes.
        middlewares: More to do around each call.

    Returns:
        The application.
    """
    api = _Lytics(world, faults, api_token)
    app = web.Application(middlewares=[*middlewares, api.guard], client_max_size=10 * 1024 * 1024)
    app.router.add_get("/api/segment", api.segments)
    app.router.add_get("/api/segment/sizes", api.sizes)
    app.router.add_post("/api/segment/scan", api.ad_hoc_scan)
    app.router.add_get("/api/segment/{name}", api.segment)
    app.router.add_get("/api/segment/{name}/scan", api.scan)
    app.router.add_get("/v2/segment", api.segments)
    app.router.add_get("/v2/segment/{name}", api.segment)
    app.router.add_get("/api/schema/user", api.old_schema)
    app.router.add_get("/v2/schema/user/field", api.schema)
    return app


class _Lytics:
    def __init__(self, world: World, faults: Faults, api_token: str) -> None:
        self._world = world
        self._faults = faults
        self._api_token = api_token

    @web.middleware
    async def guard(self, request: web.Request, handler: t.Any) -> web.StreamResponse:
        """Checks the token and acts out the faults that any call may meet."""
        path = request.path
        given = (
            request.headers.get("Authorization")
            or request.query.get("key")
            or request.query.get("access_token")
            or ""
        )
        if not hmac.compare_digest(given.encode(), self._api_token.encode()):
            return _json({"data": None, "message": "Not authorized", "status": 401}, 401)
        if (seconds := self._faults.get("lytics_slow", path)) is not None:
            await asyncio.sleep(float(seconds))
        if (status := self._faults.get("lytics_status", path)) is not None:
            return _error(request, int(status), "The service failed on purpose")
        if (wait := self._faults.get("lytics_rate_limit", path)) is not None:
            reply = _error(request, 429, "Too many requests")
            if wait is not True:
                reply.headers["Retry-After"] = str(wait)
            return reply
        if self._faults.get("lytics_garbage", path) is not None:
            return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
        if self._faults.get("lytics_timed_out", path) is not None:
            return _json({"status": 200, "message": "Timed out", "data": None})
        try:
            reply = await handler(request)
        except web.HTTPNotFound:
            return _error(request, 404, "Not found")
        if self._faults.get("lytics_cut", path) is not None:
            await _cut(request, reply)
        return t.cast("web.StreamResponse", reply)

    async def segments(self, request: web.Request) -> web.Response:
        """All audiences."""
        kind = request.query.get("table")
        only_valid = request.query.get("valid") == "true"
        found = [
            _segment(audience)
            for audience in self._world.audiences()
            if kind in {None, audience.kind} and not (only_valid and audience.is_invalid)
        ]
        return _success(request, found)

    async def segment(self, request: web.Request) -> web.Response:
        """One audience."""
        audience = self._find(request.match_info["name"])
        if audience is None:
            return _error(request, 404, "Could not find that segment")
        reply = _segment(audience)
        if request.query.get("sizes") == "true":
            reply["size"] = len(audience.members)
        return _success(request, reply)

    async def sizes(self, request: web.Request) -> web.Response:
        """Sizes of audiences."""
        found = [self._find(name) for name in request.query.get("ids", "").split(",") if name]
        return _success(
            request,
            [
                {
                    "id": audience.id,
                    "name": audience.name,
                    "slug_name": audience.slug,
                    "size": len(audience.members),
                }
                for audience in found
                if audience is not None
            ],
        )

    async def scan(self, request: web.Request) -> web.Response:
        """A page of an audience's members."""
        audience = self._find(request.match_info["name"])
        if audience is None:
            return _error(request, 404, "Could not find that segment")
        if audience.kind != "user":
            return _error(request, 400, "Segment is not of table user")
        if audience.is_invalid:
            return _error(request, 400, "Segment is invalid")
        try:
            splits = request.query.get("splits")
            body = self._world.page(
                audience.id,
                fields=_fields(request),
                splits=None if splits is None else frozenset(map(int, splits.split(","))),
                limit=_limit(request),
                cursor=request.query.get("start", ""),
            )
        except (CursorError, ValueError) as error:
            return _error(request, 400, str(error))
        return web.Response(body=body, content_type="application/json")

    async def ad_hoc_scan(self, request: web.Request) -> web.Response:
        """A page of the profiles that a filter matches."""
        if request.query.get("table") != "user":
            return _error(request, 400, "table is required")
        if request.content_type != "text/plain":
            return _error(request, 400, "the body must be text/plain")
        try:
            body = self._world.ad_hoc_page(
                await request.text(),
                fields=_fields(request),
                limit=_limit(request),
                cursor=request.query.get("start", ""),
            )
        except (FilterError, CursorError, ValueError) as error:
            return _error(request, 400, str(error))
        return web.Response(body=body, content_type="application/json")

    async def schema(self, request: web.Request) -> web.Response:
        """The profile fields."""
        if self._faults.get("old_schema_only") is not None:
            return _error(request, 404, "Not found")
        return _success(
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
                for name, (kind, description) in FIELDS.items()
            ],
        )

    async def old_schema(self, request: web.Request) -> web.Response:
        """The profile fields, in the older shape."""
        columns = [
            {"as": name, "type": kind, "is_by": name in IDENTIFIERS, "shortdesc": description, "longdesc": ""}
            for name, (kind, description) in FIELDS.items()
        ]
        return _success(request, {"name": "user", "by_fields": sorted(IDENTIFIERS), "columns": columns})

    def _find(self, name: str) -> Audience | None:
        try:
            return next(
                audience for audience in self._world.audiences() if name in {audience.id, audience.slug}
            )
        except StopIteration:
            return None


def _segment(audience: Audience) -> dict[str, t.Any]:
    return {
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


def _fields(request: web.Request) -> list[str] | None:
    given = request.query.get("fields")
    return given.split(",") if given else None


def _limit(request: web.Request) -> int:
    return max(1, min(MAX_PAGE, int(request.query.get("limit", DEFAULT_PAGE))))


def _success(request: web.Request, data: t.Any) -> web.Response:
    if request.path.startswith("/v2/"):
        return _json({"data": data, "status": 200, "request_id": "sandbox"})
    return _json({"data": data, "status": 200, "message": "success"})


def _error(request: web.Request, status: int, message: str) -> web.Response:
    if request.path.startswith("/v2/"):
        error = {"code": f"SANDBOX-{status}", "message": message, "level": "warn", "timestamp": CREATED}
        return _json({"status": status, "errors": [error], "request_id": "sandbox"}, status)
    return _json({"data": None, "status": status, "message": message}, status)


def _json(body: t.Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


async def _cut(request: web.Request, reply: web.Response) -> None:
    """Send half of the answer, then nothing."""
    body = bytes(t.cast("bytes", reply.body))
    partial = web.StreamResponse(
        headers={"Content-Length": str(len(body)), "Content-Type": "application/json"}
    )
    await partial.prepare(request)
    await partial.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()
