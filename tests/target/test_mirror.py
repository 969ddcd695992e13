"""Mode mirror: a list is made equal to its members, removals included."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox import Sandbox
from target_cordial.readback.single_contacts import MOST
from tests.target.auditing import VIP, audit, config, ended, exports_left, fill, records
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    import_calls,
    record,
    run,
    schema,
    started,
    wait_until,
)

ADA, BOB, EVE, ZOE = "ada@example.com", "bob@example.com", "eve@example.com", "zoe@example.com"
PEOPLE = {
    ADA: {"first_name": "Ada", "interests": ["tea", "books"], "city": "London"},
    BOB: {"first_name": "Bob"},
    EVE: {"first_name": "Eve"},
}
EXAMPLES = int(os.environ.get("TAMPERINGS", "4"))


@pytest.fixture
def filled(box):
    fill(box, PEOPLE)
    box.clear_requests()
    return box


def mirror(box, people, messages=None, **more):
    return audit(box, people, messages, mode="mirror", **more)


def tamper(box):
    box.account.leave(1, BOB)
    box.account.put_contact(ZOE, {"first_name": "Zoë"}, "unsubscribed")
    box.account.join(1, ZOE)
    attributes = box.account.contact(ADA).attributes
    box.account.put_contact(ADA, {**attributes, "first_name": "Adele"}, "unsubscribed")


def test_what_differs_is_mended_and_nobody_else_is_touched(filled):
    tamper(filled)
    before = filled.contacts()
    found = mirror(filled, PEOPLE)
    assert found.code == 0, found.log
    assert found.verdicts == {LIST: "equal"}
    assert filled.list_members(LIST) == {ADA, BOB, EVE}
    assert filled.contacts()[ADA].attributes["first_name"] == "Ada"
    assert filled.contacts()[ADA].subscribe_status == "unsubscribed"
    assert filled.contacts()[ZOE].subscribe_status == "unsubscribed"
    assert filled.contacts()[EVE] == before[EVE]
    rows = [call["lists"] for call in import_calls(filled)]
    assert rows == [{"addTo": [LIST]}, {"removeFrom": [LIST]}]
    assert found.result.states == []
    assert exports_left(filled) == []


def test_a_list_that_is_equal_gets_no_import(filled):
    assert mirror(filled, PEOPLE).code == 0
    assert import_calls(filled) == []


def test_a_plan_shows_all_and_changes_nothing(filled):
    tamper(filled)
    before = filled.contacts()
    found = mirror(filled, PEOPLE, plan_only=True)
    assert found.code == 0, found.log
    assert "would import 2 enters and 1 exit" in found.log
    assert found.kinds == {("missing", BOB, ""), ("extra", ZOE, ""), ("different", ADA, "first_name")}
    assert filled.contacts() == before
    assert import_calls(filled) == []


def test_more_removals_than_the_limit_are_none(filled):
    people = {f"crowd{number}@example.com": {} for number in range(250)}
    fill(filled, people)
    found = mirror(filled, PEOPLE)
    assert found.code == 2
    assert "max_removal_percent" in found.result.message
    assert len(filled.list_members(LIST)) == 253
    assert mirror(filled, PEOPLE, max_removal_percent=100).code == 0
    assert filled.list_members(LIST) == set(PEOPLE)


def test_with_add_nobody_is_removed(filled):
    tamper(filled)
    assert mirror(filled, PEOPLE, list_action="add").code == 0
    assert filled.list_members(LIST) == {ADA, BOB, EVE, ZOE}


def test_a_rejected_records_contact_stays(filled):
    people = {**PEOPLE, EVE: {"birthday": "no date"}}
    assert mirror(filled, people, max_reject_percent=100).code == 0
    assert EVE in filled.list_members(LIST)


def test_nobody_is_removed_while_an_imported_member_is_not_there(filled):
    tamper(filled)
    filled.fault("job_rejects", 1)
    # So that nobody can name whom Cordial rejected.
    filled.fault("cordial_status", 403, path="GET /v2/contacts/")
    found = mirror(filled, PEOPLE, max_reject_percent=100)
    assert found.code == 2, found.log
    assert ZOE in filled.list_members(LIST)


def test_a_member_whom_cordial_rejects_by_name_holds_up_no_removal_and_the_list_is_not_equal(filled):
    filled.account.leave(1, BOB)
    filled.account.put_contact(ZOE, {}, "none")
    filled.account.join(1, ZOE)
    filled.fault("job_rejects", 1, once=True)
    found = mirror(filled, PEOPLE, max_reject_percent=100)
    assert found.code == 2, found.log
    assert found.kinds == {("missing", BOB, "")}
    assert filled.list_members(LIST) == {ADA, EVE}


def test_a_row_of_many_that_cordial_rejects_holds_up_no_removal(filled):
    crowd = {f"crowd{number}@example.com": {} for number in range(MOST)}
    filled.account.leave(1, BOB)
    filled.account.put_contact(ZOE, {}, "none")
    filled.account.join(1, ZOE)
    filled.fault("job_rejects", 1, once=True)
    found = mirror(filled, {**PEOPLE, **crowd})
    assert found.code == 2, found.log
    [(kind, rejected, _)] = found.kinds
    assert kind == "missing"
    assert filled.list_members(LIST) == {*PEOPLE, *crowd} - {rejected}


def test_members_whom_cordial_spells_otherwise_stay(box):
    box.account.add_list(LIST)
    box.account.put_contact("Jo@Xn--Mller-Kva.example", {"first_name": "Jo"}, "none")
    box.account.join(1, "Jo@Xn--Mller-Kva.example")
    assert mirror(box, {"jo@müller.example": {"first_name": "Jo"}}).code == 0
    assert import_calls(box) == []


def test_an_input_that_ended_early_removes_nobody(filled):
    messages = [AUDIENCE_SCHEMA, *records({ADA: PEOPLE[ADA]})]
    found = mirror(filled, {}, messages)
    assert found.code == 2
    assert filled.list_members(LIST) == set(PEOPLE)
    assert import_calls(filled) == []


def test_a_child_stream_that_ended_early_removes_nobody(box):
    box.account.add_list("Buyers")
    addresses = [f"p{number}@example.com" for number in range(60)]
    for address in addresses:
        box.account.put_contact(address, {}, "none")
        box.account.join(1, address)
    people = schema({"email": "string"}, "buyers")
    version = {"type": "ACTIVATE_VERSION", "stream": "buyers", "version": 1}
    # The SDK writes both before the records of each parent; the call for the sixth parent failed.
    messages = [
        message
        for first in range(0, 60, 10)
        for message in (
            people,
            version,
            *[record({"email": address}, "buyers") for address in addresses[first : min(first + 10, 50)]],
        )
    ]
    found = mirror(box, {}, messages, list_name="Buyers", field_mapping={})
    assert found.code == 2
    assert "No end mark closes the input of stream 'buyers'" in found.result.message
    assert box.list_members("Buyers") == set(addresses)


def test_an_input_without_a_record_empties_no_list(filled):
    found = mirror(filled, {}, [], accept_unmarked_end=True, list_name=LIST, field_mapping={})
    assert found.code == 2
    assert filled.list_members(LIST) == set(PEOPLE)
    assert import_calls(filled) == []


def test_an_empty_snapshot_empties_no_list_unasked(filled):
    fill(filled, {f"crowd{number}@example.com": {} for number in range(120)})
    found = mirror(filled, {}, [AUDIENCE_SCHEMA, *ended({VIP: 0})])
    assert found.code == 2
    assert "max_removal_percent" in found.result.message
    assert len(filled.list_members(LIST)) == 123


def test_no_list_is_made(box):
    found = mirror(box, PEOPLE)
    assert found.code == 2
    assert "creates none" in found.result.message
    assert box.account.lists() == {}


def test_any_table_becomes_a_list_deletions_included(box):
    box.account.add_list("Buyers")
    people = schema({"email": "string", "name": "string"}, "buyers")
    end = {"type": "ACTIVATE_VERSION", "stream": "buyers", "version": 1}
    options = {"list_name": "Buyers", "field_mapping": {"name": "first_name"}, "max_removal_percent": 100}
    rows = [record({"email": address, "name": address[:3]}, "buyers") for address in (ADA, BOB)]
    assert mirror(box, {}, [people, *rows, end], **options).code == 0
    assert box.list_members("Buyers") == {ADA, BOB}
    assert mirror(box, {}, [people, rows[0], end], **options).code == 0
    assert box.list_members("Buyers") == {ADA}
    assert box.contacts()[BOB].lists == set()


def test_an_activate_version_is_passed_over_in_changes(filled):
    messages = [AUDIENCE_SCHEMA, *records({ADA: PEOPLE[ADA]}), *ended({VIP: 1})]
    found = run(config(filled, mode="changes"), messages)
    assert found.code == 0, found.log
    assert filled.list_members(LIST) == set(PEOPLE)


@pytest.mark.parametrize("stage", ["first export", "import", "second export"])
def test_after_a_kill_another_mirror_is_the_cure(filled, stage):
    tamper(filled)
    exports = {"first export": 1, "import": 1, "second export": 2}[stage]
    filled.fault("slow_jobs" if stage == "import" else "export_slow", 1.0)

    def is_there():
        jobs = [job["jobName"] for job in filled.jobs()]
        enough = jobs.count("ExportContacts") >= exports
        return enough and (stage != "import" or len(import_calls(filled)) > 0)

    with started(config(filled, mode="mirror")) as running:
        running.write([AUDIENCE_SCHEMA, *records(PEOPLE), *ended({VIP: 3})])
        running.end_input()
        wait_until(is_there)
        running.process.kill()
    filled.clear_faults()
    assert mirror(filled, PEOPLE).code == 0
    assert filled.list_members(LIST) == set(PEOPLE)
    assert exports_left(filled) == []


TAMPERINGS = ["nothing", "off", "deleted", "renamed", "unsubscribed", "emptied", "off and renamed"]


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    ways=st.lists(st.sampled_from(TAMPERINGS), min_size=1, max_size=60),
    extras=st.integers(0, 20),
    others=st.integers(0, 10),
)
def test_an_audit_finds_what_was_tampered_with_and_a_mirror_mends_it(tmp_path_factory, ways, extras, others):
    people = {
        f"p{number}@example.com": {"first_name": f"P{number}", "visit_count": number}
        for number in range(len(ways))
    }
    with Sandbox(tmp_path_factory.mktemp("box")) as box:
        fill(box, people)
        expected = set()
        for (address, fields), way in zip(people.items(), ways, strict=True):
            held = box.account.contact(address).attributes
            if "off" in way:
                box.account.leave(1, address)
            if way == "deleted":
                box.account.remove_contact(address)
            if "renamed" in way:
                box.account.put_contact(address, {**held, "first_name": fields["first_name"] + "x"}, "none")
            if way == "emptied":
                box.account.put_contact(address, {}, "subscribed")
                expected |= {("different", address, name) for name in fields}
            if way == "unsubscribed":
                box.account.put_contact(address, held, "unsubscribed")
            if way == "renamed":
                expected.add(("different", address, "first_name"))
            if "off" in way or way == "deleted":
                expected.add(("missing", address, ""))
        for number in range(extras):
            box.account.put_contact(f"e{number}@example.com", {"first_name": "E"}, "unsubscribed")
            box.account.join(1, f"e{number}@example.com")
            expected.add(("extra", f"e{number}@example.com", ""))
        for number in range(others):
            box.account.put_contact(f"o{number}@example.com", {"first_name": "O"}, "none")
        before = box.contacts()
        found = audit(box, people)
        assert found.kinds == expected, found.log
        assert found.code == (2 if expected else 0), found.log
        assert box.contacts() == before
        mended = mirror(box, people, max_removal_percent=100)
        assert mended.code == 0, mended.log
        assert mended.verdicts == {LIST: "equal"}
        assert box.list_members(LIST) == set(people)
        touched = {address for _, address, _ in expected}
        after = box.contacts()
        assert {address: contact for address, contact in after.items() if address not in touched} == {
            address: contact for address, contact in before.items() if address not in touched
        }
        assert all(
            after[address].subscribe_status == contact.subscribe_status for address, contact in before.items()
        )
