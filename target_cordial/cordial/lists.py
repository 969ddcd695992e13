"""Lists of the account."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from http import HTTPStatus

from target_cordial.cordial.answers import count_of, mapping, message_of
from target_cordial.cordial.connection import Connection, decoded, items, raise_for_status
from target_cordial.cordial.errors import CordialError, ListNameError

_PATH = "/accountlists"


@dataclass(frozen=True)
class ContactList:
    """A list as Cordial has it."""

    id: int
    name: str


@dataclass
class Sizes:
    """How many contacts were on a list before and after a run; None where nobody asked, or Cordial does not say."""

    size_before: int | None = None
    size_after: int | None = None


class ListCalls:
    """Calls of `/accountlists`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def find(self, name: str) -> ContactList | None:
        """The list of exactly this name, or None."""
        for item in items(self._connection.get(_PATH, {"name": name}, absent=[])):
            if item.get("name") == name and count_of(item.get("id")) is not None:
                return ContactList(int(item["id"]), name)
        return None

    def names(self) -> list[str]:
        """The names of all lists."""
        return [str(item.get("name")) for item in items(self._connection.get(_PATH, absent=[]))]

    def by_id(self, list_id: int) -> ContactList | None:
        """The list of this id, or None."""
        reply = self._counted(list_id)
        return ContactList(list_id, str(reply["name"])) if reply.get("name") else None

    def size(self, list_id: int) -> int:
        """How many contacts are on a list now; a `CordialError` if Cordial does not say."""
        size = count_of(self._counted(list_id).get("count"))
        if size is None:
            raise CordialError(
                f"Cordial does not say how many contacts are on list {list_id}: check that it still exists."
            )
        return size

    def is_there(self, target_list: ContactList) -> bool:
        """Whether a list still has its id and its name, as far as Cordial says."""
        reply = self._connection.get(f"{_PATH}/{target_list.id}/count", absent=None)
        return reply is not None and mapping(reply).get("name", target_list.name) == target_list.name

    def create(self, name: str) -> ContactList | None:
        """Create a list, of a name in Cordial's alphabet; None if the name is taken, by a list made meanwhile or by an attribute."""
        status, body = self._connection.post(_PATH, {"name": name, "enhanced": True})
        if status == HTTPStatus.UNPROCESSABLE_ENTITY:
            message = message_of(body)
            if "unique" in message.lower():
                return None
            raise ListNameError(
                f"Cordial does not take {name!r} as the name of a list ({message}): set list_name to another."
            )
        raise_for_status(status, body, _PATH)
        list_id = count_of(mapping(decoded(body)).get("id"))
        return ContactList(list_id, name) if list_id is not None else self.find(name)

    def _counted(self, list_id: int) -> dict[str, t.Any]:
        return mapping(self._connection.get(f"{_PATH}/{list_id}/count", absent={}))
