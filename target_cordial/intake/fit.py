"""Whether a field can fit its attribute at all, as far as the stream's schema tells."""

from __future__ import annotations

import typing as t

from target_cordial.intake.cells import COORDINATES

if t.TYPE_CHECKING:
    from target_cordial.intake.columns import Column

Schema: t.TypeAlias = "t.Mapping[str, t.Any]"

_DATE_FORMATS = frozenset({None, "date-time", "date"})
_TIME_FORMATS = frozenset({"date-time", "date", "time", "duration"})
_ANYTHING: Schema = {}


def field_schema(properties: t.Mapping[str, Schema], field: str) -> Schema | None:
    """The schema of a field, dotted for a nested one: empty where it is left open, None if there is no such field."""
    if field in properties:
        return properties[field]
    outer, _, inner = field.partition(".")
    if outer not in properties or not inner:
        return None
    nested = properties[outer].get("properties")
    schema = field_schema(nested, inner) if nested else _ANYTHING
    return _ANYTHING if schema is None and properties[outer].get("additionalProperties") else schema


def misfit(column: Column, schema: Schema) -> str | None:
    """The types of a field none of whose values can ever fit; None if a value may fit, or nobody knows."""
    kinds = _kinds(schema)
    if not kinds or any(_may_fit(column, kind, format_) for kind, format_ in kinds):
        return None
    return types_of(schema)


def types_of(schema: Schema) -> str:
    """The types of a field's values, for people: with formats, without null, blank if the schema leaves them open."""
    return " or ".join(sorted(f"{kind} ({format_})" if format_ else kind for kind, format_ in _kinds(schema)))


def _kinds(schema: Schema) -> set[tuple[str, str | None]]:
    """Type and format of each value that is not null; empty if the schema leaves them open."""
    for word in ("anyOf", "oneOf"):
        if word in schema:
            options = [_kinds(option) for option in schema[word] if option.get("type") != "null"]
            return set().union(*options) if all(options) else set()
    type_ = schema.get("type")
    types = type_ if isinstance(type_, list) else [type_] if type_ else []
    return {(kind, schema.get("format") if kind == "string" else None) for kind in types if kind != "null"}


def _may_fit(column: Column, kind: str, format_: str | None) -> bool:
    if column.attribute.type == "date":
        return kind == "string" and format_ in _DATE_FORMATS
    if column.attribute.type == "array":
        return kind != "object"
    if column.attribute.type == "number" or column.header.partition(".")[2] in COORDINATES:
        return kind in {"integer", "number", "boolean"} or (kind == "string" and format_ not in _TIME_FORMATS)
    return True
