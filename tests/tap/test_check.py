"""`--test` says line by line what works; nothing is sent, and nothing is remembered."""

from __future__ import annotations

import json

import pytest

from tap_lytics_audience.tap import TapLyticsAudience
from tests.tap.running import AUDIENCE, STREAM, run_process


def check(config, *arguments):
    return run_process(config, arguments=["--test", *arguments])


def lines(result, status):
    """What the lines of one status are about, and say."""
    output = result.output.decode().splitlines()
    return [tuple(line.split(maxsplit=2)[1:]) for line in output if line.startswith(f"{status} ")]


def test_a_check_of_what_works_says_so_line_by_line_and_leaves_nothing(box):
    result = check(box.tap_config())
    assert result.code == 0, result.log
    good = lines(result, "ok")
    told = dict(good)
    assert told["token"].startswith(f"Lytics at {box.lytics_url} takes the API token")
    assert told["audience"] == f"{AUDIENCE}: found as 'VIP Customers', 13 profiles"
    assert told["members"].startswith(f"{AUDIENCE}: read a page; ")
    assert told["exits"].startswith(f"{AUDIENCE}: members are found again when looked up")
    assert told["ledger"].endswith("written, read back and deleted")
    fields = [text.split() for what, text in good if what == "field"]
    assert ["last_visit", "datetime", "->", "last_visit", "string", "(date-time)"] in fields
    assert ["interests", "[]string", "->", "interests", "array"] in fields
    assert lines(result, "failed") == lines(result, "untried") == []
    assert b"@" not in result.output, "nobody's address is shown"
    assert b"\x1b" not in result.output, "plain in a pipe"
    assert list((box.folder / "ledger").rglob("*")) == []
    assert result.leftovers == []


def test_an_audience_without_members_has_no_sample(box):
    for member in list(box.world.audience(AUDIENCE).members):
        box.world.leave(AUDIENCE, member)
    stream = TapLyticsAudience(config=box.tap_config()).streams[STREAM]
    assert list(stream.get_records(None)) == []


def test_only_selected_fields_are_told_when_a_catalog_selects(box, tmp_path):
    found = run_process(box.tap_config(), arguments=["--discover"])
    catalog = json.loads(found.output)
    [members] = [stream for stream in catalog["streams"] if stream["tap_stream_id"] == "audience_members"]
    for entry in members["metadata"]:
        if entry["breadcrumb"]:
            entry["metadata"]["selected"] = entry["breadcrumb"][-1] == "city"
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps(catalog), encoding="utf-8")
    for arguments in (["--test", "--catalog", str(path)], ["--catalog", str(path), "--test"]):
        result = run_process(box.tap_config(), arguments=arguments)
        assert [text.split()[0] for what, text in lines(result, "ok") if what == "field"] == ["email", "city"]


@pytest.mark.parametrize(
    ("settings", "what", "words"),
    [
        ({"api_token": "wrong"}, "token", "Lytics refuses the API token (401): check api_token"),
        ({"audiences": [AUDIENCE, "nobody"]}, "audience", "Lytics has no audience 'nobody'"),
        (
            {"identifier_field": "shoe_size"},
            "fields",
            "no profile field 'shoe_size': correct identifier_field",
        ),
        ({"ledger_url": "/proc/ledger"}, "ledger", "set ledger_url to another folder"),
        (
            {"change_detection": "triggers", "triggers_url": "/nowhere"},
            "triggers",
            "The triggers folder at /nowhere is missing",
        ),
    ],
)
def test_what_does_not_work_is_one_line_with_its_cure_and_the_rest_is_tried(box, settings, what, words):
    result = check(box.tap_config(**settings))
    assert result.code == 1
    [(about, text)] = lines(result, "failed")
    assert about == what
    assert words in text
    assert len(lines(result, "ok")) >= 1
    assert result.sentence == "", "each failure is told once"
    assert "Traceback" not in result.log


def test_what_was_not_tried_is_said(box):
    result = check(box.tap_config(api_token="wrong"))
    assert [what for what, _ in lines(result, "untried")] == ["audience", "fields"]


def test_a_token_without_the_right_to_look_up_members_is_known_before_the_first_exit(box):
    box.fault("lytics_status", 403, path="POST /api/segment/scan")
    [(what, text)] = lines(check(box.tap_config()), "failed")
    assert what == "exits"
    assert "The API token may not use the scan (403)" in text
    box.clear_faults()
    box.fault("filter_blind")
    [(what, text)] = lines(check(box.tap_config()), "failed")
    assert what == "exits"
    assert "no exit could be confirmed" in text


def test_schemas_alone_can_still_be_asked_for(box):
    result = run_process(box.tap_config(), arguments=["--test=schema"])
    assert result.code == 0, result.log
    assert {message["type"] for message in result.result.messages} == {"SCHEMA"}
