"""Input that can be foreseen: a sentence says which line, what is wrong with it, and what to do; what was good before it went."""

import bz2
import gzip
import json
import lzma
import math
import subprocess
from pathlib import Path

import pytest

from tests.target.running import COMMAND, line, quick_config, record, run, schema, state

ADA = "ada@example.com"
SCHEMA = schema({"email": "string", "name": "string"})
GOOD = [SCHEMA, record({"email": ADA, "name": "Ada"}), state({"at": 1})]


def config_for(box, **overrides):
    return quick_config(box, **{"field_mapping": {"name": "first_name"}, "list_name": "all", **overrides})


def text():
    return b"".join(map(line, GOOD))


@pytest.mark.parametrize(
    ("encoded", "name"),
    [
        (lambda: gzip.compress(text()), "gzip"),
        (lambda: bz2.compress(text()), "bzip2"),
        (lambda: lzma.compress(text()), "xz"),
        (lambda: text().decode().encode("utf-16"), "UTF-16"),
        (lambda: text().decode().encode("utf-16-le"), "UTF-16"),
        (lambda: text().decode().encode("utf-16-be"), "UTF-16"),
        (lambda: text().decode().encode("utf-32"), "UTF-32"),
        (lambda: b"PK\x03\x04" + text(), "zip"),
        (lambda: b"\x28\xb5\x2f\xfd" + text(), "zstd"),
    ],
)
def test_input_that_is_no_text_is_named(box, encoded, name):
    result = run(config_for(box), [encoded()])
    assert result.code != 0
    assert f"The input is {name}, not lines of JSON: " in result.message
    assert result.states == []


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"type": "LOG", "message": "page 2"},
            "Line 4 of the input is of type 'LOG', so it is not a Singer message",
        ),
        ({"type": "record", "stream": "s"}, "Line 4 of the input is of type 'record'"),
        ({"type": "to ada@example.com"}, "Line 4 of the input has no type of Singer's"),
        ({"type": 5}, "Line 4 of the input has no type of Singer's"),
        ({"level": "info"}, "Line 4 of the input has no type of Singer's"),
        ([1], "Line 4 of the input is JSON, but no object"),
        ("text", "Line 4 of the input is JSON, but no object"),
    ],
)
def test_a_message_of_an_unknown_type_is_named_and_what_came_before_went(box, given, words):
    result = run(config_for(box), [*GOOD, json.dumps(given).encode() + b"\n", *GOOD])
    assert result.code != 0
    assert words in result.message
    assert ADA not in result.log
    assert result.states == [{"at": 1}]
    assert box.list_members("all") == {ADA}


@pytest.mark.parametrize("keys", ["email", [["email"]], {"email": 1}, [1], [None], 5, True])
def test_key_properties_that_are_no_list_of_names_are_a_sentence(box, keys):
    result = run(config_for(box), [{**SCHEMA, "key_properties": keys}, *GOOD[1:]])
    assert result.code != 0
    assert "The key_properties of the SCHEMA message in line 1 of the input are not a list" in result.message
    assert result.states == []
    assert box.contacts() == {}


@pytest.mark.parametrize("rule", [None, "string", 5, ["string"]])
def test_a_property_without_a_schema_is_a_sentence_that_names_it(box, rule):
    message = {**SCHEMA, "schema": {"properties": {"email": {"type": "string"}, "name": rule}}}
    result = run(config_for(box), [message, *GOOD[1:]])
    assert "in line 1 of the input has no schema for its property 'name'" in result.message
    assert result.states == []


@pytest.mark.parametrize(
    "rule",
    [
        {"type": ["null", "number"], "maximum": 100, "exclusiveMaximum": True},
        {"type": ["null", "number"], "minimum": 5, "exclusiveMinimum": False},
        {"type": ["null", "number"], "exclusiveMaximum": True},
        {"type": ["null", "number"], "required": True},
        {"type": "array", "items": {"type": "number", "minimum": 3, "exclusiveMinimum": True}},
    ],
)
def test_a_schema_of_an_older_draft_is_taken(box, rule):
    is_list = rule["type"] == "array"
    messages = [
        schema({"email": "string", "n": rule}),
        record({"email": ADA, "n": [5] if is_list else 5}),
        state({"at": 1}),
    ]
    attribute = "interests" if is_list else "lifetime_value"
    result = run(config_for(box, field_mapping={"n": attribute}, validate_records=True), messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == {ADA}


def test_an_exclusive_bound_of_an_older_draft_still_bounds(box):
    rule = {"type": "number", "maximum": 100, "exclusiveMaximum": True}
    messages = [schema({"email": "string", "n": rule}), record({"email": ADA, "n": 100})]
    result = run(config_for(box, field_mapping={}, validate_records=True), messages)
    assert result.code == 0, result.log
    assert box.contacts() == {}


def test_a_schema_that_cannot_be_read_says_where(box):
    messages = [schema({"email": "string", "n": {"type": "number", "maximum": "many"}}), *GOOD[1:]]
    result = run(config_for(box, field_mapping={}, validate_records=True), messages)
    assert "has a word that JSON Schema 2020-12 takes otherwise, at properties.n.maximum" in result.message


def test_two_fields_that_flattening_makes_one_are_named(box):
    nested = {"type": "object", "properties": {"p": {"type": "string"}}}
    messages = [
        schema({"email": "string", "o__p": "string", "o": nested}),
        record({"email": ADA, "o__p": "flat", "o": {"p": "nested"}}),
        state({"at": 1}),
    ]
    config = config_for(
        box, field_mapping={"o__p": "first_name"}, flattening_enabled=True, flattening_max_depth=3
    )
    result = run(config, messages)
    assert "has two fields that flattening makes into o__p: change flattening_separator" in result.message
    assert result.states == []


@pytest.mark.parametrize(
    "later",
    [
        schema({"email": "string"}),
        schema({"email": "string", "name": {"type": "object"}, "audience_id": "string"}),
    ],
)
def test_what_came_before_a_later_schema_that_does_not_fit_is_delivered(box, later):
    people = [record({"email": f"p{n}@example.com", "name": "x"}) for n in range(20)]
    result = run(config_for(box), [SCHEMA, *people, state({"at": 20}), later, *GOOD[1:]])
    assert result.code != 0
    assert "A later SCHEMA message of stream 'audience_members', in line 23 of the input" in result.message
    assert "what came before it is delivered" in result.message
    assert result.states == [{"at": 20}]
    assert len(box.list_members("all")) == 20
    assert "imported 20 enters" in result.log


def test_another_streams_records_before_one_that_does_not_fit_are_delivered(box):
    orders = schema({"email": "string", "amount": "number"}, "orders")
    order = record({"email": "eve@example.com", "amount": 5}, "orders")
    messages = [SCHEMA, orders, *GOOD[1:], order, record({"email": "cy@example.com", "name": "Cy"})]
    result = run(config_for(box), messages)
    assert "The stream 'orders' has no field 'name'" in result.message
    assert "`stream_maps: {orders: __NULL__}`" in result.message
    assert result.states == [{"at": 1}]
    assert box.list_members("all") == {ADA}
    left_out = run(config_for(box, stream_maps={"orders": "__NULL__"}), messages)
    assert left_out.code == 0, left_out.log
    assert box.list_members("all") == {ADA, "cy@example.com"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("\ufeffemail", r"'\ufeffemail'"),
        ("email\u200b", r"'email\u200b'"),
        ("id;email;name", "'id;email;name'"),
        ("ada@example.com", "..."),
        ("x" * 100, "..."),
    ],
)
def test_the_names_of_the_fields_that_there_are_are_told(box, name, shown):
    messages = [schema({name: "string"}, key=()), record({name: ADA}), state({"at": 1})]
    result = run(config_for(box), messages)
    assert result.code != 0
    assert f"They have these fields (audience_members: {shown})" in result.message
    assert ADA not in result.log
    assert result.states == []


@pytest.mark.parametrize(("redirection", "words"), [("<&-", "is closed"), ("0>closed", "cannot be read")])
def test_a_standard_input_that_cannot_be_read_is_a_sentence(box, tmp_path, redirection, words):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(config_for(box)))
    command = f'exec "{COMMAND}" --config "{config}" {redirection}'
    result = subprocess.run(
        ["bash", "-c", command], capture_output=True, cwd=tmp_path, timeout=120, check=False
    )
    assert result.returncode not in (0, -1)
    log = result.stderr.decode()
    assert words in log
    assert "fault of the program" not in log


@pytest.mark.parametrize("last", [b'{"type":"STATE","value":{"at":2}}', b'{"type":"STATE","val'])
def test_a_broken_line_is_not_taken_for_the_end_of_an_input_that_breaks_off_later(box, last):
    messages = [SCHEMA, record({"email": ADA, "name": "Ada"}), b"garbage\n", GOOD[1], last]
    result = run(config_for(box), messages)
    assert result.code == 2
    assert "Line 3 of the input is not valid JSON" in result.message
    cut = run(config_for(box), [*GOOD, last])
    assert cut.code == (0 if last.endswith(b"}") else 1)
    assert ("Line 4 of the input breaks off" in cut.message) != last.endswith(b"}")


@pytest.mark.parametrize("number", ["1e9999999999999999999", "-2.50E-99999999999999999999", "1e400", "NaN"])
@pytest.mark.parametrize("maps", [{}, {"audience_members": {"more": "'x'"}}])
def test_a_number_of_any_size_comes_out_as_it_came_in(box, number, maps):
    value = line(state({"at": "N", "more": ["N"]})).replace(b'"N"', number.encode())
    people = schema({"email": "string", "n": {}})
    row = line(record({"email": ADA, "n": "N", "m": ["N"]})).replace(b'"N"', number.encode())
    for attribute in ("lifetime_value", "first_name"):
        config = config_for(box, field_mapping={"n": attribute}, stream_maps=maps, invalid_values="reject")
        result = run(config, [people, row, value])
        assert result.code == 0, result.log
        text = result.output.replace("E", "e").replace("+", "")
        assert text.count(number.replace("E", "e")) == 2
    (path, *_) = sorted(Path(box.folder, "rejects").iterdir())
    assert path.read_text().replace("E", "e").replace("+", "").count(number.replace("E", "e")) >= 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_the_reject_file_shows_what_no_json_number_is(box, value):
    messages = [schema({"email": "string", "n": {}}), record({"email": ADA, "n": value, "more": [value]})]
    result = run(config_for(box, field_mapping={"n": "lifetime_value"}), messages)
    assert result.code == 0, result.log
    (path,) = Path(box.folder, "rejects").iterdir()
    shown = json.dumps(value)
    assert f'"n":{shown},"more":[{shown}]' in path.read_text()
    assert "not a finite number" in path.read_text()
