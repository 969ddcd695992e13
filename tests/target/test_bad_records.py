"""One record, or one schema, that is not understood: it has a reason of its own, and all others go."""

import json
from pathlib import Path

import pytest

from tests.target.running import line, quick_config, record, run, schema, state

MARK = "_sdc_deleted_at"
PERSON = schema({"id": "integer", "email": "string", "n": {}}, key=("id",))


def config_for(box, **overrides):
    return quick_config(box, **{"field_mapping": {}, "list_name": "all", **overrides})


def person(number, **fields):
    return record({"id": number, "email": f"p{number}@example.com", **fields})


def people(*numbers):
    return {f"p{number}@example.com" for number in numbers}


def fill(box, *addresses):
    list_id = box.account.list_id("all") or box.account.add_list("all")
    for address in addresses:
        box.account.put_contact(address, {}, "subscribed")
        box.account.join(list_id, address)


def report(box):
    return [
        json.loads(text)
        for path in sorted(Path(box.folder, "rejects").glob("*"))
        for text in path.read_text(encoding="utf-8").splitlines()
    ]


@pytest.mark.parametrize(
    "expression",
    ["int(n)", "1 / n", "record['zz'] + n", "n[5]", "n + 1", "json.loads(n)", "n.upper()", "nobody + n"],
)
def test_a_record_that_its_stream_map_fails_on_is_a_reject_and_the_rest_goes(box, expression):
    """An exit that it fails on could not be done."""
    fill(box, *people(3, 9))
    properties = {"id": "integer", "email": "string", "audience_state": "string", "n": {}, "zz": {}}
    good = {"int(n)": "1", "1 / n": 1, "n[5]": "abcdef", "n + 1": 1, "json.loads(n)": "1"}.get(
        expression, "x"
    )
    fields = {"n": good, "zz": "", "nobody": ""}
    messages = [
        schema(properties, key=("id",)),
        person(1, audience_state="enter", **fields),
        person(2, audience_state="enter", n=None),
        person(3, audience_state="exit"),
        person(9, audience_state="exit", **fields),
        person(4, audience_state="enter", **fields),
        state({"at": 1}),
    ]
    maps = {"audience_members": {"n": expression}}
    result = run(config_for(box, stream_maps=maps), messages)
    assert result.code == 2
    assert "1 exit of all could not be done" in result.message
    assert result.states[-1]["at"] == 1
    assert box.list_members("all") == people(1, 3, 4)
    enter, exit_ = report(box)
    assert enter["reason"].startswith("the stream map fails on it (")
    assert (enter["record"]["id"], "stays_on" in enter) == (2, False)
    assert (exit_["record"]["id"], exit_["stays_on"]) == (3, "all")
    assert "p2@example.com" not in result.log


def test_a_record_whose_deletion_mark_cannot_be_computed_may_be_an_exit(box):
    messages = [
        schema({"id": "integer", "email": "string", "gone": "string"}, key=("id",)),
        person(1, gone="no"),
        person(2, gone=None),
        state({"at": 1}),
    ]
    maps = {"audience_members": {MARK: "'yes' if gone.lower() == 'yes' else None"}}
    result = run(config_for(box, stream_maps=maps), messages)
    assert result.code == 2
    assert "1 exit of all could not be done" in result.message
    assert box.list_members("all") == people(1)


def test_field_names_may_be_any_text(box):
    names = ['First "Name"', "back\\slash", "tab\tbed", "two\nlines", "nul\x00", "umläut"]
    attributes = ["first_name", "last_name", "home.city", "home.state", "home.country", "visit_count"]
    identifier, key, team = 'e"mail', "i\\d", "te\tam"
    messages = [
        schema(dict.fromkeys((*names, identifier, key, team), "string"), key=(key,)),
        record(
            {**dict(zip(names, "123456", strict=True)), identifier: "a@example.com", key: "1", team: "red"}
        ),
        state({"at": 1}),
    ]
    config = config_for(
        box,
        identifier_field=identifier,
        field_mapping=dict(zip(names, attributes, strict=True)),
        list_name=f"{{{team}}}",
    )
    result = run(config, messages)
    assert result.code == 0, result.log
    assert box.list_members("red") == {"a@example.com"}
    found = box.contacts()["a@example.com"].attributes
    assert (found["first_name"], found["last_name"], found["visit_count"]) == ("1", "2", "6")


@pytest.mark.parametrize("levels", [300, 970, 1_000, 20_000])
@pytest.mark.parametrize("overrides", [{}, {"validate_records": True, "stream_maps": {"*": {"more": "'x'"}}}])
def test_a_record_that_is_nested_too_deeply_is_a_reject_and_its_exit_goes(box, levels, overrides):
    fill(box, *people(3))

    def deep(message):
        whole = line(message)
        return whole.replace(b'"DEEP"', b'{"a":[' * (levels // 2) + b'"]\\"["' + b"]}" * (levels // 2))

    messages = [
        schema({"id": "integer", "email": "string", MARK: "string"}, key=("id",)),
        person(1),
        deep(person(2, more="DEEP")),
        deep(person(3, more="DEEP", **{MARK: "2024-01-01"})),
        person(4),
        state({"at": 1}),
    ]
    result = run(config_for(box, **overrides), messages)
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert box.list_members("all") == people(1, 4)
    (reject,) = report(box)
    assert (reject["record"]["id"], reject["reason"]) == (2, "nested deeper than 200 levels")


def test_many_lists_side_by_side_are_not_deep(box):
    many = [[{"]": "]["}] for _ in range(500)]
    result = run(config_for(box), [PERSON, person(1, n=many), state({"many": many})])
    assert result.code == 0, result.log
    assert box.list_members("all") == people(1)
    assert result.states == [{"many": many}]


@pytest.mark.parametrize("levels", [300, 5_000])
def test_another_message_that_is_nested_too_deeply_is_a_sentence(box, levels):
    bottom = b"[" * levels + b"]" * levels
    messages = [
        PERSON,
        person(1),
        state({"at": 1}),
        line(state("DEEP")).replace(b'"DEEP"', bottom),
        person(2),
    ]
    result = run(config_for(box), messages)
    assert result.code == 2
    assert "Line 4 of the input is nested deeper than 200 levels" in result.message
    assert result.states == [{"at": 1}]
    assert box.list_members("all") == people(1)


@pytest.mark.parametrize(
    "rule",
    [
        {"$ref": "#/definitions/nowhere"},
        {"$ref": "#nowhere"},
        {"$ref": "http://127.0.0.1:9/schema.json"},
        {"$ref": "other.json#/definitions/x"},
    ],
)
def test_a_ref_to_nowhere_is_a_sentence_about_the_schema(box, rule):
    messages = [
        schema({"id": "integer", "email": "string", "n": rule}, key=("id",)),
        person(1),
        state({"at": 1}),
    ]
    messages += [person(2, n="x"), state({"at": 2})]
    result = run(config_for(box, validate_records=True), messages)
    assert result.code == 2
    assert "The SCHEMA message in line 1 of the input has a $ref to what is not in it" in result.message
    assert result.states == [{"at": 1}]
    assert box.list_members("all") == people(1)


def test_a_record_that_no_check_gets_through_is_a_reject(box):
    nested = 900 * '{"next":' + "1" + 900 * "}"
    rules = {
        "circle": {"$ref": "#/properties/circle"},
        "chain": {"type": ["object", "integer"], "properties": {"next": {"$ref": "#/properties/chain"}}},
    }
    messages = [
        schema({"id": "integer", "email": "string", **rules}, key=("id",)),
        person(1, chain={"next": {"next": 1}}),
        person(2, circle="x"),
        person(3, chain=json.loads(nested)),
        person(5),
        state({"at": 1}),
    ]
    result = run(config_for(box, validate_records=True), messages)
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert box.list_members("all") == people(1, 5)
    assert [entry["record"]["id"] for entry in report(box)] == [2, 3]
    assert [entry["reason"] for entry in report(box)] == [
        "cannot be held against the stream's schema (RecursionError)",
        "nested deeper than 200 levels",
    ]


FIRST = schema({"id": "integer", "email": "string", "audience_state": "string"}, key=("id",))


@pytest.mark.parametrize(
    "others", [[], [schema({"email": "string"}, "other"), record({"email": "o@example.com"}, "other")]]
)
@pytest.mark.parametrize(
    ("lost", "words"),
    [
        ("email", "has no field 'email', which identifies contacts"),
        ("audience_state", "no longer has 'audience_state', which says who enters and who leaves"),
    ],
)
def test_a_later_schema_that_lacks_what_says_who_it_is_stops_the_run(box, others, lost, words):
    fill(box, *people(2))
    properties = {name: rule for name, rule in FIRST["schema"]["properties"].items() if name != lost}
    later = {**FIRST, "schema": {"properties": properties}}
    messages = [
        *others,
        FIRST,
        person(1, audience_state="enter"),
        state({"at": 1}),
        later,
        later,
        record({"id": 2, "email": "p2@example.com", "audience_state": "exit"}),
        state({"at": 2}),
    ]
    result = run(config_for(box), messages)
    assert result.code == 2
    assert f"A later SCHEMA message of stream 'audience_members', in line {len(others) + 4}" in result.message
    assert words in result.message
    assert result.states == [{"at": 1}]
    assert box.list_members("all") == people(1, 2) | ({"o@example.com"} if others else set())


def test_a_later_schema_without_the_identifier_is_none_of_the_runs_business_if_no_record_follows(box):
    messages = [
        FIRST,
        person(1, audience_state="enter"),
        schema({"id": "integer"}, key=("id",)),
        state({"at": 1}),
    ]
    result = run(config_for(box), messages)
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]


def test_key_properties_that_the_schema_lacks_are_a_sentence(box):
    messages = [
        schema({"email": "string"}, key=("email", "nope")),
        record({"email": "a@example.com"}),
        state({"at": 1}),
    ]
    result = run(config_for(box), messages)
    assert result.code == 2
    assert (
        "The SCHEMA message of stream 'audience_members', in line 1 of the input, has 'nope' among"
        in result.message
    )
    assert result.states == []
    assert box.contacts() == {}
    has_it = record({"email": "a@example.com", "nope": 1})
    assert run(config_for(box), [messages[0], has_it, state({"at": 1})]).code == 0
