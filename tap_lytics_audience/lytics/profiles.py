"""Profiles as a scan gives them: decoded straight into objects of the fields that were asked for."""

from __future__ import annotations

import contextlib
import operator
import types
import typing as t
from collections import Counter
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import astuple

from tap_lytics_audience.lytics.schema import EXACT, TEXT_LISTS, Json, MisfitError, converter, map_item

Profile: t.TypeAlias = msgspec.Struct
"""An object with a field for each that was asked for, in that order; null where the profile has none."""


_T = t.TypeVar("_T")


class _Reply(msgspec.Struct, t.Generic[_T]):
    """An answer to a scan (Lytics docs: segment scan)."""

    data: list[_T]
    total: t.Any = None
    next: t.Any = msgspec.field(name="_next", default=None)


@dataclass(frozen=True)
class Page:
    """A page of a scan.

    Attributes:
        profiles: Its profiles.
        total: The size of the whole audience, where Lytics says it.
        cursor: Where the next page starts; blank on the last.
    """

    profiles: list[Profile]
    total: int | None
    cursor: str


@dataclass
class Profiles:
    """Reads profiles.

    Pages are decoded into classes made for the fields: to go by dictionaries took three times as long.

    Attributes:
        kinds: Lytics type of each field, by its name; blank for one that is taken as it comes.
        unasked: Those of them that the account does not know, and that may come all the same.
        misfits: How many values of each field did not fit its type, and became null.
    """

    kinds: dict[str, str]
    unasked: frozenset[str] = frozenset()
    misfits: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """A class for pages whose values are nearly as they should be, and one for those that hold anything."""
        usual = object_class("Profile", {name: _usual_type(kind) for name, kind in self.kinds.items()})
        self._odd = odd = object_class("Profile", dict.fromkeys(self.kinds, t.Any))
        self._attributes = dict(zip(self.kinds, usual.__struct_fields__, strict=True))
        self._decode = msgspec.json.Decoder(_Reply[usual]).decode  # type: ignore[valid-type]
        self._decode_odd = msgspec.json.Decoder(_Reply[t.Any]).decode
        plan = [
            (place, EXACT.get(kind), converter(kind), name)
            for place, (name, kind) in enumerate(self.kinds.items())
            if _usual_type(kind) is not t.Any
        ]
        self._plans = {
            odd: plan,
            usual: [step for step in plan if _may_be_text(self.kinds[step[3]])],
        }

    @property
    def names(self) -> list[str]:
        """The fields to ask for."""
        return [name for name in self.kinds if name not in self.unasked]

    def page(self, content: bytes) -> Page | None:
        """Decode an answer.

        Args:
            content: A page as Lytics sent it.

        Returns:
            The page; None if this is none.
        """
        with contextlib.suppress(msgspec.DecodeError, UnicodeError):
            try:
                found = self._decode(content)
            except msgspec.ValidationError:
                found = self._decode_odd(content)
                found.data = [msgspec.convert(row, self._odd) for row in found.data if isinstance(row, dict)]
            total = found.total if type(found.total) is int else None
            return Page(found.data, total, str(found.next or ""))
        return None

    def getter(self, name: str) -> t.Callable[[Profile], Json]:
        """How to get a field's value as it came.

        Args:
            name: The field.
        """
        return operator.attrgetter(self._attributes[name])

    def typed(self, profile: Profile) -> list[Json]:
        """A profile's values, made to fit their fields' types.

        Args:
            profile: The profile.

        Returns:
            Values in the order of `kinds`.
        """
        values = list(astuple(profile))
        for place, exact, convert, name in self._plans[type(profile)]:
            value = values[place]
            if value is not None and type(value) is not exact:
                try:
                    values[place] = convert(value)
                except MisfitError:
                    self.misfits[name] += 1
                    values[place] = None
        return values


def object_class(name: str, fields: dict[str, t.Any]) -> type[msgspec.Struct]:
    """A class of objects with fields of any name, which msgspec reads and writes much faster than dictionaries.

    Args:
        name: What to call it.
        fields: Python type of each field by its name; all can be null.
    """
    names = {f"field{number}": field_name for number, field_name in enumerate(fields)}
    return msgspec.defstruct(
        name,
        [(attribute, fields[field_name], None) for attribute, field_name in names.items()],
        rename=names,
        gc=False,
    )


def _usual_type(kind: str) -> t.Any:
    """The Python type of most values of a Lytics type: those that fit, and numbers and booleans as text."""
    exact: t.Any = EXACT.get(kind)
    if exact is not None:
        return exact | (int | str if exact is float else str) | None
    if kind in TEXT_LISTS:
        return list[str] | None
    item = map_item(kind)
    return t.Any if item is None else types.GenericAlias(dict, (str, _usual_type(item))) | None


def _may_be_text(kind: str) -> bool:
    """Whether values that should be none can be text all the same."""
    return EXACT.get(map_item(kind) or kind, str) is not str
