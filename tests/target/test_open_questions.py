"""What nobody knows of Cordial: each answer that it may give is acted out, and the list is right with all of them."""

import re
from pathlib import Path

import pytest

from sandbox.fault_kinds import KINDS
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    exit_,
    import_calls,
    job_lists,
    kept_files,
    quick_config,
    run,
    started,
    state,
    wait_until,
)

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"
REGISTER = "POST /v2/contactimports"
QUESTIONS = [
    ("counters_text", True),
    ("job_id_field", "id"),
    ("job_id_field", "jobId"),
    ("job_id_shape", "number"),
    ("job_id_shape", "nested"),
    ("job_page_limit", 1),
    ("time_form_refused", "time"),
    ("time_form_refused", "day"),
    ("time_form_refused", "both"),
    ("attributes_paged", 2),
    ("attributes_shape", "object"),
    ("attributes_shape", "array"),
    ("attributes_shape", "empty"),
    ("attribute_not_found", True),
    ("child_jobs", 2),
    ("job_names_absent", "all"),
    ("job_list_ids", True),
    ("contact_values", True),
    ("jobs_listed_late", 0.1),
    ("address_case_kept", True),
    ("array_commas", True),
    ("unknown_header_fails", True),
    ("status_resets", True),
    ("new_contacts_unsubscribed", True),
    ("csv_backslash", True),
    ("unknown_in_update", "rejected"),
    ("unknown_in_update", "ignored"),
    ("unknown_list_ignored", True),
    ("empty_cells", "ignored"),
    ("error_shape", "messages"),
    ("error_shape", "validationErrors"),
    ("error_shape", "error"),
    ("cordial_drip", 0.001),
]


@pytest.mark.parametrize(("fault", "value"), QUESTIONS)
def test_the_list_is_right_whatever_the_answer_is(box, fault, value):
    box.fault(fault, value)
    # An answer that is lost makes the list of jobs count.
    box.fault("answer_lost", path=REGISTER, nth=1)
    messages = [AUDIENCE_SCHEMA, enter(ADA, first_name='A "B, C"'), enter(BOB), state({"at": 1})]
    result = run(quick_config(box), messages)
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert len(import_calls(box)) == 1
    result = run(quick_config(box), [AUDIENCE_SCHEMA, enter(EVE), exit_(BOB), state({"at": 2})])
    assert (result.code, result.states) == (0, [{"at": 2}]), result.log
    assert box.list_members(LIST) == {ADA, EVE}
    assert box.contacts()[ADA].attributes["first_name"] == 'A "B, C"'
    assert kept_files(box) == {}


@pytest.mark.parametrize("fault", ["job_names_absent", "job_list_ids"])
def test_children_that_say_nothing_of_themselves_are_waited_for(box, fault):
    box.fault("child_jobs", 3)
    box.fault(fault)
    box.fault("slow_jobs", 0.5)
    for number in range(2):
        result = run(
            quick_config(box), [AUDIENCE_SCHEMA, enter(ADA, visit_count=number), enter(BOB), state({})]
        )
        assert (result.code, result.states) == (0, [{}]), result.log
        assert box.contacts()[ADA].attributes["visit_count"] == str(number)
    assert box.list_members(LIST) == {ADA, BOB}


def test_what_was_waited_for_is_over_though_the_list_of_jobs_says_otherwise(box):
    box.fault("child_jobs", 2)
    box.fault("jobs_listed_stale")
    for number, person in enumerate((ADA, BOB)):
        result = run(quick_config(box), [AUDIENCE_SCHEMA, enter(person), state({"at": number})])
        assert (result.code, result.states) == (0, [{"at": number}]), result.log
    assert box.list_members(LIST) == {ADA, BOB}


@pytest.mark.parametrize("value", ["number", "nested"])
def test_an_import_of_a_killed_run_is_waited_for_whatever_the_shape_of_its_id(box, value):
    box.fault("job_id_shape", value)
    box.fault("job_never_ends")
    with started(quick_config(box)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA, visit_count=1), state({"at": 1})])
        running.end_input()
        wait_until(lambda: any(call.path.startswith("/v2/jobs/") for call in box.requests))
        running.process.kill()
        running.result()
    with started(quick_config(box)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA, visit_count=2), state({"at": 2})])
        running.end_input()
        running.wait_for_log("Waiting for import")
        box.clear_faults("job_never_ends")
        result = running.result()
    assert result.states == [{"at": 2}], result.log
    assert box.contacts()[ADA].attributes["visit_count"] == "2"


@pytest.mark.parametrize("refused", ["time", "day"])
def test_a_form_of_time_that_was_refused_is_not_tried_again(box, refused):
    box.fault("time_form_refused", refused)
    box.fault("child_jobs", 2)
    assert run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA)]).code == 0
    refusals = [call for call in box.requests if call.path == "/v2/jobs" and call.status == 422]
    assert len(refusals) == (1 if refused == "time" else 0)


def test_without_any_form_of_time_all_jobs_are_listed(box):
    box.fault("time_form_refused", "both")
    box.fault("child_jobs", 2)
    assert run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA)]).code == 0
    refusals = [call for call in box.requests if call.path == "/v2/jobs" and call.status == 422]
    assert len(refusals) == 2


def test_all_pages_of_jobs_are_read_however_short_they_are(box):
    box.fault("job_page_limit", 1)
    for number in range(3):
        assert run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA, visit_count=number)]).code == 0
    before = job_lists(box)
    box.fault("answer_lost", path=REGISTER, once=True)
    assert run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA, visit_count=9)]).code == 0
    pages = {call.query["page"] for call in box.requests if call.query.get("status") == "Done"}
    assert pages >= {"1", "2", "3", "4"}
    assert job_lists(box) > before
    assert len(import_calls(box)) == 4


def test_a_first_look_comes_soon_and_later_ones_further_and_further_apart(box):
    box.fault("slow_jobs", 1.2)
    result = run(quick_config(box, poll_interval_seconds=30), [AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    looks = [call for call in box.requests if re.match("/v2/jobs/.", call.path)]
    assert 1 < len(looks) < 6


def test_each_fault_of_cordial_is_acted_out_by_a_test_of_the_target():
    folders = [Path(__file__).parent, Path(__file__).parents[1] / "end_to_end"]
    text = "".join(path.read_text(encoding="utf-8") for folder in folders for path in folder.glob("*.py"))
    faults = [kind.name for kind in KINDS.values() if kind.server == "cordial"]
    assert len(faults) > 40
    assert [name for name in faults if f'"{name}"' not in text and not name.startswith("export_")] == []
