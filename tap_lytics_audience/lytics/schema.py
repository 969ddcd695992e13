"""Profile fields: the JSON schema of each Lytics type, and how values are made to fit it."""

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
TIMES = frozenset({"date", "time", "datetime"})
TEXT_LISTS = frozenset({"[]string", "ts[]string", "[]time", "membership"})
_ANY: dict[str, Json] = {"type": ["object", "array", "string", "number", "boolean", "null"]}
_MAX_FLOAT_DIGITS = 15
_MAX_NUMBER_CHARACTERS = 100

encode = msgspec.json.Encoder(decimal_format="number").encode


@dataclass(frozen=True)
class Field:
    """A profile field of the account (Lytics docs: schema)."""

    name: str
    type: str
    description: str = ""


class MisfitError(ValueError):
    """A value does not fit its field's type."""


def json_schema(kind: str) -> dict[str, Json]:
    """The JSON schema of a Lytics type such as `map[string]int` (Lytics docs: schema).

    Every field may be missing in a profile, so null is always allowed. A type that is not known, or that has no fixed shape,
    allows anything.
    """
    if kind == "date":
        # Some dates are a day, some are a time. Neither format would be right for all.
        return {"type": ["string", "null"]}
    if kind in TIMES:
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
    """The type in a JSON schema, for people: without null, and with its format if it has one."""
    kinds = schema["type"]
    types = [name for name in ([kinds] if isinstance(kinds, str) else kinds) if name != "null"]
    name = "any type" if kinds == _ANY["type"] else " or ".join(types)
    return f"{name} ({schema['format']})" if "format" in schema else name


def converter(kind: str) -> Converter:
    """A function that makes a value fit a Lytics type; null aside. It raises `MisfitError` if the value cannot fit.

    Older accounts give numbers and booleans as text. Blank text is no value of any type but text.
    """
    item = map_item(kind)
    convert = _map_converter(item) if item is not None else _CONVERTERS.get(kind, _unchanged)
    if convert is _unchanged or kind == "string":
        return convert
    return lambda value: None if type(value) is str and not value.strip() else convert(value)


def _map_converter(kind: str) -> Converter:
    convert, exact = converter(kind), EXACT.get(kind)
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
    """The name in records of each field, by its name in Lytics; a field with a reserved name gets a prefix."""
    names = [field.name for field in fields]
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
    match = None if len(text) > _MAX_NUMBER_CHARACTERS else _NUMBER.fullmatch(text)
    if match is None:
        raise MisfitError
    if match.lastgroup is None:
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


def _unchanged(value: Json) -> Json:
    return value


def _boolean(value: Json) -> bool:
    text = str(value).strip().lower()
    if text in _TRUE:
        return True
    if text in _FALSE:
        return False
    raise MisfitError


def map_item(kind: str) -> str | None:
    """The type of a map's values; None for a type that is no map, or whose values have no fixed type."""
    match = re.fullmatch(r"map\[string\](int|integer|number|float|string|bool|time)", kind)
    return match[1] if match else None


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
    "string": str,
    **dict.fromkeys(("int", "integer"), int),
    **dict.fromkeys(("number", "float"), float),
    **dict.fromkeys(("bool", "boolean"), bool),
}
"""The Python type of JSON values that fit a Lytics type unchanged. Text may be no time, as it may be blank."""
_CONVERTERS: dict[str, Converter] = {
    **dict.fromkeys(("string", *TIMES), _text),
    **dict.fromkeys(("int", "integer"), _integer),
    **dict.fromkeys(("number", "float"), _number),
    **dict.fromkeys(("bool", "boolean"), _boolean),
    **dict.fromkeys(TEXT_LISTS, _texts),
}
