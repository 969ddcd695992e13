"""Nobody knows whether a call arrived: it is looked for, and registered again only under another name."""

import itertools

import pytest

from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    import_calls,
    quick_config,
    run,
    started,
    state,
    wait_until,
)

ADA, BOB = "ada@example.com", "bob@example.com"
MESSAGES = [AUDIENCE_SCHEMA, enter(ADA, visit_count=1), state({"at": 1})]
REGISTER = "POST /v2/contactimports"


def job_names(box):
    return [job["metadata"]["importName"] for job in box.jobs() if job["status"] == "Done"]


def assert_all_is_well(box, result):
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert box.list_members(LIST) == {ADA}
    assert box.files() == []


@pytest.mark.parametrize("fault", ["answer_lost", "answer_cut", "cordial_garbage"])
def test_a_call_whose_answer_was_lost_is_found_in_the_list_of_jobs_and_not_repeated(box, fault):
    box.fault(fault, path=REGISTER, once=True)
    result = run(quick_config(box), MESSAGES)
    assert_all_is_well(box, result)
    assert len(import_calls(box)) == 1
    assert "was registered although its answer was lost" in result.log


@pytest.mark.parametrize("field", ["_id", "id", "jobId"])
def test_a_lost_call_is_found_whichever_field_holds_a_listed_jobs_id(box, field):
    box.fault("answer_lost", path=REGISTER, once=True)
    if field != "_id":
        box.fault("job_id_field", field)
    assert_all_is_well(box, run(quick_config(box), MESSAGES))
    assert len(import_calls(box)) == 1


def test_a_lost_call_whose_job_is_listed_late_is_found_all_the_same(box):
    box.fault("answer_lost", path=REGISTER, once=True)
    box.fault("jobs_listed_late", 0.1)
    assert_all_is_well(box, run(quick_config(box), MESSAGES))
    assert len(import_calls(box)) == 1


def test_a_call_that_is_not_listed_in_time_is_registered_again_under_another_name(box):
    box.fault("cut_connection", path=REGISTER, once=True)
    result = run(quick_config(box), MESSAGES)
    assert_all_is_well(box, result)
    first, second = (call["importName"] for call in import_calls(box))
    assert second == f"{first}-2"
    paths = [call["source"]["path"] for call in import_calls(box)]
    assert paths == [f"/import/{first}.csv", f"/import/{second}.csv"]
    assert "Nobody knows whether" in result.log


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_error_on_registering_is_an_unknown_outcome(box, status):
    box.fault("cordial_status", status, path=REGISTER, once=True)
    assert_all_is_well(box, run(quick_config(box), MESSAGES))
    first, second = (call["importName"] for call in import_calls(box))
    assert second == f"{first}-2"


def test_a_call_that_arrives_after_all_finds_no_file(box):
    box.fault("zombie_import", 0, path=REGISTER, once=True)
    box.fault("zombie_held")
    box.fault("job_never_ends")
    with started(quick_config(box)) as running:
        running.write(MESSAGES)
        running.end_input()
        wait_until(lambda: len(import_calls(box)) == 2)
        box.clear_faults("zombie_held")
        wait_until(lambda: any(job["status"] == "Processing" for job in box.jobs()))
        box.clear_faults()
        result = running.result()
    assert_all_is_well(box, result)
    box.wait_idle()
    [name] = job_names(box)
    assert name.endswith("-2")


def test_an_import_that_was_registered_twice_is_done_when_both_are_also_when_they_are_listed_late(box):
    box.fault("answer_lost", path=REGISTER, nth=1)
    box.fault("job_never_ends", path=REGISTER, nth=1)
    box.fault("listing_held")
    with started(quick_config(box, poll_interval_seconds=0.3)) as running:
        running.write(MESSAGES)
        running.end_input()
        wait_until(lambda: len(import_calls(box)) == 2 and len(job_names(box)) == 1)
        [first, _] = box.account.jobs()
        assert not any(call.path == f"/v2/jobs/{first}" for call in box.requests)
        box.clear_faults("listing_held")
        wait_until(lambda: any(call.path == f"/v2/jobs/{first}" for call in box.requests))
        assert running.states_so_far == []
        box.clear_faults()
        result = running.result()
    assert_all_is_well(box, result)
    assert len(job_names(box)) == 2


def test_a_file_that_cannot_be_registered_at_all_ends_the_run(box):
    box.fault("cordial_status", 503, path=REGISTER)
    result = run(quick_config(box), MESSAGES)
    assert result.code == 1
    assert result.states == []
    assert "could not be registered in 4 tries" in result.message
    assert [call["importName"][-6:] for call in import_calls(box)[1:]] == ["0001-2", "0001-3", "0001-4"]
    box.clear_faults()
    assert_all_is_well(box, run(quick_config(box), MESSAGES))


@pytest.mark.parametrize("wait", [True, 1])
def test_a_refused_call_is_repeated_with_and_without_retry_after(box, wait):
    box.fault("rate_limit", wait, path=REGISTER, once=True)
    assert_all_is_well(box, run(quick_config(box), MESSAGES))
    first, second = import_calls(box)
    assert first == second


def test_a_file_that_cordial_cannot_read_yet_is_registered_again_under_its_name(box):
    box.fault("jobid_error", "Couldn't get the size of the file (import/x.csv)", path=REGISTER, once=True)
    assert_all_is_well(box, run(quick_config(box), MESSAGES))
    assert len({call["importName"] for call in import_calls(box)}) == 1


@pytest.mark.parametrize(
    ("fault", "path"),
    [
        *itertools.product(
            [
                "cordial_status",
                "rate_limit",
                "cut_connection",
                "answer_lost",
                "answer_cut",
                "cordial_garbage",
            ],
            ["GET /v2/jobs/", "POST /v2/accountlists"],
        ),
        ("answer_cut", "GET /v2/accountcontactattributes"),
        ("answer_lost", "GET /v2/accountlists"),
        ("cordial_status", "GET /v2/jobs"),
    ],
)
def test_a_call_that_goes_wrong_once_does_not_fail_the_run(box, fault, path):
    box.fault(fault, path=path, once=True)
    result = run(quick_config(box), MESSAGES)
    if path == "POST /v2/accountlists" and fault in {"cordial_status", "cut_connection"}:
        # Nothing was created, and nobody knows: the next run looks again.
        assert result.code == 1
        assert result.states == []
        result = run(quick_config(box), MESSAGES)
    assert_all_is_well(box, result)
