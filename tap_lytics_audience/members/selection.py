"""The profile fields that are sent: as part of a record, and as digests that change when a field does."""

from __future__ import annotations

import decimal
import hashlib
import operator
import typing as t
from collections.abc import Callable
from dataclasses import dataclass, field

import msgspec

from tap_lytics_audience.lytics.profiles import Profile, Profiles, object_class
from tap_lytics_audience.lytics.schema import EXACT, TEXT_LISTS, Json, encode, map_item

Getter: t.TypeAlias = Callable[[list[Json]], tuple[Json, ...]]

TECHNICAL_FIELDS = ("_id", "_split")
"""Profile fields that tell profiles and slices apart. Some accounts may give them without being asked (not known)."""
_PLAIN = frozenset({str, int, bool, type(None)})

_MISFIT = "misfit"
"""Stands in a digest for a value that does not fit. Where text fits, nothing is left out, so no value that fits looks like it."""

_encode_sorted = msgspec.json.Encoder(
    decimal_format="number", order="deterministic", enc_hook=lambda _: _MISFIT
).encode


@dataclass
class Selection:
    """The profile fields that are sent, and how.

    What each field needs is worked out once: deciding it for each value took half of a scan's time.

    Attributes:
        identifier: The identifier's field.
        account: Lytics type of all fields of the account, by their names in Lytics.
        sent: Name in Lytics and in records of each field that is sent beside the identifier.
        fields: The fields that digests cover, sorted.
        compared: Fields that earlier digests cover which can still be compared, as more was sent then.
    """

    identifier: str
    account: dict[str, str]
    sent: list[tuple[str, str]]
    fields: list[str]
    compared: list[list[str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Where each field stands among the typed values; a null stands last, for fields that the account lost."""
        wanted = {name for name, _ in self.sent}.union(*self.compared)
        kinds = {name: kind for name, kind in self.account.items() if name in wanted}
        # The identifier and what is technical count as they came.
        kinds = {**dict.fromkeys((self.identifier, *TECHNICAL_FIELDS), ""), **kinds}
        unasked = frozenset(name for name in TECHNICAL_FIELDS if name not in self.account)
        self.profiles = Profiles(dict(sorted(kinds.items())), unasked)
        places = {name: place for place, name in enumerate(self.profiles.kinds)}
        self._record = object_class("Record", {column: t.Any for _, column in self.sent})
        self._sent_values = _getter([places[name] for name, _ in self.sent])
        self._digests = [
            (
                _getter([places.get(name, -1) for name in fields]),
                [
                    (place, canonical)
                    for place, name in enumerate(fields)
                    if (canonical := _canonical_form(kinds.get(name, "string"))) is not None
                ],
            )
            for fields in (self.fields, *self.compared)
        ]

    def fields_and_digests(self, profile: Profile) -> tuple[bytes, list[int]]:
        """What is sent of a profile, as JSON without the braces, and signed 64-bit digests over `fields`, then over each of `compared`.

        A value that does not fit its type is not sent. It differs from null, which may empty what the value has left alone.
        """
        values = self.profiles.typed(profile)
        values.append(None)
        record = encode(self._record(*self._sent_values(values)))[1:-1]
        digests = []
        for getter, canonical_forms in self._digests:
            covered = list(getter(values))
            for place, canonical in canonical_forms:
                value = covered[place]
                if value is not None:
                    covered[place] = canonical(value)
            digests.append(_digest(covered))
        return record, digests


def digest_fields(names: t.Iterable[str], identifier: str) -> list[str]:
    """Of the selected fields those that digests cover, sorted. `_` fields and `segments` change without anybody's doing."""
    return sorted(name for name in names if not name.startswith("_") and name not in {"segments", identifier})


def _getter(places: list[int]) -> Getter:
    """`operator.itemgetter`, that gives a tuple for one place and for none too."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)


def _digest(values: list[Json]) -> int:
    digest = hashlib.blake2b(_encode_sorted(values), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


def _canonical_form(kind: str) -> Callable[[Json], Json] | None:
    """How values of a type get the one form that digests see; None if they have no other."""
    exact = EXACT.get(map_item(kind) or kind)
    if exact is not None and exact is not float:
        return None
    return sorted if kind in TEXT_LISTS else _canonical


def _canonical(value: Json) -> Json:
    """Lists as sets, and a number as one however it was written."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is float:
        return int(value) if value.is_integer() else value
    if kind is dict:
        return {key: inner if type(inner) in _PLAIN else _canonical(inner) for key, inner in value.items()}
    if kind is list:
        return sorted(map(_canonical, value), key=_encode_sorted)
    if kind is decimal.Decimal:
        return int(value) if value == int(value) else float(value)
    return value
