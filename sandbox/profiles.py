"""Profiles: made people as long as nobody changed them, and stored ones."""

from __future__ import annotations

import typing as t

import msgspec

from sandbox.people import People, Profile, member_key

_encode = msgspec.json.Encoder().encode


class Profiles:
    """The profiles of an account, each with its `_id`."""

    def __init__(self, people: People) -> None:
        self.people = people
        self._count = 0
        # A made person is known by number alone; who was given or changed is stored.
        self._made: dict[str, int] = {}
        self._stored: dict[str, bytes] = {}
        self._stored_at: dict[str, dict[str, None]] = {}

    def __iter__(self) -> t.Iterator[str]:
        yield from self._made
        yield from self._stored

    def __contains__(self, id_: str) -> bool:
        return id_ in self._made or id_ in self._stored

    def new_number(self) -> int:
        """A number that nobody has had."""
        number, self._count = self._count, self._count + 1
        return number

    def new_person(self) -> str:
        """Make a person."""
        number = self.new_number()
        id_ = self.people.id(number)
        self._made[id_] = number
        return id_

    def get(self, id_: str) -> Profile:
        """A profile, with typed values."""
        stored = self._stored.get(id_)
        if stored is not None:
            return t.cast("Profile", msgspec.json.decode(stored))
        return self.people.person(self._made[id_])

    def number(self, id_: str) -> int | None:
        """Which person a profile is."""
        return self._made.get(id_)

    def key(self, id_: str) -> str | None:
        """The key under which a profile is a member."""
        number = self._made.get(id_)
        return member_key(self.get(id_).get("email") if number is None else self.people.address(number))

    def split(self, id_: str) -> int:
        """The slice of the account that a profile is in."""
        number = self._made.get(id_)
        return int(self.get(id_)["_split"]) if number is None else self.people.split(number)

    def store(self, profile: Profile) -> None:
        """Keep a profile, new or changed."""
        id_ = str(profile["_id"])
        self.forget(id_)
        self._stored[id_] = _encode(profile)
        key = member_key(profile.get("email"))
        if key is not None:
            self._stored_at.setdefault(key, {})[id_] = None

    def forget(self, id_: str) -> None:
        """Delete a profile, if there is one."""
        if id_ in self._stored:
            self._stored_at.get(self.key(id_) or "", {}).pop(id_, None)
            del self._stored[id_]
        self._made.pop(id_, None)

    def candidates(self, field: str | None, values: t.Iterable[str]) -> t.Iterable[str]:
        """The profiles whose field can have one of some values: few for the identifiers, else all."""
        if field == "_id":
            return [id_ for id_ in values if id_ in self]
        if field == "email":
            keys = {member_key(value) or "" for value in values}
            made = {self.people.id(number) for key in keys for number in self.people.at(key)}
            stored = {id_ for key in keys for id_ in self._stored_at.get(key, ())}
            return stored.union(id_ for id_ in made if id_ in self._made)
        return list(self)
