"""Mode audit: a list is held against all members, and what differs is named."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import secrets

import pytest

from tests.sandbox.calls import imported
from tests.target.auditing import VIP, audit, audits_folder, config, ended, exports_left, fill, records
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    LISTS_A_LOOK,
    enter,
    exit_,
    import_calls,
    job_lists,
    quick_config,
    record,
    run,
    schema,
    started,
    state,
    wait_until,
)

ADA, BOB, EVE, ZOE = "ada@example.com", "bob@example.com", "eve@example.com", "zoe@example.com"
PEOPLE = {
    ADA: {
        "first_name": 'Ada "C", d\'Été',
        "birthday": "1990-01-02",
        "last_visit": "2026-01-02T03:04:05.678901Z",
        "lifetime_value": 12.50,
        "visit_count": 3,
        "is_customer": True,
        "interests": ["tea, green", "books"],
        "city": "London",
    },
    BOB: {"first_name": "Bob\r\nline", "last_visit": "2026-01-02T03:04:05Z", "lifetime_value": 1e3},
    EVE: {"first_name": "", "interests": []},
}


@pytest.fixture
def filled(box):
    fill(box, PEOPLE)
    return box


def test_a_list_that_equals_its_members_is_said_to(filled):
    found = audit(filled, PEOPLE)
    assert found.code == 0, found.log
    assert found.verdicts == {LIST: "equal"}
    assert found.differences == []
    assert f"Audit of list {LIST}: EQUAL. 3 members, 3 contacts on the list." in found.log
    assert found.result.states == []
    assert exports_left(filled) == []
    assert not found.result.leftovers
    assert len(import_calls(filled)) == 1, "an audit imports nothing"
    modes = {path.stat().st_mode & 0o777 for path in audits_folder(filled).iterdir()}
    assert modes == {0o600}
    assert not any("@" in path.read_text() for path in audits_folder(filled).glob("*.json"))


def test_missing_extra_and_different_are_named(filled):
    account = filled.account
    account.leave(1, BOB)
    account.put_contact(ZOE, {"first_name": "Zoë"}, "unsubscribed")
    account.join(1, ZOE)
    account.put_contact(
        ADA, {**account.contact(ADA).attributes, "first_name": "Adele", "visit_count": "4"}, "none"
    )
    found = audit(filled, PEOPLE)
    assert found.code == 2, found.log
    assert found.kinds == {
        ("missing", BOB, ""),
        ("extra", ZOE, ""),
        ("different", ADA, "first_name"),
        ("different", ADA, "visit_count"),
    }
    (entry,) = found.receipt["lists"]
    assert (entry["missing"], entry["extra"], entry["different"]) == (1, 1, 1)
    assert entry["statuses"] == {"none": 1, "subscribed": 1, "unsubscribed": 1}
    (visits,) = [row for row in found.differences if row["attribute"] == "visit_count"]
    assert (visits["expected"], visits["actual"]) == ("3", "4")
    assert "Not equal to its members" in found.result.message
    for secret in (ADA, BOB, ZOE, "Adele", "Zoë"):
        assert secret not in found.log
    assert filled.contacts()[ZOE].lists == {LIST}, "an audit changes nothing"


def test_a_status_that_is_none_is_counted_and_never_told(filled):
    journal = filled.folder / "journal.jsonl"
    filled.account.put_contact(ADA, filled.account.contact(ADA).attributes, "Ada Lovelace")
    found = audit(filled, PEOPLE, journal_url=str(journal))
    assert found.code == 0, found.log
    assert found.receipt["lists"][0]["statuses"] == {"other": 1, "subscribed": 2}
    assert "other 1, subscribed 2" in found.log
    assert "Lovelace" not in found.log + journal.read_text() + json.dumps(found.receipt)


def test_the_hash_can_be_recomputed_from_both_sides(filled):
    (entry,) = audit(filled, PEOPLE).receipt["lists"]
    by_hand = hashlib.sha256("".join(f"{address}\n" for address in sorted(PEOPLE)).encode()).hexdigest()
    assert entry["members_sha256"] == entry["contacts_sha256"] == by_hand


def test_an_audience_without_members_is_compared_too(filled):
    found = audit(filled, {}, [AUDIENCE_SCHEMA, *ended({VIP: 0})])
    assert found.code == 2, found.log
    assert {row["kind"] for row in found.differences} == {"extra"}
    assert len(found.differences) == 3


def test_several_lists_are_compared_in_one_export(filled):
    fill(filled, {BOB: PEOPLE[BOB]}, "Lapsed")
    filled.account.leave(2, BOB)
    messages = [
        AUDIENCE_SCHEMA,
        *records(PEOPLE),
        *records({BOB: PEOPLE[BOB]}, "Lapsed"),
        *ended({VIP: 3, "Lapsed": 1}),
    ]
    filled.clear_requests()
    found = audit(filled, {}, messages)
    assert found.verdicts == {LIST: "equal", "Lytics_Lapsed": "different"}
    assert found.kinds == {("missing", BOB, "")}
    assert sum(call.path == "/v2/contactexports" for call in filled.requests) == 1


def test_the_last_of_several_records_of_a_member_counts(box):
    fill(box, {ADA: {"first_name": "New", "visit_count": 2}})
    messages = [
        AUDIENCE_SCHEMA,
        enter(ADA, first_name="Old", visit_count=1),
        enter(ADA, first_name="New", visit_count=2),
        *ended({VIP: 2}),
    ]
    assert audit(box, {}, messages).verdicts == {LIST: "equal"}


@pytest.mark.parametrize("list_name", ["Lytics_{audience_name}", LIST, "by id"])
@pytest.mark.parametrize("mode", ["audit", "mirror"])
def test_a_list_of_whose_members_none_can_be_sent_is_compared_too(filled, list_name, mode):
    if list_name == "by id":
        list_name = str(filled.account.list_id(LIST))
    settings = {"list_name": list_name, "mode": mode, "max_reject_percent": 100, "max_removal_percent": 100}
    found = audit(filled, {"nobody": {}, "a@example..com": {}}, **settings)
    assert "both go to list" not in found.log
    if mode == "audit":
        assert found.code == 2
        assert {kind for kind, _, _ in found.kinds} == {"extra"}
        assert len(found.differences) == len(PEOPLE)
    else:
        assert found.code == 0, found.log
        assert filled.list_members(LIST) == set()


def test_beside_another_audience_a_list_of_whose_members_none_can_be_sent_is_compared_too(filled):
    fill(filled, {EVE: {}}, "Lapsed")
    members = [*records(PEOPLE), *records({"nobody": {}}, "Lapsed")]
    found = audit(filled, {}, [AUDIENCE_SCHEMA, *members, *ended({VIP: len(PEOPLE), "Lapsed": 1})])
    assert found.code == 2
    assert found.kinds == {("extra", EVE, "")}


def test_a_rejected_record_is_neither_missing_nor_extra(filled):
    people = {**PEOPLE, EVE: {"birthday": "no date"}}
    found = audit(filled, people, max_reject_percent=100, invalid_values="reject")
    assert found.code == 0, found.log
    assert found.verdicts == {LIST: "equal"}
    assert found.receipt["lists"][0]["rejected"] == 1


@pytest.mark.parametrize("spelled", ["Ada@Example.COM", "ADA@EXAMPLE.COM"])
def test_capitals_match(box, spelled):
    box.account.put_contact(spelled, {"first_name": "Ada"}, "subscribed")
    box.account.join(box.account.add_list(LIST), spelled)
    assert audit(box, {ADA: {"first_name": "Ada"}}).verdicts == {LIST: "equal"}


def test_contacts_whom_an_equal_list_has_beside_its_members_are_told(filled):
    filled.account.put_contact("Ada@Example.com", {}, "none")
    filled.account.join(1, "Ada@Example.com")
    found = audit(filled, PEOPLE)
    assert found.verdicts == {LIST: "equal"}
    assert found.receipt["lists"][0]["doubled"] == 1
    assert "whose address another one there has, spelled otherwise" in found.log


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("jo@müller.example", "jo@xn--mller-kva.example"),
        ("jo@xn--mller-kva.example", "jo@Müller.example"),
        ("jo@straße.example", "jo@strasse.example"),
        ("jo@straße.example", "jo@xn--strae-oqa.example"),
    ],
)
def test_domains_match_however_they_are_spelled(box, ours, theirs):
    box.account.put_contact(theirs, {"first_name": "Jo"}, "subscribed")
    box.account.join(box.account.add_list(LIST), theirs)
    assert audit(box, {ours: {"first_name": "Jo"}}).verdicts == {LIST: "equal"}


@pytest.mark.parametrize(
    ("attribute", "theirs", "is_same"),
    [
        ("last_visit", "2026-01-02T03:04:05.678901+0000", True),
        ("last_visit", "2026-01-02 03:04:05", True),
        ("last_visit", "2026-01-02T05:04:05.678+02:00", True),
        ("last_visit", "2026-01-02T03:04:06Z", False),
        ("last_visit", "", False),
        ("birthday", "1990-01-02T00:00:00+0000", True),
        ("birthday", "1990-01-03", False),
        ("lifetime_value", "12.5", True),
        ("lifetime_value", "1.250e1", True),
        ("lifetime_value", "12.51", False),
        ("interests", '["tea, green","books"]', True),
        ("interests", ["tea, green", "books"], True),
        ("interests", "tea, green,books", True),
        ("interests", "tea, green|books", True),
        ("interests", ["tea", "green", "books"], False),
        ("interests", "", False),
        ("is_customer", "true", True),
        ("is_customer", "1", False),
    ],
)
def test_what_is_equal_goes_by_the_attributes_type(filled, attribute, theirs, is_same):
    attributes = {**filled.account.contact(ADA).attributes, attribute: theirs}
    filled.account.put_contact(ADA, attributes, "subscribed")
    found = audit(filled, PEOPLE)
    assert found.kinds == (set() if is_same else {("different", ADA, attribute)})


def test_a_null_that_keeps_is_compared_with_nothing(filled):
    people = {ADA: {}, BOB: {}, EVE: {}}
    assert audit(filled, people, null_values="keep").verdicts == {LIST: "equal"}
    assert audit(filled, people, null_values="clear").verdicts == {LIST: "different"}


def test_members_whom_update_only_leaves_out_are_no_inequality(filled):
    people = {**PEOPLE, ZOE: {"first_name": "Zoë"}}
    found = audit(filled, people, import_strategy="updateOnly")
    assert found.code == 0, found.log
    assert found.receipt["lists"][0]["unknown"] == 1
    filled.account.leave(1, BOB)
    assert audit(filled, people, import_strategy="updateOnly").kinds == {("missing", BOB, "")}


def test_with_add_nobody_is_extra(filled):
    filled.account.put_contact(ZOE, {}, "none")
    filled.account.join(1, ZOE)
    assert audit(filled, PEOPLE, list_action="add").verdicts == {LIST: "equal"}


def test_contacts_on_no_list_are_compared_by_their_attributes(filled):
    filled.account.remove_contact(BOB)
    filled.account.put_contact(ADA, {"first_name": "Adele"}, "none")
    found = audit(filled, PEOPLE, list_action="none")
    assert ("missing", BOB, "") in found.kinds
    assert ("different", ADA, "first_name") in found.kinds
    assert {kind for kind, *_ in found.kinds} == {"missing", "different"}


# What is whole.


def whole_table(*more):
    return [schema({"email": "string", "name": "string"}, "people"), record({"email": ADA}, "people"), *more]


def ended_earlier():
    """A state in which the end of an earlier run shows through."""
    last = ended({VIP: 1})[0]
    last["value"]["bookmarks"]["audience_members"]["ended"] = 2
    return last


VERSION = {"type": "ACTIVATE_VERSION", "stream": "people", "version": 7}


@pytest.fixture
def table(box):
    box.account.put_contact(ADA, {}, "none")
    box.account.join(box.account.add_list("People"), ADA)

    def audited(messages, **settings):
        return audit(box, {}, messages, **{"list_name": "People", "field_mapping": {}, **settings})

    return audited


def test_any_stream_is_whole_that_ends_with_activate_version(table):
    assert table(whole_table(VERSION)).verdicts == {"People": "equal"}
    assert table(whole_table(VERSION, state({"bookmarks": {"people": {"version": 7}}}))).verdicts == {
        "People": "equal"
    }


@pytest.mark.parametrize(
    "messages",
    [
        whole_table(),
        whole_table(state({"bookmarks": {}})),
        [whole_table()[0], VERSION, whole_table()[1]],
        [*whole_table(VERSION), whole_table()[1]],
        [whole_table()[0], VERSION],
        # As the SDK writes a child stream, once for each parent: the call for the second one failed.
        [whole_table()[0], VERSION, whole_table()[1], whole_table()[0], VERSION],
        [],
    ],
)
def test_an_input_without_an_end_mark_makes_no_verdict(table, messages, box):
    found = table(messages)
    assert found.code == 2
    assert "No end mark closes the input" in found.result.message
    assert not found.has_verdict
    assert found.receipt == {}
    assert not any(call.path == "/v2/contactexports" for call in box.requests)


def test_an_unmarked_end_can_be_accepted(table):
    assert table(whole_table(), accept_unmarked_end=True).verdicts == {"People": "equal"}


@pytest.mark.parametrize("messages", [[], [b"\n"], whole_table()[:1]])
def test_an_input_without_a_record_is_no_unmarked_end(table, messages):
    found = table(messages, accept_unmarked_end=True)
    assert found.code == 2
    assert "No record" in found.result.message
    assert found.receipt == {}


def test_a_schema_may_come_again_before_each_part_of_a_stream(table):
    other = {"type": "ACTIVATE_VERSION", "stream": "people", "version": 8}
    assert table([*whole_table(VERSION), *whole_table(other)]).verdicts == {"People": "equal"}


def test_a_stream_of_several_without_an_end_mark_makes_no_verdict(table):
    other = [schema({"email": "string"}, "others"), record({"email": BOB}, "others")]
    found = table([*whole_table(VERSION), *other])
    assert "'others'" in found.result.message
    assert not found.has_verdict


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([AUDIENCE_SCHEMA, enter(ADA), exit_(BOB), *ended({VIP: 2})], "The input holds exits"),
        ([AUDIENCE_SCHEMA, enter(ADA), exit_(None), *ended({VIP: 2})], "The input holds exits"),
        (
            whole_table(VERSION, state({"bookmarks": {"people": {"replication_key_value": "2026"}}})),
            "has a replication_key_value",
        ),
        (
            whole_table(
                VERSION, state({"bookmarks": {"people": {"partitions": [{"replication_key_value": 1}]}}})
            ),
            "has a replication_key_value",
        ),
        (
            [
                AUDIENCE_SCHEMA,
                enter(ADA),
                state(
                    {"bookmarks": {"audience_members": {"audiences": {}, "run": {"number": 1}, "ended": 1}}}
                ),
                {"type": "ACTIVATE_VERSION", "stream": "audience_members", "version": 1},
            ],
            "the changes of audiences",
        ),
        ([AUDIENCE_SCHEMA, enter(ADA), ended_earlier()], "No end mark closes the input"),
        ([AUDIENCE_SCHEMA, enter(ADA), *ended({VIP: 2})], "2 members and 1 records arrived"),
        ([AUDIENCE_SCHEMA, *ended({VIP: 1})[:1], enter(ADA)], "No end mark closes the input"),
    ],
)
def test_what_is_not_all_members_is_refused_before_the_export(filled, messages, words):
    filled.clear_requests()
    found = audit(filled, {}, messages, field_mapping={}, list_name=LIST)
    assert found.code == 2
    assert words in found.result.message
    assert found.receipt == {}
    assert not any(call.path == "/v2/contactexports" for call in filled.requests)


def test_with_add_exits_are_refused_too(filled):
    found = audit(filled, {}, [AUDIENCE_SCHEMA, enter(ADA), exit_(BOB), *ended({VIP: 2})], list_action="add")
    assert "The input holds exits" in found.result.message


def test_a_list_that_is_not_there_is_an_error_and_is_not_made(box):
    found = audit(box, PEOPLE)
    assert found.code == 2
    assert f"Cordial has no list '{LIST}'" in found.result.message
    assert box.account.lists() == {}


def test_audits_need_a_place_for_the_export(filled):
    found = audit(filled, PEOPLE, export_destination={})
    assert found.code == 2
    assert "export_destination.type" in found.result.message


# What moves.


def crowd(count):
    return {f"member{number}@example.com": {"first_name": f"M{number}"} for number in range(count)}


def test_a_small_difference_that_the_last_audit_did_not_show_is_moving(box):
    people = crowd(200)
    fill(box, people)
    box.account.leave(1, "member7@example.com")
    first = audit(box, people)
    assert (first.code, first.verdicts) == (0, {LIST: "moving"}), first.log
    second = audit(box, people)
    assert (second.code, second.verdicts) == (2, {LIST: "different"})
    box.account.join(1, "member7@example.com")
    box.account.leave(1, "member9@example.com")
    assert audit(box, people).verdicts == {LIST: "moving"}, "another one than before"


def test_audits_of_another_pipeline_in_the_same_folder_do_not_hide_what_stays(box):
    people, others = crowd(200), crowd(150)
    fill(box, people)
    fill(box, others, "Lapsed")
    box.account.leave(1, "member7@example.com")
    config_here = config(box)
    elsewhere = {
        "storage_url": f"{config_here['storage_url']}/other",
        "export_destination": {**config_here["export_destination"], "path": "/import/other"},
    }
    lapsed = [AUDIENCE_SCHEMA, *records(others, "Lapsed"), *ended({"Lapsed": len(others)})]
    assert audit(box, people).verdicts == {LIST: "moving"}
    assert audit(box, {}, lapsed, **elsewhere).verdicts == {"Lytics_Lapsed": "equal"}
    assert audit(box, people).verdicts == {LIST: "different"}


def test_audits_of_another_list_by_the_same_pipeline_do_not_hide_what_stays(box):
    people, others = crowd(200), crowd(150)
    fill(box, people)
    fill(box, others, "Lapsed")
    box.account.leave(1, "member7@example.com")
    lapsed = [AUDIENCE_SCHEMA, *records(others, "Lapsed"), *ended({"Lapsed": len(others)})]
    assert audit(box, people).verdicts == {LIST: "moving"}
    assert audit(box, {}, lapsed).verdicts == {"Lytics_Lapsed": "equal"}
    assert audit(box, people).verdicts == {LIST: "different"}
    box.account.leave(2, "member8@example.com")
    assert audit(box, {}, lapsed).verdicts == {"Lytics_Lapsed": "moving"}


def test_a_difference_of_more_than_one_percent_is_none(box):
    people = crowd(200)
    fill(box, people)
    for number in range(3):
        box.account.leave(1, f"member{number}@example.com")
    assert audit(box, people).code == 2


def test_without_a_place_for_audits_no_difference_is_moving(box):
    people = crowd(200)
    fill(box, people)
    box.account.leave(1, "member7@example.com")
    assert audit(box, people, audits_url=None).code == 2


def gone(path):
    path.unlink()


def saved_by_a_spreadsheet(path):
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(",", ";").replace("list_id;list", "list_id;;list"), encoding="utf-8")


def shortened(path):
    path.write_bytes(path.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("pattern", "change"),
    [
        ("*.csv", gone),
        ("*.csv", saved_by_a_spreadsheet),
        ("*.csv", shortened),
        ("*.json", shortened),
    ],
)
def test_a_last_audit_that_cannot_be_read_lets_nothing_be_moving_once(box, pattern, change):
    people = crowd(200)
    fill(box, people)
    box.account.leave(1, "member7@example.com")
    assert audit(box, people).verdicts == {LIST: "moving"}
    (path,) = audits_folder(box).glob(pattern)
    change(path)
    found = audit(box, people)
    assert (found.code, found.verdicts) == (2, {LIST: "different"}), found.log
    assert found.log.count("What the last audit found is not known") == 1
    box.account.join(1, "member7@example.com")
    box.account.leave(1, "member8@example.com")
    found = audit(box, people)
    assert (found.code, found.verdicts) == (0, {LIST: "moving"}), found.log
    assert "What the last audit found is not known" not in found.log


# While the members are read, and while the export runs.


@pytest.mark.parametrize("mode", ["audit", "mirror"])
def test_whoever_the_changes_add_while_the_members_are_read_stays(filled, mode):
    with started(config(filled, mode=mode)) as running:
        running.write([AUDIENCE_SCHEMA, *records(PEOPLE)])
        wait_until(lambda: job_lists(filled))
        fill(filled, {ZOE: {}})
        running.write(ended({VIP: 3}))
        running.end_input()
        result = running.result()
    assert result.code == 1, result.log
    assert "A list was changed" in result.message
    assert filled.list_members(LIST) == {*PEOPLE, ZOE}
    assert not list(audits_folder(filled).glob("*"))


def test_the_changes_count_from_before_the_first_record(filled):
    """A snapshot of a large audience reads on for long before it writes anybody."""
    with started(config(filled, mode="mirror")) as running:
        wait_until(lambda: job_lists(filled) >= LISTS_A_LOOK)
        fill(filled, {ZOE: {}})
        running.write([AUDIENCE_SCHEMA, *records(PEOPLE), *ended({VIP: 3})])
        running.end_input()
        result = running.result()
    assert result.code == 1, result.log
    assert ZOE in filled.list_members(LIST)


def test_a_list_that_is_changed_without_an_import_while_members_are_read_makes_no_verdict(filled):
    filled.clear_requests()
    with started(config(filled, mode="mirror")) as running:
        running.write([state({}), AUDIENCE_SCHEMA, *records(PEOPLE)])
        # Lists are counted as they are found, and then once more to be watched.
        wait_until(
            lambda: sum(call.path == "/v2/accountlists/1/count" for call in filled.requests) > 1, timeout=30
        )
        filled.account.put_contact(ZOE, {}, "none")
        filled.account.join(1, ZOE)
        running.write(ended({VIP: 3}))
        running.end_input()
        result = running.result()
    assert result.code == 1, result.log
    assert ZOE in filled.list_members(LIST)


@pytest.mark.parametrize("age", [dt.timedelta(0), dt.timedelta(hours=5)])
def test_a_child_of_an_import_that_is_done_is_under_way_though_it_names_no_list(filled, age):
    (parent,) = filled.account.jobs()
    begun = dt.datetime.now(dt.timezone.utc) - age
    filled.account.change_job(parent, times={"start": begun.strftime("%Y-%m-%dT%H:%M:%SZ")})
    filled.account.add_job(
        {"jobName": "ImportContacts", "status": "Processing", "metadata": {"parentJobId": parent}}
    )
    # Of another pipeline, so that nobody waits for it.
    metadata = {"importName": "campaign", "lists": [LIST]}
    filled.account.change_job(parent, metadata=metadata)
    found = audit(filled, PEOPLE)
    assert found.code == 1, found.log
    assert "A list was changed" in found.result.message
    assert found.receipt == {}


def test_an_audit_disturbs_no_run_that_imports_and_says_nothing_until_it_is_done(filled):
    filled.fault("late_fetch", 1.0)
    with started(quick_config(filled, null_values="clear")) as syncing:
        syncing.write([AUDIENCE_SCHEMA, enter(ZOE), state({"at": 1})])
        syncing.end_input()
        wait_until(lambda: any(job["status"] != "Done" for job in filled.jobs()))
        [file] = set(filled.files()) - {"lease.json"}
        found = audit(filled, {**PEOPLE, ZOE: {}})
        result = syncing.result()
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert file.endswith(".csv")
    assert found.code == 0, found.log
    assert found.verdicts == {LIST: "equal"}


def test_an_audit_leaves_import_files_where_they_are(filled):
    folder = filled.folder / "sftp" / "import"
    with started(quick_config(filled)) as killed:
        filled.fault("slow_jobs", 0.5)
        killed.write([AUDIENCE_SCHEMA, enter(ADA, first_name="Adele"), state({"at": 1})])
        killed.end_input()
        wait_until(lambda: any(job["status"] != "Done" for job in filled.jobs()))
        killed.process.kill()
    left = {path.name: path.read_bytes() for path in folder.iterdir() if path.name != "lease.json"}
    assert left
    found = audit(filled, PEOPLE)
    assert ("different", ADA, "first_name") in found.kinds, "it waited for the import"
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == left


def test_a_list_that_changes_while_it_is_exported_makes_no_verdict(filled):
    filled.fault("export_slow", 1.0)
    with started(config(filled)) as running:
        running.write([AUDIENCE_SCHEMA, *records(PEOPLE), *ended({VIP: 3})])
        running.end_input()
        wait_until(lambda: any(job["jobName"] == "ExportContacts" for job in filled.jobs()))
        filled.account.put_contact(ZOE, {}, "none")
        filled.account.join(1, ZOE)
        result = running.result()
    assert result.code == 1
    assert "A list was changed" in result.message
    assert exports_left(filled) == []
    assert not list(audits_folder(filled).glob("*"))


def test_an_import_while_it_is_exported_makes_no_verdict(filled):
    filled.fault("export_slow", 3.0)
    with started(config(filled)) as running:
        running.write([AUDIENCE_SCHEMA, *records(PEOPLE), *ended({VIP: 3})])
        running.end_input()
        wait_until(lambda: any(job["jobName"] == "ExportContacts" for job in filled.jobs()))
        # It changes no count.
        imported(filled, f"channels.email.address,first_name\r\n{ADA},Adele\r\n", lists={"addTo": [LIST]})
        result = running.result()
    assert result.code == 1
    assert "A list was changed" in result.message


def test_a_killed_audit_leaves_an_export_that_the_next_one_deletes(filled):
    filled.fault("export_file_late", 0.3)
    with started(config(filled)) as running:
        running.write([AUDIENCE_SCHEMA, *records(PEOPLE), *ended({VIP: 3})])
        running.end_input()
        wait_until(lambda: any(job["jobName"] == "ExportContacts" for job in filled.jobs()))
        running.process.kill()
    wait_until(lambda: exports_left(filled))
    filled.clear_faults()
    assert audit(filled, PEOPLE).code == 0
    assert exports_left(filled) == []


def test_a_killed_audits_export_is_deleted_also_if_its_job_names_it(filled):
    filled.fault("export_file_late", 0.3)
    filled.fault("export_named_by_job")
    with started(config(filled)) as running:
        running.write([AUDIENCE_SCHEMA, *records(PEOPLE), *ended({VIP: 3})])
        running.end_input()
        wait_until(lambda: any(job["jobName"] == "ExportContacts" for job in filled.jobs()))
        running.process.kill()
    wait_until(lambda: exports_left(filled))
    job_id = list(filled.account.jobs())[-1]
    others = [f"{job_id}0.csv", f"a{job_id}.csv", f"kept-{job_id}.csv"]
    put_files(filled, others)
    filled.clear_faults()
    assert audit(filled, PEOPLE).code == 0
    assert filled.files() == sorted(others)


@pytest.mark.parametrize("number", [2, 15])
def test_a_signal_while_it_waits_for_the_export_leaves_no_file(filled, number):
    filled.fault("export_file_late", 0.5)
    with started(config(filled)) as running:
        running.write([AUDIENCE_SCHEMA, *records(PEOPLE), *ended({VIP: 3})])
        running.end_input()
        wait_until(
            lambda: any(
                job["status"] == "Done" and job["jobName"] == "ExportContacts" for job in filled.jobs()
            )
        )
        running.process.send_signal(number)
        result = running.result()
    assert result.code == 128 + number, result.log
    assert not result.leftovers


# Export faults.


@pytest.mark.parametrize(
    ("fault", "value"),
    [
        ("export_slow", 0.3),
        ("export_file_late", 0.1),
        ("export_half", 0.2),
        ("export_split", 2),
        ("export_split", 5),
        ("export_named_by_job", True),
        ("export_headless", True),
        ("export_list_ids", True),
        ("export_repeats", 2),
        ("export_status_absent", True),
        ("jobs_listed_late", 60),
        ("counters_missing", True),
        ("counters_text", True),
        ("job_names_absent", "all"),
        ("job_list_ids", True),
        ("export_numbers", "long"),
        ("export_numbers", "short"),
        ("export_numbers", "powers"),
        ("export_identifier", "headed"),
        ("export_identifier", "blank"),
        ("export_identifier", "refused"),
        ("export_arrays", "commas"),
        ("export_arrays", "bars"),
        ("export_dates", "seconds"),
        ("export_dates", "milliseconds"),
        ("export_dates", "spaced"),
    ],
)
@pytest.mark.parametrize("is_equal", [True, False])
def test_however_an_export_comes_the_verdict_is_right(filled, fault, value, is_equal):
    filled.fault(fault, value)
    if not is_equal:
        filled.account.leave(1, BOB)
    found = audit(filled, PEOPLE)
    assert found.code == (0 if is_equal else 2), found.log
    assert found.kinds == (set() if is_equal else {("missing", BOB, "")})
    assert exports_left(filled) == []


def test_a_headless_export_may_lack_its_status_column_too(filled):
    filled.fault("export_headless")
    filled.fault("export_status_absent")
    assert audit(filled, PEOPLE).verdicts == {LIST: "equal"}


def test_an_export_that_fails_makes_no_verdict(filled):
    filled.fault("export_fails")
    found = audit(filled, PEOPLE)
    assert found.code == 1
    assert "The export failed in Cordial" in found.result.message
    assert found.receipt == {}


def test_an_export_that_never_comes_is_waited_for_with_an_end(filled):
    filled.fault("export_slow", 60)
    found = audit(filled, PEOPLE, import_timeout_seconds=0.5)
    assert found.code == 1
    assert "has shown no progress for 0.5 seconds" in found.result.message


def test_a_file_that_never_comes_is_waited_for_with_an_end(filled):
    filled.fault("export_file_late", 60)
    found = audit(filled, PEOPLE)
    assert found.code == 1
    assert "the storage holds no file of it" in found.result.message


@pytest.mark.parametrize("size", [0, 4_000_000])
def test_a_file_that_stays_broken_off_makes_no_verdict(filled, size):
    # A large one breaks off far behind its first row.
    filled.account.put_contact(ZOE, {"first_name": secrets.token_hex(size // 2)}, "none")
    filled.fault("export_half", 60)
    found = audit(filled, PEOPLE)
    assert found.code == 1, found.log
    assert "An export file is damaged" in found.result.message
    assert found.receipt == {}
    assert exports_left(filled) == []


def put_files(box, names):
    for name in names:
        (box.folder / "sftp" / "import" / name).write_text("channels.email.address\r\n", encoding="utf-8")


def test_files_whose_names_hold_a_short_job_id_by_chance_are_no_exports(filled):
    filled.fault("job_id_shape", "number")
    names = [f"notes-{number}.txt" for number in range(1, 9)]
    put_files(filled, names)
    assert audit(filled, PEOPLE).verdicts == {LIST: "equal"}
    assert filled.files() == names


def test_an_export_that_leaves_out_contacts_of_the_list_makes_no_verdict(filled):
    filled.account.saved_audiences["others"] = "Others"
    filled.account.add_list("Others")
    found = audit(filled, PEOPLE, export_audience_key="others")
    assert found.code == 1
    assert "Cordial counts 3 contacts" in found.result.message


def test_an_export_can_be_limited_by_a_saved_rule(filled):
    filled.account.put_contact(ZOE, {}, "none")
    filled.account.saved_audiences["ours"] = LIST
    assert audit(filled, PEOPLE, export_audience_key="ours").receipt["contacts_exported"] == 3


def test_who_has_another_channel_alone_is_passed_over(filled):
    filled.account.put_contact("", {}, "none")
    filled.account.join(1, "")
    found = audit(filled, PEOPLE)
    assert found.verdicts == {LIST: "equal"}


def test_the_journal_and_the_page_tell_of_audits(filled):
    journal = filled.folder / "journal.jsonl"
    assert audit(filled, PEOPLE, journal_url=str(journal)).code == 0
    filled.account.leave(1, BOB)
    assert audit(filled, PEOPLE, journal_url=str(journal)).code == 2
    first, second = [json.loads(line) for line in journal.read_text().splitlines()]
    assert first["lists"][LIST]["audit"]["verdict"] == "equal"
    assert second["lists"][LIST]["audit"]["verdict"] == "different"
    assert second["lists"][LIST]["audit"]["missing"] == 1
    assert "@" not in journal.read_text()
    page = filled.folder / "page.html"
    result = run(config(filled, journal_url=str(journal)), arguments=["--report", str(page)])
    assert result.code == 0, result.log
    text = page.read_text(encoding="utf-8")
    assert "Audit: different since" in text
    assert "1 missing" in text
