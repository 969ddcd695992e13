"""Cordial's lists and contact attributes, whose names must differ from each other."""

from __future__ import annotations

import re
import typing as t

from aiohttp import web

from sandbox.account import Account
from sandbox.cordial_call import RefusedError, no_record, page_of, read_body
from sandbox.faults import Faults
from sandbox.replies import json_reply

MAX_NAME = 128
ATTRIBUTE_TYPES = ("string", "number", "date", "geo", "array")


class ListCalls:
    """Answers calls about lists and attributes."""

    def __init__(self, account: Account, faults: Faults) -> None:
        self._account = account
        self._faults = faults

    def route(self, app: web.Application) -> None:
        """Answer an application's calls."""
        router = app.router
        router.add_get("/v2/accountlists", self._get_lists)
        router.add_post("/v2/accountlists", self._post_list)
        router.add_get("/v2/accountlists/{id}", self._get_list)
        router.add_put("/v2/accountlists/{id}", self._put_list)
        router.add_delete("/v2/accountlists/{id}", self._delete_list)
        router.add_get("/v2/accountlists/{id}/count", self._get_list)
        router.add_put("/v2/accountlists/{id}/clear", self._clear_list)
        router.add_get("/v2/accountcontactattributes", self._get_attributes)
        router.add_post("/v2/accountcontactattributes", self._post_attribute)
        router.add_get("/v2/accountcontactattributes/{key}", self._get_attribute)
        router.add_put("/v2/accountcontactattributes/{key}", self._put_attribute)
        router.add_delete("/v2/accountcontactattributes/{key}", self._delete_attribute)

    async def _get_lists(self, request: web.Request) -> web.Response:
        name = request.query.get("name")
        found = [self._list(id_) for id_, known in self._account.lists().items() if name in {None, known}]
        if not found:
            raise no_record()
        return json_reply(found)

    async def _post_list(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        name, is_enhanced = self._checked_list(body, None)
        return json_reply({"success": True, "id": self._account.add_list(name, enhanced=is_enhanced)})

    async def _get_list(self, request: web.Request) -> web.Response:
        id_ = self._list_id(request)
        reply = self._list(id_)
        if request.path.endswith("/count"):
            is_late = self._faults.get("list_count_late") is not None
            reply["count"] = 0 if is_late else self._account.list_size(id_)
        return json_reply(reply)

    async def _put_list(self, request: web.Request) -> web.Response:
        id_ = self._list_id(request, "List is not found", "GENERIC_ERROR_KEY")
        name, is_enhanced = self._checked_list(await read_body(request), id_)
        self._account.change_list(id_, name, enhanced=is_enhanced)
        return json_reply([self._list(id_)])

    async def _delete_list(self, request: web.Request) -> web.Response:
        self._account.remove_list(self._list_id(request, "record not found", "RECORD_NOT_FOUND"))
        return json_reply({"success": True})

    async def _clear_list(self, request: web.Request) -> web.Response:
        id_ = self._list_id(request)
        self._account.clear_list(id_)
        return json_reply({"success": True, "id": id_})

    async def _get_attributes(self, request: web.Request) -> web.Response:
        kind, indexed = request.query.get("type"), request.query.get("indexed")
        if kind not in {None, *ATTRIBUTE_TYPES}:
            raise RefusedError(422, "invalid field type")
        shape = self._faults.get("attributes_shape")
        found = {
            key: attribute
            for key, attribute in self._account.attributes().items()
            if kind in {None, attribute["type"]} and indexed in {None, str(int(attribute["index"]))}
        }
        if (size := self._faults.get("attributes_paged")) is not None:
            found = dict(page_of(list(found.items()), {"per_page": str(size), **request.query}))
        if shape == "empty" or not found:
            return json_reply([])
        return json_reply(found if shape == "object" else list(found.values()))

    async def _post_attribute(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        for name in ("key", "name", "type"):
            if not isinstance(body.get(name), str) or not body[name]:
                raise RefusedError(422, f"The {name} field is required.")
        key, name = body["key"], body["name"]
        if body["type"] not in ATTRIBUTE_TYPES:
            raise RefusedError(422, "invalid field type")
        attributes = self._account.attributes()
        if key in attributes:
            raise RefusedError(422, "Key must be unique")
        taken = {attribute["name"] for attribute in attributes.values()} | set(self._account.lists().values())
        if not taken.isdisjoint({key, name}):
            raise RefusedError(422, "Name must be unique")
        more = {field: body[field] for field in ("validators", "options") if field in body}
        is_indexed = str(body.get("index")).lower() in {"1", "true"}
        self._account.add_attribute(key, body["type"], name, index=is_indexed, **more)
        return json_reply({"success": True})

    async def _get_attribute(self, request: web.Request) -> web.Response:
        return json_reply(self._attribute(request))

    async def _put_attribute(self, request: web.Request) -> web.Response:
        attribute = self._attribute(request)
        body = await read_body(request)
        if body.get("type", attribute["type"]) != attribute["type"]:
            raise RefusedError(422, "You can not change type")
        changes = {field: body[field] for field in ("name", "validators", "options") if field in body}
        self._account.change_attribute(attribute["key"], **changes)
        return json_reply({"success": True})

    async def _delete_attribute(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        if key not in self._account.attributes():
            raise no_record()
        self._account.remove_attribute(key)
        return json_reply({"success": True})

    def _attribute(self, request: web.Request) -> dict[str, t.Any]:
        attribute = self._account.attributes().get(request.match_info["key"])
        if attribute is not None:
            return attribute
        # The Swagger knows no 404 here; other calls for what is not there have one.
        if self._faults.get("attribute_not_found") is not None:
            raise no_record()
        raise RefusedError(422, "Key not exist")

    def _list(self, id_: int) -> dict[str, t.Any]:
        return {"id": id_, "name": self._account.lists()[id_], "enhanced": self._account.is_enhanced(id_)}

    def _list_id(
        self,
        request: web.Request,
        message: str = "List does not exist",
        error_key: str = "ACCOUNT_LISTS_NOT_FOUND",
    ) -> int:
        given = request.match_info["id"]
        if not given.isdecimal() or int(given) not in self._account.lists():
            raise RefusedError(404, message, error_key)
        return int(given)

    def _checked_list(self, body: dict[str, t.Any], id_: int | None) -> tuple[str, bool]:
        """The name and the tracking of a list that is to be, if nothing is wrong with them."""
        name = body.get("name")
        if not isinstance(name, str) or not name:
            raise RefusedError(422, "The name field is required.")
        is_enhanced = body.get("enhanced", False)
        if not isinstance(is_enhanced, bool):
            raise RefusedError(422, "The enhanced field must be true or false.")
        if name.lower() == "cid":
            raise RefusedError(422, "cid is not allowed for list names.")
        allowed = r"[A-Za-z0-9-]+" if self._faults.get("no_underscores") is not None else r"[A-Za-z0-9_-]+"
        if not re.fullmatch(allowed, name) or len(name) > MAX_NAME:
            raise RefusedError(
                422, "Name must contain only letters, numbers, and dashes. Should not exceed 128 characters"
            )
        taken = {other for known, other in self._account.lists().items() if known != id_}
        for key, attribute in self._account.attributes().items():
            taken |= {key, attribute["name"]}
        if name in taken:
            raise RefusedError(422, "Name must be unique")
        return name, is_enhanced
