"""SCHEMA messages: whether they are what they should be, and their JSON schema in the words of today's draft."""

from __future__ import annotations

import typing as t

from target_cordial.intake.messages import InputError

_LISTS = frozenset({"anyOf", "oneOf", "allOf", "items"})
_OBJECTS = frozenset({"properties", "patternProperties", "definitions", "$defs"})
_SCHEMAS = frozenset({"items", "additionalProperties", "not", "contains", "propertyNames"})
_BOUNDS = {"exclusiveMaximum": "maximum", "exclusiveMinimum": "minimum"}


def checked_schema_message(message: t.Mapping[str, t.Any], line: int) -> dict[str, t.Any]:
    """A SCHEMA message with a schema that all who read it understand alike.

    Raises:
        InputError: If it is none; the sentence says what of it is not as it should be.
    """
    schema, keys = message.get("schema"), message.get("key_properties")
    if (
        not isinstance(message.get("stream"), str)
        or not isinstance(schema, dict)
        or not isinstance(schema.get("properties"), dict)
    ):
        raise InputError(
            f"The SCHEMA message in line {line} of the input lacks its stream or its properties: correct the tap."
        )
    if keys is not None and not (isinstance(keys, list) and all(isinstance(key, str) for key in keys)):
        raise InputError(
            f"The key_properties of the SCHEMA message in line {line} of the input are not a list of field names: correct the tap."
        )
    for name, rule in schema["properties"].items():
        if not isinstance(rule, (dict, bool)):
            raise InputError(
                f"The SCHEMA message in line {line} of the input has no schema for its property {name!r}, but {_kind(rule)}: correct "
                "the tap."
            )
    return {**message, "schema": modern_schema(schema)}


def modern_schema(schema: t.Any) -> t.Any:
    """A JSON schema without what only older drafts say, and with objects for `true`, which means any value.

    Of draft 4: `exclusiveMaximum` and `exclusiveMinimum` that are true or false. Of draft 3: `required` in a property, and the
    type `any`.
    """
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        return schema
    modern: dict[str, t.Any] = {}
    for word, value in schema.items():
        if word in _OBJECTS and isinstance(value, dict):
            modern[word] = {name: modern_schema(rule) for name, rule in value.items() if rule is not False}
        elif word in _LISTS and isinstance(value, list):
            rules = [modern_schema(rule) for rule in value]
            # Any value fits one of them, and so all that `anyOf` says is nothing.
            if word != "anyOf" or {} not in rules:
                modern[word] = rules
        elif word in _SCHEMAS and isinstance(value, dict):
            modern[word] = modern_schema(value)
        elif word in _BOUNDS and isinstance(value, bool):
            if value and _BOUNDS[word] in schema:
                modern[word] = schema[_BOUNDS[word]]
        elif not (word == "required" and isinstance(value, bool)) and not (
            word == "type" and "any" in (value if isinstance(value, list) else [value])
        ):
            modern[word] = value
    return modern


def _kind(value: object) -> str:
    return "nothing" if value is None else f"a value of type {type(value).__name__}"
