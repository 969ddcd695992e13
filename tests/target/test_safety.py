"""Nobody is removed by accident, nobody is created by an exit, and consent is not ours to give."""

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
)

ADA, BOB, EVE = "ada@example.com", "bob@example.com", "eve@example.com"


def fill(box, members, list_name=LIST):
    list_id = box.account.list_id(list_name) or box.account.add_list(list_name)
    for address in members:
        box.account.put_contact(address, {"first_name": "Foreign"}, "subscribed")
        box.account.join(list_id, address)
    return members


def people(count, name="p"):
    return [f"{name}{number}@example.com" for number in range(count)]


def removals(box):
    return [call for call in import_calls(box) if "removeFrom" in call["lists"]]


def test_more_exits_than_the_limit_are_not_sent_at_all_and_enters_go(box):
    members = fill(box, people(500))
    messages = [
        AUDIENCE_SCHEMA,
        enter(ADA),
        state({"at": 1}),
        *[exit_(address) for address in members[:101]],
        state({"at": 102}),
    ]
    result = run(quick_config(box), messages)
    assert result.code == 2
    assert f"101 of the 501 contacts on list '{LIST}'" in result.message
    assert "max_removal_percent (20 %)" in result.message
    assert "run once with TARGET_CORDIAL_MAX_REMOVAL_PERCENT=100" in result.message
    assert box.list_members(LIST) == {*members, ADA}
    assert removals(box) == []
    assert result.states == [{"at": 1}]


def test_the_override_that_the_message_names_lets_them_go(box):
    members = fill(box, people(120))
    messages = [AUDIENCE_SCHEMA, *[exit_(address) for address in members[:110]], state({"at": 110})]
    assert run(quick_config(box), messages).code == 2
    result = run(
        quick_config(box),
        messages,
        arguments=["--config", "ENV"],
        env={"TARGET_CORDIAL_MAX_REMOVAL_PERCENT": "100"},
    )
    assert result.code == 0, result.log
    assert result.states == [{"at": 110}]
    assert box.list_members(LIST) == set(members[110:])


@pytest.mark.parametrize(
    ("members", "exits", "go"),
    [
        (30, 10, True),
        (55, 11, True),
        (54, 11, False),
        (10, 9, True),
        (10, 10, False),
        (4, 4, False),
        (3, 3, True),
        (1, 1, True),
    ],
)
def test_few_exits_pass_unless_they_leave_nobody_and_then_the_percentage_decides(box, members, exits, go):
    on_list = fill(box, people(members))
    result = run(quick_config(box), [AUDIENCE_SCHEMA, *[exit_(address) for address in on_list[:exits]]])
    assert (result.code == 0) is go
    assert len(box.list_members(LIST)) == (members - exits if go else members)


def test_each_lists_exits_go_all_or_none(box):
    few = fill(box, people(3, "few"), "Lytics_Few")
    many = fill(box, people(110, "many"), "Lytics_Many")
    messages = [
        AUDIENCE_SCHEMA,
        *[exit_(address, audience="Many") for address in many],
        *[exit_(address, audience="Few") for address in few],
        state({"at": 1}),
    ]
    result = run(quick_config(box, batch_size_rows=30), messages)
    assert result.code == 2
    assert "Lytics_Many" in result.message
    assert "Lytics_Few" not in result.message
    assert box.list_members("Lytics_Many") == set(many)
    assert box.list_members("Lytics_Few") == set()
    assert result.states == []


def test_too_many_rejects_fail_the_run_after_the_good_enters_went_and_hold_back_exits_and_states(box):
    fill(box, [BOB])
    messages = [
        AUDIENCE_SCHEMA,
        *[enter("nobody") for _ in range(101)],
        state({"at": 101}),
        enter(ADA),
        exit_(BOB),
        state({"at": 103}),
    ]
    result = run(quick_config(box, batch_size_rows=1), messages)
    assert result.code == 2
    assert "101 of 103 records were rejected" in result.message
    assert "max_reject_percent (5 %)" in result.message
    assert "run once with TARGET_CORDIAL_MAX_REJECT_PERCENT=100" in result.message
    assert box.list_members(LIST) == {ADA, BOB}
    assert result.states == []
    override = {"TARGET_CORDIAL_MAX_REJECT_PERCENT": "100"}
    again = run(quick_config(box), messages, arguments=["--config", "ENV"], env=override)
    assert again.code == 0, again.log
    assert again.states[-1] == {"at": 103}
    assert box.list_members(LIST) == {ADA}


@pytest.mark.parametrize(
    ("rejects", "records", "on_list", "pass_"),
    [
        (10, 10, 0, True),
        (11, 11, 0, False),
        (11, 219, 0, False),
        (11, 220, 0, True),
        (11, 11, 219, False),
        (11, 11, 220, True),
    ],
)
def test_bad_identifiers_are_held_against_the_larger_of_records_and_list(
    box, rejects, records, on_list, pass_
):
    fill(box, people(on_list, "member"))
    good = [enter(address) for address in people(records - rejects)]
    messages = [AUDIENCE_SCHEMA, *[enter("nobody") for _ in range(rejects)], *good, state({"at": 1})]
    result = run(quick_config(box), messages)
    assert (result.code == 0) is pass_, result.log
    assert result.states == ([{"at": 1}] if pass_ else [])
    assert ("rejected here, all records of this run (" in result.log) is (rejects == records)
    assert f"{rejects} rejected here" in next(
        line for line in result.log.splitlines() if "WARNING" in line and "Run " in line
    )
    if not pass_:
        assert f"{rejects} of {records} records were rejected for their identifier" in result.message


def test_other_rejects_are_held_against_the_records_alone(box):
    fill(box, people(1_000, "member"))
    messages = [
        AUDIENCE_SCHEMA,
        *[enter(address, birthday="soon") for address in people(11)],
        state({"at": 1}),
    ]
    result = run(quick_config(box, invalid_values="reject"), messages)
    assert result.code != 0
    assert "11 of 11 records were rejected, more than max_reject_percent" in result.message
    assert result.states == []


def test_the_sentence_of_too_many_rejects_says_what_is_acknowledged(box):
    with started(quick_config(box)) as running:
        running.write(
            [AUDIENCE_SCHEMA, *[enter(f"nobody {number}") for number in range(10)], state({"at": 10})]
        )
        assert running.next_state() == {"at": 10}
        running.write([*[enter(f"nobody {number}") for number in range(30)], state({"at": 40})])
        running.end_input()
        result = running.result()
    assert result.code != 0
    assert "so nothing after the first 10 records is acknowledged" in result.message
    assert result.states == [{"at": 10}]


def test_a_limit_that_is_switched_off_is_told_in_each_run(box):
    members = fill(box, people(20))
    messages = [AUDIENCE_SCHEMA, *[exit_(address) for address in members], *[enter("no") for _ in range(20)]]
    result = run(quick_config(box, max_removal_percent=100, max_reject_percent=100), messages)
    assert result.code == 0, result.log
    assert box.list_members(LIST) == set()
    for limit in ("max_removal_percent", "max_reject_percent"):
        assert f"The limit {limit} is switched off" in result.log


def test_a_few_exits_of_a_list_that_is_empty_leave_nobody_behind_and_pass(box):
    fill(box, [])
    result = run(quick_config(box), [AUDIENCE_SCHEMA, *[exit_(address) for address in people(10)]])
    assert "max_removal_percent" not in result.message


def test_rejects_that_are_many_at_first_and_few_in_the_end_pass(box):
    messages = [
        AUDIENCE_SCHEMA,
        *[enter("nobody") for _ in range(101)],
        state({"at": 101}),
        *[enter(address) for address in people(1919)],
        state({"at": 2020}),
    ]
    result = run(quick_config(box), messages)
    assert result.code == 0, result.log
    assert result.states[-1] == {"at": 2020}


def test_what_cordial_rejects_counts_too(box):
    box.fault("job_rejects", 101)
    messages = [AUDIENCE_SCHEMA, *[enter(address) for address in people(1000)], state({"at": 1000})]
    result = run(quick_config(box), messages)
    assert result.code == 2
    assert "101 of 1000 records were rejected" in result.message
    assert result.states == []


def test_a_hopeless_run_does_not_read_to_the_end(box):
    messages = [AUDIENCE_SCHEMA, *[enter("nobody") for _ in range(20_000)], enter(ADA)]
    result = run(quick_config(box), messages)
    assert result.code == 2
    assert "10000 of 10000 records were rejected" in result.message
    assert box.contacts() == {}


def test_two_audiences_into_one_list_are_refused(box):
    messages = [
        AUDIENCE_SCHEMA,
        enter(ADA, audience="One"),
        state({"at": 1}),
        enter(BOB, audience="Two"),
        state({"at": 2}),
    ]
    result = run(quick_config(box, list_name="Both"), messages)
    assert result.code == 2
    assert "both go to list 'Both'" in result.message
    assert "{audience_name}" in result.message
    assert result.states == []
    assert import_calls(box) == []


@pytest.mark.parametrize("names", [("Win Back", "Win_Back"), ("Win Back ", "Win Back")])
def test_two_audiences_whose_names_become_one_list_are_refused(box, names):
    messages = [AUDIENCE_SCHEMA, *[enter(ADA, audience=name) for name in names]]
    result = run(quick_config(box), messages)
    assert result.code == 2
    assert "both go to list 'Lytics_Win_Back'" in result.message


def test_one_audience_may_fill_a_list_from_two_streams(box):
    other = {**AUDIENCE_SCHEMA, "stream": "other"}
    messages = [AUDIENCE_SCHEMA, other, enter(ADA), {**enter(BOB), "stream": "other"}]
    result = run(quick_config(box), messages)
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {ADA, BOB}


def test_no_subscribe_status_is_sent_unless_the_user_set_one(box):
    result = run(quick_config(box, keep_files=True), [AUDIENCE_SCHEMA, enter(ADA)])
    assert result.code == 0, result.log
    [text] = kept_files(box).values()
    assert "subscribeStatus" not in text
    checked = run(quick_config(box), arguments=["--check"])
    assert (
        "contacts that Cordial knows keep their subscribe status; new contacts come without" in checked.output
    )


@pytest.mark.parametrize("status", [None, "subscribed"])
def test_an_unsubscribed_contact_stays_so(box, status):
    box.account.put_contact(ADA, {}, "unsubscribed")
    config = quick_config(box, **({"subscribe_status": status} if status else {}))
    result = run(config, [AUDIENCE_SCHEMA, enter(ADA, first_name="Ada")])
    assert result.code == 0, result.log
    contact = box.contacts()[ADA]
    assert (contact.subscribe_status, contact.attributes["first_name"]) == ("unsubscribed", "Ada")


def test_an_exit_never_revives_a_deleted_contact(box):
    fill(box, [ADA, BOB])
    box.account.remove_contact(ADA)
    result = run(quick_config(box), [AUDIENCE_SCHEMA, exit_(ADA), exit_(BOB), state({"at": 2})])
    assert result.code == 0, result.log
    assert result.states == [{"at": 2}]
    assert set(box.contacts()) == {BOB}
    assert box.list_members(LIST) == set()


def test_an_exit_changes_nothing_of_a_contact_but_the_list(box):
    fill(box, [ADA])
    fill(box, [ADA], "Another")
    result = run(quick_config(box, null_values="clear"), [AUDIENCE_SCHEMA, exit_(ADA)])
    assert result.code == 0, result.log
    contact = box.contacts()[ADA]
    assert (contact.attributes, contact.lists) == ({"first_name": "Foreign"}, frozenset({"Another"}))


def test_foreign_members_of_the_list_and_foreign_contacts_are_never_touched(box):
    fill(box, [EVE])
    fill(box, [EVE], "Another")
    box.account.put_contact("stranger@example.com", {"first_name": "Stranger"}, "none")
    before = {address: box.contacts()[address] for address in (EVE, "stranger@example.com")}
    result = run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA), enter(BOB), exit_(BOB)])
    assert result.code == 0, result.log
    assert {address: box.contacts()[address] for address in before} == before
    assert box.list_members(LIST) == {ADA, EVE}


def test_update_only_enters_create_no_contact(box):
    fill(box, [ADA], "Another")
    result = run(quick_config(box, import_strategy="updateOnly"), [AUDIENCE_SCHEMA, enter(ADA), enter(BOB)])
    assert result.code == 0, result.log
    assert set(box.contacts()) == {ADA}
    assert box.list_members(LIST) == {ADA}


def test_contacts_whose_required_attributes_are_missing_are_rejected_but_never_their_exits(box):
    fill(box, [BOB])
    box.account.add_attribute("must", "string", validators={"required": True})
    config = quick_config(box, field_mapping={"first_name": "must"})
    result = run(config, [AUDIENCE_SCHEMA, enter(ADA), exit_(BOB), state({"at": 2})])
    assert result.code == 0, result.log
    assert result.states == [{"at": 2}]
    assert ADA not in box.contacts()
    assert box.list_members(LIST) == set()
