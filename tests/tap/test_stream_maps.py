"""Stream maps of the tap: one that fails on a record ends its audience with a sentence, and a changed one is told until all are sent."""

from __future__ import annotations

import pytest

from sandbox import AudienceSpec
from tests.tap.running import STREAM, run, run_process

CANARY = "Zaphod"
CHANGED = "changed since members were sent"


@pytest.mark.parametrize(
    ("maps", "field"),
    [
        ({"score": "int(record.get('first_name') or 0)"}, "score"),
        ({"first_name": "int(self) if 'country' in record else 1"}, "first_name"),
        ({"__filter__": "int(record.get('first_name') or 1)"}, "__filter__"),
        ({"fine": "'x'", "city": None, "score": "record.get('first_name') + 1 if 'city' in record else 1"}, "score"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("key", [STREAM, "audience_*"])
def test_a_stream_map_that_fails_on_a_profile_is_one_sentence_without_a_value(box, maps, field, key):
    for profiles in box.world.members("vip_customers").values():
        for profile in profiles:
            box.world.change(profile["_id"], first_name=CANARY)
    ended = run_process(box.tap_config(stream_maps={key: maps}))
    assert ended.code == 2
    assert (
        f"The stream map of {field!r} in 'audience_members' cannot be computed for a record" in ended.sentence
    )
    assert "correct stream_maps" in ended.sentence
    assert CANARY not in ended.log
    assert "fault of the program" not in ended.log
    assert "Traceback" not in ended.log


def test_what_other_audiences_have_goes_on_and_the_next_run_sends_the_rest(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30), AudienceSpec("Lapsed", 20)])
    state = run(box.tap_config()).state
    for name in ("vip_customers", "lapsed"):
        box.world.enter(name)
    rule = "int('x') if audience_slug == 'vip_customers' and audience_state == 'enter' else 1"
    failed = run(box.tap_config(stream_maps={STREAM: {"score": rule}}), state)
    assert {record["audience_slug"] for record in failed.records} == {"lapsed"}
    assert "The stream map of 'score'" in failed.error
    assert "ended" not in failed.state["bookmarks"][STREAM]
    again = run(box.tap_config(), failed.state)
    assert again.error == ""
    assert [record["audience_slug"] for record in again.records] == ["vip_customers"]


def test_a_first_run_that_failed_on_a_record_sends_everybody_once_corrected_and_warns_of_nothing(box, caplog):
    maps = {STREAM: {"score": "int(record.get('first_name') or 0)"}}
    failed = run(box.tap_config(stream_maps=maps))
    caplog.clear()
    again = run(box.tap_config(), failed.state)
    assert sorted(record["email"] for record in again.records) == sorted(box.world.keys("vip_customers"))
    assert CHANGED not in caplog.text


def test_a_snapshot_whose_stream_map_fails_is_not_whole(box):
    maps = {STREAM: {"score": "int(record.get('first_name') or 0)"}}
    result = run(box.tap_config(stream_maps=maps, snapshot=True))
    assert "The stream map of 'score'" in result.error
    assert "no whole snapshot" in result.error
    assert not [message for message in result.messages if message["type"] == "ACTIVATE_VERSION"]


def test_a_stream_map_of_the_audiences_that_fails_is_one_sentence_too(box):
    ended = run_process(box.tap_config(stream_maps={"audiences": {"size": "int(name)"}}))
    assert ended.code == 2
    assert "The stream map of 'size' in 'audiences' cannot be computed for a record" in ended.sentence
    assert len(ended.result.records) == len(box.world.keys("vip_customers"))


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"stream_maps": {STREAM: {"team": "'A'"}}}, {"stream_maps": {STREAM: {"team": "'B'"}}}),
        ({"stream_maps": {STREAM: {"team": "'A'"}}}, {}),
        ({}, {"stream_maps": {STREAM: {"team": "'A'"}}}),
        ({}, {"flattening_enabled": True, "flattening_max_depth": 2}),
        (
            {"stream_maps": {STREAM: {"team": "config['team']"}}, "stream_map_config": {"team": "A"}},
            {"stream_maps": {STREAM: {"team": "config['team']"}}, "stream_map_config": {"team": "B"}},
        ),
    ],
)  # fmt: skip
def test_a_changed_stream_map_is_told_in_each_run_until_one_without_a_state(box, caplog, before, now):
    state = run(box.tap_config(**before)).state
    state = run(box.tap_config(**before), state).state
    assert CHANGED not in caplog.text
    for settings in (now, now, before):
        caplog.clear()
        result = run(box.tap_config(**settings), state)
        assert result.error == ""
        assert result.records == []
        assert caplog.text.count(CHANGED) == 1
        assert "--full-refresh" in caplog.text
        state = result.state
    caplog.clear()
    refreshed = run(box.tap_config(**now))
    assert len(refreshed.records) == len(box.world.keys("vip_customers"))
    # As Meltano merges the two.
    state["bookmarks"][STREAM] |= refreshed.state["bookmarks"][STREAM]
    assert run(box.tap_config(**now), state).error == ""
    assert CHANGED not in caplog.text


def test_the_order_of_stream_maps_is_no_change_and_an_older_version_knew_none(box, caplog):
    maps = {"a": "'1'", "b": "'2'"}
    state = run(box.tap_config(stream_maps={STREAM: maps})).state
    run(box.tap_config(stream_maps={STREAM: dict(reversed(maps.items()))}), state)
    del state["bookmarks"][STREAM]["stream_maps"]
    run(box.tap_config(), state)
    assert CHANGED not in caplog.text
