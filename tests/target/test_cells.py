"""What each kind of value becomes at Cordial, by the attribute's type; docs/cells.md says the same in words."""

import json
import re
from pathlib import Path

import msgspec
import pytest

from target_cordial.cordial.attributes import Attribute
from target_cordial.intake.columns import columns_of
from target_cordial.intake.rows import RowWriter
from target_cordial.settings import Settings
from tests.target.running import AUDIENCE_SCHEMA, enter, record, run, schema, state

PAGE = Path(__file__).parents[2] / "docs" / "cells.md"
KINDS = [("text", "string"), ("tags", "array")]
CANNOT_HOLD = "holds a character that no text file can hold"
NOT_A_DATE = "not a date in ISO 8601"
TORN = "a backslash before a quote, or at the end of a text that needs quotes"
NOT_PLAIN = "an item is null, a list or an object"

ATTRIBUTES = {
    "text": ("string", {}),
    "short": ("string", {"validators": {"min": 2, "max": 5}}),
    "long": ("string", {"validators": {"max": "20000"}}),
    "amount": ("number", {}),
    "level": ("number", {"validators": {"min": "0", "max": 10}}),
    "day": ("date", {}),
    "tags": ("array", {}),
    "few": ("array", {"validators": {"max": 3}, "options": {"maxitems": 2}}),
    "home": ("geo", {}),
}
FIELDS = {
    **{name: name for name in ATTRIBUTES if name != "home"},
    "city": "home.city",
    "lat": "home.loc.lat",
    "lon": "home.loc.lon",
}
"""Field of the record to attribute."""

ARRIVES = [
    # A string attribute takes anything: text as it is, everything else as its JSON text.
    ("text", '"Ada"', "Ada"),
    ("text", '" leading and trailing "', " leading and trailing "),
    ("text", '" "', " "),
    ("text", '"0"', "0"),
    ("text", '"null"', "null"),
    ("text", '"=1+1"', "=1+1"),
    ("text", '"@SUM(A1)"', "@SUM(A1)"),
    ("text", '"+1 555 0100"', "+1 555 0100"),
    ("text", '"-1"', "-1"),
    ("text", r'"a,b;c\td|e"', "a,b;c\td|e"),
    ("text", r'"say \"hi\""', 'say "hi"'),
    ("text", r'"\""', '"'),
    ("text", r'"\"\""', '""'),
    ("text", '","', ","),
    ("text", r'"\\"', "\\"),
    ("text", r'"C:\\dir, \\\\host"', r"C:\dir, \\host"),
    ("text", r'{"a": "say \"hi\", b\\"}', r'{"a":"say \u0022hi\u0022, b\u005c"}'),
    ("text", r'"one\ntwo"', "one\ntwo"),
    ("text", r'"one\rtwo"', "one\rtwo"),
    ("text", r'"one\r\ntwo"', "one\r\ntwo"),
    ("text", r'"\n"', "\n"),
    ("text", r'"\r"', "\r"),
    ("text", r'"ends\r\n"', "ends\r\n"),
    ("text", r'"\u000b\u001c\u0085\u2028\u2029"', "\x0b\x1c\x85\u2028\u2029"),
    ("text", r'"\u00e9"', "\u00e9"),
    ("text", r'"e\u0301"', "e\u0301"),
    ("text", r'"\ud83d\udc69\u200d\ud83d\ude80"', "\U0001f469\u200d\U0001f680"),
    ("text", '"שלום עולם"', "שלום עולם"),
    ("text", r'"\u202ertl\u202c \u200bzero\ufeff"', "\u202ertl\u202c \u200bzero\ufeff"),
    ("text", '"李 小龍"', "李 小龍"),
    ("text", r'"\ufffe\uffff"', "\ufffe\uffff"),
    ("text", '"' + "é" * 128 + '"', "é" * 128),
    ("text", '"' + r"\ud83d\ude80" * 128 + '"', "\U0001f680" * 128),
    ("long", '"' + "x" * 20_000 + '"', "x" * 20_000),
    ("short", '"ab"', "ab"),
    ("short", '"abcde"', "abcde"),
    ("text", "true", "true"),
    ("text", "false", "false"),
    ("text", "0", "0"),
    ("text", "-7", "-7"),
    ("text", "1.50", "1.50"),
    ("text", "1e3", "1000"),
    ("text", "9007199254740993", "9007199254740993"),
    ("text", '{"b": [1, 2.50], "a": "é"}', '{"b":[1,2.50],"a":"é"}'),
    ("text", '["a", "b,c"]', '["a","b,c"]'),
    ("text", '"2024-01-02T03:04:05.123456789+02:00"', "2024-01-02T03:04:05.123456789+02:00"),
    # A number attribute gets the source's own digits.
    ("amount", "0", "0"),
    ("amount", "-12", "-12"),
    ("amount", "1.50", "1.50"),
    ("amount", "0.1", "0.1"),
    ("amount", "1e3", "1000"),
    ("amount", "1E-7", "0.0000001"),
    ("amount", "123456789012345678901234567890.123456789", "123456789012345678901234567890.123456789"),
    ("amount", "18446744073709551617", "18446744073709551617"),
    ("amount", "1e300", "1E+300"),
    ("amount", '"214"', "214"),
    ("amount", '" 3.10 "', "3.10"),
    ("amount", '"1e3"', "1e3"),
    ("amount", "true", "1"),
    ("amount", "false", "0"),
    ("level", "0", "0"),
    ("level", "10.0", "10.0"),
    # A date attribute gets ISO 8601, cut to the microsecond, in the source's own time zone.
    ("day", '"2024-02-29"', "2024-02-29"),
    ("day", '"2024-01-02T03:04"', "2024-01-02T03:04"),
    ("day", '"2024-01-02T03:04:05Z"', "2024-01-02T03:04:05Z"),
    ("day", '"2024-01-02t03:04:05z"', "2024-01-02T03:04:05Z"),
    ("day", '"2024-01-02 03:04:05"', "2024-01-02T03:04:05"),
    ("day", '"2024-01-02T03:04:05.123456789+02:00"', "2024-01-02T03:04:05.123456+02:00"),
    ("day", '"2024-01-02T03:04:05.1-0730"', "2024-01-02T03:04:05.1-07:30"),
    ("day", '"2024-01-02 03:04:05.000001+00"', "2024-01-02T03:04:05.000001+00:00"),
    ("day", '" 0001-01-01 "', "0001-01-01"),
    ("day", '"9999-12-31T23:59:59.999999999-14:59"', "9999-12-31T23:59:59.999999-14:59"),
    ("day", '"2024-01-02T03:04:05.9999999999999Z"', "2024-01-02T03:04:05.999999Z"),
    # An array attribute gets each item as text.
    ("tags", '["a", "b,c", "say \\"d\\"", "line\\nbreak", "é"]', ["a", "b,c", 'say "d"', "line\nbreak", "é"]),
    ("tags", "[1, 2.50, true]", ["1", "2.50", "true"]),
    ("tags", '"alone"', ["alone"]),
    ("tags", "7", ["7"]),
    ("tags", '"a,b"', ["a,b"]),
    ("tags", r'"[\"flattened\", \"by a tap\"]"', ["flattened", "by a tap"]),
    ("tags", '"[not JSON"', ["[not JSON"]),
    ("tags", json.dumps(["x" * 128] * 25), ["x" * 128] * 25),
    ("few", '["abc", "b"]', ["abc", "b"]),
    # A geo attribute has a cell for each part.
    ("city", '"Portland, OR"', {"city": "Portland, OR"}),
    ("city", "12", {"city": "12"}),
    ("lat", "-90", {"loc.lat": "-90"}),
    ("lat", '"47.3769"', {"loc.lat": "47.3769"}),
    ("lon", "180.0", {"loc.lon": "180.0"}),
]

IS_REJECTED = [
    ("text", r'"a, b\\"', TORN),
    ("text", r'"line\nbreak\\"', TORN),
    ("text", r'"say \\\"hi"', TORN),
    ("text", '"' + "x" * 129 + '"', "longer than 128 characters"),
    ("text", '"' + r"\ud83d\ude80" * 129 + '"', "longer than 128 characters"),
    ("text", json.dumps({"a": "x" * 129}), "longer than 128 characters"),
    ("text", r'"a\u0000b"', CANNOT_HOLD),
    ("long", '"' + "x" * 20_001 + '"', "longer than 20000 characters"),
    ("short", '"a"', "shorter than 2 characters"),
    ("short", '"abcdef"', "longer than 5 characters"),
    ("amount", '"12 EUR"', "not a number"),
    ("amount", '"1,000"', "not a number"),
    ("amount", '"0x10"', "not a number"),
    ("amount", r'"\u0663"', "not a number"),
    ("amount", '"NaN"', "not a number"),
    ("amount", '"Infinity"', "not a number"),
    ("amount", "[1]", "not a number"),
    ("amount", '{"a": 1}', "not a number"),
    ("level", "-1", "less than 0"),
    ("level", "10.0000000000000000001", "more than 10"),
    ("level", '"11"', "more than 10"),
    ("level", "1e300", "more than 10"),
    ("day", '"yesterday"', NOT_A_DATE),
    ("day", '"2023-02-29"', NOT_A_DATE),
    ("day", '"2024-13-01"', NOT_A_DATE),
    ("day", '"02/01/2024"', NOT_A_DATE),
    ("day", '"20240102"', NOT_A_DATE),
    ("day", '"2024-01-02T25:00:00Z"', NOT_A_DATE),
    ("day", '"2024-01-02T24:00:00Z"', NOT_A_DATE),
    ("day", '"2024-01-02T03:04:05+25:00"', NOT_A_DATE),
    ("day", '"2024-01-02T03:04:05+02:60"', NOT_A_DATE),
    ("day", r'"\u0662\u0660\u0662\u0664-\u0660\u0661-\u0660\u0662"', NOT_A_DATE),
    ("day", "1704164645", NOT_A_DATE),
    ("day", "true", NOT_A_DATE),
    ("day", '["2024-01-02"]', NOT_A_DATE),
    ("tags", '["a", null]', NOT_PLAIN),
    ("tags", '["a", ["b"]]', NOT_PLAIN),
    ("tags", '{"a": 1}', NOT_PLAIN),
    ("tags", json.dumps(["a"] * 26), "more than 25 items"),
    ("tags", json.dumps(["x" * 129]), "longer than 128 characters"),
    ("tags", r'["a\u0000"]', CANNOT_HOLD),
    ("few", '["a", "b", "c"]', "more than 2 items"),
    ("few", '["abcd"]', "longer than 3 characters"),
    ("city", '"' + "x" * 129 + '"', "longer than 128 characters"),
    ("lat", "90.01", "more than 90"),
    ("lon", "-180.01", "less than -180"),
    ("lat", '"north"', "not a number"),
]

NO_VALUE = ["null", '""', "[]", "{}"]


@pytest.fixture
def cells_box(box):
    for key, (kind, limits) in ATTRIBUTES.items():
        box.account.remove_attribute(key)
        box.account.add_attribute(key, kind, **limits)
    return box


def config_for(box, **overrides):
    rejecting = {"invalid_values": "reject", "max_reject_percent": 100}
    return box.target_config(**{"field_mapping": FIELDS, "list_action": "none", **rejecting, **overrides})


def stream(cases):
    """A stream whose n-th record, of contact n, has one field."""
    yield schema({"email": "string", **{key: {} for key in FIELDS}})
    for number, (field, value, *_) in enumerate(cases):
        message = f'{{"type": "RECORD", "stream": "audience_members", "record": {{"email": "c{number}@example.com", "{field}": {value}}}}}\n'
        yield message.encode()
    yield state({"at": 1})


def rejects_of(box):
    lines = [
        json.loads(line)
        for path in sorted(Path(box.folder, "rejects").glob("*.jsonl"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    return {line["record"]["email"]: line for line in lines}


def test_values_that_fit_arrive_as_they_are(cells_box):
    result = run(config_for(cells_box), stream(ARRIVES))
    assert result.code == 0, result.log
    contacts = cells_box.contacts()
    wrong = []
    for number, (field, value, expected) in enumerate(ARRIVES):
        contact = contacts.get(f"c{number}@example.com")
        held = contact and contact.attributes
        if held != {FIELDS[field].split(".")[0]: expected}:
            wrong.append((field, value[:80], str(held)[:80]))
    assert wrong == []
    assert rejects_of(cells_box) == {}


def test_the_page_of_cells_shows_what_becomes_of_values(cells_box):
    text = (
        PAGE.read_text(encoding="utf-8")
        .split("How values of a record become cells")[1]
        .split("*No value*")[0]
    )
    _, header, _, *rows = [line for line in text.splitlines() if line.strip()]
    fields = ["text", "amount", "day", "tags", "city"]
    assert [title.strip() for title in header.strip("|").split("|")[1:]] == [
        "string",
        "number",
        "date",
        "array",
        "geo part",
    ]
    cases = []
    for row in rows:
        values, *results = [cell.strip() for cell in row.strip("|").split("|")]
        cases += [
            (field, value, result)
            for value in re.findall("`([^`]*)`", values)
            for field, result in zip(fields, results, strict=True)
        ]
    assert len(cases) == 10 * len(fields)
    result = run(config_for(cells_box), stream(cases))
    assert result.code == 0, result.log
    contacts, rejects = cells_box.contacts(), rejects_of(cells_box)
    for number, (field, value, told) in enumerate(cases):
        who = f"c{number}@example.com"
        if told == "does not fit":
            assert who in rejects, (field, value)
            continue
        held = contacts[who].attributes
        if told == "no value":
            assert held == {}, (field, value)
        elif field == "city":
            assert held == {"home": {"city": told.strip("`")}}
        else:
            assert held == {field: json.loads(told.strip("`")) if field == "tags" else told.strip("`")}


def test_values_that_do_not_fit_are_rejected_with_the_reason_and_the_field(cells_box):
    result = run(config_for(cells_box), stream(IS_REJECTED))
    assert result.code == 0, result.log
    assert cells_box.contacts() == {}
    rejects = rejects_of(cells_box)
    wrong = []
    for number, (field, value, reason) in enumerate(IS_REJECTED):
        line = rejects.get(f"c{number}@example.com", {})
        if (line.get("field"), line.get("reason")) != (field, reason):
            wrong.append((field, value[:80], line.get("field"), line.get("reason")))
    assert wrong == []


def held_after(box, value, null_values, fault=None):
    """What a contact that has everything holds after a record with one field of this value."""
    full = {
        "text": "Ada", "short": "abc", "long": "x", "amount": 1, "level": 2, "day": "2024-01-02", "tags": ["a"], "few": ["b"],
        "city": "Oslo", "lat": 1, "lon": 2,
    }  # fmt: skip
    properties = {"email": "string", **{key: {} for key in FIELDS}}
    first = [schema(properties), record({"email": "ada@example.com", **full}), state({"at": 1})]
    assert run(config_for(box), first).code == 0
    before = box.contacts()["ada@example.com"].attributes
    if fault is not None:
        box.fault(*fault)
    values = {} if value is None else dict.fromkeys(FIELDS, json.loads(value))
    second = [schema(properties), record({"email": "ada@example.com", **values}), state({"at": 2})]
    result = run(config_for(box, null_values=null_values), second)
    assert result.code == 0, result.log
    box.clear_faults()
    return before, box.contacts()["ada@example.com"].attributes


@pytest.mark.parametrize("value", NO_VALUE)
@pytest.mark.parametrize("what_an_empty_cell_does", ["clears", "ignored", "rejected"])
def test_keep_leaves_attributes_alone_whatever_an_empty_cell_does_at_cordial(
    cells_box, value, what_an_empty_cell_does
):
    before, after = held_after(cells_box, value, "keep", ("empty_cells", what_an_empty_cell_does))
    assert after == before


@pytest.mark.parametrize("value", NO_VALUE)
def test_clear_empties_attributes(cells_box, value):
    before, after = held_after(cells_box, value, "clear")
    assert before
    assert after in ({}, {"home": {}})


@pytest.mark.parametrize("null_values", ["keep", "clear"])
def test_an_absent_field_leaves_its_attribute_alone(cells_box, null_values):
    before, after = held_after(cells_box, None, null_values)
    assert after == before


def test_false_and_zero_are_values(cells_box):
    cases = [("text", "false", "false"), ("amount", "0", "0"), ("amount", "false", "0"), ("text", "0", "0")]
    assert run(config_for(cells_box, null_values="clear"), stream(cases)).code == 0
    held = [next(iter(contact.attributes.values())) for contact in cells_box.contacts().values()]
    assert sorted(held) == ["0", "0", "0", "false"]


@pytest.mark.parametrize("line", [r'"\ud83d"', "NaN", "-Infinity"])
def test_what_json_can_say_and_no_cell_can_hold_rejects_its_record_alone(cells_box, line):
    field = "text" if line.startswith('"') else "amount"
    result = run(config_for(cells_box), stream([(field, line), ("text", '"Ada"')]))
    assert result.code == 0, result.log
    assert set(cells_box.contacts()) == {"c1@example.com"}
    assert rejects_of(cells_box)["c0@example.com"]["field"] == field
    assert result.states == [{"at": 1}]


def test_require_all_fields_rejects_an_enter_that_lacks_one_and_no_exit(box):
    mapping = {"first_name": "first_name", "city": "home.city"}
    properties = {"email": "string", "audience_state": "string", **dict.fromkeys(mapping, "string")}
    config = box.target_config(field_mapping=mapping, require_all_fields=True, list_name="all")
    messages = [
        schema(properties),
        record({"email": "full@example.com", "audience_state": "enter", "first_name": "A", "city": "B"}),
        record({"email": "null@example.com", "audience_state": "enter", "first_name": "A", "city": None}),
        record({"email": "blank@example.com", "audience_state": "enter", "first_name": "", "city": "B"}),
        record({"email": "absent@example.com", "audience_state": "enter", "city": "B"}),
        record({"email": "gone@example.com", "audience_state": "exit"}),
    ]
    box.account.put_contact("gone@example.com", {}, "subscribed")
    box.account.join(box.account.add_list("all"), "gone@example.com")
    result = run(config, messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == {"full@example.com"}
    reasons = {address: (line["field"], line["reason"]) for address, line in rejects_of(box).items()}
    assert reasons == {
        "null@example.com": ("city", "no value"),
        "blank@example.com": ("first_name", "no value"),
        "absent@example.com": ("first_name", "no value"),
    }


@pytest.mark.parametrize(
    ("overrides", "is_rejected"),
    [
        ({}, True),
        ({"null_values": "clear"}, True),
        ({"import_strategy": "updateOnly"}, False),
        ({"import_strategy": "updateOnly", "null_values": "clear"}, True),
    ],
)
def test_a_required_attribute_rejects_an_enter_that_could_end_up_without_it(box, overrides, is_rejected):
    box.account.remove_attribute("first_name")
    box.account.add_attribute("first_name", "string", validators={"required": True})
    box.account.put_contact("ada@example.com", {"first_name": "Ada"}, "subscribed")
    config = box.target_config(field_mapping={"first_name": "first_name"}, **overrides)
    properties = {"email": "string", "audience_name": "string", "first_name": "string"}
    messages = [
        schema(properties),
        record({"email": "ada@example.com", "audience_name": "x", "first_name": None}),
    ]
    result = run(config, messages)
    assert result.code == 0, result.log
    assert ("ada@example.com" in rejects_of(box)) is is_rejected
    if is_rejected:
        line = rejects_of(box)["ada@example.com"]
        assert line["reason"] == "no value for the required attribute first_name"
    assert box.contacts()["ada@example.com"].attributes == {"first_name": "Ada"}


def test_of_a_required_geo_attribute_any_part_will_do(box):
    box.account.remove_attribute("home")
    box.account.add_attribute("home", "geo", validators={"required": True})
    config = box.target_config()
    messages = [
        schema(
            {"email": "string", "audience_name": "string", **{key: {} for key in config["field_mapping"]}}
        ),
        record({"email": "part@example.com", "audience_name": "x", "city": "Oslo", "country": None}),
        record({"email": "none@example.com", "audience_name": "x", "city": None, "country": ""}),
    ]
    result = run(config, messages)
    assert result.code == 0, result.log
    assert set(box.contacts()) == {"part@example.com"}
    assert rejects_of(box)["none@example.com"]["reason"] == "no value for the required attribute home"


def test_each_run_has_a_null_marker_of_its_own(box):
    messages = [
        schema(
            {
                "email": "string",
                "audience_name": "string",
                **{key: {} for key in box.target_config()["field_mapping"]},
            }
        )
    ]
    messages += [record({"email": "ada@example.com", "audience_name": "x"})]
    for _ in range(2):
        assert run(box.target_config(), messages).code == 0
    markers = [request.body["nullMarker"] for request in box.requests if request.path == "/v2/contactimports"]
    assert len(set(markers)) == 2
    assert all(len(marker) >= 20 for marker in markers)


def test_a_value_that_is_equal_to_the_null_marker_is_not_silently_passed_over(box):
    """A run's marker is random, so no source can hold it on purpose; if one did all the same, it would be told."""
    marker = "null-0123456789abcdef"
    columns = columns_of({"text": "text", "tags": "tags"}, {key: Attribute(key, kind) for key, kind in KINDS})
    rows = RowWriter(columns, Settings.from_config(box.target_config()), marker)
    unset = msgspec.UNSET
    values = {"text": [None, marker, unset], "tags": [unset, unset, [marker]]}
    written = rows.rows(["a@b.cd"] * 3, values)
    assert written.cells[0] == ("a@b.cd", marker, marker)
    assert written.skipped[1, "text"].reason == "equal to this run's null marker"
    assert written.cells[2] == ("a@b.cd", marker, f'"[""{marker}""]"')


def test_a_subscribe_status_is_sent_with_enters_only_if_it_is_set(box):
    config = box.target_config(subscribe_status="none")
    assert run(config, [AUDIENCE_SCHEMA, enter("ada@example.com")]).code == 0
    assert box.contacts()["ada@example.com"].subscribe_status == "none"
