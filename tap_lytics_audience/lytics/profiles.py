"""Profiles of a scan: decoded straight into objects that have the fields asked for."""

from __future__ import annotations

import contextlib
import operator
import types
import typing as t
from collections import Counter
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import astuple

from tap_lytics_audience.lytics.schema import EXACT, TEXT_LISTS, TIMES, Json, MisfitError, converter, map_item

Profile: t.TypeAlias = msgspec.Struct
"""An object with the fields that were asked for, in their order; None where the profile has no value."""

_T = t.TypeVar("_T")


class _Reply(msgspec.Struct, t.Generic[_T]):
    """A page as Lytics sends it (Lytics docs: segment scan)."""

    data: list[_T] | None
    message: t.Any = None
    total: t.Any = None
    next: t.Any = msgspec.field(name="_next", default=None)


@dataclass(frozen=True)
class Page:
    """A page of a scan.

    Attributes:
        profiles: The profiles on it.
        total: How many profiles all pages hold together, where Lytics says it.
        cursor: Where the next page starts; blank on the last.
        has_shrunk: Whether an earlier page of the same scan, or slice, told a higher total.
    """

    profiles: list[Profile]
    total: int | None
    cursor: str
    has_shrunk: bool = False


@dataclass
class Profiles:
    """Decodes pages of profiles, and makes their values fit the types of their fields.

    Pages are decoded into classes made for these fields: dictionaries took three times as long.

    Attributes:
        kinds: The Lytics type of each field by its name; blank for a field whose values stay as they come.
        unasked: Fields of `kinds` that the account's schema lacks. Lytics is not asked for them, but may send them.
        misfits: How many values of each field did not fit its type, and were left out.
    """

    kinds: dict[str, str]
    unasked: frozenset[str] = frozenset()
    misfits: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Make a class for pages with the usual values, and a slower one for pages with any others."""
        usual = object_class("Profile", {name: _usual_type(kind) for name, kind in self.kinds.items()})
        self._loose = loose = object_class("Profile", dict.fromkeys(self.kinds, t.Any))
        self._attributes = dict(zip(self.kinds, usual.__struct_fields__, strict=True))
        self._decode_usual = msgspec.json.Decoder(_Reply[usual]).decode  # type: ignore[valid-type]
        self._decode_loose = msgspec.json.Decoder(_Reply[t.Any]).decode
        conversions = [
            (place, EXACT.get(kind), converter(kind), name)
            for place, (name, kind) in enumerate(self.kinds.items())
            if _usual_type(kind) is not t.Any
        ]
        self._conversions = {
            loose: conversions,
            usual: [item for item in conversions if _is_read(self.kinds[item[3]])],
        }

    @property
    def names(self) -> list[str]:
        """The fields to ask Lytics for."""
        return [name for name in self.kinds if name not in self.unasked]

    def page(self, content: bytes) -> Page | None:
        """Decode a page as Lytics sent it; None if the content is no page.

        The last page may have `null` in place of no profiles (not known). A null that says no more is a failure.
        """
        with contextlib.suppress(msgspec.DecodeError, UnicodeError):
            try:
                reply = self._decode_usual(content)
            except msgspec.ValidationError:
                reply = self._decode_loose(content)
                rows = reply.data or []
                reply.data = [msgspec.convert(row, self._loose) for row in rows if isinstance(row, dict)]
            if reply.data is None and (reply.message != "success" or reply.next):
                return None
            total = reply.total if type(reply.total) is int else None
            return Page(reply.data or [], total, str(reply.next or ""))
        return None

    def getter(self, name: str) -> t.Callable[[Profile], Json]:
        """A function that gets the value of a field, as Lytics wrote it."""
        return operator.attrgetter(self._attributes[name])

    def typed(self, profile: Profile) -> list[Json]:
        """The values of a profile, in the order of `kinds`; one that cannot fit its type is `msgspec.UNSET` and counted."""
        values = list(astuple(profile))
        for place, exact, convert, name in self._conversions[type(profile)]:
            value = values[place]
            if value is not None and type(value) is not exact:
                try:
                    values[place] = convert(value)
                except MisfitError:
                    self.misfits[name] += 1
                    values[place] = msgspec.UNSET
        return values


def object_class(name: str, fields: dict[str, t.Any]) -> type[msgspec.Struct]:
    """A class with the given Python type for each field, which can also be None.

    msgspec reads and writes its objects much faster than dictionaries. Fields may have any name.
    """
    names = {f"field{number}": field_name for number, field_name in enumerate(fields)}
    return msgspec.defstruct(
        name,
        [(attribute, fields[field_name], None) for attribute, field_name in names.items()],
        rename=names,
        gc=False,
    )


def _usual_type(kind: str) -> t.Any:
    """The Python type of most values of a Lytics type: values that fit, and numbers and booleans as text."""
    exact: t.Any = str if kind in TIMES else EXACT.get(kind)
    if exact is not None:
        return exact | (int | str if exact is float else str) | None
    if kind in TEXT_LISTS:
        return list[str] | None
    item = map_item(kind)
    return t.Any if item is None else types.GenericAlias(dict, (str, _usual_type(item))) | None


def _is_read(kind: str) -> bool:
    """Whether a usual value can be text that has to be read: as a number or boolean, or as blank."""
    item = map_item(kind) or kind
    return item in TIMES or EXACT.get(item, str) is not str
