"""An import is followed until every job of it is final, and its counters are held against the rows that were sent."""

import time

import pytest

from target_cordial.delivery.jobs import LOOKUPS
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
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

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"
MESSAGES = [AUDIENCE_SCHEMA, enter(ADA), enter(BOB), enter(EVE), state({"at": 3})]
REGISTER = "POST /v2/contactimports"


def test_a_job_is_looked_at_once_a_poll_interval_at_most(box):
    box.fault("slow_jobs", 1)
    begun = time.monotonic()
    assert run(quick_config(box, poll_interval_seconds=0.2), MESSAGES).code == 0
    elapsed = time.monotonic() - begun
    polls = sum(call.path.startswith("/v2/jobs/") for call in box.requests)
    assert 1 < polls <= elapsed / 0.2 + 1


@pytest.mark.parametrize("late", [None, 0.1])
def test_an_import_is_done_when_its_children_are(box, late):
    box.fault("child_jobs", 3)
    box.fault("slow_jobs", 0.3)
    if late is not None:
        box.fault("jobs_listed_late", late)
    with started(quick_config(box)) as running:
        running.write(MESSAGES)
        running.end_input()
        assert running.next_state() == {"at": 3}
        assert box.list_members(LIST) == {ADA, BOB, EVE}
        assert {job["status"] for job in box.jobs()} == {"Done"}
        assert len(box.jobs()) == 4
        assert running.result().code == 0


@pytest.mark.parametrize("counters", [None, "counters_missing"])
def test_children_that_no_counter_tells_of_are_waited_for_also_when_they_are_listed_late(box, counters):
    if counters is not None:
        box.fault(counters)
    box.fault("child_jobs", 2)
    box.fault("job_never_ends", "children")
    box.fault("listing_held", "children")
    # Long enough for seven more looks, should this process be kept from going on.
    with started(quick_config(box, poll_interval_seconds=1)) as running:
        running.write(MESSAGES)
        running.end_input()
        wait_until(lambda: len(box.jobs()) == 3)
        lists = job_lists(box)
        wait_until(lambda: running.states_so_far or job_lists(box) > lists + 5 * LISTS_A_LOOK)
        assert running.states_so_far == []
        box.clear_faults("listing_held")
        children = {f"/v2/jobs/{job_id}" for job_id in list(box.account.jobs())[1:]}
        wait_until(lambda: any(call.path in children for call in box.requests))
        assert running.states_so_far == []
        box.clear_faults("job_never_ends")
        result = running.result()
    assert result.code == 0, result.log
    assert result.states == [{"at": 3}]
    assert box.list_members(LIST) == {ADA, BOB, EVE}


def test_children_whose_counters_tell_of_every_row_end_the_wait(box):
    box.fault("child_jobs", 2)
    lists = job_lists(box)
    assert run(quick_config(box), MESSAGES).states == [{"at": 3}]
    assert job_lists(box) - lists < LOOKUPS * LISTS_A_LOOK


def test_an_import_of_which_a_child_failed_is_not_acknowledged(box):
    box.fault("child_jobs", 2)
    box.fault("job_fails", "children")
    result = run(quick_config(box), MESSAGES)
    assert result.code == 1
    assert "failed in Cordial (job " in result.message
    assert result.states == []
    assert len(box.files()) == 1


def test_rows_that_children_reject_are_counted_together(box):
    box.fault("child_jobs", 2)
    box.fault("job_rejects", 1)
    result = run(quick_config(box), MESSAGES)
    assert result.code == 0, result.log
    assert "Cordial rejected 2 of 3 rows of import" in result.log
    assert len(box.contacts()) == 1


def test_a_file_that_cannot_be_deleted_does_not_undo_its_import(box):
    box.fault("job_never_ends")
    with started(box.target_config()) as running:
        running.write(MESSAGES)
        running.end_input()
        wait_until(lambda: import_calls(box))
        box.fault("storage_read_only")
        box.clear_faults("job_never_ends")
        result = running.result()
    assert result.code == 0, result.log
    assert result.states == [{"at": 3}]
    assert "is imported but stays in the storage" in result.log


def test_the_next_file_of_a_contact_waits_for_the_children_too(box):
    box.fault("child_jobs", 2)
    box.fault("slow_jobs", 0.2)
    messages = [
        AUDIENCE_SCHEMA,
        *[enter([ADA, BOB][number % 2], visit_count=number) for number in range(12)],
    ]
    result = run(quick_config(box, batch_size_rows=2), messages)
    assert result.code == 0, result.log
    values = {address: contact.attributes["visit_count"] for address, contact in box.contacts().items()}
    assert values == {ADA: "10", BOB: "11"}


def test_missing_counters_are_a_warning(box):
    box.fault("counters_missing")
    result = run(quick_config(box), MESSAGES)
    assert result.code == 0, result.log
    assert result.states == [{"at": 3}]
    assert "has no counters, so nobody can check its 3 rows" in result.log


def test_counters_may_be_text(box):
    box.fault("counters_text")
    result = run(quick_config(box), MESSAGES)
    assert result.code == 0, result.log
    assert "counters" not in result.log


def test_a_throttled_job_is_waited_for(box):
    box.fault("job_throttled", 0.3)
    assert run(quick_config(box), MESSAGES).states == [{"at": 3}]


def test_an_import_that_fetches_its_file_late_is_waited_for(box):
    box.fault("late_fetch", 0.3)
    assert run(quick_config(box), MESSAGES).states == [{"at": 3}]
    assert box.list_members(LIST) == {ADA, BOB, EVE}


def test_a_failed_import_ends_the_run_and_what_went_well_is_acknowledged(box):
    box.fault("job_fails", path=REGISTER, nth=2)
    box.fault("slow_jobs", 0.4, path=REGISTER, nth=1)
    with started(quick_config(box, batch_size_rows=1)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
        wait_until(lambda: len(import_calls(box)) == 1)
        running.write([enter(BOB), state({"at": 2})])
        running.end_input()
        result = running.result()
    assert result.code == 1
    assert "failed in Cordial (job " in result.message
    assert result.states == [{"at": 1}]
    assert ADA in box.list_members(LIST)


def test_a_job_without_progress_ends_the_run(box):
    box.fault("job_never_ends")
    result = run(quick_config(box, import_timeout_seconds=0.3), MESSAGES)
    assert result.code == 1
    assert "has shown no progress for 0.3 seconds" in result.message
    assert "import_timeout_seconds" in result.message
    assert result.states == []
    box.clear_faults()


def test_answers_that_come_and_go_are_no_progress(box):
    box.fault("job_never_ends")
    box.fault("cordial_garbage", path="GET /v2/jobs/", chance=0.5)
    result = run(quick_config(box, import_timeout_seconds=0.5), MESSAGES)
    assert result.code == 1
    assert "has shown no progress" in result.message
    box.clear_faults()


def test_files_are_deleted_when_their_import_is_done_also_if_rows_were_rejected(box):
    box.fault("job_rejects", 1)
    assert run(quick_config(box), MESSAGES).code == 0
    assert box.files() == []


def test_files_are_deleted_when_their_import_is_done_unless_they_are_to_be_kept(box):
    assert run(quick_config(box), MESSAGES).code == 0
    assert box.files() == []
    assert run(quick_config(box, keep_files=True), MESSAGES).code == 0
    [name] = [call["importName"] for call in import_calls(box)[1:]]
    assert box.files() == [f"kept-{name}.csv"]
