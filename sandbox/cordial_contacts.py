"""Cordial's contacts, one at a time."""

from __future__ import annotations

import re
import typing as t

from aiohttp import web

from sandbox.account import Account, Contact
from sandbox.cordial_call import is_count, no_record, page_reply, read_body, refuse_field
from sandbox.faults import Faults
from sandbox.importing import STATUSES
from sandbox.replies import json_reply

_NO_FIELDS = frozenset(["channels", "attributes", "suppressTriggers", "identifyBy", "forceSubscribe"])


class ContactCalls:
    """Answers calls about contacts."""

    def __init__(self, account: Account, faults: Faults) -> None:
        self._account = account
        self._faults = faults

    def route(self, app: web.Application) -> None:
        """Answer an application's calls."""
        router = app.router
        router.add_get("/v2/contacts", self._get_contacts)
        router.add_post("/v2/contacts", self._post_contact)
        router.add_get("/v2/contacts/{key:[^/]+}", self._get_contact)
        router.add_put("/v2/contacts/{key:[^/]+}", self._put_contact)
        router.add_delete("/v2/contacts/{key:[^/]+}", self._delete_contact)

    async def _get_contacts(self, request: web.Request) -> web.Response:
        email = request.query.get("email")
        contacts = (
            self._account.contacts()
            if email is None
            else self._account.contacts("WHERE address = ?", self._address(email))
        )
        found = [self._contact(address, contact) for address, contact in contacts.items()]
        # The Swagger knows no refusal of this call: a page that is no number counts as none.
        pages = {name: request.query.get(name, "") for name in ("page", "per_page")}
        return page_reply(found, {name: text for name, text in pages.items() if is_count(text)})

    async def _get_contact(self, request: web.Request) -> web.Response:
        return json_reply(self._contact(*self._found(request)))

    async def _post_contact(self, request: web.Request) -> web.Response:
        body = await read_body(request)
        address = _email(body).get("address")
        if not isinstance(address, str) or "@" not in address:
            refuse_field("channels.email.address", "The channels.email.address field is required.")
        address = self._address(address)
        known = self._account.contact(address)
        self._put(address, known or Contact(subscribe_status="none"), body)
        message = "contact created" if known is None else "contact updated"
        return json_reply(
            {"success": True, "message": message, "cID": self._account.contact_id(address)}, 201
        )

    async def _put_contact(self, request: web.Request) -> web.Response:
        self._put(*self._found(request), await read_body(request))
        return json_reply({"success": True})

    async def _delete_contact(self, request: web.Request) -> web.Response:
        self._account.remove_contact(self._found(request)[0])
        return json_reply({"success": True})

    def _put(self, address: str, known: Contact, body: dict[str, t.Any]) -> None:
        """Change a contact as a call says: attributes and lists stand beside the channels, or under `attributes`."""
        more = body.get("attributes") or {}
        if not isinstance(more, dict):
            refuse_field("attributes", "The attributes field is invalid.")
        fields = {name: value for name, value in body.items() if name not in _NO_FIELDS} | more
        attributes = self._account.attributes()
        values = dict(known.attributes)
        lists: dict[int, bool] = {}
        for name, value in fields.items():
            key, _, part = name.partition(".")
            list_id = self._account.list_id(name)
            if part and attributes.get(key, {}).get("type") == "geo":
                values[key] = {**values.get(key, {}), part: value}
            elif name in attributes:
                values[name] = value
            elif list_id is not None and isinstance(value, bool):
                lists[list_id] = value
            else:
                refuse_field(name, f"The {name} field is invalid.")
        status = _email(body).get("subscribeStatus", known.subscribe_status)
        if status not in STATUSES:
            refuse_field("channels.email.subscribeStatus", "The selected subscribeStatus is invalid.")
        if known.subscribe_status == "unsubscribed" and not body.get("forceSubscribe"):
            status = "unsubscribed"
        self._account.put_contact(address, values, status)
        for list_id, is_on in lists.items():
            (self._account.join if is_on else self._account.leave)(list_id, address)

    def _found(self, request: web.Request) -> tuple[str, Contact]:
        key = request.match_info["key"]
        address = self._account.address_of(key) if re.fullmatch(r"[0-9a-f]{24}", key) else None
        address = address or self._address(key.removeprefix("email:"))
        contact = self._account.contact(address)
        if contact is None:
            raise no_record()
        return address, contact

    def _address(self, text: str) -> str:
        return text if self._faults.get("address_case_kept") is not None else text.lower()

    def _contact(self, address: str, contact: Contact) -> dict[str, t.Any]:
        kinds = {key: attribute["type"] for key, attribute in self._account.attributes().items()}
        return {
            "_id": self._account.contact_id(address),
            "attributes": {
                key: self._shown(kinds.get(key), value) for key, value in contact.attributes.items()
            },
            "channels": {"email": {"address": address, "subscribeStatus": contact.subscribe_status}},
            "lists": sorted(contact.lists),
        }

    def _shown(self, kind: str | None, value: t.Any) -> t.Any:
        if self._faults.get("contact_values") is None:
            return _number(value) if kind == "number" else value
        if kind == "date" and "T" in value:
            return re.sub(r"(:\d\d(?:\.\d{1,3})?)\d*(?=Z|[+-]\d\d:?\d\d|$)", r"\1", value, count=1)
        return ",".join(value) if isinstance(value, list) else str(value) if kind == "number" else value


def _email(body: dict[str, t.Any]) -> dict[str, t.Any]:
    """What a call says of the channel email."""
    channels = body.get("channels") or {}
    email = channels.get("email") or {} if isinstance(channels, dict) else None
    if not isinstance(email, dict):
        refuse_field("channels.email.address", "The channels.email.address field is required.")
    return email


def _number(value: t.Any) -> t.Any:
    try:
        return float(value) if re.search(r"[.eE]", str(value)) else int(value)
    except ValueError:
        return value
