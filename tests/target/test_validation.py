"""validate_records: what the compiled check lets pass, the SDK's check would have let pass, too."""

import decimal
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from singer_sdk.exceptions import InvalidRecord
from singer_sdk.sinks.core import JSONSchemaValidator

from target_cordial.intake.validation import RecordValidator
from tests.target.running import record, run, schema, state

NUMBERS = st.sampled_from(
    [0, 1, 2, 7, -1, decimal.Decimal("1.0"), decimal.Decimal("1.5"), decimal.Decimal(10) ** 400]
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.sampled_from(["", "a", "abc", "é", "{x}", "'\"\\"])),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2),
    max_leaves=4,
)
TYPES = st.sampled_from(["null", "boolean", "integer", "number", "string", "array", "object"])
LIMITS = st.sampled_from([0, 1, 2, decimal.Decimal("1.5")])
COUNTS = st.integers(0, 2)
WORDS = {
    "type": TYPES | st.lists(TYPES, min_size=1, max_size=3, unique=True),
    "enum": st.lists(VALUES, min_size=1, max_size=3),
    "pattern": st.sampled_from(["^a", "b$", "^\\w+$", "é", "a|'"]),
    "required": st.lists(st.sampled_from("ab"), max_size=2, unique=True),
    **dict.fromkeys(["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"], LIMITS),
    **dict.fromkeys(
        ["minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"], COUNTS
    ),
    "default": VALUES,
    "format": st.sampled_from(["date-time", "email", "no such"]),
    "title": st.just("a 'title' {with} \"marks\""),
    # Words that one of the two does not know, or reads in another way.
    "const": VALUES,
    "uniqueItems": st.just(value=True),
    "multipleOf": st.sampled_from([2, decimal.Decimal("0.5")]),
    "dependentRequired": st.just({"a": ["b"]}),
    "prefixItems": st.just([{"type": "string"}]),
    "unevaluatedProperties": st.just(value=False),
}
SCHEMAS = st.recursive(
    st.booleans() | st.fixed_dictionaries({}, optional=WORDS),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            **WORDS,
            "properties": st.dictionaries(st.sampled_from("ab'"), inner, max_size=2),
            "items": inner,
            "additionalProperties": inner,
            "not": inner,
            **dict.fromkeys(["anyOf", "oneOf", "allOf"], st.lists(inner, min_size=1, max_size=2)),
        },
    ),
    max_leaves=4,
)


def verdict(validator, values):
    try:
        validator.validate(values)
    except InvalidRecord as error:
        return list(error.__cause__.path)
    return "fits"


@settings(max_examples=300, deadline=None)
@given(
    rules=st.dictionaries(st.sampled_from("ab"), SCHEMAS, max_size=2),
    values=st.dictionaries(st.sampled_from("abc"), VALUES),
)
def test_a_record_fits_exactly_if_it_fits_by_the_sdks_check(rules, values):
    stream_schema = {"type": "object", "properties": rules}
    assert verdict(RecordValidator(stream_schema), values) == verdict(
        JSONSchemaValidator(stream_schema), values
    )


@pytest.mark.parametrize("rule", [{"type": "number", "minimum": 0.5}, {"type": "number", "multipleOf": 0.5}])
def test_a_value_that_cannot_be_compared_rejects_its_record_and_ends_no_run(box, rule):
    messages = [
        schema({"email": "string", "n": rule}),
        record({"email": "ada@example.com", "n": math.nan}),
        record({"email": "eve@example.com", "n": 1.5}),
        state({"at": 1}),
    ]
    config = box.target_config(
        validate_records=True, field_mapping={"n": "visit_count"}, list_name="all", invalid_values="reject"
    )
    result = run(config, messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == {"eve@example.com"}
    assert result.states == [{"at": 1}]
