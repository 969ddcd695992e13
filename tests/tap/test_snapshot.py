"""A snapshot: every member once, whatever was sent before, and marks at its end only if it is whole."""

from __future__ import annotations

import json
import shutil

import pytest

from sandbox import AudienceSpec
from tap_lytics_audience.members import changes
from tests.tap.running import (
    AUDIENCE,
    STREAM,
    audience_id,
    key_of,
    ledger_files,
    run,
    run_process,
    somebody,
)


@pytest.fixture(autouse=True)
def _small_blocks(monkeypatch):
    monkeypatch.setattr(changes, "BLOCK_ROWS", 5)


@pytest.fixture
def box(make_box):
    return make_box([AudienceSpec("VIP Customers", 40)])


def config(box, **settings):
    return box.tap_config(**{"page_size": 3, **settings})


def snapshot(box, state=None, **settings):
    return run(config(box, snapshot=True, **settings), state)


def addresses(result):
    return sorted(record["email"] for record in result.records)


def members(box, name=AUDIENCE):
    return sorted(box.world.keys(name))


def marks(result):
    """What says that a snapshot is whole."""
    return [
        message
        for message in result.messages
        if message["type"] == "ACTIVATE_VERSION"
        or (message["type"] == "STATE" and "ended" in message["value"]["bookmarks"][STREAM])
    ]


def test_every_member_is_sent_as_one_enter_whatever_was_sent_before(box):
    state = run(config(box)).state
    before = snapshot(box, state)
    assert addresses(before) == members(box)
    assert before.counts == {"enter": len(members(box))}
    assert {record["audience_state"] for record in before.records} == {"enter"}
    box.world.enter(AUDIENCE)
    box.world.leave(AUDIENCE, somebody(box))
    assert addresses(snapshot(box, state)) == members(box)


def test_it_is_a_full_table_stream_that_ends_with_its_state_and_then_an_activate_version(box):
    result = snapshot(box)
    [schema] = [
        message for message in result.messages if message["type"] == "SCHEMA" and message["stream"] == STREAM
    ]
    assert not schema.get("bookmark_properties")
    own = [message for message in result.messages if message.get("stream", STREAM) == STREAM]
    kinds = [message["type"] for message in own]
    assert kinds[0] == "STATE"
    last = max(number for number, kind in enumerate(kinds) if kind == "RECORD")
    assert kinds[last + 1 : last + 3] == ["STATE", "ACTIVATE_VERSION"]
    versions = {message["version"] for message in own if message["type"] in {"RECORD", "ACTIVATE_VERSION"}}
    assert len(versions) == 1


def test_the_state_comes_out_as_it_went_in_with_the_run_at_first_and_the_snapshot_at_last(box):
    state = run(config(box)).state
    state["bookmarks"][STREAM]["target_cordial"] = {"lists": '{"a":1}'}
    result = snapshot(box, state)
    before = state["bookmarks"][STREAM]
    first, last = result.states[0]["bookmarks"][STREAM], result.state["bookmarks"][STREAM]
    assert first["run"] == {"ledger": before["ledger"], "number": 2, "audiences": [audience_id(box)]}
    assert "ended" not in first
    assert last["ended"] == 2
    assert last["snapshot"] == {
        audience_id(box): {
            "slug": AUDIENCE,
            "name": "VIP Customers",
            "members": len(members(box)),
        }
    }
    for entry in (first, last):
        kept = {name: value for name, value in entry.items() if name not in {"run", "ended", "snapshot"}}
        assert kept == {name: value for name, value in before.items() if name not in {"run", "ended"}}
    later = run(config(box), result.state).state["bookmarks"][STREAM]
    assert "snapshot" not in later
    assert later["run"]["number"] == 3


def test_without_a_state_no_generation_begins_and_the_next_run_of_the_pipeline_sends_nothing(box):
    state = run(config(box)).state
    result = snapshot(box)
    assert set(result.state["bookmarks"][STREAM]) == {"run", "ended", "snapshot"}
    quiet = run(config(box), state)
    assert quiet.error == ""
    assert quiet.records == []
    assert quiet.state["bookmarks"][STREAM]["generation"] == state["bookmarks"][STREAM]["generation"]


def test_an_audience_without_members_is_known_too(box):
    for id_ in list(box.world.audience(AUDIENCE).members):
        box.world.leave(AUDIENCE, id_)
    result = snapshot(box)
    assert result.error == ""
    assert result.records == []
    assert result.state["bookmarks"][STREAM]["snapshot"][audience_id(box)]["members"] == 0
    assert [mark["type"] for mark in marks(result)][:2] == ["STATE", "ACTIVATE_VERSION"]


def test_several_audiences_make_one_snapshot(make_box):
    box = make_box([AudienceSpec("VIP Customers", 12), AudienceSpec("Lapsed", 9)])
    result = snapshot(box)
    taken = result.state["bookmarks"][STREAM]["snapshot"]
    for name in (AUDIENCE, "lapsed"):
        own = [record["email"] for record in result.records if record["audience_slug"] == name]
        assert sorted(own) == members(box, name)
        assert taken[audience_id(box, name)]["members"] == len(own)
    assert len([message for message in result.messages if message["type"] == "ACTIVATE_VERSION"]) == 1


@pytest.mark.parametrize("fault", [("short_scan", 0.5), ("filter_blind", True)])
def test_a_scan_that_is_not_whole_has_no_mark_and_fails(box, fault):
    state = run(config(box)).state
    for _ in range(3):
        box.world.enter(AUDIENCE)
    box.world.leave(AUDIENCE, somebody(box))
    box.fault(*fault)
    result = snapshot(box, state, scan_shortfall_percent=20, page_size=50)
    assert "no whole snapshot" in result.error
    assert marks(result) == []


@pytest.mark.parametrize("page", [1, 3])
@pytest.mark.parametrize("has_ledger", [True, False])
def test_somebody_who_leaves_while_the_audience_is_scanned_hides_no_other(box, page, has_ledger):
    before = members(box)
    box.fault("scan_shifts", nth=page)
    result = snapshot(box, **({} if has_ledger else {"ledger_url": None}))
    assert result.error == ""
    assert marks(result)
    assert set(members(box)) <= set(addresses(result)) <= set(before)
    assert len(addresses(result)) == len(set(addresses(result)))


def test_where_lytics_tells_no_lower_total_the_size_tells_that_somebody_left(box):
    box.fault("total_capped", 30)
    box.fault("scan_shifts", nth=1)
    result = snapshot(box)
    assert result.error == ""
    assert set(members(box)) <= set(addresses(result))


def test_where_people_leave_in_every_scan_nothing_marks_the_snapshot_as_whole(box):
    box.fault("scan_shifts")
    result = snapshot(box, ledger_url=None)
    assert "In each of 3 scans somebody left audience 'vip_customers'" in result.error
    assert "no whole snapshot" in result.error
    assert marks(result) == []


def test_members_whom_the_ledger_holds_are_looked_up_however_many_leave_meanwhile(box):
    run(config(box))
    box.fault("scan_shifts")
    result = snapshot(box)
    assert result.error == ""
    assert set(members(box)) <= set(addresses(result))


def test_one_row_that_the_scan_missed_and_nobody_knows_is_too_many(box):
    box.fault("rows_missed", 40)
    result = snapshot(box, scan_shortfall_percent=100, page_size=50)
    assert "no whole snapshot" in result.error
    assert marks(result) == []


def test_members_of_the_ledger_whom_the_scan_missed_are_looked_up_and_sent(box):
    run(config(box))
    box.fault("rows_missed", 20)
    result = snapshot(box, scan_shortfall_percent=50, page_size=50)
    assert result.error == ""
    assert addresses(result) == members(box)


def test_whom_the_ledger_does_not_hold_leaves_one_day_though_no_run_sent_them(box):
    state = run(config(box)).state
    came = box.world.enter(AUDIENCE)
    assert key_of(box, came) in addresses(snapshot(box))
    address = key_of(box, came)
    box.world.leave(AUDIENCE, came)
    later = run(config(box), state)
    assert later.of("exit") == [address]
    assert run(config(box), later.state).records == []


def test_whom_the_ledger_does_not_hold_is_in_it_before_their_record_leaves(box):
    state = run(config(box)).state
    address = key_of(box, box.world.enter(AUDIENCE))
    files = set(ledger_files(box))
    snapshot(box)
    [part] = set(ledger_files(box)) - files
    assert part.name.startswith("p-"), "no manifest names it"
    again = run(config(box), state)
    assert again.of("enter") == [address], "the present truth"
    assert len(again.records) == 1


def test_snapshots_in_a_row_write_nobody_twice(box):
    run(config(box))
    box.world.enter(AUDIENCE)
    box.world.leave(AUDIENCE, somebody(box))
    snapshot(box)
    files = ledger_files(box)
    snapshot(box)
    assert ledger_files(box) == files


def test_who_left_and_came_back_is_written_again(box):
    state = run(config(box)).state
    one = somebody(box)
    address = key_of(box, one)
    box.world.leave(AUDIENCE, one)
    state = run(config(box), state).state
    box.world.reenter(AUDIENCE, one)
    assert address in addresses(snapshot(box))
    box.world.leave(AUDIENCE, one)
    assert run(config(box), state).of("exit") == [address]


def test_before_any_run_everybody_is_written_and_leaves_one_day(box):
    snapshot(box)
    left = somebody(box)
    address = key_of(box, left)
    box.world.leave(AUDIENCE, left)
    first = run(config(box))
    assert first.of("exit") == [address]
    assert sorted(first.of("backfill")) == members(box)


def test_who_left_by_a_snapshot_and_comes_back_is_sent_again(box):
    state = run(config(box)).state
    one = somebody(box)
    address = key_of(box, one)
    box.world.leave(AUDIENCE, one)
    assert address not in addresses(snapshot(box)), "a mirror takes them off"
    box.world.reenter(AUDIENCE, one)
    assert run(config(box), state).of("update") == [address]


def test_a_change_that_a_snapshot_showed_and_that_is_taken_back_is_sent_again(box):
    state = run(config(box)).state
    one = somebody(box)
    before = box.world.profile(one)["first_name"]
    box.world.change(one, first_name="For the snapshot alone")
    snapshot(box)
    box.world.change(one, first_name=before)
    later = run(config(box), state)
    assert [record["email"] for record in later.records] == [key_of(box, one)]
    assert run(config(box), later.state).records == []


def test_who_cannot_be_asked_about_stays_in_the_snapshot(box):
    id_ = box.world.enter(AUDIENCE, {"email": "DOM\\"})
    run(config(box))
    box.world.leave(AUDIENCE, id_)
    box.fault("entity_times_out")
    result = snapshot(box)
    assert result.error == ""
    assert addresses(result) == sorted([*members(box), "DOM\\"])
    [held] = [record for record in result.records if record["email"] == "DOM\\"]
    assert "first_name" not in held, "nothing is known of them but that they were sent"


def test_the_run_counts_in_the_ledger_too(box):
    run(config(box))
    snapshot(box)
    stored = json.loads((box.folder / "ledger" / "ledger.json").read_text(encoding="utf-8"))
    assert stored["run"] == 2


def test_it_needs_no_ledger_and_leaves_none(box, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = snapshot(box, ledger_url=None)
    assert addresses(result) == members(box)
    assert marks(result)
    assert result.state["bookmarks"][STREAM]["run"]["ledger"] == ""
    assert not [path for path in tmp_path.iterdir() if path != box.folder]
    assert not (box.folder / "ledger").exists()
    process = run_process(config(box, snapshot=True, ledger_url=""))
    assert process.code == 0
    assert process.leftovers == []


def test_without_a_ledger_only_a_snapshot_runs(box):
    assert "The setting ledger_url is missing" in run(config(box, ledger_url=None)).error


def test_members_of_the_first_run_are_left_out_where_they_are_recorded_alone(box, caplog):
    recorded = members(box)
    run(config(box, existing_users=False))
    address = key_of(box, box.world.enter(AUDIENCE))
    with caplog.at_level("INFO"):
        result = snapshot(box, existing_users=False)
    assert addresses(result) == [address]
    assert result.state["bookmarks"][STREAM]["snapshot"][audience_id(box)]["members"] == 1
    assert f"without {len(recorded)} of the first run" in caplog.text
    assert addresses(snapshot(box)) == sorted([*recorded, address]), "with existing_users all are sent"


def test_without_a_first_run_nobody_knows_who_is_left_out(box):
    unknown = snapshot(box, existing_users=False)
    assert "knows of no first run" in unknown.error
    assert marks(unknown) == []
    assert "needs the ledger" in snapshot(box, existing_users=False, ledger_url=None).error


def test_triggers_are_passed_over(box, tmp_path):
    settings = {"change_detection": "triggers", "triggers_url": str(tmp_path)}
    state = run(config(box, **settings)).state
    (tmp_path / "garbage.json").write_text("garbage\n" * 1500, encoding="utf-8")
    box.world.enter(AUDIENCE)
    result = snapshot(box, state, **settings)
    assert result.error == ""
    assert addresses(result) == members(box)


def test_a_renamed_audience_keeps_the_names_of_its_first_run(box):
    run(config(box))
    id_ = audience_id(box)
    box.world.rename_audience(AUDIENCE, new_name="Renamed", new_slug="renamed")
    result = snapshot(box, audiences=[id_])
    assert {record["audience_name"] for record in result.records} == {"VIP Customers"}
    assert result.state["bookmarks"][STREAM]["snapshot"][id_]["slug"] == AUDIENCE


def test_who_speaks_for_a_shared_address_is_the_same_as_for_the_changes(box):
    first, second = somebody(box), somebody(box, number=1)
    box.world.change(second, email=box.world.profile(first)["email"])
    sent = {record["email"]: record["first_name"] for record in run(config(box)).records}
    taken = {record["email"]: record["first_name"] for record in snapshot(box).records}
    assert taken == sent


def test_the_ledger_of_another_pipeline_is_refused(box, tmp_path):
    state = run(config(box)).state
    elsewhere = str(tmp_path / "other")
    run(config(box, ledger_url=elsewhere))
    assert "another pipeline" in snapshot(box, state, ledger_url=elsewhere).error
    shutil.rmtree(box.folder / "ledger")
    assert "is gone" in snapshot(box, state).error


@pytest.mark.parametrize("goes_on_from", ["the state before it", "its own state"])
def test_a_run_that_died_in_a_full_refresh_does_not_hide_members_from_the_ledger(box, goes_on_from):
    before = run(config(box)).state
    died = run(config(box)).states[2]
    gone = key_of(box, somebody(box))
    box.world.leave(AUDIENCE, somebody(box))
    assert addresses(snapshot(box)) == members(box)
    later = run(config(box), before if goes_on_from == "the state before it" else died)
    assert later.error == ""
    assert later.of("exit") == [gone]
    assert {record["email"] for record in later.records} <= {*members(box), gone}
    assert run(config(box), later.state).records == []
