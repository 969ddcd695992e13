"""Two workers on one storage folder: the second waits, takes over or is refused, and what comes late arrives nowhere."""

import json
import signal
import socket
import time

import pytest

from lytics_to_cordial.files import Folder
from lytics_to_cordial.lease import BEAT_VARIABLE, Lease
from tests.target.auditing import ended, fill, records
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    STREAM,
    enter,
    import_calls,
    quick_config,
    run,
    started,
    state,
    wait_until,
)

QUICK = {BEAT_VARIABLE: "0.25"}
ADA, BOB = "ada@example.com", "bob@example.com"


def of_run(number, *messages, ledger="0123456789abcdef"):
    """The input of a run of tap-lytics-audience."""
    entry = {"run": {"ledger": ledger, "number": number, "audiences": []}, "audiences": {}}
    value = {"bookmarks": {STREAM: entry}}
    return [state(value), AUDIENCE_SCHEMA, *messages, state(value)]


def runs_file(box):
    return box.folder / "sftp" / "import" / "runs.json"


def lease_file(box):
    return runs_file(box).with_name("lease.json")


def holder(box, other_than=None):
    """Who has the lease, once it is whole and another run's: a new file is there before what it holds."""
    found = {}

    def is_there():
        found.update(json.loads(lease_file(box).read_bytes() or b"{}") if lease_file(box).exists() else {})
        return found.get("run", other_than) != other_than

    wait_until(is_there)
    return found


@pytest.fixture
def at_work(box):
    """A run that has begun and waits for more to read."""
    with started(quick_config(box), env=QUICK) as running:
        running.write([state({"at": 0}), AUDIENCE_SCHEMA, enter(ADA, first_name="Old")])
        holder(box)
        yield running


def test_a_second_run_waits_until_the_first_one_ends(box, at_work):
    with started(quick_config(box), env=QUICK) as second:
        second.write([AUDIENCE_SCHEMA, enter(BOB), state({"at": 2})])
        second.end_input()
        second.wait_for_log("waiting for its end")
        at_work.write([state({"at": 1})])
        at_work.end_input()
        assert at_work.result().code == 0
        result = second.result()
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {ADA, BOB}
    assert box.files() == []


def test_a_second_run_is_refused_with_host_and_time_while_the_first_one_lives_on(box, at_work):
    since = holder(box)["since"]
    result = run(quick_config(box), [AUDIENCE_SCHEMA, enter(BOB), state({"at": 2})], env=QUICK)
    assert result.code == 1
    assert f"on {socket.gethostname()} since {since}" in result.message
    assert result.states == []
    assert box.contacts() == {}
    assert at_work.process.poll() is None


def test_after_a_kill_the_next_run_on_this_host_goes_on_at_once_and_unasked(box, at_work):
    at_work.process.kill()
    at_work.result()
    began = time.monotonic()
    # With the beat of production, of which four are a minute.
    result = run(quick_config(box), [AUDIENCE_SCHEMA, enter(BOB), state({"at": 2})])
    assert result.code == 0, result.log
    assert time.monotonic() - began < 15
    assert "this one takes over" in result.log
    assert box.list_members(LIST) == {BOB}


def test_a_stalled_run_is_taken_over_and_delivers_nothing_when_it_wakes(box, at_work):
    at_work.process.send_signal(signal.SIGSTOP)
    newer = [AUDIENCE_SCHEMA, enter(ADA, first_name="New"), state({"at": 2})]
    assert run(quick_config(box), newer, env=QUICK).code == 0
    calls = len(import_calls(box))
    at_work.process.send_signal(signal.SIGCONT)
    at_work.write([state({"at": 1})])
    at_work.end_input()
    result = at_work.result()
    assert result.code == 1
    assert "Another run took over" in result.message
    assert {"at": 1} not in result.states
    assert len(import_calls(box)) == calls
    assert box.contacts()[ADA].attributes["first_name"] == "New"


def test_a_stalled_run_that_wakes_while_the_other_is_at_work_does_not_take_it_back(box, at_work):
    before = holder(box)["run"]
    at_work.process.send_signal(signal.SIGSTOP)
    with started(quick_config(box), env=QUICK) as second:
        second.write([state({"at": 0}), AUDIENCE_SCHEMA, enter(ADA, first_name="New")])
        second.wait_for_log("takes over")
        after = holder(box, other_than=before)["run"]
        at_work.process.send_signal(signal.SIGCONT)
        at_work.write([state({"at": 1})])
        at_work.end_input()
        assert at_work.result().code == 1
        assert holder(box)["run"] == after
        second.write([state({"at": 2})])
        second.end_input()
        assert second.result().states[-1] == {"at": 2}
    assert box.contacts()[ADA].attributes["first_name"] == "New"


def test_a_file_of_messages_that_comes_late_arrives_nowhere(box):
    config = quick_config(box)
    assert run(config, of_run(7, enter(ADA, first_name="New"))).code == 0
    result = run(config, of_run(6, enter(ADA, first_name="Old"), enter(BOB)))
    assert result.code == 2
    assert "is of run 6 of ledger 0123456789abcdef, and run 7 was delivered" in result.message
    assert box.list_members(LIST) == {ADA}
    assert box.contacts()[ADA].attributes["first_name"] == "New"
    assert json.loads(runs_file(box).read_bytes()) == {"0123456789abcdef": 7}


def test_the_same_run_again_a_later_one_and_one_of_another_ledger_are_delivered(box):
    for number, ledger in [(7, "a"), (7, "a"), (8, "a"), (1, "b")]:
        result = run(quick_config(box), of_run(number, enter(ADA), ledger=ledger))
        assert result.code == 0, result.log
    assert json.loads(runs_file(box).read_bytes()) == {"a": 8, "b": 1}
    assert box.files() == ["runs.json"]


def test_the_number_is_kept_before_the_first_import(box):
    box.fault("job_fails")
    assert run(quick_config(box), of_run(7, enter(ADA))).code == 1
    assert json.loads(runs_file(box).read_bytes()) == {"0123456789abcdef": 7}


def test_numbers_that_cannot_be_read_stop_the_run(box):
    runs_file(box).parent.mkdir(exist_ok=True)
    runs_file(box).write_bytes(b"{")
    result = run(quick_config(box), of_run(7, enter(ADA)))
    assert result.code == 2
    assert "runs.json is damaged" in result.message
    assert box.contacts() == {}


def test_a_plan_takes_no_lease_and_keeps_no_number(box, at_work):
    result = run(quick_config(box, plan_only=True), of_run(7, enter(BOB)), env=QUICK)
    assert result.code == 0, result.log
    assert not runs_file(box).exists()
    assert at_work.process.poll() is None


def test_a_check_takes_no_lease_and_says_who_has_it(box, at_work):
    result = run(quick_config(box), arguments=["--check"], env=QUICK)
    assert result.code == 0, result.output
    assert "of two runs at once the second waits; a check takes no lease" in result.output
    assert f"on {socket.gethostname()} since" in result.output
    assert at_work.process.poll() is None


@pytest.mark.parametrize("option", [["--fetch"], ["--trial", ADA]])
def test_a_check_that_imports_waits_for_the_lease(box, at_work, option):
    result = run(quick_config(box), arguments=["--check", *option], env=QUICK)
    assert result.code == 1, result.output
    assert "Another run writes to" in result.message
    assert import_calls(box) == []
    assert at_work.process.poll() is None


def test_a_mirror_waits_for_the_lease_as_a_sync_does(box, monkeypatch):
    monkeypatch.setenv(BEAT_VARIABLE, QUICK[BEAT_VARIABLE])
    people = {ADA: {"first_name": "Ada"}}
    fill(box, people)
    messages = [AUDIENCE_SCHEMA, *records({**people, BOB: {}}), *ended({"VIP Customers": 2})]
    config = quick_config(box, mode="mirror")
    with Lease(Folder(str(lease_file(box).parent), setting="storage_url")):
        result = run(config, messages)
    assert result.code == 1
    assert "Another run writes to" in result.message
    assert box.list_members(LIST) == {ADA}
    assert run(config, messages).code == 0
    assert box.list_members(LIST) == {ADA, BOB}
