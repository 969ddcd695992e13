"""Profiles as the rows of a scan: one selection of fields, as JSON."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

import msgspec

from sandbox.people import People, Profile, as_old_style, is_old_split

MEMBERSHIPS = ("segments", "_segments", "_segs")
"""The fields that tell of a profile's audiences: slugs, slugs again, and (in a shape that nobody documents) times."""
SYSTEM_FIELDS = frozenset({"_id", "_created", "_modified", "_split"})
_SPLITS = frozenset({"_split", "_split2"})
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Selection:
    """Which fields a row has, and how.

    Attributes:
        fields: The fields; None for all.
        without: Fields that it never has.
        is_old: Whether numbers and booleans are text for all, not only in the slices where they always are.
    """

    fields: frozenset[str] | None = None
    without: frozenset[str] = frozenset()
    is_old: bool = False

    def __contains__(self, name: str) -> bool:
        return (self.fields is None or name in self.fields) and name not in self.without


class Rows:
    """The rows of one selection. What many people share is serialized once, so that a row is only put together.

    Args:
        people: The people.
        selection: The selection.
    """

    def __init__(self, people: People, selection: Selection) -> None:
        self._people = people
        self._selection = selection
        self.memberships = [name for name in MEMBERSHIPS if name in selection]
        self._own_names = [name for name in people.own_names if name in selection]
        self._is_all_own = len(self._own_names) == len(people.own_names)
        self._bodies: dict[tuple[int, bool], bytes] = {}

    def row_of_person(self, number: int, memberships: dict[str, t.Any]) -> bytes:
        """The row of a person whose profile is as it was made."""
        own = self._people.own(number)
        is_old = self._selection.is_old or is_old_split(own["_split"])
        part = own if self._is_all_own else {name: own[name] for name in self._own_names if name in own}
        body_number = self._people.body_number(number)
        body = self._bodies.get((body_number, is_old))
        if body is None:
            body = _inside(self._selected(self._people.body(body_number)), is_old=is_old)
            self._bodies[body_number, is_old] = body
        return self._joined(_inside(part, is_old=is_old), body, memberships)

    def row_of_profile(self, profile: Profile, memberships: dict[str, t.Any]) -> bytes:
        """The row of any profile."""
        is_old = self._selection.is_old or is_old_split(int(profile["_split"]))
        return self._joined(_inside(self._selected(profile), is_old=is_old), b"", memberships)

    def _selected(self, profile: Profile) -> Profile:
        return {name: value for name, value in profile.items() if name in self._selection}

    def _joined(self, own: bytes, body: bytes, memberships: dict[str, t.Any]) -> bytes:
        return b"{" + b",".join(filter(None, (own, body, _encode(memberships)[1:-1]))) + b"}"


def _inside(part: Profile, *, is_old: bool) -> bytes:
    """A part of a row, without its braces."""
    if is_old:
        part = {name: value if name in _SPLITS else as_old_style(value) for name, value in part.items()}
    return _encode(part)[1:-1]
