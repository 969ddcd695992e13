"""Two workers on one ledger: the second waits, takes over or is refused, and one that stood still says nothing more."""

import json
import signal
import socket
import time

from lytics_to_cordial.files import Folder
from lytics_to_cordial.lease import BEAT_VARIABLE, Lease
from tests.tap.running import ended, run, run_process, started
from tests.target.running import wait_until

QUICK = {BEAT_VARIABLE: "0.25"}


def lease_file(box):
    return box.folder / "ledger" / "lease.json"


def test_a_run_and_a_snapshot_leave_no_lease(box):
    first = run(box.tap_config())
    assert first.error == ""
    assert run(box.tap_config(snapshot=True), first.state).error == ""
    assert not lease_file(box).exists()


def test_a_run_that_fails_leaves_no_lease(box):
    box.fault("lytics_status", 403, path="/scan")
    assert run(box.tap_config()).error
    assert not lease_file(box).exists()


def test_a_second_run_is_refused_with_host_and_time_while_the_first_one_lives_on(box, monkeypatch):
    monkeypatch.setenv(*next(iter(QUICK.items())))
    with Lease(Folder(str(lease_file(box).parent), setting="ledger_url")):
        since = json.loads(lease_file(box).read_bytes())["since"]
        told = run_process(box.tap_config(), env=QUICK)
        sample = run_process(box.tap_config(), arguments=["--test"], env=QUICK)
    assert told.code == 1
    assert f"on {socket.gethostname()} since {since}" in told.sentence
    assert told.output == b""
    assert sample.code == 0, sample.log
    assert b"of two runs at once the second waits" in sample.output


def test_after_a_kill_the_next_run_on_this_host_goes_on_at_once(box):
    with started(box.tap_config()) as process:
        wait_until(lease_file(box).exists)
        process.kill()
        ended(process)
    began = time.monotonic()
    second = run_process(box.tap_config())
    assert second.code == 0, second.log
    assert time.monotonic() - began < 15
    assert len(second.result.records) == len(box.world.keys("vip_customers"))


def test_a_run_that_stood_still_sends_nothing_when_it_wakes(box):
    box.fault("lytics_slow", 1, path="/api/segment/scan", once=True)
    with started(box.tap_config(), env=QUICK) as process:
        wait_until(lease_file(box).with_name("ledger.json").exists)
        process.send_signal(signal.SIGSTOP)
        second = run_process(box.tap_config(), env=QUICK)
        assert second.code == 0, second.log
        process.send_signal(signal.SIGCONT)
        first = ended(process)
    assert first.code == 1
    assert "Another run took over" in first.sentence
    assert first.result.records == []
    assert len(second.result.records) == len(box.world.keys("vip_customers"))
    # What it wrote to the ledger is in doubt, and sent once more at most.
    assert set(run(box.tap_config(), second.result.state).changes) <= {"update"}
