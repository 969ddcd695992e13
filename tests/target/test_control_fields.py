"""What a record means is decided before anything else of it is judged, by values and not by fields being there."""

import json
import math
from pathlib import Path

import msgspec
import pytest

from target_cordial.intake.mapping import Mapping
from target_cordial.settings import Settings
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    exit_,
    import_calls,
    quick_config,
    record,
    run,
    schema,
    state,
)

ADA, BOB = "ada@example.com", "bob@example.com"
MARK = "_sdc_deleted_at"


def report(box):
    return [
        json.loads(line)
        for path in sorted(Path(box.folder, "rejects").glob("*"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


def config_for(box, **overrides):
    return quick_config(box, **{"field_mapping": {}, "list_name": "all", **overrides})


def fill(box, *members):
    list_id = box.account.list_id("all") or box.account.add_list("all")
    for address in members:
        box.account.put_contact(address, {}, "subscribed")
        box.account.join(list_id, address)


@pytest.mark.parametrize(
    ("mark", "is_set"),
    [
        *[(mark, False) for mark in (None, "", "  ", False, 0, 0.0, "0", "false", "FALSE", [], {})],
        *[
            (mark, False)
            for mark in (math.nan, "null", "None", "NaN", "NaT", "\\N", "n/a", "No", "0.0", "00/00/0000")
        ],
        *[
            (mark, False)
            for mark in ("0000-00-00 00:00:00", "0001-01-01T00:00:00Z", "1970-01-01", "9999-12-31")
        ],
        *[
            (mark, True)
            for mark in ("2024-01-01T00:00:00Z", True, 1, 1704067200, "true", "yes", "1704067200")
        ],
        *[
            (mark, True)
            for mark in ("2024-01-01 00:00:00", "Mon, 01 Jan 2024 10:00:00 GMT", "01/02/2024", 1.7e9)
        ],
    ],
)
def test_a_deletion_mark_counts_by_its_value(mark, is_set):
    mapping = Mapping(
        "people", schema({"email": "string", MARK: {}})["schema"], Settings(api_key="", storage_url="")
    )
    rejects = {}
    kinds = mapping.kinds({MARK: [mark, msgspec.UNSET]}, rejects)
    assert (kinds, rejects) == (["exit" if is_set else "enter", "enter"], {})


@pytest.mark.parametrize("stream_maps", [{}, {"audience_members": {"more": "'x'"}}])
def test_who_has_a_mark_leaves_and_who_has_an_odd_one_is_named(box, stream_maps):
    """Nobody knows what an odd one says, so nobody is removed and nobody added."""
    odd = ["infinity", "active", ["x"], {"a": 1}]
    marks = {ADA: "2024-01-01", BOB: math.nan, "cy@example.com": "null"}
    marks |= {f"p{number}@example.com": mark for number, mark in enumerate(odd)}
    fill(box, ADA, BOB, "p1@example.com")
    messages = [
        schema({"email": "string", MARK: {}}),
        *(record({"email": email, MARK: mark}) for email, mark in marks.items()),
    ]
    result = run(config_for(box, stream_maps=stream_maps), [*messages, state({"at": 1})])
    assert result.code == 2
    assert "4 exits of all could not be done" in result.message
    assert result.states[-1]["at"] == 1
    assert box.list_members("all") == {BOB, "cy@example.com", "p1@example.com"}
    assert [(line["reason"], line["field"]) for line in report(box)] == [
        ("neither a time nor nothing", MARK)
    ] * 4


@pytest.mark.parametrize("odd", ["EXIT", "Exit", " exit", "", None, True, ["exit"], "absent"])
def test_a_state_that_is_neither_enter_nor_exit_may_be_an_exit(box, odd):
    fill(box, ADA, BOB)
    rows = [{"email": ADA, "audience_state": odd}, {"email": "cy@example.com", "audience_state": "enter"}]
    if odd == "absent":
        del rows[0]["audience_state"]
    messages = [schema({"email": "string", "audience_state": "string"}), *map(record, rows), state({"at": 1})]
    result = run(config_for(box), messages)
    assert result.code == 2
    assert "1 exit of all could not be done" in result.message
    assert result.states[-1]["at"] == 1
    assert box.list_members("all") == {ADA, BOB, "cy@example.com"}
    (line,) = report(box)
    assert (line["reason"], line["field"], line["stays_on"]) == (
        "neither enter nor exit",
        "audience_state",
        "all",
    )


def test_where_nobody_is_to_leave_a_record_that_may_be_an_enter_is_a_reject(box):
    messages = [
        schema({"email": "string", "audience_state": "string"}),
        record({"email": ADA, "audience_state": "ENTER"}),
        record({"email": BOB, "audience_state": "enter"}),
    ]
    result = run(config_for(box, list_action="add"), messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == {BOB}
    (line,) = report(box)
    assert line["reason"] == "neither enter nor exit"
    assert "stays_on" not in line


def test_another_tools_mark_is_mapped_to_ours(box):
    """docs/operations.md has this stream map."""
    fill(box, ADA, BOB)
    messages = [
        schema({"email": "string", "_sdc_lsn_deleted_at": "string"}),
        record({"email": ADA, "_sdc_lsn_deleted_at": "2024-01-01T00:00:00Z"}),
        record({"email": BOB, "_sdc_lsn_deleted_at": None}),
    ]
    maps = {"audience_members": {MARK: "record.get('_sdc_lsn_deleted_at')"}}
    result = run(config_for(box, stream_maps=maps), messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == {BOB}


def test_the_last_row_of_an_address_wins(box):
    rows = [{"email": ADA, MARK: None}, {"email": "Ada@example.com", MARK: "2020-01-01"}]
    messages = [schema({"email": "string", MARK: "string"}), *map(record, rows)]
    assert run(config_for(box), messages).code == 0
    assert box.list_members("all") == set()
    assert run(config_for(box), [messages[0], *messages[:0:-1]]).code == 0
    assert box.list_members("all") == {ADA}


CANNOT_BE_DONE = [
    ({MARK: "2024-01-01", "id": 1}, "no identifier"),
    ({MARK: "2024-01-01", "id": 1, "email": " "}, "no identifier"),
    ({MARK: "2024-01-01", "id": 1, "email": ["a"]}, "the identifier is not text"),
    ({MARK: "2024-01-01", "email": ADA}, "a key property is missing"),
    (
        {MARK: "2024-01-01", "email": ADA, "id": 1, "team": None},
        "the list's name needs team, which is missing",
    ),
]


@pytest.mark.parametrize(("values", "reason"), CANNOT_BE_DONE)
def test_an_exit_that_cannot_be_done_is_named_and_fails_the_run_though_it_is_acknowledged(
    box, values, reason
):
    messages = [
        schema({"email": "string", "id": "integer", "team": "string", MARK: "string"}, key=("id",)),
        record({"id": 5, "email": BOB, "team": "red"}),
        state({"at": 1}),
        record({"team": "red", **values}),
        state({"at": 2}),
        record({"id": 6, "email": "cy@example.com", "team": "red"}),
        state({"at": 3}),
    ]
    result = run(config_for(box, list_name="{team}"), messages)
    assert result.code != 0
    assert "1 exit of" in result.message
    assert "could not be done: see " in result.message
    assert result.states[-1] == {"at": 3}
    assert box.list_members("red") == {BOB, "cy@example.com"}
    (line,) = report(box)
    assert (line["reason"], line["stays_on"]) == (
        reason,
        "audience_members" if values.get("team", "") is None else "red",
    )
    assert ADA not in result.log


def test_where_nobody_is_to_leave_no_exit_fails(box):
    messages = [
        schema({"email": "string", MARK: "string"}, key=()),
        record({MARK: "2024-01-01"}),
        record({"email": ADA}),
    ]
    for list_action in ("add", "none"):
        result = run(config_for(box, list_action=list_action), messages)
        assert result.code == 0, result.log
        assert "1 exit passed over" in result.log
    assert report(box) == []


def test_an_exit_that_does_not_fit_its_schema_goes(box):
    box.account.put_contact(BOB, {}, "subscribed")
    box.account.join(box.account.add_list(LIST), BOB)
    message = exit_(BOB)
    message["record"]["audience_changed_at"] = 5
    strange = enter(ADA)
    strange["record"]["audience_changed_at"] = 5
    result = run(quick_config(box, validate_records=True), [AUDIENCE_SCHEMA, message, strange])
    assert result.code == 0, result.log
    assert box.list_members(LIST) == set()
    assert [line["reason"] for line in report(box)] == ["does not fit the stream's schema"]


def test_an_exit_whose_address_is_none_is_sent(box):
    messages = [schema({"email": "string", MARK: "string"}), record({"email": "no address", MARK: "yes"})]
    run(config_for(box), messages)
    assert [call["strategy"] for call in import_calls(box)] == ["updateOnly"]
    assert report(box) == []


def test_a_status_of_the_sources_own_lets_people_leave_by_a_stream_map(box):
    """docs/operations.md has this stream map."""
    fill(box, ADA)
    messages = [
        schema({"email": "string", "status": "string"}),
        record({"email": ADA, "status": "unsubscribed"}),
        record({"email": BOB, "status": "subscribed"}),
    ]
    maps = {"audience_members": {MARK: "record.get('status') != 'subscribed'"}}
    result = run(config_for(box, stream_maps=maps), messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == {BOB}
