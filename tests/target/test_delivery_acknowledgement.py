"""A state is acknowledged when everything before it is in Cordial: then at once, and never before."""

import json

import pytest

from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    exit_,
    import_calls,
    quick_config,
    record,
    run,
    schema,
    started,
    state,
    wait_until,
)

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"


def job_polls(box):
    return sum(call.path.startswith("/v2/jobs/") for call in box.requests)


def test_a_state_before_any_record_goes_out_at_once(box):
    with started(quick_config(box)) as running:
        running.write([state({"ledger": "x"})])
        assert running.next_state() == {"ledger": "x"}
        running.write([AUDIENCE_SCHEMA, state({"ledger": "x", "more": [1, 2.50]})])
        assert running.next_state() == {"ledger": "x", "more": [1, 2.5]}
        running.end_input()
        assert running.result().code == 0


def test_an_empty_input_asks_cordial_for_nothing(box):
    result = run(quick_config(box))
    assert (result.code, result.output) == (0, "")
    assert box.requests == []


def test_a_run_without_changes_asks_cordial_for_nothing_and_writes_nothing(box):
    result = run(box.target_config(), [state({"at": 0}), AUDIENCE_SCHEMA, state({"at": 1})])
    assert result.code == 0
    assert result.states[-1] == {"at": 1}
    assert box.requests == []
    assert not (box.folder / "sftp" / "import").exists() or box.files() == []
    assert not (box.folder / "rejects").exists()


def test_a_state_goes_out_as_soon_as_its_imports_are_done_while_the_input_goes_on(box):
    with started(quick_config(box, batch_size_rows=2)) as running:
        running.write(
            [AUDIENCE_SCHEMA, enter(ADA), enter(BOB), state({"at": 2}), enter(EVE), state({"at": 3})]
        )
        assert running.next_state() == {"at": 2}
        assert box.list_members(LIST) == {ADA, BOB}
        running.end_input()
        assert running.next_state() == {"at": 3}
        assert running.result().code == 0


def test_no_state_goes_out_while_an_import_before_it_is_under_way(box):
    box.fault("job_never_ends")
    with started(quick_config(box, batch_size_rows=1)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
        wait_until(lambda: job_polls(box) > 10)
        assert running.states_so_far == []
        box.clear_faults()
        assert running.next_state() == {"at": 1}


def test_of_two_imports_side_by_side_the_later_does_not_acknowledge_what_the_earlier_holds(box):
    box.fault("job_never_ends", path="POST /v2/contactimports", nth=1)
    with started(quick_config(box, batch_size_rows=1)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
        wait_until(lambda: len(import_calls(box)) == 1)
        running.write([enter(BOB), state({"at": 2})])
        wait_until(lambda: any(job["status"] == "Done" for job in box.jobs()))
        polls = job_polls(box)
        wait_until(lambda: job_polls(box) > polls + 5)
        assert running.states_so_far == []
        box.clear_faults()
        assert running.next_state() == {"at": 2}
        assert box.list_members(LIST) == {ADA, BOB}
        running.end_input()
        assert running.result().states == [{"at": 2}]


def test_a_batch_that_waited_long_enough_goes_out_part_filled(box):
    with started(quick_config(box, batch_wait_seconds=0.05)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
        wait_until(lambda: [running.write([state({"at": 1})]), ADA in box.contacts()][1])
        assert running.next_state() == {"at": 1}
        running.end_input()
        assert running.result().code == 0


def test_a_superseded_row_is_acknowledged_with_the_one_that_replaced_it(box):
    box.fault("job_never_ends")
    messages = [
        AUDIENCE_SCHEMA,
        enter(ADA, visit_count=1),
        state({"at": 1}),
        enter(BOB),
        enter(ADA, visit_count=2),
        state({"at": 3}),
    ]
    with started(quick_config(box)) as running:
        running.write(messages)
        running.end_input()
        wait_until(lambda: job_polls(box) > 5)
        assert running.states_so_far == []
        box.clear_faults()
        assert running.result().states == [{"at": 3}]


def test_an_emptied_batch_is_acknowledged_with_the_exit_that_emptied_it(box):
    box.fault("job_never_ends")
    with started(quick_config(box)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1}), exit_(ADA), state({"at": 2})])
        running.end_input()
        wait_until(lambda: job_polls(box) > 5)
        assert running.states_so_far == []
        box.clear_faults()
        assert running.result().states == [{"at": 2}]
    assert [call["lists"] for call in import_calls(box)] == [{"removeFrom": [LIST]}]


def test_held_exits_hold_back_the_states_after_them_and_not_those_before(box):
    with started(quick_config(box, batch_size_rows=1)) as running:
        running.write([AUDIENCE_SCHEMA, enter(ADA), state({"at": 1}), exit_(BOB), state({"at": 2})])
        running.write([enter(EVE), state({"at": 3})])
        wait_until(lambda: EVE in box.contacts())
        assert running.next_state() == {"at": 1}
        assert running.states_so_far == [{"at": 1}]
        running.end_input()
        assert running.result().states == [{"at": 1}, {"at": 3}]


def test_the_last_of_very_many_states_is_acknowledged(box):
    box.fault("slow_jobs", 0.3)
    many = [message for at in range(3001) for message in (enter(ADA, visit_count=at), state({"at": at}))]
    result = run(quick_config(box), [AUDIENCE_SCHEMA, *many])
    assert result.code == 0, result.log
    assert result.states == [{"at": 3000}]


def test_a_state_waits_for_the_rows_of_all_streams(box):
    one, two = (schema({"email": "string", "where": "string"}, name) for name in ("one", "two"))
    box.fault("job_never_ends", path="POST /v2/contactimports", nth=2)
    with started(quick_config(box, field_mapping={}, list_name="{where}", batch_size_rows=1)) as running:
        running.write([one, two, record({"email": ADA, "where": "A"}, "one")])
        running.write([record({"email": BOB, "where": "B"}, "two"), state({"at": 2})])
        wait_until(lambda: job_polls(box) > 10)
        assert running.states_so_far == []
        box.clear_faults()
        assert running.next_state() == {"at": 2}


def test_a_stream_without_identifier_is_skipped_with_one_warning_and_its_states_wait(box):
    audiences = schema({"id": "string"}, "audiences", key=("id",))
    with started(quick_config(box, batch_size_rows=1)) as running:
        running.write([audiences, *[record({"id": str(number)}, "audiences") for number in range(3)]])
        running.write([state({"at": 1})])
        running.wait_for_log("The stream audiences has no field email")
        assert running.states_so_far == []
        running.write([AUDIENCE_SCHEMA])
        assert running.next_state() == {"at": 1}
        running.write([enter(ADA), state({"at": 2})])
        assert running.next_state() == {"at": 2}
        running.end_input()
        result = running.result()
    assert result.code == 0, result.log
    assert result.log.count("has no field email") == 1
    assert box.list_members(LIST) == {ADA}


def test_a_run_in_which_no_stream_has_the_identifier_fails_and_acknowledges_nothing(box):
    audiences = schema({"id": "string"}, "audiences", key=("id",))
    result = run(quick_config(box), [audiences, record({"id": "1"}, "audiences"), state({"at": 1})])
    assert result.code == 2
    assert "identifier_field" in result.message
    assert result.states == []
    assert box.requests == []


def test_a_rejected_enter_is_acknowledged_because_it_is_in_the_reject_report(box):
    box.fault("job_rejects", 1)
    result = run(
        quick_config(box), [AUDIENCE_SCHEMA, enter(ADA), enter(BOB), enter("nobody"), state({"at": 3})]
    )
    assert result.code == 0, result.log
    assert result.states == [{"at": 3}]
    entries = [
        json.loads(line)
        for path in sorted((box.folder / "rejects").iterdir())
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    assert {entry["reason"] for entry in entries} == {
        "rejected by Cordial",
        "the identifier is not an e-mail address: an email address must have an at-sign",
    }


def test_a_rejected_exit_is_acknowledged_and_counted_as_open(box):
    box.account.put_contact(ADA, {}, "subscribed")
    box.account.join(box.account.add_list(LIST), ADA)
    box.fault("job_rejects", 1)
    result = run(quick_config(box), [AUDIENCE_SCHEMA, exit_(ADA), state({"at": 1})])
    assert result.code == 2
    assert "1 exit of Lytics_VIP_Customers could not be done" in result.message
    assert result.states == [{"at": 1}]
    [report] = (box.folder / "rejects").iterdir()
    entry = json.loads(report.read_text(encoding="utf-8"))
    assert (entry["kind"], entry["record"]) == ("exit", {"channels.email.address": ADA})
    box.clear_faults()
    assert run(quick_config(box), [AUDIENCE_SCHEMA, exit_(ADA), state({"at": 1})]).states == [{"at": 1}]
    assert box.list_members(LIST) == set()


def test_rejects_are_reported_although_no_state_follows_and_the_run_fails(box):
    result = run(quick_config(box), [AUDIENCE_SCHEMA, enter("nobody"), enter(ADA), b"{broken}\n"])
    assert result.code == 2
    [report] = (box.folder / "rejects").iterdir()
    assert "not an e-mail address" in report.read_text(encoding="utf-8")


def test_the_same_input_again_gives_the_same_result(box):
    messages = [
        AUDIENCE_SCHEMA,
        enter(ADA, first_name="Ada", visit_count=1),
        enter(BOB),
        exit_(BOB),
        state({"at": 3}),
    ]
    first = run(quick_config(box), messages)
    contacts = box.contacts()
    second = run(quick_config(box), messages)
    assert (first.code, second.code) == (0, 0)
    assert first.states == second.states
    assert box.contacts() == contacts
    assert box.files() == []


def test_records_of_one_contact_in_other_letter_case_are_one_contact(box):
    box.fault("address_case_kept")
    messages = [
        AUDIENCE_SCHEMA,
        enter(" ADA@Example.com "),
        enter("ada@example.com"),
        exit_("Ada@EXAMPLE.com"),
    ]
    result = run(quick_config(box), messages)
    assert result.code == 0, result.log
    assert box.contacts() == {}


@pytest.mark.parametrize("action", ["add", "none"])
def test_exits_are_passed_over_unless_lists_are_kept_in_sync(box, action):
    box.account.put_contact(ADA, {}, "subscribed")
    box.account.join(box.account.add_list(LIST), ADA)
    result = run(
        quick_config(box, list_action=action), [AUDIENCE_SCHEMA, exit_(ADA), enter(BOB), state({"at": 2})]
    )
    assert result.code == 0, result.log
    assert result.states == [{"at": 2}]
    assert box.list_members(LIST) == ({ADA, BOB} if action == "add" else {ADA})
    assert set(box.contacts()) == {ADA, BOB}
    assert "1 exit passed over" in result.log


def test_a_plan_uploads_nothing_creates_nothing_and_acknowledges_nothing(box):
    messages = [
        state({"at": 0}),
        AUDIENCE_SCHEMA,
        *[enter(f"p{number}@example.com") for number in range(5)],
        exit_(ADA),
        enter("nobody"),
        state({"at": 6}),
    ]
    result = run(box.target_config(plan_only=True, batch_size_rows=2), messages)
    assert result.code == 0, result.log
    assert result.states == []
    assert {call.method for call in box.requests} == {"GET"}
    assert not (box.folder / "sftp" / "import").exists() or box.files() == []
    assert box.account.lists() == {}
    assert f"Plan: list {LIST} would be created." in result.log
    assert (
        f"Plan: list {LIST} (0 contacts now): read 5 enters and 1 exit; would import 5 enters and 1 exit in 4 files"
        in result.log
    )
    assert "Plan: 7 records read; 6 rows for 6 contacts in 4 files." in result.log


def test_a_plan_tells_of_exits_that_would_be_held_back(box):
    result = run(
        quick_config(box, plan_only=True),
        [AUDIENCE_SCHEMA, *[exit_(f"p{number}@example.com") for number in range(101)]],
    )
    assert result.code == 2
    assert "101 of the 0 contacts" in result.message
