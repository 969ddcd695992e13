"""Contact attributes of the account."""

from __future__ import annotations

import decimal
import typing as t
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import quote

from target_cordial.cordial.answers import limit_of, mapping
from target_cordial.cordial.connection import Connection, items, raise_for_status
from target_cordial.cordial.errors import InvalidValueError

MAX_ARRAY_ITEMS = 25
"""Where an attribute says nothing else (Cordial Swagger v2: contact attribute)."""
_PATH = "/accountcontactattributes"


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


class AttributeCalls:
    """Calls of `/accountcontactattributes`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self, named: t.Iterable[str] = ()) -> dict[str, Attribute]:
        """The contact attributes that Cordial lists, by key, in whichever of three shapes it answers; and those of the named ones that it has.

        Cordial's own client asks for pages of them, so that the list may not show all.
        """
        attributes = self._listed()
        for key in named:
            if key not in attributes and (attribute := self._find(key)) is not None:
                attributes[key] = attribute
        return attributes

    def _find(self, key: str) -> Attribute | None:
        try:
            reply = mapping(self._connection.get(f"{_PATH}/{quote(key, safe='')}", absent=None))
        except InvalidValueError:
            # "Key not exist" (Cordial Swagger v2: AttributeError).
            return None
        return Attribute.from_reply({**reply, "key": key}) if reply.get("type") else None

    def _listed(self) -> dict[str, Attribute]:
        reply = self._connection.get(_PATH, absent=None)
        if reply is None:
            # An account without attributes answers with an empty list.
            raise_for_status(HTTPStatus.NOT_FOUND, b"", _PATH)
        if isinstance(reply, dict):
            reply = [{"key": key, **mapping(value)} for key, value in reply.items()]
        return {item["key"]: Attribute.from_reply(item) for item in items(reply) if item.get("key")}
