"""Rows that Cordial rejects, or does not count, are named by reading their contacts back; nothing waits behind them."""

import csv
import io
import json
import os
import threading

import pytest

from target_cordial.readback.single_contacts import MOST, SIDE_BY_SIDE
from tests.target.auditing import exports_left
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    TIMEOUT_SECONDS,
    enter,
    exit_,
    import_calls,
    kept_files,
    quick_config,
    run,
    started,
    state,
    wait_until,
)

ROWS = int(os.environ.get("HIDING_ROWS", "2100"))
"""Among so many, fifty bad rows are hidden."""
PEOPLE = [f"p{number}@example.com" for number in range(12)]


def fill(box, addresses, **held):
    number = box.account.list_id(LIST) or box.account.add_list(LIST)
    for address in addresses:
        box.account.put_contact(address, {"first_name": "Old", **held}, "subscribed")
        box.account.join(number, address)


def report(box):
    return [
        json.loads(line)
        for path in sorted((box.folder / "rejects").glob("*"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def named(box):
    return {line["record"]["channels.email.address"] for line in report(box)}


def reads(box):
    return [call.path for call in box.requests if call.path.startswith("/v2/contacts/")]


def messages(people=PEOPLE, **fields):
    return [AUDIENCE_SCHEMA, *[enter(address, **fields) for address in people], state({"at": 1})]


@pytest.mark.parametrize("fault", ["job_rejects", "job_errors", "rows_dropped"])
def test_rows_that_cordial_did_not_take_are_named_and_all_others_acknowledged(box, fault):
    box.fault(fault, 2)
    result = run(quick_config(box), messages(first_name="Ada"))
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert len(box.list_members(LIST)) == 10
    assert named(box) == {*PEOPLE} - box.list_members(LIST)
    [first, _] = report(box)
    assert first["record"]["first_name"] == "Ada"
    assert "null-" not in json.dumps(first)
    assert "0 rejected here and 2 by Cordial" in result.log
    assert not any(address in result.log for address in PEOPLE)
    assert kept_files(box) == {}


def test_a_rejected_change_of_somebody_on_the_list_is_named_by_attributes(box):
    fill(box, PEOPLE)
    box.fault("job_rejects", 1)
    fields = {"first_name": "New", "visit_count": 3, "lifetime_value": 1.50, "birthday": "2001-02-03"}
    result = run(quick_config(box), messages(**fields))
    assert result.code == 0, result.log
    [line] = report(box)
    address = line["record"]["channels.email.address"]
    assert box.contacts()[address].attributes["first_name"] == "Old"


@pytest.mark.parametrize(
    ("field", "held", "sent"), [("first_name", "1", "1.0"), ("interests", ["ab", "c"], ["a", "bc"])]
)
def test_a_rejected_change_is_named_by_what_an_audit_calls_different(box, field, held, sent):
    fill(box, PEOPLE, **{field: held})
    box.fault("job_rejects", 1)
    result = run(quick_config(box), messages(**{field: sent}))
    assert result.code == 0, result.log
    [line] = report(box)
    address = line["record"]["channels.email.address"]
    assert box.contacts()[address].attributes[field] == held


@pytest.mark.parametrize("fault", ["array_commas", "empty_cells"])
@pytest.mark.parametrize("is_known", [False, True])
def test_attributes_that_cordial_writes_in_another_way_do_not_hide_who_is_missing(box, fault, is_known):
    box.fault(fault)
    box.fault("job_rejects", 1)
    if is_known:
        fill(box, PEOPLE)
    result = run(
        quick_config(box, null_values="clear"), messages(interests=["jazz", "café, bars"], city="Zürich, CH")
    )
    assert result.states == [{"at": 1}], result.log
    [line] = report(box)
    if is_known:
        # All of them differ, so that nobody can tell who was rejected.
        assert (result.code, line["unnamed"]) == (2, 1)
    else:
        assert result.code == 0
        assert {line["record"]["channels.email.address"]} == {*PEOPLE} - box.list_members(LIST)


def test_a_file_of_which_most_rows_are_rejected_is_never_acknowledged(box):
    box.fault("job_rejects", 1000)
    result = run(quick_config(box), messages())
    assert result.code == 2
    assert "Cordial rejected 12 of 12 rows" in result.message
    assert result.states == []
    box.clear_faults()
    assert run(quick_config(box), messages()).states == [{"at": 1}]
    assert box.list_members(LIST) == {*PEOPLE}


def test_a_few_rows_may_all_be_rejected(box):
    box.fault("job_rejects", 1000)
    result = run(quick_config(box, max_reject_percent=100), messages(PEOPLE[:10]))
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert named(box) == {*PEOPLE[:10]}


@pytest.mark.parametrize("short", [1, 3])
def test_counters_that_are_short_are_told_and_hold_nobody_back_when_all_are_there(box, short):
    box.fault("counters_short", short)
    result = run(quick_config(box), messages())
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert f"counts {12 - short} rows of the 12 that were sent" in result.log
    assert report(box) == []
    assert len(reads(box)) == 12


def test_rows_without_an_outcome_are_told_and_looked_for(box):
    box.fault("rows_uncounted", 2)
    result = run(quick_config(box), messages())
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert "do not add up: no outcome is told of 2 of its 12 rows" in result.log
    assert len(reads(box)) == 12


def test_rows_that_cannot_be_told_from_others_are_counted_and_do_not_go_again(box):
    fill(box, PEOPLE)
    assert run(quick_config(box), messages(first_name="Ada")).code == 0
    # What it rejects is in Cordial as it was sent.
    box.fault("job_rejects", 1)
    result = run(quick_config(box), messages(first_name="Ada"))
    assert result.code == 2
    assert result.states == [{"at": 1}]
    [job] = list(box.account.jobs())[1:]
    assert f"Cordial rejected 1 row that could not be named (job {job})" in result.message
    assert "--full-refresh" in result.message
    assert len(reads(box)) == 3 * 12


def test_a_contact_that_shows_late_is_looked_for_again(box):
    box.fault("job_rejects", 1)
    box.fault("cordial_status", 404, path="GET /v2/contacts/", nth=2)
    result = run(quick_config(box), messages())
    assert result.code == 0, result.log
    assert named(box) == {*PEOPLE} - box.list_members(LIST)


def test_without_permission_rows_are_counted_alone(box):
    box.fault("job_rejects", 1)
    box.fault("cordial_status", 403, path="GET /v2/contacts/")
    result = run(quick_config(box), messages())
    assert result.code == 2
    assert result.states == [{"at": 1}]
    assert "The API key may not use /contacts (403): tick it on the key in Cordial" in result.log
    assert not any(address in result.log for address in PEOPLE)
    [line] = report(box)
    assert (line["rejected"], line["unnamed"]) == (1, 1)
    assert len(reads(box)) <= SIDE_BY_SIDE
    checked = run(quick_config(box), arguments=["--check"])
    assert checked.code == 0
    assert "rows that Cordial rejects can be counted, but not named in the reject file" in checked.output


def test_a_read_that_is_repeated_shows_no_address_in_the_log(box):
    box.fault("job_rejects", 1)
    box.fault("rate_limit", 0, path="GET /v2/contacts/", once=True)
    result = run(quick_config(box), messages())
    assert result.code == 0, result.log
    assert "GET /v2/contacts/…" in result.log
    assert not any(address.partition("@")[0] in result.log for address in PEOPLE[:10])


def exports(box):
    return [call for call in box.requests if call.path == "/v2/contactexports"]


def crowd(rows=MOST + 1):
    return [f"q{number}@example.com" for number in range(rows)]


def test_bad_rows_hidden_in_many_are_all_named_by_one_export(box):
    people = crowd(ROWS)
    fill(box, people[: ROWS // 2])
    box.fault("job_rejects", 5)
    sent = messages(people, first_name="New")
    result = run(quick_config(box, batch_size_rows=ROWS // 10), sent, timeout=600)
    assert (result.code, result.states[-1]) == (0, {"at": 1}), result.log
    contacts, members = box.contacts(), box.list_members(LIST)
    lost = {
        address
        for address in people
        if address not in members or contacts[address].attributes["first_name"] == "Old"
    }
    lines = [line for line in report(box) if "record" in line]
    assert len(lines) == len(lost) == 50
    assert {line["record"]["channels.email.address"] for line in lines} == lost
    assert {line["reason"] for line in lines} == {"rejected by Cordial"}
    assert (len(exports(box)), reads(box)) == (1, [])
    # How often jobs are looked at goes by the time that they take.
    assert len([call for call in box.requests if not call.path.startswith("/v2/jobs")]) < 40
    assert exports_left(box) == []
    assert not any(address in result.log for address in lost)


def test_a_state_waits_for_no_export(box):
    box.fault("job_rejects", 1)
    box.fault("export_slow", 600)
    with started(quick_config(box)) as running:
        running.write(messages(crowd()))
        running.end_input()
        assert running.next_state() == {"at": 1}
        [line] = report(box)
        assert (line["rejected"], line["unnamed"]) == (1, 1)


def test_all_rows_of_a_large_file_are_there_after_all(box):
    box.fault("counters_short", 3)
    result = run(quick_config(box), messages(crowd()))
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert "names 0" in result.log


@pytest.mark.parametrize("fault", ["export_fails", "cordial_status"])
def test_rows_of_a_large_file_are_counted_alone_where_nothing_can_be_exported(box, fault):
    box.fault("job_rejects", 1)
    if fault == "cordial_status":
        box.fault(fault, 403, path="POST /v2/contactexports")
    else:
        box.fault(fault)
    result = run(quick_config(box), messages(crowd()))
    assert result.code == 2
    assert result.states == [{"at": 1}]
    assert next(iter(box.account.jobs())) in result.message
    assert reads(box) == []
    assert exports_left(box) == []


def test_the_check_says_what_an_export_would_give(box):
    checked = run(quick_config(box), arguments=["--check"])
    assert "of files with more than 200 rows, if the key may use contactexports" in checked.output
    checked = run(quick_config(box, export_destination={}), arguments=["--check"])
    assert checked.code == 0
    assert "rows of files with more than 200 rows can be counted, but not named" in checked.output


def leaving(box, people, **settings):
    sent = [AUDIENCE_SCHEMA, *map(exit_, people), state({"at": 1})]
    return run(quick_config(box, max_removal_percent=100, **settings), sent)


def test_exits_of_a_large_file_without_an_outcome_are_looked_for(box):
    people = crowd()
    fill(box, people)
    box.fault("rows_uncounted", 50)
    assert leaving(box, people).code == 0


def test_exits_of_a_large_file_that_were_rejected_are_named(box):
    people = crowd()
    fill(box, people)
    box.fault("job_rejects", 3)
    result = leaving(box, people)
    assert (result.code, result.states) == (2, [{"at": 1}])
    assert "3 exits of Lytics_VIP_Customers could not be done" in result.message
    assert {line["record"]["channels.email.address"] for line in report(box) if "record" in line} == (
        box.list_members(LIST)
    )


def test_exits_of_a_large_file_without_an_outcome_are_open_where_nothing_can_be_exported(box):
    people = crowd()
    fill(box, people)
    box.fault("rows_uncounted", 50)
    box.fault("export_fails")
    result = leaving(box, people)
    assert result.code == 2
    assert "50 exits of Lytics_VIP_Customers could not be done" in result.message


def test_exits_go_each_day_whatever_became_of_those_before(box):
    fill(box, PEOPLE)
    box.fault("job_rejects", 1)
    left = set()
    for day in range(3):
        leaving = PEOPLE[4 * day : 4 * day + 4]
        result = run(quick_config(box), [AUDIENCE_SCHEMA, *map(exit_, leaving), state({"at": day})])
        assert result.states == [{"at": day}]
        assert result.code == 2
        assert "1 exit of Lytics_VIP_Customers could not be done" in result.message
        left |= {*leaving} & box.list_members(LIST)
        assert named(box) == left
    assert len(left) == 3
    assert box.list_members(LIST) == left


@pytest.mark.parametrize("gone", ["contact", "member"])
def test_an_exit_of_somebody_who_is_not_on_the_list_is_done(box, gone):
    fill(box, PEOPLE)
    for address in PEOPLE[:3]:
        if gone == "contact":
            box.account.remove_contact(address)
        else:
            box.account.leave(box.account.list_id(LIST), address)
    box.fault("unknown_in_update", "rejected")
    result = run(quick_config(box), [AUDIENCE_SCHEMA, *map(exit_, PEOPLE[:4]), state({"at": 1})])
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert box.list_members(LIST) == {*PEOPLE[4:]}
    assert report(box) == []


@pytest.mark.parametrize("how", ["rejected", "ignored"])
def test_contacts_that_an_update_passes_over_are_no_rejects_however_they_are_counted(box, how):
    fill(box, PEOPLE[:3])
    box.fault("unknown_in_update", how)
    result = run(quick_config(box, import_strategy="updateOnly"), messages(first_name="New"))
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert report(box) == []
    assert {contact.attributes["first_name"] for contact in box.contacts().values()} == {"New"}


def test_a_reader_of_csv_with_escapes_tears_no_row_unsaid(box):
    box.fault("csv_backslash")
    hostile = enter(PEOPLE[0], first_name="a,b\\")
    result = run(quick_config(box), [AUDIENCE_SCHEMA, hostile, *map(enter, PEOPLE[1:6]), state({"at": 1})])
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert box.list_members(LIST) == {*PEOPLE[:6]}
    assert "first_name" not in box.contacts()[PEOPLE[0]].attributes


def test_a_date_arrives_of_which_cordial_takes_fewer_digits(box):
    box.fault("date_digits", 6)
    precise = enter(PEOPLE[0], birthday="2001-02-03T04:05:06.123456789Z")
    result = run(quick_config(box), [AUDIENCE_SCHEMA, precise, enter(PEOPLE[1]), state({"at": 1})])
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert box.list_members(LIST) == {*PEOPLE[:2]}
    assert report(box) == []


@pytest.mark.parametrize("change", ["delete", "rename"])
def test_a_list_that_goes_while_it_is_filled_is_told_and_nothing_is_acknowledged(box, change):
    number = box.account.add_list(LIST)
    box.fault("unknown_list_ignored")
    box.fault("slow_answer", 1, path="POST /v2/contactimports")

    def go():
        wait_until(lambda: any(call.path == f"/v2/accountlists/{number}/count" for call in box.requests))
        if change == "delete":
            box.account.remove_list(number)
        else:
            box.account.change_list(number, "Other", enhanced=True)

    changing = threading.Thread(target=go, daemon=True)
    changing.start()
    result = run(quick_config(box), messages())
    changing.join(TIMEOUT_SECONDS)
    assert result.code == 2
    assert result.states == []
    assert f"The list {LIST!r} (id {number}) was deleted or renamed in Cordial" in result.message
    assert "--full-refresh" in result.message


def test_files_that_are_kept_hold_what_was_sent(box):
    assert run(quick_config(box, keep_files=True), messages(PEOPLE[:1])).code == 0
    [(name, text)] = kept_files(box).items()
    assert name == f"kept-{import_calls(box)[0]['importName']}.csv"
    assert [row["channels.email.address"] for row in csv.DictReader(io.StringIO(text))] == PEOPLE[:1]
