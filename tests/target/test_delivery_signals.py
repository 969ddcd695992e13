"""Told to stop, or with nobody left to take its states, the target ends soon and acknowledges nothing unsafe."""

import signal
import time

import pytest

from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    exit_,
    import_calls,
    quick_config,
    run,
    started,
    state,
    wait_until,
)

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"
SIGNALS = [signal.SIGTERM, signal.SIGINT]


def job_polls(box):
    return sum(call.path.startswith("/v2/jobs/") for call in box.requests)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_input_is_awaited_ends_the_run_and_leaves_open_rows_to_the_next(box, number):
    with started(quick_config(box)) as running:
        running.write([state({"at": 0}), AUDIENCE_SCHEMA, enter(ADA), exit_(BOB), state({"at": 2})])
        running.wait_for_log("Created list")
        running.process.send_signal(number)
        result = running.result()
    assert result.code == 128 + number
    assert result.states == [{"at": 0}]
    assert box.contacts() == {}
    assert result.leftovers == []
    assert f"Stopping (signal {number})" in result.log
    assert "Traceback" not in result.log


@pytest.mark.parametrize("number", SIGNALS)
def test_what_is_registered_may_end_and_is_acknowledged(box, number):
    box.fault("job_never_ends")
    with started(quick_config(box, batch_size_rows=1)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
        wait_until(lambda: job_polls(box) > 1)
        running.process.send_signal(number)
        running.wait_for_log("Stopping")
        box.clear_faults()
        result = running.result()
    assert result.code == 128 + number
    assert result.states == [{"at": 1}]
    assert box.list_members(LIST) == {ADA}
    assert result.leftovers == []


def test_a_signal_stops_registering(box):
    box.fault("job_never_ends")
    with started(quick_config(box, batch_size_rows=1, max_concurrent_imports=1)) as running:
        running.write(
            [AUDIENCE_SCHEMA, enter(ADA), state({"at": 1}), enter(BOB), state({"at": 2}), enter(EVE)]
        )
        wait_until(lambda: job_polls(box) > 1)
        running.process.send_signal(signal.SIGTERM)
        running.wait_for_log("Stopping")
        box.clear_faults()
        result = running.result()
    assert result.code == 128 + signal.SIGTERM
    assert result.states == [{"at": 1}]
    assert len(import_calls(box)) == 1


def test_a_job_that_does_not_end_is_waited_for_ten_seconds_only(box):
    box.fault("job_never_ends")
    with started(quick_config(box, batch_size_rows=1)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
        wait_until(lambda: job_polls(box) > 1)
        running.process.send_signal(signal.SIGTERM)
        told = time.monotonic()
        result = running.result(timeout=60)
    assert time.monotonic() - told > 9
    assert result.code == 128 + signal.SIGTERM
    assert result.states == []
    assert result.leftovers == []
    box.clear_faults()


def test_a_second_signal_ends_the_run_at_once(box):
    box.fault("job_never_ends")
    with started(quick_config(box, batch_size_rows=1)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
        wait_until(lambda: job_polls(box) > 1)
        running.process.send_signal(signal.SIGTERM)
        running.wait_for_log("Stopping")
        running.process.send_signal(signal.SIGINT)
        result = running.result(timeout=60)
    assert result.code == 128 + signal.SIGINT
    assert result.states == []
    box.clear_faults()


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_while_the_last_imports_are_awaited_ends_the_run(box, number):
    box.fault("job_never_ends")
    with started(quick_config(box)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), exit_(BOB), state({"at": 2})])
        running.end_input()
        wait_until(lambda: job_polls(box) > 1)
        running.process.send_signal(number)
        running.wait_for_log("Stopping")
        box.clear_faults()
        result = running.result()
    assert result.code == 128 + number
    assert box.list_members(LIST) == {ADA}
    # The exit was not sent any more, so that what comes with it is not acknowledged.
    assert len(import_calls(box)) == 1
    assert result.states == []


def test_a_signal_while_an_import_of_an_earlier_run_is_awaited_ends_the_run(box):
    box.fault("job_never_ends")
    config = quick_config(box, batch_size_rows=1)
    with started(config) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA)])
        wait_until(lambda: job_polls(box) > 1)
        running.process.kill()
    with started(config) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA)])
        running.wait_for_log("Waiting for import")
        running.process.send_signal(signal.SIGTERM)
        result = running.result()
    assert result.code == 128 + signal.SIGTERM
    assert len(import_calls(box)) == 1
    box.clear_faults()


@pytest.mark.parametrize(
    "path", ["GET /v2/accountcontactattributes", "GET /v2/accountlists", "POST /v2/accountlists"]
)
def test_a_signal_while_cordial_makes_the_target_wait_ends_the_run(box, path):
    box.fault("rate_limit", 60, path=path)
    with started(quick_config(box)) as running:
        running.write([state({"at": 0}), AUDIENCE_SCHEMA, enter(ADA)])
        wait_until(lambda: any(call.status == 429 for call in box.requests))
        running.process.send_signal(signal.SIGTERM)
        result = running.result()
    assert result.code == 128 + signal.SIGTERM
    assert import_calls(box) == []


def test_a_signal_while_cordial_makes_an_import_thread_wait_ends_the_run(box):
    box.fault("rate_limit", 60, path="POST /v2/contactimports")
    with started(quick_config(box)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
        running.end_input()
        wait_until(lambda: any(call.status == 429 for call in box.requests))
        running.process.send_signal(signal.SIGTERM)
        result = running.result(timeout=60)
    assert result.code == 128 + signal.SIGTERM
    assert result.states == []


def test_a_signal_ends_the_check(box):
    box.fault("slow_answer", 60, path="GET /v2/accountcontactattributes")
    with started(quick_config(box), arguments=["--check"]) as running:
        running.wait_for_log("target-cordial v")
        time.sleep(0.5)
        running.process.send_signal(signal.SIGTERM)
        assert running.result().code == 128 + signal.SIGTERM


def test_a_signal_while_a_failed_run_waits_for_its_other_imports_ends_it(box):
    box.fault("job_fails", path="POST /v2/contactimports", nth=2)
    box.fault("slow_jobs", 2, path="POST /v2/contactimports", nth=1)
    with started(quick_config(box, batch_size_rows=1)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
        wait_until(lambda: len(import_calls(box)) == 1)
        running.write([enter(BOB), state({"at": 2})])
        running.end_input()
        wait_until(lambda: any(job["status"] == "Failed" for job in box.jobs()))
        running.process.send_signal(signal.SIGTERM)
        result = running.result()
    assert result.code in {1, 128 + signal.SIGTERM}
    assert result.states == [{"at": 1}]


def test_a_closed_standard_output_stops_registering_and_fails_the_run(box):
    box.fault("slow_jobs", 0.3)
    config = quick_config(box, batch_size_rows=1, max_concurrent_imports=1)
    with started(config, is_listened_to=False) as running:
        running.write([AUDIENCE_SCHEMA])
        for number in range(9):
            running.write([enter(f"p{number}@example.com"), state({"at": number})])
        running.end_input()
        result = running.result()
    assert result.code == 1
    assert "standard output was closed" in result.message
    assert len(import_calls(box)) == 1


def test_a_signal_does_not_keep_a_later_run_from_doing_all_of_the_work(box):
    config = quick_config(box)
    with started(config) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
        running.wait_for_log("Created list")
        running.process.send_signal(signal.SIGTERM)
        assert running.result().states == []
    assert run(config, [AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})]).states == [{"at": 1}]
    assert box.list_members(LIST) == {ADA}
