"""The Cordial list of each record: named by a template, found by its exact name, created once, never guessed."""

import pytest

from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    import_calls,
    quick_config,
    record,
    run,
    schema,
    state,
)

ADA = "ada@example.com"
PEOPLE = schema({"email": "string", "team": "string", "number": "integer"}, "people")


def member(**values):
    return record({"email": ADA, **values}, "people")


def people_config(box, list_name, **overrides):
    return quick_config(box, field_mapping={}, list_name=list_name, **overrides)


def created(box):
    return [call.body for call in box.requests if (call.method, call.path) == ("POST", "/v2/accountlists")]


def test_a_list_is_created_once_and_found_from_then_on(box):
    for _ in range(2):
        result = run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA), enter(ADA)])
        assert result.code == 0, result.log
    assert created(box) == [{"name": LIST, "enhanced": True}]
    assert f"Created list {LIST}" not in result.log


def test_every_name_is_looked_for_once_a_run(box):
    messages = [AUDIENCE_SCHEMA, *[enter(f"p{number}@example.com") for number in range(50)]]
    assert run(quick_config(box), messages).code == 0
    names = [call.query["name"] for call in box.requests if call.path == "/v2/accountlists" and call.query]
    assert names == ["target-cordial-check", LIST], "the check looks whether lists may be read at all"


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        ("VIP Customers", "VIP_Customers"),
        ("  two  spaces ", "two__spaces"),
        ("dash-under_score", "dash-under_score"),
    ],
)
def test_spaces_become_underscores(box, raw, name):
    assert run(people_config(box, raw), [PEOPLE, member()]).code == 0
    assert box.list_members(name) == {ADA}


def test_names_that_differ_in_characters_that_have_to_go_stay_two_lists(box):
    messages = [PEOPLE, member(team="Café"), member(team="Caf!"), member(team="Caf")]
    assert run(people_config(box, "{team}"), messages).code == 0
    names = set(box.account.lists().values())
    assert len(names) == 3
    assert "Caf" in names
    assert all(name.startswith("Caf") and name.isascii() for name in names)


def test_long_names_are_cut_and_stay_apart(box):
    messages = [PEOPLE, member(team="x" * 200), member(team="x" * 201), member(team="y" * 128)]
    assert run(people_config(box, "{team}"), messages).code == 0
    names = sorted(box.account.lists().values())
    assert len(names) == 3
    assert {len(name) for name in names} == {128}
    assert names[-1] == "y" * 128


def test_a_template_takes_any_fields_of_the_record(box):
    assert run(people_config(box, "T-{team}-{number}"), [PEOPLE, member(team="red", number=7)]).code == 0
    assert box.list_members("T-red-7") == {ADA}


@pytest.mark.parametrize("values", [{}, {"team": None}, {"team": " "}, {"team": ["red"]}])
def test_a_record_without_a_field_of_the_lists_name_is_a_reject(box, values):
    result = run(people_config(box, "{team}"), [PEOPLE, member(**values), state({"at": 1})])
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert "1 rejected here" in result.log
    assert box.account.lists() == {}


@pytest.mark.parametrize(
    "template", ["{", "{}", "{team!r}", "{number:03d}", "a}b", "{0}", "L_{team.name}", "{team[0]}"]
)
def test_a_template_that_is_none_is_one_sentence(box, template):
    result = run(people_config(box, template), [PEOPLE, member(team="red", number=1)])
    assert result.code == 2
    assert "The setting list_name" in result.message
    assert import_calls(box) == []


def test_a_name_of_digits_alone_is_an_id(box):
    list_id = box.account.add_list("By-Id")
    assert run(people_config(box, str(list_id)), [PEOPLE, member()]).code == 0
    assert box.list_members("By-Id") == {ADA}
    assert import_calls(box)[0]["lists"] == {"addTo": ["By-Id"]}


def test_an_id_that_does_not_exist_is_never_created(box):
    result = run(people_config(box, "4711"), [PEOPLE, member(), state({"at": 1})])
    assert result.code == 2
    assert "Cordial has no list with id 4711" in result.message
    assert created(box) == []
    assert result.states == []


def test_names_are_compared_exactly(box):
    box.account.add_list("people")
    assert run(people_config(box, "People"), [PEOPLE, member()]).code == 0
    assert box.list_members("people") == set()
    assert box.list_members("People") == {ADA}


def test_a_name_that_no_list_can_have_keeps_the_lists_of_others_from_nobody(box):
    people = [member(team=team, email=f"{team}@example.com") for team in ("red", "first_name", "blue")]
    result = run(people_config(box, "{team}"), [PEOPLE, *people * 2, state({"at": 1})])
    assert result.code == 2
    assert (
        "Cordial has an attribute named 'first_name', so a list cannot have this name: set list_name"
        in result.message
    )
    assert "run once with --full-refresh" in result.message
    assert result.states == [{"at": 1}]
    assert (box.list_members("red"), box.list_members("blue")) == ({"red@example.com"}, {"blue@example.com"})
    assert "2 rejected here (2 no list in Cordial can have the name that its fields give" in result.log


def test_a_name_that_an_attribute_has_is_refused_before_anything_is_done(box):
    result = run(people_config(box, "first_name"), [PEOPLE, member(), state({"at": 1})])
    assert result.code == 2
    assert "Cordial has an attribute named 'first_name'" in result.message
    assert "set list_name to another" in result.message
    assert result.states == []
    assert created(box) == import_calls(box) == []


def test_an_attributes_name_for_people_counts_as_taken_too(box):
    box.account.add_attribute("x1", "string", name="Shoes")
    result = run(people_config(box, "Shoes"), [PEOPLE, member(), state({"at": 1})])
    assert result.code == 2
    assert "an attribute" in result.message
    assert result.states == []


def test_a_list_that_somebody_else_creates_meanwhile_is_found(box):
    config = people_config(box, "Race")
    # The check may read lists, finds this one and asks for its size; the run's own look was too early, and finds none.
    box.fault("cordial_status", 404, path="GET /v2/accountlists", nth=4)
    box.account.add_list("Race")
    box.fault("cordial_status", 422, path="never")
    result = run(config, [PEOPLE, member()])
    assert result.code == 0, result.log
    assert box.list_members("Race") == {ADA}


def test_a_name_that_cordial_does_not_take_is_one_sentence(box):
    box.fault("no_underscores")
    result = run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
    assert result.code == 2
    assert f"Cordial does not take {LIST!r}" in result.message
    assert "letters, numbers, and dashes" in result.message
    assert "1 rejected here" in result.log


@pytest.mark.parametrize("fault", ["answer_lost", "cordial_garbage"])
def test_a_list_whose_creation_was_not_answered_is_found(box, fault):
    box.fault(fault, path="POST /v2/accountlists", once=True)
    result = run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA)])
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {ADA}
    assert len(created(box)) == 1


def test_without_lists_contacts_go_on_none(box):
    result = run(quick_config(box, list_action="none"), [AUDIENCE_SCHEMA, enter(ADA), state({"at": 1})])
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert set(box.contacts()) == {ADA}
    assert box.account.lists() == {}
    assert "lists" not in import_calls(box)[0]


def test_a_list_is_never_cleared(box):
    assert run(quick_config(box), [AUDIENCE_SCHEMA, enter(ADA)]).code == 0
    assert {call.method for call in box.requests} == {"GET", "POST"}
