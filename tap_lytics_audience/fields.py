"""Profile fields: what JSON schema a Lytics type has, and how its loose values are made to fit it."""

from __future__ import annotations

import decimal
import hashlib
import math
import re
import typing as t
from collections import Counter
from dataclasses import dataclass, field

import msgspec

if t.TYPE_CHECKING:
    from tap_lytics_audience.client import Field

Json: t.TypeAlias = t.Any

_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_TRUE = frozenset({"t", "true", "1", "yes"})
_FALSE = frozenset({"f", "false", "0", "no"})
_TIMES = frozenset({"date", "time", "datetime"})
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
    if kind in {"[]string", "ts[]string", "[]time", "membership"}:
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


def coerce(kind: str, value: Json) -> Json:
    """Make a value fit its field's type: older accounts give numbers and booleans as text.

    Args:
        kind: The type.
        value: The value.

    Returns:
        The typed value.

    Raises:
        MisfitError: If it does not fit.
    """
    if value is None:
        return None
    if kind == "string" or kind in _TIMES:
        return _text(value)
    if kind in {"int", "integer"}:
        return _integer(value)
    if kind in {"number", "float"}:
        return _number(value)
    if kind in {"bool", "boolean"}:
        return _boolean(value)
    if kind in {"[]string", "ts[]string", "[]time", "membership"}:
        return (
            [_text(item) for item in value if item is not None] if isinstance(value, list) else [_text(value)]
        )
    item = _map_item(kind)
    if item is not None:
        if not isinstance(value, dict):
            raise MisfitError
        return {str(key): coerce(item, inner) for key, inner in value.items()}
    return value


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
        self._plan = [(name, kind, _EXACT.get(kind)) for name, kind in self.kinds.items()]
        self._sent = [(column, places[name]) for name, column in self.sent]
        self._digests = [
            [(places.get(name, -1), self.kinds.get(name) in _CANONICAL_KINDS) for name in fields]
            for fields in (self.fields, *self.compared)
        ]

    def typed(self, row: t.Mapping[str, Json]) -> list[Json]:
        """A profile's values, typed.

        Args:
            row: The profile as Lytics gave it.

        Returns:
            Values in the order of `kinds`, null where the profile has none, and a null at the end.
        """
        values: list[Json] = []
        for name, kind, exact in self._plan:
            value = row.get(name)
            if value is not None and type(value) is not exact:
                try:
                    value = coerce(kind, value)
                except MisfitError:
                    value = None
                    self.misfits[name] += 1
            values.append(value)
        values.append(None)
        return values

    def record(self, values: list[Json]) -> bytes:
        """The fields of a record.

        Args:
            values: Typed values.

        Returns:
            JSON without the braces.
        """
        return encode({column: values[place] for column, place in self._sent})[1:-1]

    def digests(self, values: list[Json]) -> list[int]:
        """Numbers that change when a field does.

        Args:
            values: Typed values.

        Returns:
            Signed 64-bit numbers: over `fields`, then over each of `compared`.
        """
        return [
            _digest(
                [
                    values[place] if is_canonical else _canonical(values[place])
                    for place, is_canonical in places
                ]
            )
            for places in self._digests
        ]


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
