"""Each audience is a pass of its own: what is wrong with one fails the run once the others were done."""

from __future__ import annotations

import pytest

from sandbox import AudienceSpec
from tap_lytics_audience.tap import TapLyticsAudience
from tests.tap.running import STREAM, audience_id, bookmark, run

OTHER = "lapsed"
BAD = "bad"


@pytest.fixture
def box(make_box):
    return make_box([AudienceSpec("Bad", 20), AudienceSpec("Lapsed", 10)])


def gone(box):
    box.world.remove_audience(BAD)


def invalid(box):
    box.world.invalidate_audience(BAD)


def another(box):
    box.world.remove_audience(BAD)
    box.world.add_audience(AudienceSpec("Bad", 3))


def damaged(box):
    for path in (box.folder / "ledger" / audience_id(box, BAD)).glob("*.json"):
        path.write_bytes(b"{")


def refused(box):
    box.fault("lytics_status", 403, path=f"GET /api/segment/{audience_id(box, BAD)}/scan")


def unknown(box):
    box.world.rename_audience(BAD, new_slug="worse")


def short(box):
    box.fault("short_scan", 0.1, path=f"GET /api/segment/{audience_id(box, BAD)}/scan")


def emptied(box):
    for id_ in list(box.world.audience(BAD).members):
        box.world.leave(BAD, id_)


ODDITIES = {
    gone: "Lytics has no audience 'bad'",
    invalid: "The audience 'bad' is invalid in Lytics",
    another: "The audience 'bad' is another one now",
    damaged: "The ledger file",
    refused: "The API token may not use the scan (403)",
    unknown: "Lytics has no audience 'bad'",
    short: "The scan of audience 'bad' gave 2 of 20 profiles",
    emptied: "TAP_LYTICS_AUDIENCE_MAX_EXIT_PERCENT=100",
}


@pytest.mark.parametrize("oddity", ODDITIES, ids=lambda oddity: oddity.__name__)
def test_what_is_wrong_with_one_audience_fails_the_run_after_the_others_are_done(box, oddity):
    first = run(box.tap_config())
    left = box.world.advance(OTHER, enter=1, leave=1)["leave"]
    assert left
    kept = bookmark(first.state, box, BAD)
    bad_id = audience_id(box, BAD)
    oddity(box)
    settings = {"audiences": [BAD, OTHER]}
    second = run(box.tap_config(**settings), first.state)
    assert ODDITIES[oddity] in second.error
    assert sorted(second.changes) == ["enter", "exit"]
    assert {record["audience_slug"] for record in second.records} == {OTHER}
    state = second.state["bookmarks"][STREAM]
    assert "ended" not in state
    assert state["audiences"][bad_id]["position"].startswith(kept["position"].partition("/")[0])
    assert [
        message["record"]["slug"]
        for message in second.messages
        if message.get("stream") == "audiences" and "record" in message
    ]
    again = run(box.tap_config(**settings), second.state)
    assert again.records == []
    assert ODDITIES[oddity] in again.error


def test_an_audience_that_is_back_goes_on_where_it_was(box):
    config = box.tap_config()
    first = run(config)
    unknown(box)
    second = run(config, first.state)
    assert "has no audience" in second.error
    box.world.rename_audience("worse", new_slug=BAD)
    box.world.enter(BAD)
    third = run(config, second.state)
    assert third.error == ""
    assert third.changes == ["enter"]
    assert third.state["bookmarks"][STREAM]["ended"] == third.state["bookmarks"][STREAM]["run"]["number"]


def test_a_run_of_odd_audiences_alone_leaves_the_state_as_it_was(box):
    state = run(box.tap_config()).state
    result = run(box.tap_config(audiences=["nobody", "noone"]), state)
    assert result.messages == []
    assert "'nobody'" in result.error
    assert "'noone'" in result.error


def test_while_lytics_cannot_be_reached_no_audience_is_said_to_be_gone(box, monkeypatch):
    monkeypatch.setattr("lytics_to_cordial.retries.time.sleep", lambda _: None)
    box.fault("lytics_status", 503, path="GET /api/segment", once=False)
    result = run(box.tap_config(audiences=["sizes"]))
    assert "has no audience" not in result.error
    assert "503" in result.error


def test_an_audience_that_is_named_by_slug_and_id_is_read_once(box):
    names = [OTHER, audience_id(box, OTHER)]
    stream = TapLyticsAudience(config=box.tap_config(audiences=names)).streams[STREAM]
    assert len(list(stream.get_records(None))) == 1
    result = run(box.tap_config(audiences=names))
    assert (result.error, len(result.records)) == ("", 10)


def test_all_audiences_that_cannot_be_read_are_named_together(box):
    state = run(box.tap_config()).state
    another(box)
    result = run(box.tap_config(audiences=["nobody", BAD]), state)
    assert "'nobody'" in result.error
    assert "The audience 'bad' is another one now" in result.error


def test_one_sentence_is_said_once_for_all_audiences(box):
    state = run(box.tap_config()).state
    box.fault("lytics_status", 403, path="/scan")
    result = run(box.tap_config(), state)
    assert result.error.count("The API token may not use the scan (403)") == 1


def test_messages_that_cannot_be_read_keep_no_scan_from_being_done(box, tmp_path):
    folder = tmp_path / "landed"
    folder.mkdir()
    config = box.tap_config(change_detection="triggers", triggers_url=str(folder), audiences=[BAD])
    state = run(config).state
    folder.rmdir()
    both = run({**config, "audiences": [BAD, OTHER]}, state)
    assert "triggers_url" in both.error
    assert {record["audience_slug"] for record in both.records} == {OTHER}


def test_an_id_is_asked_for_once_and_used_in_all_other_calls(box):
    state = run(box.tap_config()).state
    box.world.advance(BAD, leave=1)
    box.clear_requests()
    assert run(box.tap_config(audiences=[BAD]), state).error == ""
    paths = [request.path for request in box.requests]
    assert paths.count(f"/api/segment/{BAD}") == 1
    assert not [path for path in paths if path.startswith(f"/api/segment/{BAD}/")]
    [look_up] = [request for request in box.requests if request.path == "/api/segment/scan"]
    assert audience_id(box, BAD) in look_up.body
    assert BAD not in look_up.body


def test_who_lost_the_identifier_is_counted_apart_from_who_left(box, caplog):
    state = run(box.tap_config()).state
    ids = [ids[0] for ids in box.world.keys(BAD).values() if len(ids) == 1][:3]
    for id_ in ids[:2]:
        box.world.change(id_, email=None)
    box.world.leave(BAD, ids[2])
    result = run(box.tap_config(), state)
    assert result.error == ""
    assert result.counts == {"exit": 3}
    assert "Audience bad: of those who left, 2 are still in the audience and lost email" in caplog.text
    assert "Audience lapsed: of those" not in caplog.text
