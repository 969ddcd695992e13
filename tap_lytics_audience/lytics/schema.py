"""Profile fields: what JSON schema a Lytics type has, and how its loose values are made to fit it."""

from __future__ import annotations

import decimal
import math
import re
import typing as t
from dataclasses import dataclass

import msgspec

Json: t.TypeAlias = t.Any
Converter: t.TypeAlias = "t.Callable[[Json], Json]"

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?P<fraction>\.[0-9]+)?(?P<exponent>[eE][+-]?[0-9]+)?")
_TRUE = frozenset({"t", "true", "1", "yes"})
_FALSE = frozenset({"f", "false", "0", "no"})
_TIMES = frozenset({"date", "time", "datetime"})
TEXT_LISTS = frozenset({"[]string", "ts[]string", "[]time", "membership"})
_ANY: dict[str, Json] = {"type": ["object", "array", "string", "number", "boolean", "null"]}
_MAX_FLOAT_DIGITS = 15
_MAX_NUMBER_CHARACTERS = 100

encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True)
class Field:
    """A profile field of the account's schema."""

    name: str
    type: str
    description: str = ""


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
    if kind in TEXT_LISTS:
        return {"type": ["array", "null"], "items": {"type": ["string", "null"]}}
    item = map_item(kind)
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
    item = map_item(kind)
    return _same if item is None else _map_converter(item)


def _map_converter(kind: str) -> Converter:
    convert, exact = converter(kind), EXACT[kind]
    fitting = frozenset((exact, type(None)))

    def typed(value: Json) -> Json:
        if type(value) is not dict:
            raise MisfitError
        if fitting.issuperset(map(type, value.values())):
            return value
        return {
            key: inner if inner is None or type(inner) is exact else convert(inner)
            for key, inner in value.items()
        }

    return typed


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
    if isinstance(value, str):
        return _number_of(value.strip())
    if isinstance(value, bool):
        return int(value)
    if isinstance(value, int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    raise MisfitError


def _number_of(text: str) -> int | float | decimal.Decimal:
    found = None if len(text) > _MAX_NUMBER_CHARACTERS else _NUMBER.fullmatch(text)
    if found is None:
        raise MisfitError
    if found.lastgroup is None:
        return int(text)
    number = float(text)
    if not math.isfinite(number):
        raise MisfitError
    is_exact = len(text) <= _MAX_FLOAT_DIGITS or sum(map(str.isdigit, text)) <= _MAX_FLOAT_DIGITS
    return number if is_exact else decimal.Decimal(text)


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


def map_item(kind: str) -> str | None:
    """The type of a map's values, where all are of one.

    Args:
        kind: A type.

    Returns:
        Their type; None if this is no such map.
    """
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
EXACT: dict[str, type] = {
    **dict.fromkeys(("string", *_TIMES), str),
    **dict.fromkeys(("int", "integer"), int),
    **dict.fromkeys(("number", "float"), float),
    **dict.fromkeys(("bool", "boolean"), bool),
}
"""Python type of JSON values that fit a Lytics type as they are."""
_CONVERTERS: dict[str, Converter] = {
    **dict.fromkeys(("string", *_TIMES), _text),
    **dict.fromkeys(("int", "integer"), _integer),
    **dict.fromkeys(("number", "float"), _number),
    **dict.fromkeys(("bool", "boolean"), _boolean),
    **dict.fromkeys(TEXT_LISTS, _texts),
}
