"""What a record means: which contact it is, whether it enters or leaves, and where its fields go."""

import contextlib
import csv
import io
import json
from pathlib import Path

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tap_lytics_audience.lytics.identifier import member_key
from target_cordial.intake.identifiers import contact_keys
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    exit_,
    kept_files,
    record,
    run,
    schema,
    state,
)

addresses = st.tuples(
    st.text(min_size=1), st.sampled_from(["@", "@EXAMPLE.", " @"]), st.text(min_size=1)
).map("".join)


def key_or_none(value, *, is_address, kind="enter"):
    rejects = {}
    [key] = contact_keys([value], [kind], is_address=is_address, field="email", rejects=rejects)
    return None if rejects else key


@settings(max_examples=2_000, deadline=None)
@given(st.one_of(addresses, st.text(), st.integers(), st.booleans(), st.none()))
@example("I\u03aa\u0301@example.com")
@example(" \u0130STANBUL@EXAMPLE.COM\u3000")
@example("ΑΣ@example.com")
def test_a_contact_has_the_key_that_the_tap_gave_it(value):
    member = member_key(value)
    for is_address, kind in [(True, "enter"), (False, "enter"), (True, "exit")]:
        key = key_or_none(value, is_address=is_address, kind=kind)
        assert key in (None, member)
        # What the tap emits is the key itself, and comes through here again.
        assert key_or_none(member, is_address=is_address, kind=kind) == key


SPELLINGS = [
    (" Ada@Example.COM\t", "ada@example.com"),
    ("jose\u0301@example.com", "jos\u00e9@example.com"),
    ("JOSÉ@EXAMPLE.COM", "josé@example.com"),
    ("o'neil+tag@sub.example.co.uk", "o'neil+tag@sub.example.co.uk"),
    ("用户@例子.广告", "用户@例子.广告"),
    ("a@" + "b." * 124 + "com", "a@" + "b." * 124 + "com"),
]


def test_an_address_is_one_contact_however_it_is_written(box):
    messages = [message for given_as, key in SPELLINGS for message in (enter(given_as), enter(key))]
    result = run(box.target_config(), [AUDIENCE_SCHEMA, *messages, state({"at": 1})])
    assert result.code == 0, result.log
    keys = {key for _, key in SPELLINGS}
    assert set(box.contacts()) == keys
    assert box.jobs()[-1]["result"]["totalRecords"] == len(keys)


NO_ADDRESS = "the identifier is not an e-mail address: "
BEFORE = NO_ADDRESS + "the email address contains invalid characters before the at-sign"
AFTER = NO_ADDRESS + "the part after the at-sign contains invalid characters"
NO_DOMAIN = NO_ADDRESS + "the part after the at-sign is not valid. It is not within a valid top-level domain"
UNUSABLE = [
    (None, "no identifier"),
    ("", "no identifier"),
    (" \t\n ", "no identifier"),
    (["ada@example.com"], "the identifier is not text"),
    ({"a": 1}, "the identifier is not text"),
    (1.5, "the identifier is not text"),
    (True, "the identifier is not text"),
    ("a\x00@example.com", "the identifier holds a character that no text file can hold"),
    ('a\\"@example.com', "the identifier holds a backslash before a quote"),
]
"""What no cell can hold."""
NO_ADDRESSES = [
    (7, NO_ADDRESS + "an email address must have an at-sign"),
    ("ada", NO_ADDRESS + "an email address must have an at-sign"),
    ("ada@", NO_ADDRESS + "there must be something after the at-sign"),
    ("@example.com", NO_ADDRESS + "there must be something before the at-sign"),
    ("ada@example", NO_ADDRESS + "the part after the at-sign is not valid. It should have a period"),
    ("ada@example.", NO_ADDRESS + "an email address cannot end with a period"),
    ("ada@b@example.com", AFTER),
    ("ada lovelace@example.com", BEFORE),
    ("a@example.com,b@example.com", AFTER),
    ("a@example.com; b@example.com", AFTER),
    ("a@" + "b." * 125 + "com", NO_ADDRESS + "longer than 254 characters"),
    (
        f"a@{'b' * 64}.com",
        NO_ADDRESS + "after the at-sign, periods cannot be separated by so many characters",
    ),
    (f"{'a' * 65}@example.com", NO_ADDRESS + "the email address is too long before the at-sign"),
    (f"{'a.' * 33}a@example.com", NO_ADDRESS + "the email address is too long before the at-sign"),
    ("ada@exa\nmple.com", "the identifier holds an invisible character, U+000A"),
    ("ada\u200b@example.com", "the identifier holds an invisible character, U+200B"),
    ("ada\u202e@example.com", "the identifier holds an invisible character, U+202E"),
    ("\ufeffada@example.com", "the identifier holds an invisible character, U+FEFF"),
    ("ada\u00a0b@example.com", "the identifier holds an invisible character, U+00A0"),
    ("ada\u3164@example.com", "the identifier holds an invisible character, U+3164"),
    ("ada\U000e0100@example.com", "the identifier holds an invisible character, U+E0100"),
    ("mailto:ada@example.com", BEFORE),
    ("https://ada@example.com", BEFORE),
    ("'ada@example.com'", AFTER),
    ("(ada)ada@example.com", BEFORE),
    ("a..b@example.com", NO_ADDRESS + "an email address cannot have two periods in a row"),
    ("ada@example..com", NO_ADDRESS + "an email address cannot have two periods in a row"),
    (".ada@example.com", NO_ADDRESS + "an email address cannot start with a period"),
    ("ada.@example.com", NO_ADDRESS + "an email address cannot have a period immediately before the at-sign"),
    ("ada@.example.com", NO_ADDRESS + "an email address cannot have a period immediately after the at-sign"),
    ("ada@-example.com", NO_ADDRESS + "an email address cannot have a hyphen immediately after the at-sign"),
    ("ada@exa_mple.com", AFTER),
    ("ada@example.c0m1", NO_DOMAIN),
    ("ada@10.0.0.1", NO_DOMAIN),
    ("ada@[10.0.0.1]", NO_ADDRESS + "a bracketed IP address after the at-sign is not allowed here"),
    ("ada@example.com:25", AFTER),
    ("ada@example.com/path", AFTER),
    ("ada@example.com?cc=x", AFTER),
    ("ada@example.com#part", AFTER),
    ('"ada b"@example.com', NO_ADDRESS + "quoting the part before the at-sign is not allowed here"),
    (
        "Ada <ada@example.com>",
        NO_ADDRESS + "a display name and angle brackets around the email address are not permitted here",
    ),
    ("ada\uff20example.com", NO_ADDRESS + 'the email address has the "full-width" at-sign'),
    ("ada@\u2603.com", NO_ADDRESS + "the part after the at-sign is invalid"),
]


def reasons(box):
    lines = [
        json.loads(line) for path in sorted(Path(box.folder, "rejects").iterdir()) for line in path.open()
    ]
    return [(line["reason"], line["field"]) for line in lines if "record" in line]


def test_an_enter_without_a_usable_identifier_is_a_reject_with_a_reason_that_a_person_understands(box):
    messages = [enter(identifier) for identifier, _ in UNUSABLE + NO_ADDRESSES]
    config = box.target_config(max_reject_percent=100)
    result = run(config, [AUDIENCE_SCHEMA, *messages, state({"at": 1})])
    assert result.code == 0, result.log
    assert box.contacts() == {}
    assert result.states == [{"at": 1}]
    assert reasons(box) == [(reason, "email") for _, reason in UNUSABLE + NO_ADDRESSES]


def test_an_exit_goes_whatever_its_address_looks_like_if_a_cell_can_hold_it(box):
    messages = [exit_(identifier) for identifier, _ in UNUSABLE + NO_ADDRESSES]
    config = box.target_config(max_reject_percent=100, max_removal_percent=100, keep_files=True)
    result = run(config, [AUDIENCE_SCHEMA, enter("x@example.com"), *messages, state({"at": 1})])
    assert reasons(box) == [(reason, "email") for _, reason in UNUSABLE]
    assert "exits" in result.message
    content = [text for text in kept_files(box).values() if "x@example.com" not in text]
    rows = [row[0] for row in csv.reader(io.StringIO("".join(content), newline=""))][1:]
    assert sorted(rows) == sorted(str(identifier).lower().strip() for identifier, _ in NO_ADDRESSES)


@settings(max_examples=1_000, deadline=None)
@given(
    st.one_of(
        st.emails().map(str.lower),
        st.from_regex(r"[a-z0-9._%+'-]{1,8}@([a-z0-9.-]{1,6}\.){1,3}[a-z]{2,3}", fullmatch=True),
        st.from_regex(r"[a-z.]{60,70}@example\.com", fullmatch=True),
        st.text("ab.-_'@%", max_size=12).map(lambda text: text + ".com"),
    )
)
def test_the_quick_check_vouches_for_nothing_that_the_validator_refuses(address):
    expected = None
    # What cannot be printed is refused, whatever the validator says.
    if address.isprintable():
        with contextlib.suppress(EmailNotValidError):
            validate_email(address, check_deliverability=False, strict=True)
            expected = address
    assert key_or_none(address, is_address=True) == expected


@settings(max_examples=1_000, deadline=None)
@given(st.text())
def test_whatever_an_identifier_is_its_reason_says_nothing_of_it(text):
    rejects = {}
    contact_keys([f"\uabcd{text}@"], ["enter"], is_address=True, field="email", rejects=rejects)
    assert "\uabcd" not in rejects[0].reason


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


def people(rule, *values, field="field"):
    yield schema({"email": "string", field: rule}, key=())
    for value in values:
        yield record({"email": "ada@example.com", field: value})


@pytest.mark.parametrize(
    ("channel", "rule", "types"),
    [
        ("email", {"type": ["number", "null"]}, "number"),
        ("email", {"type": "boolean"}, "boolean"),
        ("email", {"type": "integer"}, "integer"),
        ("email", {"type": ["string", "null"], "format": "date-time"}, "string (date-time)"),
        ("email", {"anyOf": [{"type": "string", "format": "date"}, {"type": "null"}]}, "string (date)"),
        ("email", {"type": ["array", "object"]}, "array or object"),
        ("sms", {"type": "number"}, "number"),
        ("sms", {"type": "boolean"}, "boolean"),
    ],
)
def test_an_identifier_of_a_type_that_identifies_nobody_is_one_sentence(box, channel, rule, types):
    config = box.target_config(
        identifier_field="field",
        identifier_column=f"channels.{channel}.address",
        field_mapping={},
        list_name="all",
    )
    result = run(config, [*people(rule, 1), state({"at": 1})])
    assert result.code != 0
    assert f"The field 'field' of stream 'audience_members' is of type {types}, which never" in result.message
    assert result.states == []


@pytest.mark.parametrize(
    ("channel", "rule", "value"),
    [
        ("email", {"type": ["integer", "string"]}, "eve@example.com"),
        ("email", {"type": "string", "format": "email"}, "eve@example.com"),
        ("email", {}, "eve@example.com"),
        ("sms", {"type": "integer"}, 15550100),
    ],
)
def test_an_identifier_of_a_type_that_may_identify_is_taken(box, channel, rule, value):
    config = box.target_config(
        identifier_field="field",
        identifier_column=f"channels.{channel}.address",
        field_mapping={},
        list_name="all",
        keep_files=True,
    )
    run(config, people(rule, value))
    (text,) = kept_files(box).values()
    assert text.splitlines()[1:] == [str(value)]


def test_the_identifier_may_be_nested_and_a_field_of_that_very_name_wins(box):
    contact = {"type": "object", "properties": {"email": {"type": "string"}}}
    messages = [
        schema({"contact": contact, "contact.email": "string", "id": "integer"}, key=("id",)),
        record({"id": 1, "contact": {"email": "Ada@example.com"}}),
        record({"id": 2, "contact": {"email": "not@example.com"}, "contact.email": "eve@example.com"}),
        record({"id": 3, "contact": None}),
    ]
    config = box.target_config(identifier_field="contact.email", field_mapping={}, list_name="all")
    result = run(config, messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == {"ada@example.com", "eve@example.com"}
    assert reasons(box) == [("no identifier", "contact.email")]


@pytest.mark.parametrize("is_open", [True, False, None, {"type": "string"}])
def test_a_field_that_the_schema_leaves_open_is_mapped_at_any_depth(box, is_open):
    message = schema({"email": "string", "inner": {"type": "object", "properties": {"a": {}}}})
    if is_open is not None:
        message["schema"]["additionalProperties"] = is_open
        message["schema"]["properties"]["inner"]["additionalProperties"] = is_open
    values = {"email": "ada@example.com", "name": "Ada", "inner": {"b": "Lovelace"}}
    for mapping in ({"name": "first_name"}, {"inner.b": "first_name"}):
        result = run(box.target_config(field_mapping=mapping, list_name="all"), [message, record(values)])
        assert (result.code == 0) is bool(is_open), result.log
    # A stream that may have anything is no stream of people for that.
    result = run(box.target_config(identifier_field="mail", list_name="all"), [message, record(values)])
    assert "None of the streams has the field 'mail'" in result.message


ANY_FORM = [True, {}, {"anyOf": [True, {"type": "null"}]}, {"anyOf": [{}, {"type": "null"}]}, {"type": "any"}]


@pytest.mark.parametrize("flattening", [False, True])
@pytest.mark.parametrize("rule", ANY_FORM)
def test_a_property_that_takes_any_value_fits_any_attribute(box, rule, flattening):
    config = box.target_config(
        field_mapping={"field": "birthday"},
        list_name="all",
        validate_records=True,
        flattening_enabled=flattening,
        flattening_max_depth=2,
    )
    result = run(config, people(rule, "2024-02-29"))
    assert result.code == 0, result.log
    assert box.contacts()["ada@example.com"].attributes == {"birthday": "2024-02-29"}


def test_a_list_name_that_a_stream_cannot_fill_is_one_sentence(box):
    messages = [schema({"email": "string"}), record({"email": "ada@example.com"}), state({"at": 1})]
    result = run(box.target_config(field_mapping={}), messages)
    assert result.code != 0
    assert "has no field 'audience_name', which list_name ('Lytics_{audience_name}') names" in result.message
    assert result.states == []
    assert list(Path(box.folder, "rejects").glob("*")) == []


def test_a_status_of_the_sources_own_is_refused_with_what_to_do(box):
    config = box.target_config(field_mapping={"field": "channels.email.subscribeStatus"}, list_name="all")
    result = run(config, people({"type": "string"}, "unsubscribed"))
    assert result.code != 0
    assert "is that of a channel, which is never sent from a record" in result.message
    assert "__filter__" in result.message
    assert box.contacts() == {}
