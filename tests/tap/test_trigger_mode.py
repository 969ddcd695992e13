"""Trigger messages say whom to look at; what Lytics says of them is what is sent."""

from __future__ import annotations

import pytest

from sandbox import AudienceSpec
from tests.tap.running import AUDIENCE, run


@pytest.fixture
def box(make_box, tmp_path):
    return make_box([AudienceSpec("VIP Customers", 30)], triggers_url=tmp_path / "landed")


@pytest.fixture
def config(box, tmp_path):
    return box.tap_config(
        change_detection="triggers", triggers_url=str(tmp_path / "landed"), max_exit_percent=100, page_size=10
    )


def reads_triggers_from(result):
    [bookmark] = result.state["bookmarks"]["audience_members"]["audiences"].values()
    return bookmark.get("triggers_from")


def scans(box):
    return [request for request in box.requests if request.path.endswith("/scan") and request.method == "GET"]


def lookups(box):
    return [
        request for request in box.requests if request.path.endswith("/scan") and request.method == "POST"
    ]


def addresses(box):
    return set(box.world.members(AUDIENCE))


def apply(view, result):
    """What a consumer has who takes all records."""
    for record in result.records:
        if record["audience_state"] == "exit":
            view.discard(record["email"])
        else:
            view.add(record["email"])
    return view


@pytest.mark.parametrize("shape", ["default", "cloudevents", "older"])
@pytest.mark.parametrize("packing", [{}, {"batch": 10}, {"batch": 10, "lines": True, "compress": True}])
def test_those_whom_messages_name_are_read_and_nobody_else(box, config, shape, packing):
    first = run(config)
    view = apply(set(), first)
    box.clear_requests()
    box.world.advance(AUDIENCE, enter=2, leave=3, change=1)
    box.land_triggers(shape=shape, **packing)
    second = run(config, first.state)
    assert second.error == ""
    assert second.counts == {"enter": 2, "update": 1, "exit": 3}
    assert apply(view, second) == addresses(box)
    assert len(scans(box)) == 1, "one page, for control members"
    assert lookups(box)


def test_a_run_without_messages_sends_nothing_and_writes_nothing(box, config):
    first = run(config)
    before = sorted((box.folder / "ledger").rglob("*"))
    second = run(config, first.state)
    assert second.error == ""
    assert second.records == []
    assert sorted((box.folder / "ledger").rglob("*")) == before


@pytest.mark.parametrize("fault", ["trigger_late", "trigger_twice", "trigger_shuffled", "trigger_cut"])
def test_late_repeated_shuffled_and_cut_messages_lose_nothing(box, config, fault):
    result = run(config)
    view = apply(set(), result)
    box.fault(fault)
    for _ in range(2):
        box.world.advance(AUDIENCE, enter=2, leave=2, return_=1)
        box.land_triggers(batch=5, lines=True)
        result = run(config, result.state)
        assert result.error == ""
        apply(view, result)
    box.clear_faults()
    box.world.advance(AUDIENCE, enter=1)
    box.land_triggers()
    result = run(config, result.state)
    assert apply(view, result) == addresses(box)


def test_a_lost_message_is_made_up_for_by_the_next_full_scan(box, config):
    first = run(config)
    view = apply(set(), first)
    box.fault("trigger_lost")
    box.world.advance(AUDIENCE, enter=1, leave=1)
    box.land_triggers()
    second = run(config, first.state)
    assert second.records == []
    third = run({**config, "rescan_days": 0}, second.state)
    assert third.counts == {"enter": 1, "exit": 1}
    assert apply(apply(view, second), third) == addresses(box)


def test_an_event_that_the_index_does_not_know_yet_is_looked_at_again(box, config):
    first = run(config)
    view = apply(set(), first)
    [left] = box.world.advance(AUDIENCE, leave=1)["leave"]
    box.land_triggers()
    second = run(config, first.state)
    view = apply(view, second)
    assert second.counts == {"exit": 1}
    box.fault("index_lag", 50)
    box.world.reenter(AUDIENCE, left)
    box.world.advance(AUDIENCE, leave=1)
    box.land_triggers()
    third = run(config, second.state)
    assert third.error == ""
    assert "exit" not in third.changes, "who left is still found"
    assert "enter" not in third.changes, "who came back is not found yet"
    view = apply(view, third)
    box.clear_faults()
    fourth = run(config, third.state)
    assert fourth.counts == {"enter": 1, "exit": 1}
    assert apply(view, fourth) == addresses(box)


def test_an_enter_that_the_index_does_not_know_yet_is_no_exit(box, config):
    first = run(config)
    view = apply(set(), first)
    box.fault("index_lag", 50)
    member = next(iter(box.world.audience(AUDIENCE).members))
    box.world.leave(AUDIENCE, member)
    box.world.reenter(AUDIENCE, member)
    box.land_triggers()
    second = run(config, first.state)
    assert "exit" not in second.changes
    box.clear_faults()
    third = run(config, second.state)
    assert apply(apply(view, second), third) == addresses(box)


def test_an_answer_with_fewer_people_than_lytics_counts_confirms_nobody(box, config):
    first = run(config)
    box.world.advance(AUDIENCE, change=6)
    box.land_triggers()
    box.fault("rows_missed", 3)
    second = run(config, first.state)
    assert "exit" not in second.changes
    assert "it cannot confirm who left" in second.error
    box.clear_faults()
    third = run(config, second.state)
    assert third.error == ""
    assert "exit" not in third.changes
    assert third.of("update")


def test_an_empty_page_of_an_audience_with_members_confirms_nobody(box, config):
    first = run(config)
    box.world.advance(AUDIENCE, leave=2)
    box.land_triggers()
    box.fault("short_scan", 0.0)
    second = run(config, first.state)
    assert second.records == []
    assert "it cannot confirm who left" in second.error
    box.clear_faults()
    assert run(config, second.state).counts == {"exit": 2}


@pytest.mark.parametrize("emails", ["person{}@example.com", 'odd"{}"@example.com'])
def test_a_first_page_without_identifiers_keeps_nobody_from_entering_or_leaving(make_box, tmp_path, emails):
    (tmp_path / "landed").mkdir()
    box = make_box([AudienceSpec("VIP Customers", 0)], triggers_url=tmp_path / "landed")
    for _ in range(30):
        box.world.enter(AUDIENCE, {"city": "Nowhere"})
    ids = [box.world.enter(AUDIENCE, {"email": emails.format(number)}) for number in range(10)]
    config = box.tap_config(change_detection="triggers", triggers_url=str(tmp_path / "landed"), page_size=20)
    first = run(config)
    assert first.error == ""
    box.world.enter(AUDIENCE, {"email": "new@example.com"})
    box.world.leave(AUDIENCE, ids[0])
    box.land_triggers()
    second = run(config, first.state)
    assert second.error == ""
    assert sorted(second.changes) == ["enter", "exit"]


def test_where_neither_scan_nor_ledger_shows_a_member_each_person_is_asked_for_alone(make_box):
    box = make_box([AudienceSpec("VIP Customers", 0)])
    for _ in range(5):
        box.world.enter(AUDIENCE, {"city": "Nowhere"})
    ids = [box.world.enter(AUDIENCE, {"email": f"person{number}@example.com"}) for number in range(3)]
    state = run(box.tap_config()).state
    for id_ in ids:
        box.world.leave(AUDIENCE, id_)
    box.fault("entity_times_out")
    unsure = run(box.tap_config(), state)
    assert unsure.records == []
    assert "gives no answer about single profiles, so it cannot confirm who left" in unsure.error
    box.clear_faults()
    sure = run(box.tap_config(), unsure.state)
    assert sure.error == ""
    assert sure.counts == {"exit": 3}


def test_everybody_who_left_goes_also_when_nobody_is_left(box, config):
    first = run(config)
    members = list(box.world.audience(AUDIENCE).members)
    for id_ in members:
        box.world.leave(AUDIENCE, id_)
    box.land_triggers()
    second = run(config, first.state)
    assert second.error == ""
    assert apply(apply(set(), first), second) == set()


def test_switching_to_triggers_scans_once_and_switching_back_scans_always(box, config):
    first = run({**config, "change_detection": "scan"})
    assert not reads_triggers_from(first)
    box.clear_requests()
    second = run(config, first.state)
    assert len(scans(box)) == 3
    assert reads_triggers_from(second)
    box.clear_requests()
    third = run(config, second.state)
    assert len(scans(box)) == 1
    fourth = run({**config, "change_detection": "scan"}, third.state)
    assert not reads_triggers_from(fourth)


def test_a_first_run_that_was_not_acknowledged_is_scanned_again(box, config):
    first = run(config)
    box.clear_requests()
    again = run(config, first.states[0])
    assert len(scans(box)) == 3
    assert again.counts == first.counts


def test_a_folder_that_is_not_there_is_one_clear_sentence_from_the_first_run_on(config, tmp_path):
    missing = {**config, "triggers_url": str(tmp_path / "nowhere")}
    first = run(missing)
    assert "triggers_url" in first.error
    assert set(first.changes) == {"backfill"}, "a full scan needs no messages"
    second = run(missing, first.state)
    assert "triggers_url" in second.error
    assert second.records == []


@pytest.mark.parametrize("rescan_days", [0, 7])
def test_garbage_keeps_no_message_and_no_scan_from_being_read(box, config, tmp_path, caplog, rescan_days):
    first = run(config)
    (tmp_path / "landed" / "garbage.json").write_bytes(b"garbage\n" * 1_500)
    box.world.advance(AUDIENCE, enter=2, leave=1)
    box.land_triggers()
    second = run({**config, "rescan_days": rescan_days}, first.state)
    assert second.error == ""
    assert second.counts == {"enter": 2, "exit": 1}
    assert apply(apply(set(), first), second) == addresses(box)
    assert "trigger messages cannot be read, 1,500 of them in" in caplog.text


def test_messages_of_other_audiences_are_passed_over(make_box, tmp_path):
    box = make_box(
        [AudienceSpec("VIP Customers", 10), AudienceSpec("Lapsed", 10)], triggers_url=tmp_path / "landed"
    )
    config = box.tap_config(
        change_detection="triggers", triggers_url=str(tmp_path / "landed"), audiences=[AUDIENCE]
    )
    first = run(config)
    box.world.advance("lapsed", enter=2, leave=2)
    box.land_triggers()
    second = run(config, first.state)
    assert second.error == ""
    assert second.records == []
