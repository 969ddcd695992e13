"""Identifiers that people type into forms: each enters, stays through a scan that misses it, and leaves, or is held alone."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sandbox import AudienceSpec
from sandbox.filterql import FilterError, parse
from tap_lytics_audience.lytics.filterql import can_be_written, members_with
from tests.tap.running import AUDIENCE, run

PLAIN = [
    "o'brien@example.com", "jörg@example.com", "日本@example.com", "a,b", "a)b", "a(b", "a*b", "a%b", "a b", "$x", ":x", "--x",
    "a /* b", "'x'", "`x`", "[x]", "true", "123x", "now-3d", "null", "or", "x)) from content --", "select", "include vips", "a\tb",
    "a\nb", "a\r\nb", "\x7f", "a\u2028b", "a\u200bb", "DOM\\user", "\\start", "a\\b@example.com", "a\\\\b", 'a"b', '"a b"@example.com',
    'ab"', '"', '""', '"""', '""@example.com', '") OR x = ("', "😀@example.com", "é", "ǆ", "ß@example.com", "x" * 256, "a&b=c", "a?b#c",
    "a/b", "../a", "%41", "a%2fb", "100%", "{x}", "a;b", "a|b", "<b>", "limit 5", "alias x", "a_b-c.d", "@", "@@",
]  # fmt: skip
"""These have a spelling in Lytics' filter language."""
UNWRITABLE = [
    "ab\\",
    "\\",
    "a\\\\",
    "\\\\\\",
    'a\\"b',
    'a"b\\c',
    'a\\b"',
    '"jörg"@example.com',
    'é"',
    '"日本"',
]
"""For these there is none, so they are asked for one by one."""


@pytest.fixture
def box(make_box):
    return make_box([AudienceSpec("VIP Customers", 12)])


def test_the_table_is_large_and_says_what_can_be_written():
    assert len(PLAIN + UNWRITABLE) >= 70
    assert [value for value in PLAIN if not can_be_written(value)] == []
    assert [value for value in UNWRITABLE if can_be_written(value)] == []


def test_each_identifier_enters_stays_through_a_scan_that_misses_it_and_leaves(box):
    ids = {value: box.world.enter(AUDIENCE, {"email": value}) for value in PLAIN + UNWRITABLE}
    first = run(box.tap_config())
    assert first.error == ""
    keys = set(box.world.keys(AUDIENCE))
    assert set(first.of("backfill")) == keys

    box.fault("rows_missed", len(ids))
    missed = run(box.tap_config(scan_shortfall_percent=100), first.state)
    assert missed.error == ""
    assert missed.records == [], "whom a scan misses is asked for, however they are spelled"

    box.clear_faults()
    for id_ in ids.values():
        box.world.leave(AUDIENCE, id_)
    left = run(box.tap_config(max_exit_percent=100), missed.state)
    assert left.error == ""
    assert set(left.of("exit")) == keys - set(box.world.keys(AUDIENCE))
    assert run(box.tap_config(), left.state).records == []


def test_who_cannot_be_asked_about_stays_alone_and_is_counted(box, caplog):
    ids = [box.world.enter(AUDIENCE, {"email": value}) for value in UNWRITABLE]
    others = [box.world.enter(AUDIENCE, {"email": value}) for value in ("a\\b", 'c"d')]
    state = run(box.tap_config()).state
    for id_ in (*ids, *others):
        box.world.leave(AUDIENCE, id_)
    box.fault("entity_times_out")
    held = run(box.tap_config(max_exit_percent=100), state)
    assert held.error == ""
    assert sorted(held.of("exit")) == sorted(["a\\b", 'c"d'])
    assert f"cannot be asked about {len(UNWRITABLE)} members" in caplog.text
    assert not [value for value in UNWRITABLE if len(value) > 3 and value in caplog.text]
    box.clear_faults()
    assert len(run(box.tap_config(), held.state).of("exit")) == len(UNWRITABLE)


def test_in_trigger_mode_a_member_with_a_backslash_who_changed_is_not_taken_off(box, tmp_path):
    folder = tmp_path / "landed"
    folder.mkdir()
    config = box.tap_config(change_detection="triggers", triggers_url=str(folder))
    id_ = box.world.enter(AUDIENCE, {"email": "DOM\\user"})
    state = run(config).state
    box.world.change(id_, city="Elsewhere")
    assert "exit" not in run(config, state).changes


def test_a_slug_or_field_of_any_kind_can_be_asked_for():
    for name in ("2024", "2vip", "-vip", "user id", "in", "a:b", "a$b", "e-mail"):
        text = members_with(name, name, ["x"])
        assert parse(text, lambda _: lambda _: True).values == {"x"}


values = st.text(
    st.one_of(st.sampled_from("\"\\'`)(,-/*\n FROMINCLUDE"), st.characters(exclude_categories=["Cs"])),
    max_size=12,
)


@settings(max_examples=500)
@given(first=values, second=values)
def test_two_values_together_never_change_what_a_filter_asks(first, second):
    written = [value for value in (first, second) if can_be_written(value)]
    if not written:
        return
    text = members_with("abc", "email", written)
    try:
        found = parse(text, lambda name: lambda _: name == "abc")
    except FilterError as error:
        raise AssertionError(f"Lytics would refuse {text!r}") from error
    assert (found.table, found.field, found.values) == ("user", "email", frozenset(written))
