"""Whether a field can fit its attribute, or be an identifier, as far as the stream's schema tells."""

from __future__ import annotations

from target_cordial.intake.columns import Column
from target_cordial.intake.fields import Schema

_DATE_FORMATS = frozenset({None, "date-time", "date"})
_TIME_FORMATS = frozenset({"date-time", "date", "time", "duration"})


def misfit(column: Column, schema: Schema) -> str | None:
    """The types of a field none of whose values can ever fit; None if a value may fit, or nobody knows."""
    kinds = _kinds(schema)
    if not kinds or any(_may_fit(column, kind, format_) for kind, format_ in kinds):
        return None
    return types_of(schema)


def cannot_identify(schema: Schema, *, is_address: bool) -> str | None:
    """The types of a field none of whose values can say who somebody is; None if a value may, or nobody knows."""
    kinds = _kinds(schema)
    if not kinds or any(
        format_ not in _TIME_FORMATS if kind == "string" else kind == "integer" and not is_address
        for kind, format_ in kinds
    ):
        return None
    return types_of(schema)


def types_of(schema: Schema) -> str:
    """The types of a field's values, for people: with formats, without null, blank if the schema leaves them open."""
    return " or ".join(sorted(f"{kind} ({format_})" if format_ else kind for kind, format_ in _kinds(schema)))


def _kinds(schema: Schema) -> set[tuple[str, str | None]]:
    """Type and format of each value that is not null; empty if the schema leaves them open."""
    for word in ("anyOf", "oneOf"):
        if isinstance(schema.get(word), list):
            rules = [rule for rule in schema[word] if isinstance(rule, dict) and rule.get("type") != "null"]
            options = list(map(_kinds, rules))
            return set().union(*options) if all(options) else set()
    type_ = schema.get("type")
    types = type_ if isinstance(type_, list) else [type_]
    return {
        (kind, str(schema.get("format", "")) or None if kind == "string" else None)
        for kind in types
        if isinstance(kind, str) and kind != "null"
    }


def _may_fit(column: Column, kind: str, format_: str | None) -> bool:
    if column.attribute.type == "date":
        return kind == "string" and format_ in _DATE_FORMATS
    if column.attribute.type == "array":
        return kind != "object"
    if column.kind == "number":
        return kind in {"integer", "number", "boolean"} or (kind == "string" and format_ not in _TIME_FORMATS)
    return True
