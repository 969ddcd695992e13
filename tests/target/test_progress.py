"""Long imports say where they are; the end of a run says what it did, for people and for machines."""

from __future__ import annotations

import json
import logging
import re
import subprocess
import sys

from singer_sdk.logging import StructuredFormatter

from lytics_to_cordial.http import CallMetrics
from tests.target import running
from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, exit_, quick_config, run, started, state

QUICK = "import lytics_to_cordial.progress as p; p.INTERVAL_SECONDS = 0.05; from target_cordial.target import main; main()"
DEBUG = {"TARGET_CORDIAL_LOGLEVEL": "DEBUG"}
ADA, BOB = "ada@example.com", "bob@example.com"


def metrics(log):
    return [json.loads(line.partition("METRIC: ")[2]) for line in log.splitlines() if "METRIC: " in line]


def test_a_run_that_waits_for_cordial_says_what_is_read_and_which_imports_are_open(box, monkeypatch):
    monkeypatch.setattr(
        running,
        "start",
        lambda _, arguments, **options: subprocess.Popen(
            [sys.executable, "-c", QUICK, *arguments], **options
        ),
    )
    box.fault("job_never_ends")
    people = [enter(f"p{number}@example.com") for number in range(6)]
    with started(quick_config(box, batch_size_rows=2, max_concurrent_imports=2)) as target:
        target.write([AUDIENCE_SCHEMA, *people, state({"at": 1})])
        target.wait_for_log("So far 6 records read; imports: 0 done, 2 under way, 1 waiting.")
        target.end_input()
        target.wait_for_log("All 6 records read; imports: 0 done, 2 under way, 1 waiting.")
        box.clear_faults("job_never_ends")
        result = target.result()
    assert result.code == 0, result.log
    lines = result.log.splitlines()
    last = max(number for number, line in enumerate(lines) if "records read; imports:" in line)
    assert any("| Run done:" in line for line in lines[last:]), "nothing of it comes after the summary"


def test_a_quick_run_says_nothing_of_progress(box):
    result = run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA)])
    assert "under way" not in result.log


def test_the_summary_tells_of_each_list_and_of_the_whole_run(box):
    assert run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA), enter(BOB)]).code == 0
    messages = [
        AUDIENCE_SCHEMA,
        *[enter(f"p{number}@example.com") for number in range(4)],
        enter(BOB, change="update", first_name="Bob"),
        enter("bad"),
        exit_(ADA),
        enter(BOB, audience="Lapsed"),
        state({"at": 1}),
    ]
    result = run(quick_config(box, batch_size_rows=3), messages)
    assert result.code == 0, result.log
    said = [line.rpartition(" | ")[2] for line in result.log.splitlines()]
    assert (
        f"List {LIST}: read 5 enters (1 update) and 1 exit; imported 5 enters and 1 exit in 3 imports; 2 contacts before, 5 after."
        in said
    ), result.log
    assert (
        "List Lytics_Lapsed: read 1 enter and 0 exits; imported 1 enter and 0 exits in 1 import; 0 contacts before, 1 after."
        in said
    )
    [whole] = [line for line in said if line.startswith("Run done:")]
    assert (
        "8 records read, 1 rejected here (1 email: the identifier is not an e-mail address: an email address must have an at-sign; see "
        in whole
    )
    assert "and 0 by Cordial; 7 rows in 4 imports; " in whole
    assert len(said) == len(set(said)), "nothing is said twice"
    assert "METRIC" not in result.log
    assert any(re.fullmatch(r"Cordial was called \d+ times, [\d.]+ s in all\.", line) for line in said)


def test_the_sums_of_calls_are_fields_of_a_log_of_json(caplog):
    calls = CallMetrics()
    for endpoint, seconds in (("/jobs", 0.5), ("/jobs", 0.25), ("/accountlists", 1)):
        calls.add(endpoint, 200, seconds)
    with caplog.at_level("INFO"):
        calls.log_sum("Cordial", logging.getLogger("target-cordial"))
    [line] = [
        json.loads(StructuredFormatter().format(record))
        for record in caplog.records
        if "called" in record.message
    ]
    assert line["message"] == "Cordial was called 3 times, 1.8 s in all."
    fields = line.get("extra") or line
    assert (fields["calls"], fields["call_seconds"]) == (3, 1.75)
    assert fields["calls_by_endpoint"] == {"/jobs": 2, "/accountlists": 1}
    assert fields["call_seconds_by_endpoint"] == {"/jobs": 0.75, "/accountlists": 1}


def test_a_failed_run_says_what_it_did_all_the_same(box):
    box.fault("job_fails", nth=2)
    people = [enter(f"p{number}@example.com") for number in range(4)]
    config = quick_config(box, batch_size_rows=2, max_concurrent_imports=1)
    result = run(config, [AUDIENCE_SCHEMA, *people], env=DEBUG)
    assert result.code == 1
    assert (
        f"List {LIST}: read 4 enters and 0 exits; imported 2 enters and 0 exits in 1 import; 0 contacts before."
        in result.log
    )
    assert "Run failed: 4 records read" in result.log
    jobs = [point for point in metrics(result.log) if point["metric"] == "job_duration"]
    assert [point["tags"]["status"] for point in jobs] == ["succeeded", "failed"]


def test_metrics_count_what_was_written_and_rejected_and_how_long_calls_and_imports_took(box):
    messages = [AUDIENCE_SCHEMA, enter(ADA), enter(BOB), enter("bad"), state({"at": 1})]
    result = run(quick_config(box), messages, env=DEBUG)
    assert result.code == 0, result.log
    points = metrics(result.log)
    counts = [point for point in points if point["metric"] == "record_count"]
    [written] = [
        p["value"] for p in counts if p["tags"].get("list") == LIST and p["tags"]["status"] == "succeeded"
    ]
    [rejected] = [point["value"] for point in counts if point["tags"].get("status") == "failed"]
    assert (written, rejected) == (2, 1)
    [job] = [point for point in points if point["metric"] == "job_duration"]
    assert job["type"] == "timer"
    assert job["value"] > 0
    assert (job["tags"]["job_type"], job["tags"]["status"]) == ("import", "succeeded")
    calls = {
        point["tags"]["endpoint"]: point for point in points if point["metric"] == "http_request_duration"
    }
    assert {"/accountcontactattributes", "/accountlists", "/contactimports", "/jobs"} <= set(calls)
    assert calls["/contactimports"]["tags"]["requests"] == 1
    assert "example.com" not in result.log
