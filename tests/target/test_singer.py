"""Any Singer tap: schemas that change, stream maps, flattening, deleted rows, messages that mean nothing here."""

import hashlib
import json
from pathlib import Path

from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, exit_, record, run, schema, state


def config_for(box, **overrides):
    return box.target_config(**{"field_mapping": {}, "list_name": "all", **overrides})


def attributes_of(box, name="ada"):
    return box.contacts()[f"{name}@example.com"].attributes


def rejects_of(box):
    return [
        json.loads(line) for path in sorted(Path(box.folder, "rejects").glob("*")) for line in path.open()
    ]


def ada(stream="audience_members", **fields):
    return record({"email": "ada@example.com", **fields}, stream)


def test_a_stream_without_audience_columns_fills_a_list(box):
    result = run(config_for(box), [schema({"email": "string"}), ada(), record({"email": "eve@example.com"})])
    assert result.code == 0, result.log
    assert box.list_members("all") == {"ada@example.com", "eve@example.com"}


def test_a_schema_that_changes_in_mid_stream_loses_no_order_and_no_value(box):
    mapping = {"name": "first_name", "visits": "visit_count"}
    messages = [
        schema({"email": "string", "name": "string", "visits": "string"}),
        ada(name="first", visits="1"),
        schema({"email": "string", "name": "string", "visits": "integer", "more": "string"}),
        ada(name="second", visits=None),
        schema({"email": "string", "name": "integer", "visits": "number"}),
        ada(name=3),
        schema({"email": "string", "name": "string", "visits": "string"}),
        record({"email": "eve@example.com", "name": "Eve", "visits": "7"}),
        state({"at": 1}),
    ]
    result = run(config_for(box, field_mapping=mapping), messages)
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert attributes_of(box) == {"first_name": "3", "visit_count": "1"}
    assert attributes_of(box, "eve") == {"first_name": "Eve", "visit_count": "7"}


def test_a_schema_that_changes_keeps_enters_and_exits_in_order(box):
    longer = schema(
        {**AUDIENCE_SCHEMA["schema"]["properties"], "more": "string"}, key=("audience_id", "email")
    )
    messages = [
        AUDIENCE_SCHEMA,
        enter("ada@example.com"),
        exit_("eve@example.com"),
        longer,
        exit_("ada@example.com"),
        enter("eve@example.com"),
        AUDIENCE_SCHEMA,
        enter("joe@example.com"),
    ]
    result = run(box.target_config(), messages)
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {"eve@example.com", "joe@example.com"}


def test_a_field_that_a_later_schema_lacks_is_one_sentence(box):
    messages = [
        schema({"email": "string", "name": "string"}),
        ada(name="Ada"),
        state({"at": 1}),
        schema({"email": "string"}),
        ada(),
        state({"at": 2}),
    ]
    result = run(config_for(box, field_mapping={"name": "first_name"}), messages)
    assert result.code == 2
    assert "The stream 'audience_members' has no field 'name'" in result.message
    assert {"at": 2} not in result.states


def test_stream_maps_rename_filter_hash_and_compute(box):
    maps = {
        "people": {
            "__alias__": "persons",
            "__filter__": "age >= 18",
            "__else__": None,
            "email": "address.lower()",
            "name": "given + ' ' + family",
            "token": "md5(address)",
        }
    }
    mapping = {"name": "first_name", "token": "last_name"}
    properties = {
        "address": {"type": "string"},
        "given": "string",
        "family": "string",
        "age": {"type": "integer"},
    }
    messages = [
        schema(properties, "people", ()),
        record({"address": "ADA@example.com", "given": "Ada", "family": "Lovelace", "age": 36}, "people"),
        record({"address": "KID@example.com", "given": "Kid", "family": "Young", "age": 7}, "people"),
    ]
    result = run(config_for(box, stream_maps=maps, field_mapping=mapping), messages)
    assert result.code == 0, result.log
    token = hashlib.md5(b"ADA@example.com").hexdigest()
    assert set(box.contacts()) == {"ada@example.com"}
    assert attributes_of(box) == {"first_name": "Ada Lovelace", "last_name": token}


def test_a_stream_map_may_drop_a_stream_and_split_one_in_two(box):
    maps = {
        "noise": None,
        "people": {"name": "'one'"},
        "again": {"__source__": "people", "name": "'two'", "email": "other"},
    }
    messages = [
        schema({"email": "string"}, "noise"),
        record({"email": "noise@example.com"}, "noise"),
        schema({"email": {"type": "string"}, "other": {"type": "string"}}, "people"),
        record({"email": "ada@example.com", "other": "eve@example.com"}, "people"),
    ]
    result = run(config_for(box, stream_maps=maps, field_mapping={"name": "first_name"}), messages)
    assert result.code == 0, result.log
    assert {address: contact.attributes["first_name"] for address, contact in box.contacts().items()} == {
        "ada@example.com": "one",
        "eve@example.com": "two",
    }


def test_flattening_gives_nested_fields_and_lists_names_of_their_own(box):
    properties = {
        "email": "string",
        "name": {"type": "object", "properties": {"first": {"type": "string"}, "last": {"type": "string"}}},
        "likes": {"type": "array", "items": {"type": "string"}},
    }
    config = config_for(
        box,
        flattening_enabled=True,
        flattening_max_depth=2,
        field_mapping={"name__first": "first_name", "likes": "interests"},
    )
    messages = [schema(properties), ada(name={"first": "Ada", "last": "L"}, likes=["jazz", "café, bars"])]
    result = run(config, messages)
    assert result.code == 0, result.log
    assert attributes_of(box) == {"first_name": "Ada", "interests": ["jazz", "café, bars"]}


def test_a_row_that_is_deleted_at_its_source_leaves_the_list_and_is_never_created(box):
    properties = {"email": "string", "_sdc_deleted_at": {"type": ["string", "null"], "format": "date-time"}}
    gone = "2026-01-02T03:04:05Z"
    messages = [
        schema(properties),
        ada(_sdc_deleted_at=None),
        record({"email": "eve@example.com", "_sdc_deleted_at": gone}),
        record({"email": "new@example.com", "_sdc_deleted_at": gone}),
    ]
    box.account.put_contact("eve@example.com", {}, "unsubscribed")
    box.account.join(box.account.add_list("all"), "eve@example.com")
    result = run(config_for(box), messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == {"ada@example.com"}
    assert set(box.contacts()) == {"ada@example.com", "eve@example.com"}


def test_a_deleted_row_is_seen_also_where_a_stream_map_drops_the_column(box):
    properties = {"email": "string", "_sdc_deleted_at": "string"}
    maps = {"audience_members": {"email": "email", "__else__": None}}
    assert run(config_for(box), [schema(properties), ada(_sdc_deleted_at=None)]).code == 0
    messages = [schema(properties), ada(_sdc_deleted_at="2026-01-02T03:04:05Z")]
    result = run(config_for(box, stream_maps=maps), messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == set()


def test_activate_version_is_passed_over_with_a_word(box):
    version = {"type": "ACTIVATE_VERSION", "stream": "audience_members", "version": 1}
    messages = [schema({"email": "string"}), version, ada(), version, state({"at": 1})]
    result = run(config_for(box), messages)
    assert result.code == 0, result.log
    assert "ACTIVATE_VERSION of stream audience_members is passed over" in result.log
    assert box.list_members("all") == {"ada@example.com"}
    assert result.states == [{"at": 1}]


def test_batch_files_are_refused_with_a_word_and_what_came_before_is_delivered(box):
    batch = {
        "type": "BATCH",
        "stream": "audience_members",
        "encoding": {"format": "jsonl", "compression": "gzip"},
        "manifest": ["file:///nowhere.json.gz"],
    }
    messages = [schema({"email": "string"}), ada(), state({"at": 1}), batch, state({"at": 2})]
    result = run(config_for(box), messages)
    assert result.code == 2
    assert (
        "The stream 'audience_members' comes as BATCH files, which target-cordial does not read"
        in result.message
    )
    assert box.list_members("all") == {"ada@example.com"}
    assert result.states == [{"at": 1}]


def test_a_schema_without_key_properties_is_fine(box):
    message = schema({"email": "string"})
    del message["key_properties"]
    assert run(config_for(box), [message, ada()]).code == 0
    assert box.list_members("all") == {"ada@example.com"}


def test_record_metadata_can_be_mapped_when_it_is_asked_for(box):
    message = ada()
    message["time_extracted"] = "2026-01-02T03:04:05.678901Z"
    config = config_for(box, add_record_metadata=True, field_mapping={"_sdc_extracted_at": "birthday"})
    result = run(config, [schema({"email": "string"}), message])
    assert result.code == 0, result.log
    assert attributes_of(box) == {"birthday": "2026-01-02T03:04:05.678901Z"}


def test_records_are_held_against_their_schema_only_when_that_is_asked_for(box):
    properties = {"email": "string", "age": {"type": "integer", "maximum": 150}}
    messages = [
        schema(properties),
        ada(age=999),
        record({"email": "eve@example.com", "age": 36}),
        state({"at": 1}),
    ]
    assert run(config_for(box), messages).code == 0
    assert box.list_members("all") == {"ada@example.com", "eve@example.com"}
    assert rejects_of(box) == []

    result = run(config_for(box, list_name="strict", validate_records=True), messages)
    assert result.code == 0, result.log
    assert box.list_members("strict") == {"eve@example.com"}
    (line,) = rejects_of(box)
    assert (line["reason"], line["field"]) == ("does not fit the stream's schema", "age")
    assert result.states == [{"at": 1}]


def test_a_stream_without_the_identifier_is_skipped_with_one_warning(box):
    other = schema({"id": "string"}, "audiences", ("id",))
    messages = [
        other,
        record({"id": "1"}, "audiences"),
        record({"id": "2"}, "audiences"),
        schema({"email": "string"}),
        ada(),
        other,
        record({"id": "3"}, "audiences"),
        state({"at": 1}),
    ]
    result = run(config_for(box), messages)
    assert result.code == 0, result.log
    assert result.log.count("The stream audiences has no field email, so it is skipped.") == 1
    assert result.states == [{"at": 1}]
    assert rejects_of(box) == []


def test_input_without_any_identifier_fails_and_acknowledges_nothing(box):
    messages = [
        schema({"id": "string"}, "audiences", ("id",)),
        record({"id": "1"}, "audiences"),
        state({"at": 1}),
    ]
    result = run(config_for(box), messages)
    assert result.code == 2
    assert result.states == []
    assert "None of the streams has the field 'email'" in result.message
    assert "They have these fields (audiences: 'id')" in result.message


def test_names_with_capitals_and_odd_characters_are_taken_as_they_are(box):
    properties = {"E-Mail Address": "string", "First.Name": "string", "d:x": {"type": "object"}}
    config = config_for(
        box,
        identifier_field="E-Mail Address",
        field_mapping={"First.Name": "first_name", "d:x.a b": "last_name"},
    )
    values = {"E-Mail Address": "ada@example.com", "First.Name": "Ada", "d:x": {"a b": "L"}}
    messages = [schema(properties, "a:b!c?d", ()), record(values, "a:b!c?d")]
    result = run(config, messages)
    assert result.code == 0, result.log
    assert attributes_of(box) == {"first_name": "Ada", "last_name": "L"}
