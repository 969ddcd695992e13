"""Lytics' calls about audiences, which its API calls segments: what they are, how large, and who is in them."""

from __future__ import annotations

import datetime as dt
import hashlib
import time
import typing as t

from aiohttp import web

from sandbox.faults import Faults
from sandbox.lytics_call import RefusedCallError, filter_text, paging, splits, success
from sandbox.scans import Scans
from sandbox.world import CREATED, Audience, World

SECONDS_BETWEEN_SIZES = 10
ACCOUNT = 1
ACCOUNT_ID = "0123456789abcdef0123456789abcdef"
AUTHOR_ID = "fedcba9876543210fedcba9876543210"
HISTORY_SECONDS = 7200
RECORDED = frozenset(
    [
        "aid",
        "account_id",
        "id",
        "short_id",
        "name",
        "is_public",
        "slug_name",
        "table",
        "author_id",
        "created",
        "updated",
        "tags",
    ]
)
"""What the audiences have that Lytics' own client keeps for its tests."""


class SegmentCalls:
    """Answers calls about audiences."""

    def __init__(self, world: World, scans: Scans, faults: Faults) -> None:
        self._world = world
        self._scans = scans
        self._faults = faults
        self._sized_at = -float(SECONDS_BETWEEN_SIZES)

    def route(self, app: web.Application) -> None:
        """Answer an application's calls."""
        router = app.router
        router.add_get("/api/segment", self._segments)
        router.add_get("/api/segment/sizes", self._sizes)
        router.add_get("/api/segment/attribution", self._attribution)
        router.add_get("/api/segment/scan", self._scan)
        router.add_post("/api/segment/scan", self._ad_hoc_scan)
        router.add_post("/api/segment/size", self._ad_hoc_size)
        router.add_post("/api/segment/validate", self._validate)
        router.add_get("/api/segment/{name}", self._segment)
        router.add_get("/api/segment/{name}/scan", self._scan)
        router.add_get("/api/segment/{name}/size", self._size)
        router.add_get("/api/segment/{name}/sizes", self._size)
        router.add_get("/v2/segment", self._segments)
        router.add_get("/v2/segment/{name}", self._segment)

    async def _segments(self, request: web.Request) -> web.Response:
        kind = request.query.get("table")
        only_valid = request.query.get("valid") == "true"
        found = [
            self._shown(request, audience)
            for audience in self._world.audiences()
            if kind in {None, audience.kind} and not (only_valid and audience.is_invalid)
        ]
        return success(request, found, self._faults)

    async def _segment(self, request: web.Request) -> web.Response:
        return success(
            request, self._shown(request, self._audience(request.match_info["name"])), self._faults
        )

    async def _size(self, request: web.Request) -> web.Response:
        return success(request, self._sized(self._audience(request.match_info["name"])), self._faults)

    async def _sizes(self, request: web.Request) -> web.Response:
        if self._faults.get("sizes_missing") is not None:
            return success(request, [], self._faults)
        return success(request, [self._sized(audience) for audience in self._asked(request)], self._faults)

    async def _attribution(self, request: web.Request) -> web.Response:
        """The sizes of audiences over time. The sandbox keeps none, so all of them are today's."""
        now = dt.datetime.now(dt.timezone.utc).timestamp()
        times = [str(int((now - HISTORY_SECONDS * number) * 1000)) for number in range(5)]
        found = [
            {
                "id": self._id(audience),
                "metrics": [{"value": len(audience.members), "ts": stamp, "anomaly": 0} for stamp in times],
            }
            for audience in self._asked(request)
        ]
        return success(request, found, self._faults)

    async def _ad_hoc_size(self, request: web.Request) -> web.Response:
        """How many profiles a filter matches; one call in ten seconds."""
        if time.monotonic() - self._sized_at < SECONDS_BETWEEN_SIZES:
            raise RefusedCallError("Too many requests", 429)
        self._sized_at = time.monotonic()
        size = self._scans.size(await filter_text(request))
        return success(request, {"size": size}, self._faults)

    async def _validate(self, request: web.Request) -> web.Response:
        """Whether a filter can be read: a success without data, or a refusal that says why."""
        self._scans.read(await filter_text(request))
        return success(request, None, self._faults)

    async def _scan(self, request: web.Request) -> web.Response:
        """A page of the members of an audience, which the path or the parameter `id` names."""
        audience = self._audience(request.match_info.get("name") or request.query.get("id", ""))
        if audience.kind != "user":
            raise RefusedCallError("Segment is not of table user")
        if audience.is_invalid:
            raise RefusedCallError("Segment is invalid")
        body = self._scans.page(audience.id, splits(request), paging(request, self._faults))
        return web.Response(body=body, content_type="application/json")

    async def _ad_hoc_scan(self, request: web.Request) -> web.Response:
        table = request.query.get("table", "user")
        body = self._scans.ad_hoc_page(await filter_text(request), table, paging(request, self._faults))
        return web.Response(body=body, content_type="application/json")

    def _asked(self, request: web.Request) -> list[Audience]:
        ids = request.query.get("ids")
        names = None if ids is None else ids.split(",")
        return [
            audience
            for audience in self._world.audiences()
            if names is None or self._id(audience) in names or audience.slug in names
        ]

    def _audience(self, name: str) -> Audience:
        for audience in self._world.audiences():
            if name in {self._id(audience), audience.slug}:
                return audience
        raise RefusedCallError("Could not find that segment", 404)

    def _id(self, audience: Audience) -> str:
        return self._faults.get("audience_id_path") or audience.id

    def _sized(self, audience: Audience) -> dict[str, t.Any]:
        return {
            "id": self._id(audience),
            "name": audience.name,
            "slug_name": audience.slug,
            "size": len(audience.members),
        }

    def _shown(self, request: web.Request, audience: Audience) -> dict[str, t.Any]:
        created_ms = int(dt.datetime.fromisoformat(CREATED.replace("Z", "+00:00")).timestamp() * 1000)
        shown = {
            "aid": ACCOUNT,
            "account_id": ACCOUNT_ID,
            "id": self._id(audience),
            "short_id": hashlib.blake2b(audience.id.encode(), digest_size=4).hexdigest(),
            "name": audience.name,
            "is_public": True,
            "public_name": audience.slug,
            "slug_name": audience.slug,
            "description": f"Made for the sandbox: {audience.name}",
            "kind": "segment",
            "table": audience.kind,
            "segment_ql": f"FILTER * FROM {audience.kind} ALIAS `{audience.slug}`",
            "author_id": AUTHOR_ID,
            "created": CREATED,
            "created_ms": created_ms,
            "updated": CREATED,
            "modified_ms": created_ms,
            "save_hist": True,
            "tags": [],
            "invalid": audience.is_invalid,
        }
        if request.path.startswith("/v2/"):
            shown |= {"emit_trigger": audience.emit_trigger, "schedule_exit": audience.schedule_exit}
        if request.query.get("sizes") == "true" and self._faults.get("sizes_missing") is None:
            shown["size"] = len(audience.members)
        if self._faults.get("audiences_bare") is not None:
            return {name: value for name, value in shown.items() if name in RECORDED}
        return shown
