"""The trial: what Cordial does not document is asked of the account, and each answer is right whatever the account does."""

from __future__ import annotations

import signal

import pytest

from sandbox.fault_kinds import KINDS
from tests.target.running import import_calls, quick_config, run, started, wait_until

ADDRESS = "canary.bird@example.com"
OTHER = "second.bird@example.com"
LIST = "Lytics_trial"

ACCOUNTS = {
    "as the sandbox is without faults": (
        {},
        {
            "list-name": ("ok", "Yes"),
            "attributes": ("ok", "Yes"),
            "unknown": ("ok", "counted as ignored"),
            "new-contact": ("ok", "`subscribed`, in an import with `subscribe: false`. Nothing to set."),
            "status": ("untried", "it stayed `subscribed`"),
            "text": ("ok", "Yes"),
            "number": ("ok", "Yes"),
            "array": ("ok", "As JSON: 2 items came back"),
            "dates": ("ok", "Nothing to set."),
            "backslash": ("ok", "No, it is an ordinary letter"),
            "null-marker": ("ok", "Yes"),
            "empty-cell": ("ok", "It empties the attribute. null_values may be keep or clear."),
            "case": ("ok", "Yes, as far as reading shows"),
            "job-id": ("ok", "A text; in a list of jobs it is in the field `_id`."),
            "children": ("ok", "Not an import of one row"),
            "counters": ("ok", "Yes"),
            "listing": ("ok", "s after its call"),
            "times": ("ok", "Z. Nothing"),
        },
    ),
    "that differs from it wherever it can": (
        {
            "attributes_paged": 2,
            "unknown_in_update": "rejected",
            "new_contacts_unsubscribed": True,
            "array_commas": True,
            "date_digits": 3,
            "csv_backslash": True,
            "empty_cells": "ignored",
            "address_case_kept": True,
            "job_id_field": "id",
            "child_jobs": 2,
            "time_form_refused": "time",
        },
        {
            "attributes": ("ok", "No, 7 of 9 are not in it"),
            "unknown": ("ok", "counted as rejected"),
            "new-contact": ("note", "`none`, in an import with `subscribe: false`. Such contacts get no campaigns: set subscribe_status"),
            "status": ("ok", "it stayed `none`"),
            "text": ("ok", "Yes"),
            "array": ("note", "2 items were sent as `[...]`, and 3 items came back. Map such fields to string attributes"),
            "dates": ("note", "Cordial takes 0, of which 0 come back. Rows with 6"),
            "backslash": ("note", "as if it did. Values with a backslash before a quote"),
            "null-marker": ("ok", "Yes"),
            "empty-cell": ("note", "It leaves the attribute as it is. Leave null_values at keep"),
            "case": ("note", "in capitals the contact is not found"),
            "job-id": ("ok", "A text; in a list of jobs it is in the field `id`."),
            "children": ("ok", "Yes, 2 of them"),
            "counters": ("ok", "Yes"),
            "times": ("ok", "-20"),
        },
    ),
    "with other shapes of jobs": (
        {
            "attributes_shape": "object",
            "unknown_in_update": "ignored",
            "date_digits": 9,
            "empty_cells": "rejected",
            "job_id_field": "jobId",
            "job_id_shape": "number",
            "counters_text": True,
            "time_form_refused": "both",
        },
        {
            "attributes": ("ok", "Yes"),
            "unknown": ("ok", "counted as ignored"),
            "dates": ("ok", "Nothing to set."),
            "null-marker": ("ok", "Yes"),
            "empty-cell": ("note", "Its row is not taken. Leave null_values at keep"),
            "job-id": ("ok", "A number; in a list of jobs it is in the field `jobId`."),
            "counters": ("ok", "Yes"),
            "times": ("note", "In none of the two"),
        },
    ),
    "that says little": (
        {
            "attributes_shape": "empty",
            "counters_missing": True,
            "job_id_shape": "nested",
            "empty_cells": "clears",
            "time_form_refused": "day",
        },
        {
            "attributes": ("ok", "No, 9 of 9 are not in it"),
            "unknown": ("untried", "the job does not say"),
            "empty-cell": ("ok", "It empties the attribute"),
            "counters": ("note", "Rejected rows cannot be counted"),
            "job-id": ("ok", "in the field `_id.$oid`."),
            "times": ("ok", "Z. Nothing"),
        },
    ),
    "that lists no job": (
        {"listing_held": "all", "attributes_shape": "array"},
        {
            "attributes": ("ok", "Yes"),
            "listing": ("note", "Not within 0.24 s. Set poll_interval_seconds higher"),
            "job-id": ("untried", "a text when an import is begun, but the job is not listed"),
            "children": ("untried", "the job is not listed"),
        },
    ),
}  # fmt: skip
"""Accounts by the faults that make them, and how their lines begin and what they say, by topic."""
REFUSED = {"subscribe_refused", "no_underscores"}
"""What makes a line of its own."""
LATE = {"jobs_listed_late"}
"""What takes its time."""
WITH_A_CONTACT = {"status_resets"}
"""What shows with a contact of status none alone."""
NOT_ASKED = {
    "contact_values",
    "job_list_ids",
    "job_names_absent",
    "list_count_late",
    "job_page_limit",
    "jobs_listed_stale",
    "attribute_not_found",
    "unknown_header_fails",
    "unknown_list_ignored",
}
"""What a run survives either way, and one contact cannot show."""


def trial(config, address=ADDRESS, *arguments):
    result = run(config, arguments=["--check", "--trial", address, *arguments])
    assert address.partition("@")[0] not in (result.output + result.log).lower()
    assert result.leftovers == []
    return result


def lines(result):
    """How the lines of a check begin and what they say, by what they are about."""
    found = {}
    for line in result.output.splitlines():
        status, topic, text = line.split(maxsplit=2)
        found.setdefault(topic, []).append((status, text))
    return found


def assert_is_left_alone(box):
    assert box.files() == []
    assert [*box.account.lists().values()] == [LIST]
    assert box.list_members(LIST) == set()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_trial_that_is_stopped_says_what_stays_and_how_it_goes(box, number):
    box.fault("slow_jobs", 0.5)
    with started(quick_config(box), arguments=["--check", "--trial", ADDRESS]) as running:
        wait_until(lambda: LIST in box.account.lists().values() and box.list_members(LIST))
        running.process.send_signal(number)
        result = running.result()
    assert result.code == 128 + number
    status, text = lines(result)["trial"][-1]
    assert status == "note"
    assert f"may be on the list {LIST}" in text
    assert "first_name" in text
    assert "take it off the list in Cordial" in text
    assert ADDRESS not in text
    assert box.files() == []


@pytest.mark.parametrize("account", ACCOUNTS)
def test_answers_are_right_in_an_account(box, account):
    faults, expected = ACCOUNTS[account]
    for fault, value in faults.items():
        box.fault(fault, value)
    result = trial(quick_config(box))
    assert result.code == 0, result.output
    shown = lines(result)
    for topic, (status, words) in expected.items():
        [(found, text)] = shown[topic]
        assert (found, words in text) == (status, True), (topic, text)
    assert_is_left_alone(box)


def test_each_open_question_about_imports_is_asked_or_known_not_to_be():
    open_questions = {
        kind.name
        for kind in KINDS.values()
        if kind.server == "cordial" and "(unknown)" in kind.description and not kind.name.startswith("export")
    }
    assert (
        open_questions
        == {fault for faults, _ in ACCOUNTS.values() for fault in faults}
        | REFUSED
        | LATE
        | WITH_A_CONTACT
        | NOT_ASKED
    )


def test_a_job_that_is_listed_late_is_waited_for(box):
    box.fault("jobs_listed_late", 0.8)
    result = trial(quick_config(box, poll_interval_seconds=0.2))
    [(status, text)] = lines(result)["listing"]
    assert status == "ok"
    assert 0.8 <= float(text.partition("At most ")[2].split()[0]) < 3, text


@pytest.mark.parametrize(
    ("resets", "keeps", "words"),
    [
        (False, True, "Yes: it stayed `none`, in imports with `subscribe: false`."),
        (True, True, "Yes: it stayed `none`, in imports with `subscribe: false`."),
        (False, False, "Yes: it stayed `none`, in imports without `subscribe: false`."),
        (True, False, "No: it went from `none` to `subscribed`, in imports without `subscribe: false`. Set keep_subscribe_status to true."),
    ],
)  # fmt: skip
def test_a_known_contact_shows_what_imports_do_to_its_status(box, resets, keeps, words):
    box.account.put_contact(ADDRESS, {}, "none")
    if resets:
        box.fault("status_resets")
    result = trial(quick_config(box, keep_subscribe_status=keeps))
    assert result.code == 0, result.output
    [(status, text)] = lines(result)["status"]
    assert (status, words in text) == ("note" if resets and not keeps else "ok", True), text
    assert lines(result)["new-contact"][0][0] == "untried"
    assert box.contacts()[ADDRESS].subscribe_status == ("subscribed" if resets and not keeps else "none")


@pytest.mark.parametrize("status", ["subscribed", "unsubscribed"])
def test_a_contact_whose_status_no_source_disagrees_on_answers_nothing(box, status):
    box.account.put_contact(ADDRESS, {}, status)
    [(shown, text)] = lines(trial(quick_config(box)))["status"]
    assert (shown, f"it stayed `{status}`" in text) == ("untried", True)


@pytest.mark.parametrize("status", ["subscribed", "none"])
def test_a_status_of_new_contacts_is_seen(box, status):
    result = trial(quick_config(box, subscribe_status=status))
    assert result.code == 0, result.output
    [(shown, text)] = lines(result)["new-contact"]
    assert (shown, f"`{status}`, in an import with the status `{status}`" in text) == ("ok", True), text


def test_a_refusal_of_the_subscribe_field_is_one_line_with_its_cure(box):
    box.fault("subscribe_refused")
    result = trial(quick_config(box))
    assert result.code == 2
    [text] = [text for status, text in lines(result)["trial"] if status == "failed"]
    assert "set keep_subscribe_status to false" in text
    assert box.contacts() == {}
    assert_is_left_alone(box)
    assert trial(quick_config(box, keep_subscribe_status=False)).code == 0


def test_a_list_name_that_is_refused_is_one_line_and_the_rest_is_asked(box):
    box.fault("no_underscores")
    result = trial(quick_config(box))
    assert result.code == 2
    [(status, text)] = lines(result)["list-name"]
    assert (status, "set list_name to another" in text) == ("failed", True)
    assert lines(result)["array"][0][0] == "ok"
    result = trial(quick_config(box, list_name="Lytics-{audience_name}"), OTHER)
    assert result.code == 0
    assert lines(result)["list-name"][0][0] == "untried"


@pytest.mark.parametrize("empty_cells", ["clears", "ignored", "rejected"])
def test_a_known_contact_has_its_values_back_as_far_as_cordial_empties_cells(box, empty_cells):
    box.fault("empty_cells", empty_cells)
    before = {
        "first_name": 'Zoë "Z", \\ und',
        "visit_count": "7",
        "home": {"city": "Köln"},
        "interests": ["a", "b, c"],
    }
    box.account.put_contact(ADDRESS, before, "subscribed")
    box.account.put_contact(OTHER, before, "none")
    result = trial(
        quick_config(
            box,
            field_mapping={name: name for name in before if name != "home"}
            | {"city": "home.city", "birthday": "birthday"},
        )
    )
    assert result.code == 0, result.output
    after = box.contacts()[ADDRESS].attributes
    assert {name: after[name] for name in before} == before
    assert ("birthday" in after) == (empty_cells != "clears")
    told = [text for _, text in lines(result)["trial"]]
    if empty_cells == "clears":
        assert "the contact's attributes are as they were" in told
    else:
        assert "values of the trial stay in the contact: birthday" in told
    assert box.contacts()[OTHER].attributes == before


def test_a_contact_on_a_list_is_refused_and_not_touched(box):
    box.account.put_contact(ADDRESS, {"first_name": "Ada"}, "subscribed")
    box.account.join(box.account.add_list("newsletter"), ADDRESS)
    result = trial(quick_config(box, list_name="newsletter"))
    assert result.code == 2
    assert "is on 1 of the account's lists" in result.message
    assert import_calls(box) == []
    assert box.contacts()[ADDRESS].attributes == {"first_name": "Ada"}
    assert box.list_members("newsletter") == {ADDRESS}


def test_without_the_permission_to_read_contacts_the_trial_says_what_it_would_tell(box):
    box.fault("cordial_status", 403, path="/contacts/")
    result = trial(quick_config(box))
    assert result.code == 2
    assert (
        "The API key may not use /contacts (403): tick it on the key in Cordial. The trial reads its contact back."
        in result.message
    )
    assert "How is an array read from a cell?" in result.message
    assert import_calls(box) == []
    assert box.account.lists() == {}


def test_what_makes_no_contacts_needs_one_that_is_known(box):
    config = quick_config(box, import_strategy="updateOnly")
    result = trial(config)
    assert result.code == 2
    assert "Cordial does not know the contact of --trial" in result.message
    assert import_calls(box) == []
    box.account.put_contact(ADDRESS, {}, "subscribed")
    assert trial(config).code == 0
    assert {call["strategy"] for call in import_calls(box)} == {"updateOnly"}


def test_an_address_that_is_none_is_refused(box):
    result = run(quick_config(box), arguments=["--check", "--trial", "nobody"])
    assert result.code == 2
    assert "--trial cannot take this contact: the identifier is not an e-mail address" in result.message


def test_a_trial_is_a_part_of_the_check(box):
    result = run(quick_config(box), arguments=["--trial", ADDRESS])
    assert result.code == 2
    assert "--trial is a part of the check" in result.message
    result = trial(quick_config(box, plan_only=True))
    assert result.code == 0
    assert lines(result)["trial"] == [("untried", "needs all else to work first, and plan_only to be off")]
    assert import_calls(box) == []


@pytest.mark.parametrize(
    ("fault", "code"), [(("job_rejects", 1), 2), (("job_fails", "import"), 1), (("source_login_fails",), 2)]
)
def test_a_plain_import_that_fails_is_told_and_nothing_is_left(box, fault, code):
    box.fault(*fault)
    result = trial(quick_config(box))
    assert result.code == code
    assert [status for status, _ in lines(result)["trial"]].count("failed") == 1
    assert_is_left_alone(box)


def test_a_contact_that_cordial_keeps_on_the_list_is_told(box):
    good = trial(quick_config(box))
    assert good.code == 0
    exits = len(import_calls(box))
    box.fault("job_rejects", 1, path="/contactimports", nth=exits)
    result = trial(quick_config(box), OTHER)
    assert result.code == 2
    assert f"is still on the list {LIST}" in result.message
    assert box.list_members(LIST) == {OTHER}


def test_a_list_of_a_fixed_name_is_joined_and_left(box):
    number = box.account.add_list("newsletter")
    box.account.put_contact(OTHER, {}, "subscribed")
    box.account.join(number, OTHER)
    assert trial(quick_config(box, list_name="newsletter")).code == 0
    joined = [call for call in import_calls(box) if call.get("lists") == {"addTo": ["newsletter"]}]
    left = [call for call in import_calls(box) if call.get("lists") == {"removeFrom": ["newsletter"]}]
    assert (len(joined), len(left)) == (1, 1)
    assert box.list_members("newsletter") == {OTHER}
    assert ADDRESS in box.contacts()


def test_without_lists_no_list_is_made(box):
    result = trial(quick_config(box, list_action="none"))
    assert result.code == 0
    assert "list-name" not in lines(result)
    assert box.account.lists() == {}


def test_without_mapped_fields_the_rest_is_asked(box):
    result = trial(quick_config(box, field_mapping={}))
    assert result.code == 0, result.output
    told = lines(result)
    for topic in ("text", "number", "array", "dates", "backslash", "null-marker", "empty-cell", "attributes"):
        assert [status for status, _ in told[topic]] == ["untried"], topic
    assert told["counters"][0][0] == "ok"


def test_values_are_within_the_limits_of_their_attributes(box):
    box.account.change_attribute("first_name", validators={"max": 5, "min": 3, "required": True})
    box.account.change_attribute("visit_count", validators={"min": "10", "max": "10"})
    box.account.change_attribute("interests", options={"maxitems": 1})
    mapping = {name: name for name in ("first_name", "visit_count", "interests", "birthday")}
    result = trial(quick_config(box, field_mapping=mapping))
    assert result.code == 0, result.output
    told = lines(result)
    for topic in ("text", "number", "array", "dates", "backslash", "null-marker", "empty-cell"):
        assert [status for status, _ in told[topic]] == ["ok"], told[topic]
    assert ("note", "values of the trial stay in the contact: first_name") in told["trial"]


def test_the_check_says_that_there_is_a_trial(box):
    [(status, text)] = lines(run(quick_config(box), arguments=["--check"]))["trial"]
    assert (status, "--check --trial me@my.domain" in text) == ("untried", True)
