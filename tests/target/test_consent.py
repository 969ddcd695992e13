"""Consent: with the defaults no known contact's subscribe status changes, whatever Cordial makes of a row without one."""

import csv
import io
import itertools

import pytest

from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
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

STATUSES = ("subscribed", "unsubscribed", "none")
KNOWN = {f"{status}@example.com": status for status in STATUSES}
GONE = {f"gone-{status}@example.com": status for status in STATUSES}
NEW = ["new@example.com", "newer@example.com"]
COLUMN = "channels.email.subscribeStatus"


def fill(box):
    number = box.account.add_list(LIST)
    for address, status in {**KNOWN, **GONE}.items():
        box.account.put_contact(address, {}, status)
        box.account.join(number, address)


def messages(people=(*KNOWN, *NEW)):
    entering = [enter(address, change="update", first_name="Ada") for address in people]
    return [AUDIENCE_SCHEMA, *entering, *map(exit_, GONE), state({"at": 1})]


def statuses(box):
    return {address: contact.subscribe_status for address, contact in box.contacts().items()}


@pytest.mark.parametrize(
    ("resets", "status"),
    list(itertools.product([False, True], [None, "subscribed", "unsubscribed", "none"])),
)
def test_no_known_contact_changes_by_enters_updates_or_exits_under_either_reading(box, resets, status):
    fill(box)
    if resets:
        box.fault("status_resets")
    config = quick_config(box) if status is None else quick_config(box, subscribe_status=status)
    result = run(config, messages())
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    new = dict.fromkeys(NEW, status or "subscribed")
    assert statuses(box) == {**KNOWN, **GONE, **new}
    assert box.list_members(LIST) == {*KNOWN, *NEW}
    assert {box.contacts()[address].attributes["first_name"] for address in (*KNOWN, *NEW)} == {"Ada"}


@pytest.mark.parametrize("strategy", ["upsert", "updateOnly"])
def test_each_import_without_a_status_asks_that_statuses_are_kept(box, strategy):
    fill(box)
    assert run(quick_config(box, import_strategy=strategy), messages()).code == 0
    assert [call["subscribe"] for call in import_calls(box)] == [False, False]


def test_a_reading_that_resets_is_met_where_nothing_is_asked(box):
    fill(box)
    box.fault("status_resets")
    assert run(quick_config(box, keep_subscribe_status=False), messages()).code == 0
    assert all("subscribe" not in call for call in import_calls(box))
    assert statuses(box)["none@example.com"] == "subscribed"
    checked = run(quick_config(box, keep_subscribe_status=False), arguments=["--check"])
    assert "may become `subscribed` if its status is `none`" in checked.output
    assert "Cordial makes new contacts `subscribed`" in checked.output


def test_a_status_of_new_contacts_takes_two_imports_one_after_the_other(box):
    fill(box)
    config = quick_config(box, subscribe_status="none", keep_files=True)
    box.fault("job_never_ends", path="POST /v2/contactimports", nth=1)
    with started(config) as running:
        running.write(messages())
        running.end_input()
        wait_until(lambda: sum(call.path.startswith("/v2/jobs/") for call in box.requests) > 5)
        assert [call["strategy"] for call in import_calls(box)] == ["insertOnly"]
        box.clear_faults()
        result = running.result()
    assert result.code == 0, result.log
    inserting, updating, exits = import_calls(box)
    assert [call["strategy"] for call in (updating, exits)] == ["updateOnly", "updateOnly"]
    assert "subscribe" not in inserting
    assert updating["subscribe"] is exits["subscribe"] is False
    assert inserting["lists"] == updating["lists"] == {"addTo": [LIST]}
    rows = [list(csv.DictReader(io.StringIO(text))) for text in kept_files(box).values()]
    by_name = dict(zip(kept_files(box), rows, strict=True))
    with_status = by_name[f"kept-{inserting['importName']}.csv"]
    assert [row[COLUMN] for row in with_status] == ["none"] * 5
    without = by_name[f"kept-{updating['importName']}.csv"]
    assert [{**row, COLUMN: "none"} for row in without] == with_status
    assert "New in Cordial: 2 contacts; new contacts get the status `none`" in result.log


def test_values_arrive_as_they_are_in_both_imports(box):
    fill(box)
    name = 'A "B",\r\nC,none\r\n'
    people = [enter(address, first_name=name) for address in (*KNOWN, *NEW)]
    result = run(quick_config(box, subscribe_status="none"), [AUDIENCE_SCHEMA, *people])
    assert result.code == 0, result.log
    assert {box.contacts()[address].attributes["first_name"] for address in (*KNOWN, *NEW)} == {name}


def test_a_row_is_rejected_only_if_neither_import_took_it(box):
    fill(box)
    box.fault("job_rejects", 1, path="POST /v2/contactimports", nth=2)
    result = run(quick_config(box, subscribe_status="none"), messages())
    people = {*KNOWN, *NEW}
    updated = {a for a in people if box.contacts()[a].attributes.get("first_name") == "Ada"}
    lost = people - updated
    report = [path.read_text(encoding="utf-8") for path in (box.folder / "rejects").glob("*")]
    assert (result.code, result.states) == (0, [{"at": 1}]), result.log
    assert len(lost) == len(report) <= 1
    assert all(address in report[0] for address in lost)


def test_with_updates_alone_no_status_is_sent(box):
    fill(box)
    result = run(quick_config(box, subscribe_status="none", import_strategy="updateOnly"), messages())
    assert result.code == 0, result.log
    assert statuses(box) == {**KNOWN, **GONE}
    assert [call["strategy"] for call in import_calls(box)] == ["updateOnly", "updateOnly"]


def test_a_run_that_is_killed_between_both_imports_is_made_good_by_the_next(box):
    fill(box)
    box.fault("job_never_ends", path="POST /v2/contactimports", nth=2)
    config = quick_config(box, subscribe_status="none")
    with started(config) as running:
        running.write(messages())
        running.end_input()
        wait_until(lambda: len(import_calls(box)) == 2)
        running.process.kill()
        assert running.result().states == []
    box.clear_faults()
    assert run(config, messages()).states == [{"at": 1}]
    assert statuses(box) == {**KNOWN, **GONE, **dict.fromkeys(NEW, "none")}


def test_a_status_of_new_contacts_is_refused_where_it_cannot_be_kept_to_them(box):
    result = run(quick_config(box, subscribe_status="none", keep_subscribe_status=False), messages())
    assert result.code == 2
    assert "keep_subscribe_status: false cannot promise: set it to true, or leave subscribe_status out" in (
        result.message
    )


def test_a_refusal_of_the_field_names_its_cure(box):
    box.fault("subscribe_refused")
    result = run(quick_config(box), messages())
    assert result.code == 2
    assert result.states == []
    assert "set keep_subscribe_status to false" in result.message
    assert run(quick_config(box, keep_subscribe_status=False), messages()).code == 0
    fetched = run(quick_config(box), arguments=["--check", "--fetch"])
    assert "set keep_subscribe_status to false" in fetched.output


@pytest.mark.parametrize("unsubscribed", [False, True])
def test_new_contacts_are_counted_with_what_is_known_of_them(box, unsubscribed):
    fill(box)
    if unsubscribed:
        box.fault("new_contacts_unsubscribed")
    result = run(quick_config(box), messages())
    assert "New in Cordial: 2 contacts; new contacts come without a status; what Cordial" in result.log
    assert {statuses(box)[address] for address in NEW} == {"none" if unsubscribed else "subscribed"}


def test_the_field_is_the_targets_own(box):
    result = run(quick_config(box, import_options={"subscribe": True}), messages())
    assert "The setting import_options cannot hold subscribe" in result.message
