"""What a killed run left: files are deleted, and its imports end before the first new one is registered."""

import re

import pytest

from tests.target.running import (
    AUDIENCE_SCHEMA,
    LISTS_A_LOOK,
    enter,
    import_calls,
    job_lists,
    quick_config,
    run,
    started,
    state,
    wait_until,
)

ADA, BOB = "ada@example.com", "bob@example.com"
OLD = [AUDIENCE_SCHEMA, enter(ADA, visit_count=1), state({"at": 1})]
NEW = [AUDIENCE_SCHEMA, enter(ADA, visit_count=2), state({"at": 2})]


def kill_when_registered(box, config):
    calls = len(import_calls(box))
    with started(config) as running:
        running.write(OLD)
        running.end_input()
        wait_until(lambda: len(import_calls(box)) > calls)
        running.process.kill()
        assert running.result().states == []


def result_once_listed(box, running):
    """How a run ends that waits for an import of an earlier one: it sees the import when it is listed, and only then goes on."""
    box.clear_faults("listing_held")
    running.wait_for_log("Waiting for import")
    assert len(import_calls(box)) == 1
    box.clear_faults()
    return running.result()


def left_files(box):
    """What a killed run left, but for its lease."""
    return [name for name in box.files() if name != "lease.json"]


def assert_the_newest_wins(box, result):
    assert result.code == 0, result.log
    assert result.states == [{"at": 2}]
    box.wait_idle()
    assert box.contacts()[ADA].attributes["visit_count"] == "2"
    assert box.files() == []


@pytest.mark.parametrize("fault", [None, ("jobs_listed_late", 2), ("child_jobs", 2)])
def test_an_import_of_an_earlier_run_ends_before_the_first_new_one(box, fault):
    config = quick_config(box, poll_interval_seconds=0.3)
    box.fault("job_never_ends")
    box.fault("slow_jobs", 0.5)
    if fault is not None:
        box.fault(*fault)
    kill_when_registered(box, config)
    with started(config) as running:
        running.write(NEW)
        running.end_input()
        running.wait_for_log("Waiting for import")
        assert len(import_calls(box)) == 1
        box.clear_faults("job_never_ends")
        result = running.result()
    assert_the_newest_wins(box, result)
    assert re.search(r"Waiting for import cordial-\S+-0001 of an earlier run", result.log)


def test_an_import_that_is_not_listed_yet_is_looked_for_also_when_the_run_after_it_was_killed(box):
    config = quick_config(box, poll_interval_seconds=0.5)
    box.fault("job_never_ends")
    box.fault("listing_held")
    kill_when_registered(box, config)
    [file] = left_files(box)
    with started(config) as running:
        running.write(NEW)
        # A call that is still on its way finds no file.
        wait_until(lambda: file not in box.files())
        running.process.kill()
        running.result()
    lists = job_lists(box)
    with started(config) as running:
        running.write(NEW)
        running.end_input()
        # One for the check, one for each status, and then again.
        wait_until(lambda: job_lists(box) > lists + 7)
        result = result_once_listed(box, running)
    assert_the_newest_wins(box, result)


def test_children_of_an_earlier_import_are_waited_for_also_when_they_are_listed_late(box):
    # Long enough for seven more looks, should this process be kept from going on.
    config = quick_config(box, poll_interval_seconds=1)
    box.fault("child_jobs", 2)
    box.fault("job_never_ends", "children")
    box.fault("listing_held", "children")
    kill_when_registered(box, config)
    wait_until(lambda: [job["status"] for job in box.jobs()] == ["Done", "Processing", "Processing"])
    lists = job_lists(box)
    with started(config) as running:
        running.write(NEW)
        running.end_input()
        wait_until(lambda: len(import_calls(box)) > 1 or job_lists(box) > lists + 5 * LISTS_A_LOOK)
        assert len(import_calls(box)) == 1
        result = result_once_listed(box, running)
    assert_the_newest_wins(box, result)


def test_a_file_of_an_earlier_run_is_deleted_so_that_a_late_call_finds_nothing(box):
    box.fault("zombie_import", 0, nth=1)
    box.fault("zombie_held")
    kill_when_registered(box, quick_config(box))
    assert len(left_files(box)) == 1
    result = run(quick_config(box), NEW)
    box.clear_faults()
    assert_the_newest_wins(box, result)
    assert len(box.jobs()) == 1


def test_a_file_whose_import_is_long_done_is_not_waited_for(box):
    config = quick_config(box, poll_interval_seconds=60)
    assert run(quick_config(box), OLD).code == 0
    [name] = [call["importName"] for call in import_calls(box)]
    (box.folder / "sftp" / "import" / f"{name}.csv").write_text("left", encoding="utf-8")
    messages = [AUDIENCE_SCHEMA, enter("nobody"), state({"at": 2})]
    assert run(config, messages, timeout=30).states == [{"at": 2}]
    assert box.files() == []


def test_half_written_files_are_deleted_without_a_wait_and_those_of_others_left_alone(box):
    assert run(quick_config(box), OLD).code == 0
    [name] = [call["importName"] for call in import_calls(box)]
    folder = box.folder / "sftp" / "import"
    others = ["cordial-0123456789-202601010000000000-0001.csv", "report.csv", f"kept-{name}.csv"]
    for left in (f"{name[:-1]}7.csv.part", *others):
        (folder / left).write_text("left", encoding="utf-8")
    messages = [AUDIENCE_SCHEMA, enter("nobody"), state({"at": 2})]
    assert run(quick_config(box, poll_interval_seconds=60), messages, timeout=30).states == [{"at": 2}]
    assert box.files() == sorted(others)


def test_an_import_of_an_earlier_run_that_does_not_end_fails_the_run_and_names_the_way_past_it(box):
    box.fault("job_never_ends")
    kill_when_registered(box, quick_config(box))
    result = run(quick_config(box, import_timeout_seconds=0.3), NEW)
    assert result.code == 1
    assert result.states == []
    [job] = box.account.jobs()
    assert job in result.message
    assert "storage_url to a new folder" in result.message
    assert len(import_calls(box)) == 1
    box.clear_faults()


def test_an_import_of_another_pipeline_is_not_waited_for(box):
    box.fault("job_never_ends")
    kill_when_registered(box, quick_config(box))
    other = box.folder / "sftp" / "other"
    other.mkdir()
    source = {**quick_config(box)["import_source"], "path": "/other"}
    box.fault("job_never_ends", path="never")
    result = run(quick_config(box, storage_url=other.as_uri(), import_source=source), NEW)
    box.clear_faults()
    assert result.code == 0, result.log


def test_a_run_does_not_begin_when_cordial_does_not_tell_its_jobs(box):
    box.fault("cordial_garbage", path="GET /v2/jobs")
    result = run(quick_config(box), OLD)
    assert result.code == 1
    assert "not JSON" in result.message
    assert import_calls(box) == []
    assert box.contacts() == {}
