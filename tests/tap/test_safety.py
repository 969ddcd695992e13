"""Nobody is removed by accident, and an audience is never taken for another."""

from __future__ import annotations

import pytest

from sandbox import AudienceSpec
from tests.tap.running import AUDIENCE, audience_id, bookmark, key_of, run, somebody


@pytest.fixture
def box(make_box):
    return make_box([AudienceSpec("VIP Customers", 40)])


def leaving(box, count=1):
    """So many members leave; their keys."""
    ids = [somebody(box, number=number) for number in range(count)]
    for id_ in ids:
        box.world.leave(AUDIENCE, id_)
    return {key_of(box, id_) for id_ in ids}


def test_a_short_scan_yields_no_exits_and_says_so(box):
    state = run(box.tap_config()).state
    gone = leaving(box)
    box.fault("short_scan", 0.5)
    short = run(box.tap_config(), state)
    assert "exit" not in short.changes
    assert "fewer than scan_shortfall_percent" in short.error
    box.clear_faults()
    assert set(run(box.tap_config(), short.state).of("exit")) == gone


def test_rows_that_a_scan_missed_are_asked_for_one_by_one(box):
    state = run(box.tap_config()).state
    box.fault("rows_missed", 20)
    result = run(box.tap_config(scan_shortfall_percent=50), state)
    assert result.error == ""
    assert result.records == []


def test_rows_that_come_twice_are_one_member(box):
    box.fault("rows_repeated", 3)
    result = run(box.tap_config())
    assert result.error == ""
    assert sorted(record["email"] for record in result.records) == sorted(box.world.keys(AUDIENCE))


def test_without_a_control_member_nothing_is_confirmed(box):
    state = run(box.tap_config()).state
    gone = leaving(box)
    box.fault("filter_blind")
    blind = run(box.tap_config(), state)
    assert "exit" not in blind.changes
    assert "it cannot confirm who left" in blind.error
    box.clear_faults()
    assert set(run(box.tap_config(), blind.state).of("exit")) == gone


def test_more_exits_than_the_limit_are_held_back_until_a_person_lets_them(make_box):
    box = make_box([AudienceSpec("VIP Customers", 300)])
    state = run(box.tap_config()).state
    gone = leaving(box, 120)
    box.world.enter(AUDIENCE)
    held = run(box.tap_config(), state)
    assert "exit" not in held.changes
    assert held.changes == ["enter"], "enters go all the same"
    assert "120 of" in held.error
    assert "TAP_LYTICS_AUDIENCE_MAX_EXIT_PERCENT=100" in held.error
    assert set(run(box.tap_config(max_exit_percent=100), held.state).of("exit")) == gone


@pytest.mark.parametrize("is_followed", [False, True])
def test_who_left_before_a_full_refresh_does_not_count_against_the_limit(make_box, is_followed):
    box = make_box([AudienceSpec("VIP Customers", 400)])
    state = run(box.tap_config()).state
    leaving(box, 150)
    state = run(box.tap_config(max_exit_percent=100), state).state
    if is_followed:
        leaving(box, 1)
        run(box.tap_config(), state)
    again = run(box.tap_config(max_exit_percent=10))
    assert again.error == ""
    assert sorted(again.of("backfill")) == sorted(box.world.keys(AUDIENCE))


@pytest.mark.parametrize(
    ("members", "leavers", "goes"),
    [
        (40, 10, True),
        (40, 11, False),
        (60, 11, True),
        (12, 10, True),
        (3, 3, True),
        (4, 4, False),
        (80, 80, False),
    ],
)
def test_ten_exits_pass_whatever_their_share_but_more_than_three_may_not_leave_nobody(
    make_box, members, leavers, goes
):
    box = make_box([AudienceSpec("VIP Customers", 0)])
    ids = [box.world.enter(AUDIENCE, {"email": f"person{number}@example.com"}) for number in range(members)]
    state = run(box.tap_config()).state
    for id_ in ids[:leavers]:
        box.world.leave(AUDIENCE, id_)
    result = run(box.tap_config(), state)
    if goes:
        assert result.error == ""
        assert result.counts == {"exit": leavers}
        return
    assert result.records == []
    assert "run once with TAP_LYTICS_AUDIENCE_MAX_EXIT_PERCENT=100" in result.error
    asked = run(box.tap_config(max_exit_percent=100), result.state)
    assert asked.error == ""
    assert asked.counts == {"exit": leavers}


def test_each_run_without_a_limit_says_so(box, caplog):
    state = run(box.tap_config()).state
    assert "max_exit_percent is 100" not in caplog.text
    for _ in range(2):
        caplog.clear()
        run(box.tap_config(max_exit_percent=100), state)
        assert caplog.text.count("max_exit_percent is 100") == 1


def test_an_audience_of_a_full_refresh_is_not_emptied_unasked_either(box):
    run(box.tap_config())
    for id_ in list(box.world.audience(AUDIENCE).members):
        box.world.leave(AUDIENCE, id_)
    refreshed = run(box.tap_config())
    assert refreshed.records == []
    assert "would leave at once" in refreshed.error


@pytest.mark.parametrize("fault", ["splits_ignored", "splits_overlap"])
def test_slices_that_are_not_kept_apart_are_no_harm(box, monkeypatch, fault):
    monkeypatch.setattr("tap_lytics_audience.lytics.scan.PLAIN_SCAN_BELOW", 1)
    box.fault(fault)
    result = run(box.tap_config())
    assert result.error == ""
    assert sorted(record["email"] for record in result.records) == sorted(box.world.keys(AUDIENCE))


@pytest.mark.parametrize("concurrency", [2, 3, 16, 64])
def test_slices_are_read_side_by_side_and_as_many_by_each(box, monkeypatch, concurrency):
    monkeypatch.setattr("tap_lytics_audience.lytics.scan.PLAIN_SCAN_BELOW", 1)
    result = run(box.tap_config(scan_concurrency=concurrency))
    assert result.error == ""
    assert len(result.records) == len(box.world.keys(AUDIENCE))
    scans = [request.query for request in box.requests if request.path.endswith("/scan")]
    slices = [query["splits"].split(",") for query in scans if "splits" in query and "start" not in query]
    assert len(slices) % concurrency == 0
    assert len(slices) >= 20
    assert sorted(int(split) for splits in slices for split in splits) == list(range(100))
    assert max(map(len, slices)) - min(map(len, slices)) <= 1


def test_a_renamed_audience_keeps_its_names_so_that_no_second_list_begins(box, caplog):
    state = run(box.tap_config()).state
    id_ = audience_id(box)
    box.world.rename_audience(AUDIENCE, new_name="Very Important", new_slug="very_important")
    box.world.enter("very_important")
    result = run(box.tap_config(audiences=[id_]), state)
    assert result.error == ""
    assert {record["audience_name"] for record in result.records} == {"VIP Customers"}
    assert {record["audience_slug"] for record in result.records} == {"vip_customers"}
    assert "was renamed" in caplog.text
    lost = run(box.tap_config(audiences=[id_]))
    assert {record["audience_name"] for record in lost.records} == {"VIP Customers"}, "a lost state too"


def test_a_slug_that_means_another_audience_now_is_an_error_and_a_full_refresh_its_cure(box):
    first = run(box.tap_config())
    box.world.remove_audience(AUDIENCE)
    box.world.add_audience(AudienceSpec("VIP Customers", 5))
    refused = run(box.tap_config(), first.state)
    assert "is another one now" in refused.error
    assert "--full-refresh" in refused.error
    assert refused.records == []
    refreshed = run(box.tap_config(max_exit_percent=100))
    assert set(refreshed.of("backfill")) == set(box.world.keys(AUDIENCE))
    assert set(refreshed.of("exit")) == set(first.of("backfill")) - set(box.world.keys(AUDIENCE))


def test_an_audience_that_is_gone_is_an_error_and_never_an_empty_one(box):
    state = run(box.tap_config()).state
    box.world.remove_audience(AUDIENCE)
    result = run(box.tap_config(audiences=[AUDIENCE]), state)
    assert "has no audience 'vip_customers'" in result.error
    assert result.records == []


def test_another_identifier_field_is_an_error_that_names_the_cure(box):
    state = run(box.tap_config()).state
    result = run(box.tap_config(identifier_field="_id"), state)
    assert "set it back, or run once with --full-refresh" in result.error
    assert result.records == []


def test_the_state_is_short_and_readable(box):
    state = run(box.tap_config()).state
    assert len(str(state)) < 2000
    assert bookmark(state, box)["name"] == "VIP Customers"


@pytest.mark.parametrize(
    ("maps", "sentence"),
    [
        ({"__filter__": "record.get('country') == 'US'"}, "drops exits"),
        ({"full_name": "first_name + last_name"}, "cannot be computed for an exit"),
    ],
)
def test_a_stream_map_that_drops_or_breaks_exits_is_refused(box, maps, sentence):
    result = run(box.tap_config(stream_maps={"audience_members": maps}))
    assert sentence in result.error
    assert "stream_maps" in result.error
    assert result.records == []


def test_a_stream_map_that_takes_exits_is_applied_to_all_records(box):
    maps = {"audience_members": {"email": "md5(email)", "nickname": "record.get('first_name')"}}
    first = run(box.tap_config(stream_maps=maps))
    assert first.error == ""
    assert not any("@" in record["email"] for record in first.records)
    assert all(record["nickname"] == record["first_name"] for record in first.records)
    leaving(box)
    [left] = run(box.tap_config(stream_maps=maps), first.state).records
    assert left["audience_state"] == "exit"


def test_a_filter_on_the_audience_alone_is_fine(make_box):
    box = make_box([AudienceSpec("VIP Customers", 10), AudienceSpec("Lapsed", 10)])
    maps = {"audience_members": {"__filter__": "audience_slug == 'lapsed'"}}
    result = run(box.tap_config(stream_maps=maps))
    assert result.error == ""
    assert {record["audience_slug"] for record in result.records} == {"lapsed"}


def test_flattening_works(box):
    result = run(box.tap_config(flattening_enabled=True, flattening_max_depth=2))
    assert result.error == ""
    assert len(result.records) == len(box.world.keys(AUDIENCE))


def test_fields_are_asked_for_only_if_they_are_selected(box):
    box.clear_requests()
    run(box.tap_config(), fields=["city"])
    [query] = [request.query for request in box.requests if request.path.endswith("/scan")]
    assert set(query["fields"].split(",")) == {"_id", "_split", "email", "city"}


@pytest.mark.parametrize(("profiles", "is_refused"), [(10, False), (11, True), (30, True)])
def test_an_audience_of_which_nobody_has_the_identifier_is_not_green_unasked(make_box, profiles, is_refused):
    box = make_box([AudienceSpec("VIP Customers", 0)])
    for _ in range(profiles):
        box.world.enter(AUDIENCE, {"city": "Nowhere"})
    result = run(box.tap_config())
    assert ("None of the" in result.error) == is_refused
    assert run(box.tap_config(max_exit_percent=100)).error == ""
