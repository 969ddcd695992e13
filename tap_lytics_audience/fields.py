"""Profile fields: what JSON schema a Lytics type has, and how its loose values are made to fit it."""

from __future__ import annotations

import decimal
import hashlib
import math
import operator
import re
import types
import typing as t
from collections import Counter
from dataclasses import dataclass, field

import msgspec
from msgspec.structs import astuple

if t.TYPE_CHECKING:
    from tap_lytics_audience.client import Field

Json: t.TypeAlias = t.Any
Values: t.TypeAlias = "tuple[Json, ...]"
Converter: t.TypeAlias = "t.Callable[[Json], Json]"

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_TRUE = frozenset({"t", "true", "1", "yes"})
_FALSE = frozenset({"f", "false", "0", "no"})
_TIMES = frozenset({"date", "time", "datetime"})
_TEXT_LISTS = frozenset({"[]string", "ts[]string", "[]time", "membership"})
_ANY: dict[str, Json] = {"type": ["object", "array", "string", "number", "boolean", "null"]}
_MAX_FLOAT_DIGITS = 15
_MAX_NUMBER_CHARACTERS = 100

encode = msgspec.json.Encoder(decimal_format="number").encode
_encode_sorted = msgspec.json.Encoder(decimal_format="number", order="deterministic").encode


class MisfitError(ValueError):
    """A value does not fit its field's type."""


def json_schema(kind: str) -> dict[str, Json]:
    """The JSON schema of a Lytics type; every profile field may be missing, and so null (Lytics docs: schema).

    Args:
        kind: The type, such as `map[string]int`.

    Returns:
        The schema. A type that is not known, or has no fixed shape, takes anything.
    """
    if kind == "date":
        # Some hold a day alone, some a time: a format would be wrong for either.
        return {"type": ["string", "null"]}
    if kind in _TIMES:
        return {"type": ["string", "null"], "format": "date-time"}
    if kind in _SCALARS:
        return {"type": [_SCALARS[kind], "null"]}
    if kind in _TEXT_LISTS:
        return {"type": ["array", "null"], "items": {"type": ["string", "null"]}}
    item = _map_item(kind)
    if item is not None:
        return {"type": ["object", "null"], "additionalProperties": json_schema(item)}
    return dict(_ANY)


def type_name(schema: t.Mapping[str, Json]) -> str:
    """A JSON schema's type, for people.

    Args:
        schema: As `json_schema` gives it.

    Returns:
        Its types without null, and its format if it has one.
    """
    types = [name for name in schema["type"] if name != "null"]
    name = "any type" if schema["type"] == _ANY["type"] else " or ".join(types)
    return f"{name} ({schema['format']})" if "format" in schema else name


def converter(kind: str) -> Converter:
    """How values are made to fit their field's type: older accounts give numbers and booleans as text.

    Args:
        kind: The type.

    Returns:
        A function of a value that is not null, which gives the typed value or raises MisfitError.
    """
    simple = _CONVERTERS.get(kind)
    if simple is not None:
        return simple
    item = _map_item(kind)
    return _same if item is None else _map_converter(item)


def _map_converter(kind: str) -> Converter:
    convert, exact = converter(kind), _EXACT.get(kind)

    def typed(value: Json) -> Json:
        if type(value) is not dict:
            raise MisfitError
        return {
            key: inner if inner is None or type(inner) is exact else convert(inner)
            for key, inner in value.items()
        }

    return typed


@dataclass
class Selection:
    """The profile fields that are sent, and how.

    What each field needs is worked out once: deciding it for each value took half of a scan's time.

    Attributes:
        identifier: The identifier's field.
        kinds: Lytics type of each field to ask for, by its name in Lytics.
        sent: Name in Lytics and in records of each field that is sent beside the identifier.
        fields: The fields that digests cover, sorted.
        compared: Fields that earlier digests cover which can still be compared, as more was sent then.
        misfits: How many values of each field did not fit its type, and were sent as null.
    """

    identifier: str
    kinds: dict[str, str]
    sent: list[tuple[str, str]]
    fields: list[str]
    compared: list[list[str]] = field(default_factory=list)
    misfits: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        """Where each field stands among the typed values; a null stands last, for fields that the account lost."""
        places = {name: place for place, name in enumerate(self.kinds)}
        self._plan = {
            name: (places[name], converter(kind), _EXACT.get(kind)) for name, kind in self.kinds.items()
        }
        self._profile = _struct("Profile", {name: _exact_type(kind) for name, kind in self.kinds.items()})
        self._record = _struct("Record", {column: t.Any for _, column in self.sent})
        self._sent_values = _getter([places[name] for name, _ in self.sent])
        self._digests = [
            (
                _getter([places.get(name, -1) for name in fields]),
                [
                    (place, canonical)
                    for place, name in enumerate(fields)
                    if (canonical := _canonical_form(self.kinds.get(name, "string"))) is not None
                ],
            )
            for fields in (self.fields, *self.compared)
        ]

    def typed(self, row: t.Mapping[str, Json]) -> Values:
        """A profile's values, typed.

        Args:
            row: The profile as Lytics gave it.

        Returns:
            Values in the order of `kinds`, null where the profile has none, and a null at the end.
        """
        # Most profiles need no conversion, which takes four times as long as seeing that they need none.
        try:
            return (*astuple(msgspec.convert(row, self._profile)), None)
        except msgspec.ValidationError:
            return self._converted(row)

    def _converted(self, row: t.Mapping[str, Json]) -> Values:
        values: list[Json] = [None] * (len(self._plan) + 1)
        for name, value in row.items():
            found = self._plan.get(name)
            if found is None or value is None:
                continue
            place, convert, exact = found
            if type(value) is exact:
                values[place] = value
            else:
                try:
                    values[place] = convert(value)
                except MisfitError:
                    self.misfits[name] += 1
        return tuple(values)

    def record(self, values: Values) -> bytes:
        """The fields of a record.

        Args:
            values: Typed values.

        Returns:
            JSON without the braces.
        """
        return encode(self._record(*self._sent_values(values)))[1:-1]

    def digests(self, values: Values) -> list[int]:
        """Numbers that change when a field does.

        Args:
            values: Typed values.

        Returns:
            Signed 64-bit numbers: over `fields`, then over each of `compared`.
        """
        marks = []
        for getter, loose in self._digests:
            covered = list(getter(values))
            for place, canonical in loose:
                value = covered[place]
                if value is not None:
                    covered[place] = canonical(value)
            marks.append(_digest(covered))
        return marks


def _struct(name: str, fields: dict[str, t.Any]) -> type[msgspec.Struct]:
    """A class of objects with fields of any name, which msgspec reads and writes much faster than dictionaries."""
    names = {f"field{number}": field_name for number, field_name in enumerate(fields)}
    return msgspec.defstruct(
        name,
        [(attribute, fields[field_name], None) for attribute, field_name in names.items()],
        rename=names,
        gc=False,
    )


def _exact_type(kind: str) -> t.Any:
    """The Python type of values that fit a Lytics type as they are."""
    exact: t.Any = _EXACT.get(kind)
    if exact is float:
        return float | int | None
    if exact is not None:
        return exact | None
    if kind in _TEXT_LISTS:
        return list[str] | None
    item = _map_item(kind)
    return t.Any if item is None else types.GenericAlias(dict, (str, _exact_type(item))) | None


def _getter(places: list[int]) -> t.Callable[[Values], tuple[Json, ...]]:
    """`operator.itemgetter`, that gives a tuple for one place and for none too."""
    if len(places) > 1:
        return operator.itemgetter(*places)
    return lambda values: tuple(values[place] for place in places)


def digest_fields(names: t.Iterable[str], identifier: str) -> list[str]:
    """The fields that count for a digest; `_` fields and `segments` change with no one's doing.

    Args:
        names: Selected fields, by their names in Lytics.
        identifier: The identifier's field.

    Returns:
        Their names, sorted.
    """
    return sorted(name for name in names if not name.startswith("_") and name not in {"segments", identifier})


def as_columns(fields: t.Iterable[Field], reserved: t.Container[str]) -> dict[str, str]:
    """Names in records of all fields.

    Args:
        fields: The account's fields.
        reserved: Names that are taken.

    Returns:
        Name in records by name in Lytics.
    """
    names = [item.name for item in fields]
    columns: dict[str, str] = {}
    for name in names:
        column = name
        while column in reserved or (column != name and column in names):
            column = f"profile_{column}"
        columns[name] = column
    return columns


def _digest(values: list[Json]) -> int:
    mark = hashlib.blake2b(_encode_sorted(values), digest_size=8).digest()
    return int.from_bytes(mark, "big", signed=True)


def _canonical_form(kind: str) -> Converter | None:
    """How values of a type get the one form that digests see; None if they have no other."""
    if kind in _CANONICAL_KINDS or (_map_item(kind) in _CANONICAL_KINDS):
        return None
    return sorted if kind in _TEXT_LISTS else _canonical


def _canonical(value: Json) -> Json:
    """Lists as sets, and a number as one however it was written."""
    if isinstance(value, list):
        return sorted((_canonical(item) for item in value), key=_encode_sorted)
    if isinstance(value, dict):
        return {key: _canonical(inner) for key, inner in value.items()}
    if isinstance(value, (float, decimal.Decimal)) and value == int(value):
        return int(value)
    if isinstance(value, decimal.Decimal):
        return float(value)
    return value


def _text(value: Json) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    return encode(value).decode()


def _integer(value: Json) -> int:
    number = _number(value)
    if number == int(number):
        return int(number)
    raise MisfitError


def _number(value: Json) -> int | float | decimal.Decimal:
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    text = value.strip() if isinstance(value, str) else ""
    if len(text) > _MAX_NUMBER_CHARACTERS or not _NUMBER.fullmatch(text):
        raise MisfitError
    if text.lstrip("-").isdigit():
        return int(text)
    if not math.isfinite(float(text)):
        raise MisfitError
    return float(text) if sum(map(str.isdigit, text)) <= _MAX_FLOAT_DIGITS else decimal.Decimal(text)


def _texts(value: Json) -> list[str]:
    if isinstance(value, list):
        return [item if type(item) is str else _text(item) for item in value if item is not None]
    return [_text(value)]


def _same(value: Json) -> Json:
    return value


def _boolean(value: Json) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise MisfitError


def _map_item(kind: str) -> str | None:
    found = re.fullmatch(r"map\[string\](int|integer|number|float|string|bool|time)", kind)
    return found[1] if found else None


_SCALARS = {
    "string": "string",
    "int": "integer",
    "integer": "integer",
    "number": "number",
    "float": "number",
    "bool": "boolean",
    "boolean": "boolean",
}
_EXACT: dict[str, type] = {
    **dict.fromkeys(("string", *_TIMES), str),
    **dict.fromkeys(("int", "integer"), int),
    **dict.fromkeys(("number", "float"), float),
    **dict.fromkeys(("bool", "boolean"), bool),
}
"""Python type of JSON values that fit a Lytics type as they are."""
_CANONICAL_KINDS = frozenset({"string", "int", "integer", "bool", "boolean", *_TIMES})
"""Types whose values have one form alone."""
_CONVERTERS: dict[str, Converter] = {
    **dict.fromkeys(("string", *_TIMES), _text),
    **dict.fromkeys(("int", "integer"), _integer),
    **dict.fromkeys(("number", "float"), _number),
    **dict.fromkeys(("bool", "boolean"), _boolean),
    **dict.fromkeys(_TEXT_LISTS, _texts),
}
