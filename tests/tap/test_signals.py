"""A signal or a closed output ends the tap where nothing is half done."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from sandbox import AudienceSpec
from tests.tap.running import COMMAND, ended, run, run_process, started


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
    assert "The standard output was closed: look at the log of what should read it" in log
    assert "Traceback" not in log


@pytest.mark.parametrize(
    "arguments", [[], ["--discover"], ["--list-audiences"], ["--test=schema"], ["--about"]]
)
@pytest.mark.parametrize(
    ("redirection", "code", "sentence"),
    [
        (
            ">/dev/full",
            2,
            "The standard output cannot be written (No space left on device): make room where it goes",
        ),
        (">&-", 1, "The standard output was closed"),
    ],
)
def test_an_output_that_cannot_be_written_is_said_to_be_one(
    box, tmp_path, arguments, redirection, code, sentence
):
    config = tmp_path / "config.json"
    config.write_text(json.dumps(box.tap_config()), encoding="utf-8")
    command = f'exec "{COMMAND}" --config "{config}" {" ".join(arguments)} {redirection}'
    reply = subprocess.run(
        ["/bin/sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False, timeout=60
    )
    assert sentence in reply.stderr
    assert "temporary files" not in reply.stderr
    assert "fault of the program" not in reply.stderr
    assert reply.returncode == code
    # The next run sends all: nothing counts as sent.
    again = run(box.tap_config())
    assert len(again.records) == len(box.world.keys("vip_customers"))


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
