"""A list is its id: what happened to it in Cordial between two runs is seen in the next one, also if nothing changed in the audience."""

import pytest

from tests.target.following import AudienceRuns, PeopleRuns
from tests.target.running import LIST, enter, exit_, import_calls, quick_config, run

VIP = "VIP Customers"
PEOPLE = [f"p{number}@example.com" for number in range(30)]


def created(box):
    return [call.body for call in box.requests if (call.method, call.path) == ("POST", "/v2/accountlists")]


@pytest.fixture
def runs(box):
    """A first run has filled the list."""
    runs = AudienceRuns(quick_config(box))
    result = runs.run(*map(enter, PEOPLE), members={VIP: 30})
    assert result.code == 0, result.log
    box.clear_requests()
    return runs


@pytest.fixture
def list_id(box, runs):  # noqa: ARG001 - the first run makes it
    return box.account.list_id(LIST)


@pytest.mark.parametrize("records", [[], [enter("new@example.com")]], ids=["quiet", "changes"])
def test_a_list_that_is_gone_is_an_error_with_its_cure_in_every_run(box, runs, list_id, records):
    box.account.remove_list(list_id)
    for _ in range(2):
        result = runs.run(*records, members={VIP: 30 + len(records)})
        assert result.code != 0
        assert (
            f"The list {LIST} (id {list_id}), to which members were sent, is gone from Cordial"
            in result.message
        )
        assert "--full-refresh" in result.message
        assert created(box) == import_calls(box) == []
    runs.state = None
    assert runs.run(*map(enter, PEOPLE), members={VIP: 30}).code == 0, "a full refresh is the cure"
    assert len(box.list_members(LIST)) == 30
    assert runs.run(members={VIP: 30}).code == 0


@pytest.mark.parametrize("records", [[], [enter("new@example.com")]], ids=["quiet", "changes"])
def test_a_list_that_was_renamed_is_filled_under_its_new_name(box, runs, list_id, records):
    box.account.change_list(list_id, "Renamed", enhanced=True)
    result = runs.run(*records, members={VIP: 30 + len(records)})
    assert result.code == 0, result.log
    assert "was renamed to Renamed" in result.log
    assert created(box) == []
    assert len(box.list_members("Renamed")) == 30 + len(records)
    result = runs.run(members={VIP: 30 + len(records)}, list_name="Renamed")
    assert result.code == 0, "the setting may follow the list"
    assert "renamed" not in result.log


def test_a_list_of_the_old_name_that_is_another_one_is_left_alone(box, runs, list_id):
    box.account.change_list(list_id, "Renamed", enhanced=True)
    box.account.add_list(LIST)
    assert runs.run(enter("new@example.com"), exit_(PEOPLE[0]), members={VIP: 30}).code == 0
    assert box.list_members("Renamed") == {*PEOPLE[1:], "new@example.com"}
    assert box.list_members(LIST) == set()


def test_a_list_that_was_emptied_by_hand_is_seen_in_a_run_without_changes(box, runs, list_id):
    box.account.clear_list(list_id)
    for _ in range(2):
        result = runs.run(members={VIP: 30})
        assert result.code != 0
        assert "30 of 30 members are missing" in result.message
        assert "--full-refresh" in result.message


@pytest.mark.parametrize(
    ("members", "left", "enters", "is_failure"),
    [(8, 0, 0, True), (4, 0, 0, True), (8, 3, 0, True), (8, 4, 0, False), (8, 0, 2, True), (3, 0, 0, False)],
)
def test_a_small_list_that_lacks_most_of_its_members_fails_the_run(box, members, left, enters, is_failure):
    runs = AudienceRuns(quick_config(box))
    assert runs.run(*map(enter, PEOPLE[:members]), members={VIP: members}).code == 0
    for address in PEOPLE[left:members]:
        box.account.leave(box.account.list_id(LIST), address)
    newer = [enter(f"new{number}@example.com") for number in range(enters)]
    for records in (newer, []):
        result = runs.run(*records, members={VIP: members + enters})
        assert (result.code == 2) is is_failure, result.log
        assert "missing: run once with --full-refresh" in result.log


def test_a_few_who_were_taken_off_by_hand_are_a_warning_in_every_run(box, runs, list_id):
    for address in PEOPLE[:3]:
        box.account.leave(list_id, address)
    for _ in range(2):
        result = runs.run(members={VIP: 30})
        assert result.code == 0, result.log
        assert "3 of 30 members are missing" in result.log
    runs.state = None
    result = runs.run(*map(enter, PEOPLE), members={VIP: 30})
    assert "missing" not in result.log


def test_a_count_that_is_late_is_asked_for_again(box, runs):
    box.fault("list_count_late", nth=2)
    result = runs.run(members={VIP: 30})
    assert result.code == 0, result.log
    assert "missing" not in result.log


def test_a_run_without_changes_says_both_sizes(runs):
    result = runs.run(members={VIP: 30})
    assert result.code == 0, result.log
    assert (
        f"List {LIST}: nothing changed; 30 contacts before, 30 after, 30 members in the audience."
        in result.log
    )


def test_contacts_beyond_the_audience_are_told_once_and_remembered(box):
    list_id = box.account.add_list(LIST)
    runs = AudienceRuns(quick_config(box))
    others = [f"other{number}@example.com" for number in range(12)]
    for address in others:
        box.account.put_contact(address, {}, "none")
        box.account.join(list_id, address)
    first = runs.run(*map(enter, PEOPLE), members={VIP: 30})
    assert "12 contacts more than members" in first.log
    assert "audit" in first.log
    second = runs.run(members={VIP: 30})
    assert "more than members" not in second.log
    box.account.leave(list_id, PEOPLE[0])
    assert "1 of 30 members is missing" in runs.run(members={VIP: 30}).log


def test_two_audiences_on_one_list_are_refused_whichever_is_quiet(box):
    runs = AudienceRuns(quick_config(box, list_name="Both"))
    assert runs.run(enter("a@example.com", audience="One"), members={"One": 1}).code == 0
    for records in ([enter("b@example.com", audience="Two")], [enter("c@example.com", audience="One")], []):
        result = runs.run(*records, members={"One": 1, "Two": 1})
        assert result.code != 0
        assert "both go to list 'Both'" in result.message
    assert box.list_members("Both") == {"a@example.com"}


def test_two_audiences_may_fill_one_list_that_nobody_leaves(box):
    runs = AudienceRuns(quick_config(box, list_name="Both", list_action="add"))
    records = [enter("a@example.com", audience="One"), enter("b@example.com", audience="Two")]
    for _ in range(2):
        result = runs.run(*records, members={"One": 1, "Two": 1})
        assert result.code == 0, result.log
    assert len(box.list_members("Both")) == 2


def test_two_audiences_whose_names_became_one_list_are_refused_while_both_are_quiet(box):
    runs = AudienceRuns(quick_config(box))
    names = ("Win Back", "Win_Back")
    for _ in range(2):
        result = runs.run(members=dict.fromkeys(names, 0))
        assert result.code != 0
        assert "both go to list 'Lytics_Win_Back'" in result.message


@pytest.mark.parametrize("is_late", [False, True], ids=["state first", "state last"])
def test_lists_are_remembered_with_any_tap(box, is_late):
    runs = PeopleRuns(quick_config(box, list_name="People", field_mapping={}), is_late)
    assert runs.run("a@example.com").code == 0
    list_id = box.account.list_id("People")
    box.account.change_list(list_id, "Renamed", enhanced=True)
    result = runs.run("b@example.com")
    assert result.code == 0, result.log
    assert box.account.lists() == {list_id: "Renamed"}
    assert len(box.list_members("Renamed")) == 2
    box.account.remove_list(list_id)
    for addresses in [(), ("c@example.com",)]:
        result = runs.run(*addresses)
        assert result.code != 0
        assert "is gone from Cordial" in result.message
    assert box.account.lists() == {}


def test_what_a_template_yields_is_a_name_never_an_id(box):
    list_id = box.account.add_list("By-Id")
    runs = AudienceRuns(quick_config(box, list_name="{audience_name}"))
    records = [enter("a@example.com", audience="4711"), enter("b@example.com", audience=str(list_id))]
    result = runs.run(*records, members={"4711": 1, str(list_id): 1})
    assert result.code == 0, result.log
    assert box.list_members("4711") == {"a@example.com"}
    assert box.list_members("By-Id") == set()
    assert "1 the list's name is the id of another list" in result.log, "Cordial might take it for the id"


def test_a_name_that_cordial_does_not_take_is_said_with_the_one_that_it_becomes(box):
    runs = PeopleRuns(quick_config(box, list_name="My list!", field_mapping={}))
    result = runs.run("a@example.com")
    assert result.code == 0, result.log
    [name] = box.account.lists().values()
    assert f"Cordial does not take 'My list!' as the name of a list, so the list is {name}" in result.log


def test_the_check_says_which_list_it_will_be(box):
    box.account.add_list("Newsletter")
    config = quick_config(box, field_mapping={})
    for name, words in {
        "My list!": "(Cordial does not take 'My list!' as a name)",
        "newsletter": "newsletter: will be created, beside Newsletter",
    }.items():
        checked = run({**config, "list_name": name}, arguments=["--check"])
        assert checked.code == 0, checked.log
        assert words in checked.output


def test_a_list_beside_one_that_differs_in_case_is_warned_about(box):
    box.account.add_list("Newsletter")
    result = PeopleRuns(quick_config(box, list_name="newsletter", field_mapping={})).run("a@example.com")
    assert result.code == 0, result.log
    assert "The list newsletter is another one than Newsletter" in result.log


def test_contacts_that_an_import_left_out_are_seen(box):
    runs = PeopleRuns(quick_config(box, list_name="People", field_mapping={}, import_strategy="updateOnly"))
    result = runs.run(*PEOPLE)
    assert result.code == 0, result.log
    assert "30 rows passed over by Cordial" in result.log
    assert "it holds 0" in result.log
