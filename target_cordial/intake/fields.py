"""A record's fields by name, dotted for a nested one: their schema, and their values."""

from __future__ import annotations

import typing as t

import msgspec

from target_cordial.intake.columns import Values

Schema: t.TypeAlias = "t.Mapping[str, t.Any]"

_ANYTHING: Schema = {}


def field_schema(schema: Schema, field: str) -> Schema | None:
    """The schema of an object's field: empty where it is left open, None if there is no such field."""
    properties = schema.get("properties") or {}
    if field in properties:
        return properties[field] if isinstance(properties[field], dict) else _ANYTHING
    outer, _, inner = field.partition(".")
    if inner and outer in properties:
        nested = properties[outer]
        is_open = not isinstance(nested, dict) or not nested.get("properties")
        return _ANYTHING if is_open else field_schema(nested, inner)
    return _ANYTHING if schema.get("additionalProperties") else None


def lists_field(schema: Schema, field: str) -> bool:
    """Whether a schema names the field, or the object that it is in; additional properties alone do not."""
    properties = schema.get("properties") or {}
    return (field in properties or field.partition(".")[0] in properties) and (
        field_schema(schema, field) is not None
    )


def names_read(field: str) -> tuple[str, str]:
    """The names under which a record may have the field: its own, and that of its outermost object."""
    return field, field.partition(".")[0]


def values_of(field: str, columns: t.Mapping[str, Values]) -> Values:
    """The field's values, from those of `names_read`; a nested one, unless a record has the dotted name itself."""
    own = columns[field]
    outer, dot, inner = field.partition(".")
    if not dot or msgspec.UNSET not in own:
        return own
    names = inner.split(".")
    return [
        _inside(whole, names) if value is msgspec.UNSET else value
        for value, whole in zip(own, columns[outer], strict=True)
    ]


def _inside(value: object, names: t.Sequence[str]) -> object:
    for name in names:
        if not isinstance(value, dict):
            return value if value is None else msgspec.UNSET
        value = value.get(name, msgspec.UNSET)
    return value
