"""Lytics' calls about profiles: which fields there are, and one profile by an identifier."""

from __future__ import annotations

import typing as t
from collections import Counter

from aiohttp import web

from sandbox.faults import Faults
from sandbox.lytics_call import RefusedCallError, fields, success
from sandbox.people import IDENTIFIERS, Profile
from sandbox.replies import json_reply
from sandbox.scans import Scans
from sandbox.world import World

MAX_TERMS = 20
PERSONAL = frozenset({"email", "first_name", "last_name"})
NOBODY = {"segments": ["not_found", "all"]}
"""What stands for the profile in an answer that has none."""


class ProfileCalls:
    """Answers calls about fields and profiles."""

    def __init__(self, world: World, scans: Scans, faults: Faults) -> None:
        self._world = world
        self._scans = scans
        self._faults = faults

    def route(self, app: web.Application) -> None:
        """Answer an application's calls."""
        router = app.router
        router.add_get("/api/schema", self._tables)
        router.add_get("/api/schema/user", self._old_schema)
        router.add_get("/api/schema/user/fieldinfo", self._field_info)
        router.add_get("/v2/schema/user", self._schema)
        router.add_get("/v2/schema/user/field", self._fields)
        router.add_get("/api/entity/user/{field}/{value:[^/]+}", self._entity)
        router.add_get("/api/entity/user/{value:[^/]+}", self._entity)
        router.add_get("/v2/identity/user/{field}/{value:[^/]+}", self._identity)

    async def _fields(self, request: web.Request) -> web.Response:
        if self._faults.get("old_schema_only") is not None:
            raise RefusedCallError("Not found", 404)
        return success(request, self._newer_fields(), self._faults)

    async def _schema(self, request: web.Request) -> web.Response:
        schema = {"name": "user", "by_fields": sorted(IDENTIFIERS), "fields": self._newer_fields()}
        return success(request, schema, self._faults)

    async def _old_schema(self, request: web.Request) -> web.Response:
        place = "fields" if self._faults.get("old_schema_fields") is not None else "columns"
        return success(request, self._table(place), self._faults)

    async def _tables(self, request: web.Request) -> web.Response:
        content = {"name": "content", "by_fields": ["url"], "columns": []}
        return success(request, {"user": self._table("columns"), "content": content}, self._faults)

    async def _field_info(self, request: web.Request) -> web.Response:
        """How often each field has a value, and which values are frequent."""
        limit = int(request.query.get("limit", MAX_TERMS))
        asked = fields(request) or tuple(self._world.fields)
        with self._world.lock:
            profiles = [self._world.profile(id_) for id_ in self._world.profiles]
        found = []
        for name in asked:
            values = [profile[name] for profile in profiles if profile.get(name) is not None]
            terms = Counter(str(value) for value in values)
            found.append(
                {
                    "field": name,
                    "terms_counts": dict(terms.most_common(limit)),
                    "more_terms": len(terms) > limit,
                    "ents_present": len(values),
                    "ents_absent": len(profiles) - len(values),
                    "approx_cardinality": len(terms),
                }
            )
        return success(request, {"table": "user", "fields": found}, self._faults)

    async def _entity(self, request: web.Request) -> web.Response:
        """One profile; nobody is a 200 too, with another message and a placeholder."""
        meta = {"format": "json", "name": "user", "by_fields": sorted(IDENTIFIERS)}
        found = self._profile(request)
        message = "Timed out" if self._faults.get("entity_times_out") is not None else "Not Found"
        if found is None or message == "Timed out":
            return json_reply({"data": NOBODY, "meta": meta, "status": 200, "message": message})
        return success(request, found, self._faults, meta=meta)

    async def _identity(self, request: web.Request) -> web.Response:
        found = self._profile(request)
        if found is None:
            raise RefusedCallError("Profile not found", 404)
        return success(request, found, self._faults)

    def _profile(self, request: web.Request) -> Profile | None:
        """The profile that a call names, read from the store of profiles: no index lags behind it."""
        # Without a field's name the value is the profile's own id.
        field, value = request.match_info.get("field", "_id"), request.match_info["value"]
        with self._world.lock:
            for id_ in self._world.profiles.candidates(field, [value]):
                held = self._world.profile(id_).get(field)
                if value in map(str, held if isinstance(held, list) else [held]) and held is not None:
                    return self._scans.row(id_, fields(request))
        return None

    def _newer_fields(self) -> list[dict[str, t.Any]]:
        return [
            {
                "id": name,
                "type": kind,
                "shortdesc": description,
                "longdesc": "",
                "is_identifier": name in IDENTIFIERS,
                "is_pii": name in PERSONAL,
                "mergeop": "latest",
            }
            for name, (kind, description) in self._world.fields.items()
        ]

    def _table(self, place: str) -> dict[str, t.Any]:
        """The fields in the older shape, under `columns` or `fields`."""
        columns = [
            {
                "as": name,
                "is_by": name in IDENTIFIERS,
                "type": kind,
                "op": "latest",
                "shortdesc": description,
                "longdesc": "",
                "froms": ["default"],
                "identities": [name],
            }
            for name, (kind, description) in self._world.fields.items()
        ]
        return {"name": "user", "by_fields": sorted(IDENTIFIERS), place: columns}
