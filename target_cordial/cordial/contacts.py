"""Contacts of the account, one at a time."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from urllib.parse import quote

from target_cordial.cordial.answers import mapping
from target_cordial.cordial.connection import Connection
from target_cordial.cordial.lists import ContactList

_PATH = "/contacts"


@dataclass(frozen=True)
class Contact:
    """A contact as Cordial has it (Cordial Swagger v2: ContactC).

    Attributes:
        attributes: Values by attribute key; of a geo attribute an object of its parts.
        lists: The lists that it is on, by name or id.
        status: Its subscribe status in the channel that it was asked for by.
    """

    attributes: t.Mapping[str, t.Any]
    lists: frozenset[str]
    status: str | None = None

    def is_on(self, target_list: ContactList) -> bool:
        """Whether it is on a list."""
        return not self.lists.isdisjoint({target_list.name, str(target_list.id)})


class ContactCalls:
    """Calls of `/contacts`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, channel: str, address: str) -> Contact | None:
        """The contact with this address of a channel, or None."""
        reply = self._connection.get(f"{_PATH}/{quote(f'{channel}:{address}', safe='')}", absent=None)
        if reply is None:
            return None
        lists = mapping(reply).get("lists")
        names = lists if isinstance(lists, list) else []
        status = mapping(mapping(mapping(reply).get("channels")).get(channel)).get("subscribeStatus")
        return Contact(
            mapping(mapping(reply).get("attributes")),
            frozenset(map(str, names)),
            status if isinstance(status, str) else None,
        )
