"""What a record means: which contact it is, whether it enters or leaves, and where its fields go."""

import json
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tap_lytics_audience.lytics.identifier import member_key
from target_cordial.intake.mapping import contact_keys
from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, exit_, record, run, schema, state

addresses = st.tuples(
    st.text(min_size=1), st.sampled_from(["@", "@EXAMPLE.", " @"]), st.text(min_size=1)
).map("".join)


def key_or_none(value, *, is_address):
    rejects = {}
    [key] = contact_keys([value], is_address=is_address, field="email", rejects=rejects)
    return None if rejects else key


@settings(max_examples=2_000, deadline=None)
@given(st.one_of(addresses, st.text(), st.integers(), st.booleans(), st.none()))
@example("I\u03aa\u0301@example.com")
@example(" \u0130STANBUL@EXAMPLE.COM\u3000")
@example("ΑΣ@example.com")
def test_a_contact_has_the_key_that_the_tap_gave_it(value):
    member = member_key(value)
    for is_address in (True, False):
        key = key_or_none(value, is_address=is_address)
        assert key in (None, member)
        # What the tap emits is the key itself, and comes through here again.
        assert key_or_none(member, is_address=is_address) == key


SPELLINGS = [
    (" Ada@Example.COM\t", "ada@example.com"),
    ("jose\u0301@example.com", "jos\u00e9@example.com"),
    ("JOSÉ@EXAMPLE.COM", "josé@example.com"),
    ("o'neil+tag@sub.example.co.uk", "o'neil+tag@sub.example.co.uk"),
    ("用户@例子.广告", "用户@例子.广告"),
    ("a@" + "b" * 248 + ".com", "a@" + "b" * 248 + ".com"),
]


def test_an_address_is_one_contact_however_it_is_written(box):
    messages = [message for given_as, key in SPELLINGS for message in (enter(given_as), enter(key))]
    result = run(box.target_config(), [AUDIENCE_SCHEMA, *messages, state({"at": 1})])
    assert result.code == 0, result.log
    keys = {key for _, key in SPELLINGS}
    assert set(box.contacts()) == keys
    assert box.jobs()[-1]["result"]["totalRecords"] == len(keys)


UNUSABLE = [
    (None, "no identifier"),
    ("", "no identifier"),
    (" \t\n ", "no identifier"),
    (["ada@example.com"], "the identifier is not text"),
    ({"a": 1}, "the identifier is not text"),
    (1.5, "the identifier is not text"),
    (True, "the identifier is not text"),
    (7, "the identifier is not an e-mail address"),
    ("ada", "the identifier is not an e-mail address"),
    ("ada@", "the identifier is not an e-mail address"),
    ("@example.com", "the identifier is not an e-mail address"),
    ("ada@example", "the identifier is not an e-mail address"),
    ("ada@example.", "the identifier is not an e-mail address"),
    ("ada@b@example.com", "the identifier is not an e-mail address"),
    ("ada lovelace@example.com", "the identifier is not an e-mail address"),
    ("ada@exa\nmple.com", "the identifier is not an e-mail address"),
    ("Ada <ada@example.com>", "the identifier is not an e-mail address"),
    ("a@example.com,b@example.com", "the identifier is not an e-mail address"),
    ("a@" + "b" * 249 + ".com", "the identifier is not an e-mail address"),
    ("ada\u200b@example.com", "the identifier holds a control character"),
    ("ada\u202e@example.com", "the identifier holds a control character"),
    ("\ufeffada@example.com", "the identifier holds a control character"),
]


def reasons(box):
    lines = [
        json.loads(line) for path in sorted(Path(box.folder, "rejects").iterdir()) for line in path.open()
    ]
    return [(line["reason"], line["field"]) for line in lines]


def test_a_record_without_a_usable_identifier_is_a_reject(box):
    messages = [message for identifier, _ in UNUSABLE for message in (enter(identifier), exit_(identifier))]
    result = run(box.target_config(), [AUDIENCE_SCHEMA, *messages, state({"at": 1})])
    assert result.code == 0, result.log
    assert box.contacts() == {}
    assert result.states == [{"at": 1}]
    assert reasons(box) == [(reason, "email") for _, reason in UNUSABLE for _ in range(2)]


def test_another_channel_takes_any_text_as_identifier(box):
    """The sandbox's Cordial wants an address in each channel; what arrives in the file is what counts."""
    config = box.target_config(
        identifier_field="phone",
        identifier_column="channels.sms.address",
        list_name="all",
        field_mapping={},
        keep_files=True,
    )
    messages = [
        schema({"phone": "string"}, key=()),
        record({"phone": " +1 555 0100 "}),
        record({"phone": 15550101}),
    ]
    run(config, messages)
    (kept,) = (box.folder / "sftp" / "import").iterdir()
    assert kept.read_text().splitlines() == ["channels.sms.address", "+1 555 0100", "15550101"]


def test_a_state_that_is_neither_enter_nor_exit_is_a_reject(box):
    states = ["ENTER", "Exit", "", None, "left", True, 1, ["enter"]]
    messages = [enter(f"p{number}@example.com") for number in range(len(states) + 1)]
    for message, given_state in zip(messages, states, strict=False):
        message["record"]["audience_state"] = given_state
    del messages[-1]["record"]["audience_state"]
    result = run(box.target_config(), [AUDIENCE_SCHEMA, *messages, state({"at": 1})])
    assert result.code == 0, result.log
    assert box.contacts() == {}
    assert reasons(box) == [("neither enter nor exit", "audience_state")] * len(messages)


def test_a_stream_of_an_audience_without_its_state_is_an_error(box):
    messages = [
        schema({"email": "string", "audience_id": "string"}),
        record({"email": "ada@example.com", "audience_id": "1"}),
    ]
    result = run(box.target_config(field_mapping={}, list_name="all"), messages)
    assert result.code == 2
    assert "has audience_id but not 'audience_state'" in result.message
    assert box.contacts() == {}


def test_a_state_field_that_the_stream_does_not_have_is_an_error(box):
    messages = [schema({"email": "string"}), record({"email": "ada@example.com"})]
    result = run(box.target_config(field_mapping={}, list_name="all", state_field="status"), messages)
    assert result.code == 2
    assert "has no field 'status': correct state_field" in result.message
    assert box.contacts() == {}


def test_another_state_field_decides(box):
    messages = [
        schema({"email": "string", "status": "string"}),
        record({"email": "ada@example.com", "status": "enter"}),
        record({"email": "eve@example.com", "status": "exit"}),
    ]
    result = run(box.target_config(field_mapping={}, list_name="all", state_field="status"), messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == {"ada@example.com"}


def test_nested_fields_are_mapped_by_dotted_names_and_a_field_of_that_very_name_wins(box):
    properties = {
        "email": "string",
        "name": {"type": ["object", "null"], "properties": {"first": {"type": "string"}}},
        "name.last": "string",
        "visits": {"type": "object", "additionalProperties": {"type": "integer"}},
        "deep": {"anyOf": [{"type": "object"}, {"type": "null"}]},
    }
    mapping = {
        "name.first": "first_name",
        "name.last": "last_name",
        "visits.web": "visit_count",
        "deep.down.city": "home.city",
    }
    messages = [
        schema(properties),
        record(
            {
                "email": "all@example.com",
                "name": {"first": "Ada", "last": "not this one"},
                "name.last": "Lovelace",
                "visits": {"web": 7},
                "deep": {"down": {"city": "Oslo"}},
            }
        ),
        record({"email": "none@example.com", "name": None, "visits": {}, "deep": {"down": "flat"}}),
    ]
    result = run(box.target_config(field_mapping=mapping, list_name="all"), messages)
    assert result.code == 0, result.log
    assert box.contacts()["all@example.com"].attributes == {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "visit_count": "7",
        "home": {"city": "Oslo"},
    }
    assert box.contacts()["none@example.com"].attributes == {}


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"no_such": "first_name"}, "The stream 'people' has no field 'no_such': select it in the tap"),
        ({"name.middle": "first_name"}, "The stream 'people' has no field 'name.middle'"),
        ({"email.domain": "first_name"}, None),
        ({"email": "no_such"}, "Cordial has no attribute 'no_such' (field_mapping of 'email')"),
        ({"email": "First_Name"}, "Cordial has no attribute 'First_Name'"),
        ({"email": "first_name", "name.first": "first_name"}, "The attribute 'first_name' is mapped twice"),
        ({"email": "home"}, "The attribute 'home' is a geo attribute: map a field to one of its parts"),
        ({"email": "home.planet"}, "The attribute 'home' is a geo attribute"),
        ({"email": "first_name.city"}, "The attribute 'first_name' is a string, which has no part 'city'"),
    ],
)
def test_a_mapping_that_cannot_work_is_one_sentence_before_anything_is_sent(box, mapping, words):
    name = {"type": "object", "properties": {"first": {"type": "string"}}}
    messages = [
        schema({"email": "string", "name": name}, stream="people"),
        record({"email": "ada@example.com", "name": {"first": "Ada"}}, stream="people"),
    ]
    result = run(box.target_config(field_mapping=mapping, list_name="all"), messages)
    if words is None:
        assert result.code == 0, result.log
        return
    assert result.code == 2
    assert words in result.message
    assert box.contacts() == {}
    assert box.jobs() == []


NEVER = [
    ("visit_count", {"type": "object"}, "object"),
    ("visit_count", {"type": ["array", "null"]}, "array"),
    ("visit_count", {"type": "string", "format": "date-time"}, "string (date-time)"),
    ("birthday", {"type": ["null", "integer"]}, "integer"),
    ("birthday", {"type": "string", "format": "email"}, "string (email)"),
    ("birthday", {"anyOf": [{"type": "boolean"}, {"type": "number"}, {"type": "null"}]}, "boolean or number"),
    ("interests", {"type": "object"}, "object"),
    ("home.loc.lat", {"type": "array"}, "array"),
]
PERHAPS = [
    ("visit_count", {"type": ["object", "integer"]}),
    ("visit_count", {"type": "string"}),
    ("visit_count", {"type": "boolean"}),
    ("birthday", {"type": "string", "format": "date"}),
    ("birthday", {"anyOf": [{"type": "integer"}, {"type": "string", "format": "date-time"}]}),
    ("birthday", {"anyOf": [{"type": "integer"}, {}]}),
    ("birthday", {}),
    ("birthday", {"type": "null"}),
    ("interests", {"type": "string"}),
    ("first_name", {"type": "object"}),
    ("home.city", {"type": "array"}),
]


@pytest.mark.parametrize(("attribute", "rule", "types"), NEVER)
def test_a_field_of_a_type_that_never_fits_its_attribute_is_one_sentence(box, attribute, rule, types):
    messages = [
        schema({"email": "string", "field": rule}),
        record({"email": "ada@example.com", "field": None}),
    ]
    result = run(box.target_config(field_mapping={"field": attribute}, list_name="all"), messages)
    assert result.code == 2
    assert f"is of type {types}, which never fits the attribute {attribute!r}" in result.message
    assert box.contacts() == {}


def test_a_field_of_a_type_that_may_fit_is_let_through(box):
    attributes = sorted({attribute for attribute, _ in PERHAPS})
    messages = []
    for number, (attribute, rule) in enumerate(PERHAPS):
        rules = {name: {} for name in attributes} | {"email": "string", attribute: rule}
        messages += [schema(rules, f"s{number}"), record({"email": f"p{number}@example.com"}, f"s{number}")]
    config = box.target_config(field_mapping={name: name for name in attributes}, list_name="all")
    result = run(config, messages)
    assert result.code == 0, result.log
    assert len(box.list_members("all")) == len(PERHAPS)


def test_an_exit_carries_no_field_and_needs_none(box):
    assert run(box.target_config(), [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada")]).code == 0
    result = run(box.target_config(require_all_fields=True), [AUDIENCE_SCHEMA, exit_("ada@example.com")])
    assert result.code == 0, result.log
    assert box.list_members(LIST) == set()
    assert box.contacts()["ada@example.com"].attributes == {"first_name": "Ada"}
