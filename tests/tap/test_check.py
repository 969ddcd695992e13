"""`--test` says line by line what works; nothing is sent, and nothing is remembered."""

from __future__ import annotations

import json
import time

import pytest

from sandbox import AudienceSpec
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


def test_the_fields_that_are_told_are_those_that_stream_maps_leave(box):
    maps = {
        "email": None,
        "city": None,
        "first_name": "record.get('first_name')",
        "person": "sha256(email)",
        "__key_properties__": ["audience_id", "person"],
    }
    result = check(box.tap_config(stream_maps={STREAM: maps}))
    assert result.code == 0, result.log
    fields = [text.split() for what, text in lines(result, "ok") if what == "field"]
    assert ["(stream_maps)", "->", "person", "string"] in fields
    assert ["(stream_maps)", "->", "first_name", "string"] in fields
    assert ["last_visit", "datetime", "->", "last_visit", "string", "(date-time)"] in fields
    assert not {"email", "city", "audience_id"} & {field[field.index("->") + 1] for field in fields}


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
    assert result.code == 2
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


def test_what_an_audience_sends_no_trigger_messages_of_is_said(make_box, tmp_path):
    box = make_box(
        [
            AudienceSpec("Both", 5, emit_trigger=True, schedule_exit=True),
            AudienceSpec("Silent", 5, emit_trigger=False, schedule_exit=True),
            AudienceSpec("Late", 5, emit_trigger=True, schedule_exit=False),
        ]
    )
    settings = box.tap_config(change_detection="triggers", triggers_url=str(tmp_path))
    result = check(settings)
    assert result.code == 0, result.log
    [silent, late] = [text for what, text in lines(result, "note") if what == "triggers"]
    assert silent.startswith("silent: emit_trigger is off in Lytics")
    assert late.startswith("late: schedule_exit is not on in Lytics")
    assert ("triggers", "both: sends messages of each enter and exit") in lines(result, "ok")
    assert not [text for what, text in lines(check(box.tap_config()), "note") if what == "triggers"]
    box.fault("lytics_status", 403, path="GET /v2/segment/")
    assert len([what for what, _ in lines(check(settings), "untried") if what == "triggers"]) == 3


@pytest.mark.parametrize(
    ("having", "lacking", "status"), [(0, 5, "failed"), (1, 5, "note"), (3, 3, "ok"), (5, 0, "ok")]
)
def test_profiles_without_the_identifier_are_a_note_if_most_and_a_failure_if_all(
    make_box, having, lacking, status
):
    box = make_box([AudienceSpec("VIP Customers", 0)])
    for number in range(having):
        box.world.enter(AUDIENCE, {"email": f"person{number}@example.com"})
    for _ in range(lacking):
        box.world.enter(AUDIENCE, {"city": "Nowhere"})
    result = check(box.tap_config())
    assert result.code == (2 if status == "failed" else 0)
    [text] = [text for what, text in lines(result, status) if what == "members"]
    assert "email" in text


@pytest.mark.parametrize("typo", ["VIP Customers", "vip_customer", "vip-customers", "VIP_CUSTOMERS"])
def test_a_slug_that_is_nearly_right_is_told_the_right_one(box, typo):
    [(what, text)] = lines(check(box.tap_config(audiences=[typo])), "failed")
    assert what == "audience"
    assert (
        f"Lytics has no audience {typo!r}: correct audiences, by slug or id, or create it again; did you mean 'vip_customers'?"
        in text
    )


def test_of_many_fields_some_are_shown_and_the_rest_is_counted(box):
    for number in range(200):
        box.world.fields[f"field_{number}"] = ("string", "")
    result = check(box.tap_config())
    assert len([what for what, _ in lines(result, "ok") if what == "field"]) == 50
    notes = [text for what, text in lines(result, "note") if what == "fields"]
    assert any(text.startswith("and ") and text.endswith(" more") for text in notes)
    assert any("without a catalog all of them are sent" in text for text in notes)


def test_audiences_are_listed_with_a_token_alone(make_box):
    box = make_box(
        [AudienceSpec("VIP Customers", 1200), AudienceSpec("Läpsed \u202e\x1b[2J", 3, slug="lapsed")]
    )
    box.world.add_audience(AudienceSpec("Pages", 2, kind="content"))
    config = {"api_url": box.lytics_url, "api_token": box.api_token}
    result = run_process(config, arguments=["--list-audiences"])
    assert result.code == 0, result.log
    rows = [line.split(maxsplit=2) for line in result.output.decode().splitlines()]
    assert [row[:2] for row in rows] == [["lapsed", "3"], ["vip_customers", "1,200"]]
    assert rows[1][2] == "VIP Customers"
    assert rows[0][2].startswith("Läpsed")
    assert b"\x1b" not in result.output
    box.fault("sizes_missing")
    result = run_process(config, arguments=["--list-audiences"])
    assert [line.split()[1] for line in result.output.decode().splitlines()] == ["unknown", "unknown"]


@pytest.mark.parametrize("arguments", [["--test"], ["--list-audiences"]])
def test_a_check_gives_up_soon_when_lytics_is_down(box, arguments):
    began = time.monotonic()
    result = run_process({**box.tap_config(), "api_url": "http://127.0.0.1:9"}, arguments=arguments)
    assert result.code != 0
    assert "check api_url and the network" in result.output.decode() + result.sentence
    assert result.log.count("cannot be reached: trying") <= 2
    assert time.monotonic() - began < 20
