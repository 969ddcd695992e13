"""Slugs and fields may be digits, begin with a dash or a digit, hold blanks, or be words of Lytics' filter language or its calls."""

from __future__ import annotations

import pytest

from sandbox import AudienceSpec
from tests.tap.running import STREAM, run, run_process

SLUGS = [
    "2024", "12345678901234567890123456789012", "2vip", "-vip", "--", "user id", "in", "from", "and", "include", "null", "filter",
    "scan", "size", "sizes", "validate", "attribution", "e-mail", "email.address", "a/b", "a%2fb", "a?b#c", "a&b=c", "é", "日本", "a:b", "a$b",
    "a'b", 'a"b',
]  # fmt: skip
FIELDS = [
    "2024", "2nd_email", "-mail", "user id", " id", "in", "from", "not", "limit", "as", "is", "e-mail", "email.address", "a/b", "é", "a:b", "a$b",
    "a'b", "type", "stream", "record",
]  # fmt: skip


def everything_is_right(box, config, audience, field):
    """Somebody enters, changes and leaves, through a scan that misses a row."""
    ids = [box.world.enter(audience, {field: f"person{number}", "city": "Somewhere"}) for number in range(4)]
    first = run(config)
    assert first.error == ""
    assert sorted(record[field] for record in first.records) == [f"person{number}" for number in range(4)]
    assert {record["audience_slug"] for record in first.records} == {audience}
    box.fault("rows_missed", 3)
    missed = run({**config, "scan_shortfall_percent": 100}, first.state)
    assert missed.error == ""
    assert missed.records == []
    box.clear_faults()
    box.world.leave(audience, ids[0])
    box.world.change(ids[1], city="Elsewhere")
    box.world.enter(audience, {field: "person4"})
    second = run(config, missed.state)
    assert second.error == ""
    assert {(record[field], record["audience_change"]) for record in second.records} == {
        ("person0", "exit"),
        ("person1", "update"),
        ("person4", "enter"),
    }
    assert run(config, second.state).records == []


@pytest.mark.parametrize("slug", SLUGS)
def test_a_slug_may_be_any_text(make_box, slug):
    box = make_box([AudienceSpec("Odd", 0, slug=slug), AudienceSpec("Other", 3)])
    everything_is_right(box, box.tap_config(audiences=[slug]), slug, "email")
    checked = run_process(box.tap_config(audiences=[slug]), arguments=["--test"])
    assert checked.code == 0, checked.output


@pytest.mark.parametrize("field", FIELDS)
def test_a_field_that_identifies_may_have_any_name(make_box, field):
    box = make_box([AudienceSpec("VIP Customers", 0)])
    box.world.fields[field] = ("string", "")
    everything_is_right(box, box.tap_config(identifier_field=field), "vip_customers", field)
    checked = run_process(box.tap_config(identifier_field=field), arguments=["--test"])
    assert checked.code == 0, checked.output


def test_fields_of_any_name_are_sent(make_box):
    box = make_box([AudienceSpec("VIP Customers", 0)])
    for field in FIELDS:
        box.world.fields[field] = ("string", "")
    values = {field: f"value of {field}" for field in FIELDS}
    box.world.enter("vip_customers", {"email": "ada@example.com", **values})
    result = run(box.tap_config())
    [record] = result.records
    assert {field: record[field] for field in FIELDS} == values
    assert result.schema["properties"].keys() >= values.keys()


def test_a_field_that_no_filter_can_name_is_refused_at_once(make_box):
    box = make_box([AudienceSpec("VIP Customers", 3)])
    box.world.fields["a`b"] = ("string", "")
    result = run(box.tap_config(identifier_field="a`b"))
    assert "holds a backtick" in result.error
    assert STREAM not in str(result.messages)
