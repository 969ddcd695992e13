"""After a failure the target reads the rest of its input for a while: who writes it comes to its own end."""

import json
import os
import signal
import threading
import time

import pytest

from lytics_to_cordial import drain
from tests.target.running import AUDIENCE_SCHEMA, enter, quick_config, run, schema, started, state

MANY = 40_000
"""Much more than a pipe holds."""


def write_all(running, messages):
    """Write until the end; whether the target took everything."""
    try:
        for message in messages:
            running.process.stdin.write(json.dumps(message).encode() + b"\n")
        running.process.stdin.close()
    except BrokenPipeError:
        return False
    return True


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"field_mapping": {"no_such_field": "first_name"}}, "no_such_field"),
        ({"api_key": None}, "The setting api_key is missing"),
        ({"storage_url": "nonsense"}, "The setting storage_url must be"),
    ],
    ids=["in the run", "at the start", "in a setting"],
)
def test_who_writes_the_input_can_write_all_of_it_and_the_last_line_says_why(box, settings, why):
    with started(quick_config(box, **settings)) as running:
        people = (enter(f"p{number}@example.com") for number in range(MANY))
        assert write_all(running, [AUDIENCE_SCHEMA, *people, state({"at": 1})])
        result = running.result()
    assert result.code != 0
    assert result.output == ""
    *_, last = result.log.splitlines()
    assert "CRITICAL" in last
    assert why in last
    # Once more where the writer took long.
    assert {line.partition("CRITICAL")[2] for line in result.log.splitlines() if "CRITICAL" in line} == {
        last.partition("CRITICAL")[2]
    }


def test_an_input_without_end_is_not_read_for_ever_and_the_reason_is_said_soon(box):
    ends = threading.Event()
    with started(quick_config(box, api_key=None)) as running:

        def write_on():
            while not ends.wait(0.01) and write_all_of(running, AUDIENCE_SCHEMA):
                pass

        writer = threading.Thread(target=write_on, daemon=True)
        writer.start()
        running.wait_for_log("The setting api_key is missing")
        assert running.process.poll() is None, "it still reads"
        running.process.send_signal(signal.SIGTERM)
        result = running.result()
        ends.set()
        writer.join(60)
        assert not writer.is_alive()
    assert result.code != 0
    assert result.log.splitlines()[-1].count("The setting api_key is missing") == 1


def write_all_of(running, message):
    try:
        running.process.stdin.write(json.dumps(message).encode() + b"\n")
        running.process.stdin.flush()
    except BrokenPipeError:
        return False
    return True


@pytest.mark.parametrize("limit", ["time", "size"])
def test_reading_has_a_bound_of_time_and_of_size(monkeypatch, limit):
    monkeypatch.setattr(drain, "MOST_BYTES", 1 << 20 if limit == "size" else 1 << 60)
    reader, writer = os.pipe()
    monkeypatch.setattr(drain, "STDIN", reader)
    is_over = threading.Event()

    def write_on():
        while not is_over.is_set():
            try:
                os.write(writer, bytes(1 << 15))
            except BrokenPipeError:
                return

    thread = threading.Thread(target=write_on, daemon=True)
    thread.start()
    began = time.monotonic()
    assert drain.drain_input(0.3 if limit == "time" else 60) is (limit == "size")
    assert time.monotonic() - began < 30
    is_over.set()
    os.close(reader)
    thread.join(60)
    assert not thread.is_alive()
    os.close(writer)


def test_a_check_reads_no_input(box):
    with started(quick_config(box, api_key=None), arguments=["--check"]) as running:
        assert running.result(30).code != 0
    assert run(quick_config(box), [schema({"email": "string"})]).code == 0
