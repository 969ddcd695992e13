"""After the first run only differences travel: enters, updates and exits; a run without changes is silent."""

from __future__ import annotations

import pytest

from sandbox import AudienceSpec
from tap_lytics_audience.members import changes
from tests.tap.running import AUDIENCE, STREAM, key_of, ledger_files, run, somebody


def test_the_first_run_sends_every_member_who_has_the_identifier_as_backfill(make_box):
    box = make_box([AudienceSpec("VIP Customers", 60)])
    first = run(box.tap_config())
    assert first.error == ""
    assert set(first.of("backfill")) == set(box.world.keys(AUDIENCE))
    assert first.counts == {"backfill": len(box.world.keys(AUDIENCE))}


def test_a_later_run_sends_who_entered_changed_and_left_and_nobody_else(make_box):
    box = make_box([AudienceSpec("VIP Customers", 60)])
    state = run(box.tap_config()).state
    left, changed = somebody(box), somebody(box, number=1)
    box.world.leave(AUDIENCE, left)
    box.world.change(changed, first_name="Other")
    entered = box.world.enter(AUDIENCE, {"email": "new@example.com"})
    second = run(box.tap_config(), state)
    assert second.of("exit") == [key_of(box, left)]
    assert second.of("update") == [key_of(box, changed)]
    assert second.of("enter") == [key_of(box, entered)]
    assert len(second.records) == 3


def test_somebody_who_left_and_came_back_between_two_runs_is_no_change(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    state = run(box.tap_config()).state
    one = somebody(box)
    box.world.leave(AUDIENCE, one)
    box.world.reenter(AUDIENCE, one)
    assert run(box.tap_config(), state).records == []


def test_somebody_who_comes_back_after_an_exit_is_an_enter(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    one = somebody(box)
    state = run(box.tap_config()).state
    box.world.leave(AUDIENCE, one)
    state = run(box.tap_config(), state).state
    box.world.reenter(AUDIENCE, one)
    third = run(box.tap_config(), state)
    assert third.changes == ["enter"]
    assert third.of("enter") == [key_of(box, one)]


def test_a_change_that_is_taken_back_before_the_next_run_is_no_change(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    state = run(box.tap_config()).state
    one = somebody(box)
    before = box.world.profile(one).get("first_name")
    box.world.change(one, first_name="Other")
    box.world.change(one, first_name=before)
    assert run(box.tap_config(), state).records == []


def test_a_run_without_changes_sends_no_record_and_writes_nothing_to_the_ledger(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30), AudienceSpec("Lapsed", 5)])
    first = run(box.tap_config())
    before = [(path, path.stat().st_mtime_ns) for path in ledger_files(box)]
    second = run(box.tap_config(), first.state)
    assert second.error == ""
    assert second.records == []
    assert but_for_the_number(second.state) == but_for_the_number(first.state)
    assert [(path, path.stat().st_mtime_ns) for path in ledger_files(box)] == before


def but_for_the_number(state):
    """A state without the number of its run."""
    entry = state["bookmarks"][STREAM]
    del entry["run"]["number"], entry["ended"]
    return state


def test_only_fields_that_are_selected_make_an_update(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    state = run(box.tap_config(), fields=["first_name"]).state
    box.world.change(somebody(box), visit_count=999)
    assert run(box.tap_config(), state, fields=["first_name"]).records == []


def test_fields_that_begin_with_an_underscore_and_segments_make_no_update(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30), AudienceSpec("Lapsed", 1)])
    only_vips = box.tap_config(audiences=[AUDIENCE])
    state = run(only_vips).state
    one = somebody(box)
    box.world.change(one, _modified="2026-01-01T00:00:00Z")
    box.world.reenter("lapsed", one)
    assert run(only_vips, state).records == []


def test_another_order_of_a_list_or_a_map_makes_no_update(make_box):
    box = make_box([AudienceSpec("VIP Customers", 1)])
    one = box.world.enter(
        AUDIENCE, {"email": "a@example.com", "interests": ["x", "y"], "labels": {"a": "1", "b": "2"}}
    )
    state = run(box.tap_config()).state
    box.world.change(one, interests=["y", "x"], labels={"b": "2", "a": "1"})
    assert run(box.tap_config(), state).records == []


def comparable(record):
    """A record without what differs from run to run, and values of no fixed shape, which are sent as Lytics writes them."""
    loose = {
        "odds_and_ends",
        "activity",
        "place",
        "likeness",
        "journeys",
        "preferences",
        "audience_changed_at",
    }
    return {name: value for name, value in record.items() if name not in loose}


def test_an_account_that_turns_to_text_numbers_makes_no_update(make_box):
    box = make_box([AudienceSpec("VIP Customers", 60)])
    fields = ["visit_count", "lifetime_value", "is_customer", "score_intensity", "visits_by_channel"]
    state = run(box.tap_config(), fields=fields).state
    box.fault("old_style_values")
    assert run(box.tap_config(), state, fields=fields).records == []


def test_records_are_the_same_whether_an_account_writes_numbers_as_numbers_or_as_text(make_box):
    boxes = [make_box([AudienceSpec("VIP Customers", 120)], seed=5) for _ in range(2)]
    boxes[1].fault("old_style_values")
    typed, loose = ([comparable(record) for record in run(box.tap_config()).records] for box in boxes)
    assert len(typed) > 100
    assert typed == loose


def test_a_field_whose_name_a_scan_cannot_be_asked_for_is_left_out_and_told(box, caplog):
    names = ["a,b", 'a"b', "a\\b"]
    for name in names:
        box.world.fields[name] = ("string", "")
    found = run(box.tap_config())
    assert found.records
    assert not set(names) & set(found.schema["properties"])
    assert [record for record in caplog.messages if all(repr(name) in record for name in names)]


def test_without_profile_updates_a_change_is_not_sent_until_they_are_turned_on(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    state = run(box.tap_config()).state
    one = somebody(box)
    box.world.change(one, first_name="Other")
    silent = run(box.tap_config(profile_updates=False), state)
    assert silent.records == []
    assert run(box.tap_config(), silent.state).of("update") == [key_of(box, one)]


def test_a_change_that_was_not_sent_is_not_forgotten_when_the_spelling_or_the_selection_changes(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    fields = ["first_name", "last_name", "city"]
    state = run(box.tap_config(), fields=fields).state
    respelt, other = somebody(box), somebody(box, number=1)
    box.world.change(
        respelt, first_name="Other", email=str(box.world.profile(respelt)["email"]).strip().upper()
    )
    box.world.change(other, first_name="Other")
    fewer = fields[:2]
    state = run(box.tap_config(profile_updates=False), state, fields=fewer).state
    assert set(run(box.tap_config(), state, fields=fewer).of("update")) == {
        key_of(box, respelt),
        key_of(box, other),
    }


def test_existing_users_are_recorded_and_not_sent_but_their_exits_are(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    config = box.tap_config(existing_users=False)
    first = run(config)
    assert first.records == []
    left, changed = somebody(box), somebody(box, number=1)
    box.world.leave(AUDIENCE, left)
    box.world.change(changed, first_name="Other")
    entered = box.world.enter(AUDIENCE)
    second = run(config, first.state)
    assert second.of("exit") == [key_of(box, left)]
    assert second.of("enter") == [key_of(box, entered)]
    assert second.of("update") == [], "who was recorded alone gets no updates"


def test_turning_existing_users_on_sends_those_who_were_only_recorded(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    recorded = set(box.world.keys(AUDIENCE))
    state = run(box.tap_config(existing_users=False)).state
    box.world.enter(AUDIENCE)
    state = run(box.tap_config(existing_users=False), state).state
    sent = run(box.tap_config(), state)
    assert set(sent.of("backfill")) == recorded
    assert run(box.tap_config(), sent.state).records == []


def test_a_field_that_is_added_sends_everybody_as_update_and_says_so(make_box, caplog):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    state = run(box.tap_config(), fields=["first_name"]).state
    with caplog.at_level("INFO"):
        second = run(box.tap_config(), state, fields=["first_name", "city"])
    assert set(second.of("update")) == set(box.world.keys(AUDIENCE))
    assert "fields were added" in caplog.text
    assert all("city" in record for record in second.records)
    assert run(box.tap_config(), second.state, fields=["first_name", "city"]).records == []


def test_a_field_that_is_removed_sends_nobody_but_those_who_changed(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    state = run(box.tap_config(), fields=["first_name", "city"]).state
    changed = somebody(box)
    box.world.change(changed, first_name="Other")
    second = run(box.tap_config(), state, fields=["first_name"])
    assert second.of("update") == [key_of(box, changed)]
    assert second.counts == {"update": 1}
    assert run(box.tap_config(), second.state, fields=["first_name"]).records == []


def test_all_enters_and_updates_of_all_audiences_leave_before_any_exit(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30), AudienceSpec("Lapsed", 30)])
    state = run(box.tap_config()).state
    for name in (AUDIENCE, "lapsed"):
        box.world.advance(name, enter=2, leave=2, change=2)
    changes_ = run(box.tap_config(), state).changes
    assert changes_.count("exit") == 4
    assert changes_[-4:] == ["exit"] * 4


def test_an_enter_carries_every_selected_field_and_an_exit_only_what_says_who_left(make_box):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    fields = ["first_name", "city", "interests", "birthday"]
    first = run(box.tap_config(), fields=fields)
    own = {
        "audience_id",
        "audience_slug",
        "audience_name",
        "audience_state",
        "audience_change",
        "audience_changed_at",
        "email",
    }
    assert all(set(record) == own | set(fields) for record in first.records)
    assert any(record["city"] is None for record in first.records), "a field that is missing is null"
    box.world.leave(AUDIENCE, somebody(box))
    (record,) = run(box.tap_config(), first.state, fields=fields).records
    assert set(record) == own
    assert (record["audience_state"], record["audience_change"]) == ("exit", "exit")


def test_the_time_of_a_change_is_utc_with_microseconds_and_never_earlier_than_the_last(make_box, monkeypatch):
    box = make_box([AudienceSpec("VIP Customers", 12)])
    monkeypatch.setattr(changes, "BLOCK_ROWS", 3)
    first = run(box.tap_config(page_size=3))
    box.world.advance(AUDIENCE, enter=2, leave=2)
    second = run(box.tap_config(page_size=3), first.state)
    times = [record["audience_changed_at"] for record in [*first.records, *second.records]]
    assert times == sorted(times)
    assert len(set(times)) > 2
    assert all(len(time) == len("2026-01-02T03:04:05.678901Z") and time.endswith("Z") for time in times)


@pytest.mark.parametrize("rows", [1, 3, 50_000])
def test_the_size_of_blocks_changes_nothing_but_how_many_parts_there_are(make_box, monkeypatch, rows):
    monkeypatch.setattr(changes, "BLOCK_ROWS", rows)
    box = make_box([AudienceSpec("VIP Customers", 45)])
    config = box.tap_config(page_size=2)
    first = run(config)
    assert set(first.of("backfill")) == set(box.world.keys(AUDIENCE))
    before = box.world.keys(AUDIENCE)
    box.world.advance(AUDIENCE, enter=4, leave=6)
    after = box.world.keys(AUDIENCE)
    second = run(config, first.state)
    assert set(second.of("enter")) == set(after) - set(before)
    assert set(second.of("exit")) == set(before) - set(after)
    assert run(config, second.state).records == []


def test_two_audiences_share_nothing_but_the_run(make_box):
    box = make_box([AudienceSpec("VIP Customers", 20), AudienceSpec("Lapsed", 10)])
    state = run(box.tap_config()).state
    one = somebody(box)
    box.world.leave(AUDIENCE, one)
    box.world.reenter("lapsed", one)
    records = run(box.tap_config(), state).records
    assert [(record["audience_slug"], record["audience_change"]) for record in records] == [
        ("lapsed", "enter"),
        (AUDIENCE, "exit"),
    ]


def test_ids_that_come_without_being_asked_for_tell_who_speaks_for_a_shared_address(make_box):
    box = make_box([AudienceSpec("VIP Customers", 20)])
    del box.world.fields["_id"]
    box.fault("system_fields", "unasked")
    one = somebody(box)
    twin = box.world.enter(AUDIENCE, {"email": key_of(box, one)})
    speaker, silent = sorted([one, twin])
    state = run(box.tap_config()).state
    for number in range(6):
        box.world.change(speaker, first_name=f"Name {number}")
        box.world.change(silent, first_name=f"Unheard {number}")
        again = run(box.tap_config(), state)
        assert [record["first_name"] for record in again.records] == [f"Name {number}"]
        state = again.state
