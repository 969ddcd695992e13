"""A value is sent in its field's type however Lytics wrote it, and left out, with a warning, where it cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import AudienceSpec
from tap_lytics_audience.lytics.profiles import Profiles
from tests.tap.running import run

LARGE = 123456789012345678901234567890
BLANK_IS_NONE = (
    "int",
    "number",
    "bool",
    "date",
    "time",
    "datetime",
    "[]string",
    "map[string]int",
    "map[string]time",
)
CASES: list[tuple[str, Any, Any]] = [
    ("string", "Zoë", "Zoë"),
    ("string", 12, "12"),
    ("string", True, "true"),
    ("string", ["a", 1], '["a",1]'),
    ("int", 7, 7),
    ("int", "7", 7),
    ("int", 7.0, 7),
    ("int", "-7", -7),
    ("int", True, 1),
    ("int", LARGE, LARGE),
    ("int", str(LARGE), LARGE),
    ("number", 7, 7),
    ("number", 7.5, 7.5),
    ("number", " 7.5 ", 7.5),
    ("float", "1e3", 1000.0),
    ("bool", False, False),
    ("bool", "T", True),
    ("bool", "no", False),
    ("bool", 1, True),
    ("date", "2024-05-06", "2024-05-06"),
    ("datetime", "2024-05-06T07:08:09Z", "2024-05-06T07:08:09Z"),
    ("[]string", ["b", "a"], ["b", "a"]),
    ("[]string", ["b", None, 3], ["b", "3"]),
    ("[]string", "alone", ["alone"]),
    ("map[string]int", {"a": 1, "b": None}, {"a": 1, "b": None}),
    ("map[string]int", {"a": "1", "b": 2.0}, {"a": 1, "b": 2}),
    ("map[string]number", {"a": "1.5"}, {"a": 1.5}),
    ("map[string]bool", {"a": "true", "b": False}, {"a": True, "b": False}),
    ("map[string]string", {"a": 1, "b": "x"}, {"a": "1", "b": "x"}),
    ("map[string]time", {"a": "2024-05-06T07:08:09Z"}, {"a": "2024-05-06T07:08:09Z"}),
    ("string", " ", " "),
    *((kind, text, None) for kind in BLANK_IS_NONE for text in ("", " \t")),
    ("map[string]int", {"a": "", "b": 1}, {"a": None, "b": 1}),
    ("map[string]time", {"a": " ", "b": "2024-05-06"}, {"a": None, "b": "2024-05-06"}),
    ("map[string]string", {"a": ""}, {"a": ""}),
    ("map[string]value", {"a": [1, {"b": "x"}]}, {"a": [1, {"b": "x"}]}),
]
MISFITS: list[tuple[str, Any]] = [
    ("int", "many"),
    ("int", 7.5),
    ("int", "0x10"),
    ("int", []),
    ("int", "9" * 101),
    ("number", "1e999"),
    ("number", "nan"),
    ("bool", "maybe"),
    ("bool", 2),
    ("map[string]int", [1]),
    ("map[string]int", {"a": 1, "b": "many"}),
    ("map[string]bool", "true"),
]


def synced(make_box: Any, values: dict[str, tuple[str, Any]]) -> tuple[dict[str, Any], str]:
    """The record of somebody with these values, by field, beside others on the page; and his address."""
    box = make_box([AudienceSpec("VIP Customers", 20)])
    for name, (kind, _) in values.items():
        box.world.fields[name] = (kind, "")
    key, [profile, *_] = next(iter(sorted(box.world.members("vip_customers").items())))
    box.world.change(profile["_id"], **{name: value for name, (_, value) in values.items()})
    [record] = [record for record in run(box.tap_config()).records if record["email"] == key]
    return record, key


@pytest.mark.parametrize(("kind", "value", "sent"), CASES)
def test_a_value_is_sent_in_its_fields_type(make_box, kind, value, sent):
    record, _ = synced(make_box, {"probe": (kind, value)})
    assert json.dumps(record["probe"]) == json.dumps(sent)


def test_values_that_fit_are_sent_beside_others_of_the_page_that_do_not(make_box, caplog):
    values = {f"probe_{number}": (kind, value) for number, (kind, value, _) in enumerate(CASES)}
    values["misfit"] = ("int", "many")
    record, _ = synced(make_box, values)
    assert "misfit" not in record
    for number, (_, _, sent) in enumerate(CASES):
        assert json.dumps(record[f"probe_{number}"]) == json.dumps(sent)
    assert any(
        "1 value of field misfit could not be made to fit its type: left out" in line
        for line in caplog.messages
    )


@pytest.mark.parametrize(("kind", "value"), MISFITS)
def test_a_value_that_cannot_fit_is_left_out_and_counted_and_not_shown(make_box, caplog, kind, value):
    record, key = synced(make_box, {"probe": (kind, value)})
    assert "probe" not in record
    assert any(
        "1 value of field probe could not be made to fit its type: left out" in line
        for line in caplog.messages
    )
    assert not [line for line in caplog.messages if key in line or "many" in line or "maybe" in line]


def test_a_typo_is_no_change_twice_and_null_after_it_still_arrives(make_box):
    """What empties an attribute is null alone, so a typo and null must not count as the same."""
    box = make_box([AudienceSpec("VIP Customers", 20)])
    key, [profile, *_] = next(iter(sorted(box.world.members("vip_customers").items())))
    box.world.change(profile["_id"], lifetime_value=1234.5)
    state = run(box.tap_config()).state
    sent = []
    for value in ("1,234.50", "1,234.50", "12O", None, None, "1,234.50", 1234.5):
        box.world.change(profile["_id"], lifetime_value=value)
        result = run(box.tap_config(), state)
        state = result.state
        sent.append([record.get("lifetime_value", "absent") for record in result.records])
        assert {record["email"] for record in result.records} <= {key}
    assert sent == [["absent"], [], [], [None], [], ["absent"], [1234.5]]


KINDS = sorted({kind for kind, _, _ in CASES} | {"dynamic", "time", "ts[]string", "membership", ""})
PLAIN = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**30), 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["", "7", "-7.50", "true", "no", "many", "1e2", "é", "2024-05-06T07:08:09Z"]),
)
VALUES = st.one_of(
    PLAIN, st.lists(PLAIN, max_size=3), st.dictionaries(st.sampled_from("abc"), PLAIN, max_size=3)
)


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), VALUES), min_size=1, max_size=6))
def test_a_value_is_the_same_whatever_else_is_on_its_page(columns):
    kinds = {f"column {number}": kind for number, (kind, _) in enumerate(columns)}
    row = {f"column {number}": value for number, (_, value) in enumerate(columns)}
    # A list where text belongs makes the whole page one that can hold anything.
    odd = {"odd": ["a"]}
    readers = [Profiles({**kinds, "odd": "string"}) for _ in range(2)]
    pages = [
        reader.page(json.dumps({"data": rows, "_next": "", "total": 1}).encode())
        for reader, rows in zip(readers, ([row], [row, odd]), strict=True)
    ]
    assert pages[0] is not None
    assert pages[1] is not None
    fitting = readers[1].page(b'{"data":[{}]}')
    assert fitting is not None
    assert type(pages[1].profiles[0]) is not type(fitting.profiles[0])
    shown = [reader.typed(page.profiles[0]) for reader, page in zip(readers, pages, strict=True)]
    assert json.dumps(shown[0], default=str) == json.dumps(shown[1], default=str)
    assert readers[0].misfits == readers[1].misfits


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{}",
        b'{"data":null}',
        b'{"data":{}}',
        b'{"data":[{"a":"\xff"}]}',
        b'{"data":[{"a":1e999}]}',
        b"<html>",
    ],
)
def test_what_is_no_page_is_none(content):
    assert Profiles({"a": "string"}).page(content) is None


def test_what_is_no_profile_on_a_page_is_passed_over():
    page = Profiles({"a": "string"}).page(b'{"data":[1,{"a":"x"},null,"text"],"total":"4","_next":null}')
    assert page is not None
    assert len(page.profiles) == 1
    assert (page.total, page.cursor) == (None, "")
