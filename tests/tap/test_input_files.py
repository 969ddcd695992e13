"""The files of --state and --catalog: what is wrong with one is a sentence that names it, and nothing is sent."""

from __future__ import annotations

import json

import pytest

from tests.tap.running import STREAM, run, run_process


def nested(levels):
    return b"[" * levels + b"]" * levels


def entry(schema, stream=STREAM):
    """A catalog of one stream."""
    return {"streams": [{"tap_stream_id": stream, "schema": schema, "metadata": []}]}


@pytest.fixture
def catalog(box):
    """The catalog of the sandbox's account."""
    return json.loads(run_process(box.tap_config(), arguments=["--discover"]).output)


def run_with(box, tmp_path, option, content, **settings):
    path = tmp_path / f"{option}.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return run_process(box.tap_config(**settings), arguments=[f"--{option}", str(path)])


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is blank: give the last line that the target wrote"),
        (b" \n", "is blank: give the last line that the target wrote"),
        (b'{"bookmarks": ', "is not JSON: give the last line that the target wrote"),
        (b'{"bookmarks": {}}\n{"bookmarks": {}}', "is not JSON"),
        (b'{"bookmarks": {"audience_members": "\xff"}}', "is not JSON"),
        (b"[]", "holds no bookmarks"),
        (b"null", "holds no bookmarks"),
        (b'{"bookmarks": null}', "holds no bookmarks"),
        (b'{"bookmarks": {"audience_members": null}}', "holds no bookmarks"),
        (b'{"singer_state": {"bookmarks": {}}}', "holds no bookmarks"),
        (b'{"bookmarks": {"audience_members": ' + nested(100) + b"}}", "has more than 50 levels of brackets"),
        (b'{"bookmarks": {"other": {"x": ' + nested(400) + b"}}}", "has more than 50 levels of brackets"),
        (nested(100_000), "has more than 50 levels of brackets"),
    ],
)
def test_a_state_file_that_holds_none_is_one_sentence_with_its_name(box, tmp_path, content, sentence):
    ended = run_with(box, tmp_path, "state", content)
    assert ended.code == 2
    assert f"{tmp_path}/state.json {sentence}" in ended.sentence
    assert ended.output == b""
    assert "fault of the program" not in ended.log
    assert "Traceback" not in ended.log


def test_a_damaged_file_may_be_the_work_of_another_run(box, tmp_path):
    for option in ("state", "catalog"):
        sentence = run_with(box, tmp_path, option, b'{"streams": [').sentence
        assert "two runs of one plugin in one project folder" in sentence


@pytest.mark.parametrize(
    "content", [b"{}", b'\xef\xbb\xbf{"bookmarks": {}}', b'{"bookmarks": {"other": {}}}']
)
def test_an_empty_state_is_a_first_run(box, tmp_path, content):
    ended = run_with(box, tmp_path, "state", content)
    assert ended.code == 0, ended.log
    assert set(ended.result.changes) == {"backfill"}


@pytest.mark.parametrize(
    "damage",
    [
        {"ledger": 5},
        {"generation": ["x"]},
        {"identifier_field": {}},
        {"audiences": []},
        {"audiences": None},
        {"audiences": {"abc": None}},
    ],
)
def test_a_state_whose_parts_are_of_other_types_is_refused(box, damage):
    state = run(box.tap_config()).state
    state["bookmarks"][STREAM].update(damage)
    result = run(box.tap_config(), state)
    assert f"The state of audience_members is damaged ({next(iter(damage))} cannot be read)" in result.error
    assert result.records == []
    assert result.states == []


@pytest.mark.parametrize("time", ["yesterday", "2024-01-01", "2024-01-01T00:00:00", 7, None])
def test_a_time_in_the_state_that_is_none_makes_the_run_a_scan(box, tmp_path, time):
    (tmp_path / "landed").mkdir()
    config = box.tap_config(change_detection="triggers", triggers_url=str(tmp_path / "landed"))
    state = run(config).state
    [entry] = state["bookmarks"][STREAM]["audiences"].values()
    entry["triggers_from"] = time
    box.world.enter("vip_customers")
    result = run(config, state)
    assert result.error == ""
    assert result.changes == ["enter"], "no message named them"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "is blank: make it anew with --discover"),
        (b"{", "is not JSON: make it anew with --discover"),
        (b"[]", "holds no catalog"),
        (b"null", "holds no catalog"),
        (b'{"streams": null}', "holds no catalog"),
        (b'{"streams": [{}]}', "holds no catalog"),
        (b'{"streams": [{"tap_stream_id": "audience_members", "metadata": null}]}', "holds no catalog"),
        (b"{}", "lists no streams"),
        (b'{"streams": []}', "lists no streams"),
        (b'{"streams": ' + nested(100_000) + b"}", "has more than 50 levels of brackets"),
        (entry({"properties": {"x": {"enum": json.loads(nested(300))}}}), "has more than 50 levels"),
        (entry({}), "has no columns of audience_members: make it anew with --discover"),
        (entry({"type": "object"}), "has no columns of audience_members: make it anew with --discover"),
        (entry({"properties": {}}), "has no columns of audience_members: make it anew with --discover"),
        (entry(None), "holds no catalog"),
        (entry({"properties": {}}, "audiences"), "has no columns of audiences: make it anew"),
        (
            entry({"properties": {"id": {"type": "integer"}}}, "orders"),
            "is of another tap, as audience_members and audiences are not in it, so nothing would be read: make it",
        ),
    ],
)
def test_a_catalog_file_that_holds_none_is_one_sentence_with_its_name(box, tmp_path, content, sentence):
    ended = run_with(box, tmp_path, "catalog", content)
    assert ended.code == 2
    assert f"{tmp_path}/catalog.json {sentence}" in ended.sentence
    assert ended.output == b""
    assert "fault of the program" not in ended.log
    assert "Traceback" not in ended.log


def test_a_catalog_from_before_another_identifier_field_is_said_to_be_older(box, tmp_path, catalog):
    ended = run_with(box, tmp_path, "catalog", catalog, identifier_field="_id")
    assert (
        "The catalog is older than identifier_field '_id', as its key is audience_id, email" in ended.sentence
    )
    assert "--refresh-catalog" in ended.sentence
    assert ended.output == b""


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("INCREMENTAL", "audience_changed_at"),
        ("INCREMENTAL", None),
        ("LOG_BASED", None),
        ("FULL_TABLE", "id"),
    ],
)
def test_any_replication_metadata_does_for_both_streams(box, tmp_path, catalog, method, key):
    for stream in catalog["streams"]:
        for entry in stream["metadata"]:
            if not entry["breadcrumb"]:
                entry["metadata"] |= {"selected": True, "replication-method": method}
                if key:
                    entry["metadata"]["replication-key"] = key
        stream.pop("replication_key", None)
        stream.pop("replication_method", None)
    ended = run_with(box, tmp_path, "catalog", catalog)
    assert ended.code == 0, ended.log
    streams = [message["stream"] for message in ended.result.messages if message["type"] == "RECORD"]
    assert streams.count("audiences") == 1
    assert streams.count(STREAM) == len(box.world.keys("vip_customers"))


def test_a_catalog_that_selects_nothing_is_told(box, tmp_path, catalog):
    for stream in catalog["streams"]:
        stream["metadata"] = [{"breadcrumb": [], "metadata": {"selected": False}}]
    ended = run_with(box, tmp_path, "catalog", catalog)
    assert ended.code == 0
    assert "The catalog selects no stream, so nothing is read" in ended.log
