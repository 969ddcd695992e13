"""Settings that decide what a contact gets: changed ones are refused with their cure, or taken for new changes by their code."""

import copy
import json
import re

import pytest

from tests.target.following import AudienceRuns, PeopleRuns
from tests.target.running import AUDIENCE_SCHEMA, LIST, STREAM, enter, import_calls, quick_config, state
from tests.target.running import run as run_target

VIP = "VIP Customers"
ADA, BOB = "ada@example.com", "bob@example.com"
MAPPING = {"first_name": "first_name"}


def followed(box, **settings):
    """A first run that sent one member by these settings."""
    runs = AudienceRuns(quick_config(box, **{"field_mapping": MAPPING, **settings}))
    result = runs.run(enter(ADA, first_name="Ada"), members={VIP: 1})
    assert result.code == 0, result.log
    box.clear_requests()
    return runs


CHANGES = [
    ({}, {"field_mapping": {**MAPPING, "last_name": "last_name"}}, "field_mapping (new: last_name)"),
    ({}, {"field_mapping": {"first_name": "last_name"}}, "field_mapping (other attribute: first_name)"),
    ({}, {"null_values": "clear"}, "null_values (was 'keep', is 'clear')"),
    ({"require_all_fields": True}, {"require_all_fields": False}, "require_all_fields (was True, is False)"),
    ({}, {"stream_maps": {STREAM: {"first_name": "'x'"}}}, "stream_maps"),
]
NEVER = [
    ({}, {"list_name": "Brand_New"}, "list_name (was 'Lytics_{audience_name}', is 'Brand_New')"),
    ({"list_action": "add"}, {"list_action": "sync"}, "list_action (was 'add', is 'sync')"),
    ({"list_action": "none"}, {"list_action": "add"}, "list_action (was 'none', is 'add')"),
    (
        {"import_strategy": "updateOnly"},
        {"import_strategy": "upsert"},
        "import_strategy (was 'updateOnly', is 'upsert')",
    ),
]
HARMLESS = [
    (
        {"field_mapping": {**MAPPING, "last_name": "last_name"}},
        {"field_mapping": MAPPING},
        "field_mapping (gone: last_name)",
    ),
    ({}, {"require_all_fields": True}, "require_all_fields (was False, is True)"),
    ({"null_values": "clear"}, {"null_values": "keep"}, "null_values (was 'clear', is 'keep')"),
    ({}, {"list_action": "add"}, "list_action (was 'sync', is 'add')"),
]


@pytest.mark.parametrize(("before", "now", "words"), [*CHANGES, *NEVER])
def test_a_changed_setting_is_refused_before_anything_is_sent(box, before, now, words):
    runs = followed(box, **before)
    for records in ([], [enter(BOB, first_name="Bob")]):
        result = runs.run(*records, members={VIP: 2}, **now)
        assert result.code != 0
        assert words in result.message
        assert "--full-refresh" in result.message
        assert ("accept_changes" in result.message) == (
            "list_name" not in now and set(now) <= set(CHANGES_ALLOWED)
        )
        assert [call for call in box.requests if call.method == "POST"] == []
    runs.state = None
    result = runs.run(enter(ADA), enter(BOB), members={VIP: 2}, **now)
    assert result.code == 0, result.log
    result = runs.run(members={VIP: 2}, **now)
    assert result.code == 0, "a full refresh is the cure"
    assert "changed since" not in result.log


CHANGES_ALLOWED = ("field_mapping", "null_values", "require_all_fields", "stream_maps")


@pytest.mark.parametrize(("before", "now", "words"), HARMLESS)
def test_a_change_that_needs_nobody_sent_again_is_a_warning(box, before, now, words):
    runs = followed(box, **before)
    result = runs.run(enter(BOB, first_name="Bob", last_name="Bo"), members={VIP: 2}, **now)
    assert result.code == 0, result.log
    assert f"The setting {words} changed since members were sent" in result.log
    assert "changed since" not in runs.run(members={VIP: 2}, **now).log


@pytest.mark.parametrize(("before", "now"), [change[:2] for change in CHANGES])
def test_a_change_is_accepted_by_its_own_code_alone_and_told_until_a_full_refresh(box, before, now):
    runs = followed(box, **before)
    refused = runs.run(enter(BOB), members={VIP: 2}, accept_changes="deadbeef", **now)
    assert refused.code != 0
    [code] = re.findall(r"accept_changes to ([0-9a-f]{8})", refused.message)
    accepted = runs.run(
        enter(BOB, first_name="Bob", last_name="Bo"), members={VIP: 2}, accept_changes=code, **now
    )
    assert accepted.code == 0, accepted.log
    assert ADA in box.list_members(LIST)
    later = runs.run(members={VIP: 2}, accept_changes=code, **now)
    assert later.code == 0, "the code may stay"
    assert f"Changes of {next(iter(now))} were accepted" in later.log
    back = runs.run(
        members={VIP: 2}, accept_changes=code, **{**runs.config, "identifier_field": "last_name", **now}
    )
    assert back.code != 0, "it lets no other change through"
    runs.state = None
    assert runs.run(enter(ADA), enter(BOB), members={VIP: 2}, **now).code == 0
    assert "were accepted" not in runs.run(members={VIP: 2}, **now).log


def test_a_changed_list_name_names_the_list_that_stays(box):
    runs = followed(box)
    result = runs.run(members={VIP: 1}, list_name="Brand_New")
    assert f"The list {LIST} (id {box.account.list_id(LIST)}) then stays as it is." in result.message


@pytest.mark.parametrize(
    ("change", "shown"),
    [
        ({"stream_map_config": {"prefix": "x"}}, "stream_map_config"),
        (
            {"flattening_enabled": True, "flattening_max_depth": 1},
            "flattening_enabled and flattening_max_depth",
        ),
    ],
)
def test_all_that_changes_records_on_their_way_counts(box, change, shown):
    runs = followed(box)
    result = runs.run(enter(BOB), members={VIP: 2}, **change)
    assert result.code == 2
    assert f"The setting {shown} changed since members were sent" in result.message


def test_another_account_is_refused(box, make_box):
    runs = followed(box)
    other = make_box()
    result = runs.run(enter(BOB), members={VIP: 2}, api_url=other.cordial_url, accept_changes="x")
    assert result.code != 0
    assert "The setting api_url changed since members were sent" in result.message
    assert [call for call in other.requests if call.method == "POST"] == []


def test_another_account_id_is_refused_whatever_the_lists_are(box):
    runs = followed(box, list_action="none", account_id=1)
    result = runs.run(enter(BOB), members={VIP: 2}, account_id=2)
    assert result.code == 2
    assert "The setting account_id changed since members were sent" in result.message
    assert BOB not in box.contacts()


def test_another_key_is_of_the_same_account_as_long_as_it_finds_the_same_lists(box):
    runs = followed(box)
    runs.entry["account"] = "key:other"
    rotated = runs.run(enter(BOB), members={VIP: 2})
    assert rotated.code == 0, rotated.log
    assert "The API key is another one" in rotated.log
    assert "The API key is another one" not in runs.run(members={VIP: 2}).log
    runs.entry["account"] = "key:other"
    box.account.change_list(box.account.list_id(LIST), "Of_Another_Account", enhanced=True)
    result = runs.run(enter("c@example.com"), members={VIP: 3})
    assert result.code != 0
    assert "--full-refresh" in result.message
    assert box.list_members("Of_Another_Account") == {ADA, BOB}


@pytest.mark.parametrize("is_late", [False, True], ids=["state first", "state last"])
def test_settings_are_compared_with_any_tap_before_anything_is_registered(box, is_late):
    runs = PeopleRuns(quick_config(box, list_name="People", field_mapping={}), is_late)
    assert runs.run(ADA).code == 0
    assert runs.run(BOB).code == 0
    box.clear_requests()
    for addresses in [(), ("c@example.com",)]:
        result = runs.run(*addresses, list_name="Others")
        assert result.code != 0
        assert "list_name (was 'People', is 'Others')" in result.message
    assert import_calls(box) == []
    assert set(box.account.lists().values()) == {"People"}


def test_a_first_state_that_comes_after_full_batches_is_compared_all_the_same(box):
    runs = PeopleRuns(quick_config(box, list_name="People", field_mapping={}), is_late=True)
    assert runs.run(ADA).code == 0
    result = runs.run(BOB, "c@example.com", batch_size_rows=1, null_values="clear")
    assert result.code != 0
    assert "null_values" in result.message
    assert result.states == []


def test_a_tap_that_drops_what_others_put_into_the_state_works_as_before(box):
    runs = PeopleRuns(quick_config(box, list_name="People", field_mapping={}), keeps=False)
    assert runs.run(ADA).code == 0
    result = runs.run(BOB, null_values="clear")
    assert result.code == 0, result.log
    assert "does not say how members were sent" in result.log
    assert box.list_members("People") == {ADA, BOB}


@pytest.mark.parametrize(
    "spoilt", [None, 5, {}, {"settings": {"field_mapping": "5"}}, {"lists": "["}, {"exits_open": -1}]
)
def test_an_entry_that_cannot_be_read_is_a_warning(box, spoilt):
    runs = followed(box)
    runs.state["bookmarks"][STREAM]["target_cordial"] = spoilt
    result = runs.run(enter(BOB), members={VIP: 2})
    assert result.code == 0, result.log
    assert "does not say how members were sent" in result.log
    assert runs.entry["settings"]["null_values"] == '"keep"'


def test_nothing_of_an_older_state_shows_through_when_meltano_merges_them(box):
    """On a full refresh Meltano lays the new state over the old one: objects key by key, anything else as a whole."""
    runs = followed(box, field_mapping={**MAPPING, "last_name": "last_name"})
    old, runs.state = runs.state, None
    assert runs.run(enter(ADA), members={VIP: 1}, field_mapping=MAPPING, list_name="New").code == 0
    runs.state = merged(copy.deepcopy(old), runs.state)
    result = runs.run(enter(BOB), members={VIP: 2}, field_mapping=MAPPING, list_name="New")
    assert result.code == 0, result.log
    assert "changed since" not in result.log
    assert box.list_members("New") == {ADA, BOB}
    assert [*json.loads(runs.entry["lists"]).values()] == [
        {"New": {"id": box.account.list_id("New"), "name": "New"}}
    ]


def test_a_full_refresh_of_another_tap_that_is_killed_leaves_the_older_entry_in_force(box):
    runs = PeopleRuns(quick_config(box, list_name="People", field_mapping={}))
    assert runs.run(ADA).code == 0
    old, runs.state = runs.state, None
    box.fault("job_fails")
    assert runs.run(ADA, BOB, list_name="Others").code != 0
    box.clear_faults()
    runs.state = merged(old, runs.state or {})
    result = runs.run(BOB, list_name="Others")
    assert result.code != 0
    assert "list_name" in result.message


def test_states_that_are_no_bookmarks_stay_as_they_are(box):
    for value in ({"at": 1}, {"bookmarks": {"at": 1}}, {"bookmarks": None}, {"bookmarks": {STREAM: 5}}):
        messages = [state(value), enter(ADA), state(value)]
        result = run_target(quick_config(box), [AUDIENCE_SCHEMA, *messages])
        assert result.code == 0, result.log
        assert all(each == value for each in result.states)
        assert result.states


def merged(old, new):
    for key, value in new.items():
        is_deep = isinstance(value, dict) and isinstance(old.get(key), dict)
        old[key] = merged(old[key], value) if is_deep else value
    return old
