"""A signal or a closed output ends the tap where nothing is half done."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from sandbox import AudienceSpec
from tests.tap.running import ended, run, run_process, started


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_tap_with_128_and_its_number_and_no_half_line(make_box, number):
    box = make_box([AudienceSpec("VIP Customers", 500)])
    box.fault("lytics_slow", 0.3, path="/scan")
    with started(box.tap_config(page_size=10, scan_concurrency=1)) as process:
        assert process.stdout is not None
        first = process.stdout.readline()
        process.send_signal(number)
        stopped = ended(process)
    assert stopped.code == 128 + number
    assert (first + stopped.output).endswith(b"\n")
    assert "Traceback" not in stopped.log
    assert stopped.leftovers == []
    states = [json.loads(line) for line in (first + stopped.output).splitlines()]
    box.clear_faults()
    last = [message["value"] for message in states if message["type"] == "STATE"][-1]
    again = run(box.tap_config(), last)
    assert sorted(record["email"] for record in again.records) == sorted(box.world.keys("vip_customers"))


def test_a_target_that_stops_reading_is_one_sentence(make_box):
    box = make_box([AudienceSpec("VIP Customers", 5000)])
    with started(box.tap_config()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        log = process.stderr.read().decode()
        code = process.wait(60)
    assert code == 1
    assert "The target stopped reading" in log
    assert "Traceback" not in log


def test_nothing_is_left_in_the_temporary_folder(make_box):
    box = make_box()
    assert run_process(box.tap_config()).leftovers == []
    box.fault("short_scan", 0.5)
    failed = run_process(box.tap_config())
    assert failed.code == 1
    assert failed.leftovers == []


def test_a_run_inside_another_process_leaves_none_of_its_files_open(box):
    assert run(box.tap_config()).error == ""
    open_files = [str(path.resolve()) for path in Path("/proc/self/fd").iterdir()]
    assert not [name for name in open_files if "/tap-lytics-audience-" in name]
