"""Bad input ends in one clear sentence and a non-zero exit code, with nothing lost and nothing half done.

Each sentence names the setting or the thing to change.
"""

from __future__ import annotations

import json
import re
import subprocess

import pytest

from sandbox import AudienceSpec
from tap_lytics_audience.settings import CONFIG_JSONSCHEMA as TAP_SETTINGS
from target_cordial.settings import CONFIG_JSONSCHEMA as TARGET_SETTINGS
from tests.end_to_end.pipeline import BIN, Pipeline

LIST = "Lytics_VIP_Customers"
SETTINGS = {"stream_maps", *TAP_SETTINGS["properties"], *TARGET_SETTINGS["properties"]}
OTHER_THINGS = {"in Lytics", "in Cordial", "Data jobs", "--full-refresh", "the tap"}
"""What else a person can change or look at; of these each message names one, or a setting."""


def last_words(log):
    """The sentences that the run ended with; a log line for people's eyes is no sentence of failure."""
    return [line for line in log.splitlines() if "| CRITICAL |" in line]


def assert_says_what_to_change(log, sentence):
    said = [words for words in last_words(log) if sentence in words]
    assert said, log
    assert "Traceback" not in log
    message = said[-1].rpartition("| CRITICAL |")[2]
    words = set(re.findall(r"\w+", message.lower()))
    assert words & SETTINGS or any(thing in message for thing in OTHER_THINGS), message


def nothing_happened(box):
    return box.contacts() == {} and box.jobs() == [] and set(box.files()) <= {"runs.json"}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"api_token": "wrong"}, "Lytics refuses the API token (401): check api_token"),
        ({"audiences": ["nobody"]}, "Lytics has no audience 'nobody': correct audiences"),
        ({"audiences": ["articles"]}, "holds content, not people: choose a user audience in audiences"),
        ({"audiences": ["broken"]}, "is invalid in Lytics"),
        ({"identifier_field": "shoe_size"}, "no profile field 'shoe_size': correct identifier_field"),
        ({"identifier_field": "interests"}, "holds several values"),
        ({"audiences": []}, "The setting audiences is missing"),
        ({"ledger_url": ""}, "The setting ledger_url is missing"),
        ({"page_size": 1000}, "The setting page_size must be at most 100"),
        ({"ledger_url": "/dev/null/ledger"}, "The ledger"),
        ({"ledger_url": "s3://someone:hunter2@bucket/ledger"}, "ledger_url holds a password"),
        ({"ledger_url": "sftp://someone:hun/ter2@host/ledger"}, "ledger_url holds a password"),
        (
            {"stream_maps": {"audience_members": {"__filter__": "audience_state == 'enter'"}}},
            "drops exits, so that nobody would ever leave",
        ),
    ],
)
def test_the_tap_says_what_to_change(make_box, tmp_path, settings, sentence):
    box = make_box(
        [
            AudienceSpec("VIP Customers", 13),
            AudienceSpec("Articles", 3, kind="content"),
            AudienceSpec("Broken", 3, is_invalid=True),
        ]
    )
    run = Pipeline(box, tmp_path, tap={"audiences": ["vip_customers"], **settings}).run()
    assert run.tap_code == 2
    assert_says_what_to_change(run.log, sentence)
    assert nothing_happened(box)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"api_key": "wrong"}, "Cordial refuses the API key (401): check api_key"),
        ({"field_mapping": {"first_name": "shoe_size"}}, "Cordial has no attribute 'shoe_size'"),
        (
            {"list_name": "first_name"},
            "attribute named 'first_name', so a list cannot have this name: set list_name",
        ),
        ({"storage_password": "wrong"}, "refuses the login: check storage_username, storage_password"),
        ({"storage_host_key": None}, "set storage_host_key to: ssh-ed25519"),
        ({"batch_size_rows": "many"}, "The setting batch_size_rows must be of type integer"),
        ({"field_mapping": {"shoe_size": "first_name"}}, "has no field 'shoe_size': select it in the tap"),
        ({"list_name": "4711"}, "Cordial has no list with id 4711: check list_name"),
        ({"identifier_field": "phone"}, "has the field 'phone'"),
        ({"storage_url": "sftp://lytics:hunter2@127.0.0.1/import"}, "storage_url"),
        ({"storage_url": "ftq://127.0.0.1/import"}, "storage_url"),
    ],
)
def test_the_target_says_what_to_change_before_anything_is_sent(
    make_box, tmp_path, monkeypatch, settings, sentence
):
    monkeypatch.setenv("HOME", str(tmp_path))
    box = make_box()
    pipeline = Pipeline(box, tmp_path, target=settings)
    run = pipeline.run()
    assert run.target_code == 2
    assert_says_what_to_change(run.log, sentence)
    assert nothing_happened(box)
    pipeline.target = {}
    assert pipeline.run().is_clean
    assert box.verify("vip_customers", LIST).ok, "nothing was lost"


@pytest.mark.parametrize("what", ["missing", "damaged"])
def test_a_spoilt_ledger_is_told_with_its_cure(box, tmp_path, what):
    pipeline = Pipeline(box, tmp_path)
    assert pipeline.run().is_clean
    acknowledged = pipeline.state
    for path in (box.folder / "ledger").rglob("*.parquet"):
        if what == "missing":
            path.unlink()
        else:
            path.write_bytes(b"garbage")
    run = pipeline.run()
    assert run.tap_code == 2
    assert_says_what_to_change(run.log, f"is {what}")
    assert run.changes == []
    before, after = (state["bookmarks"]["audience_members"] for state in (acknowledged, pipeline.state))
    assert after["audiences"] == before["audiences"]
    assert "ended" not in after
    pipeline.state = None
    assert pipeline.run().is_clean, "a full refresh is the cure"
    assert box.verify("vip_customers", LIST).ok


def test_another_identifier_than_the_states_is_told_with_its_cure(box, tmp_path):
    pipeline = Pipeline(box, tmp_path)
    assert pipeline.run().is_clean
    pipeline.tap = {"identifier_field": "_id"}
    run = pipeline.run()
    assert run.tap_code == 2
    assert_says_what_to_change(
        run.log, "The state was made with identifier_field 'email', and it is now '_id'"
    )
    pipeline.tap = {}
    assert pipeline.run().is_clean
    assert box.verify("vip_customers", LIST).ok


def test_two_audiences_into_one_list_are_refused(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 13), AudienceSpec("Lapsed", 13)])
    run = Pipeline(box, tmp_path, target={"list_name": "Both"}).run()
    assert run.target_code == 2
    assert_says_what_to_change(run.log, "both go to list 'Both'")
    assert box.jobs() == []


def test_exits_beyond_the_limits_are_held_back_and_the_message_says_how_to_let_them(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 300)])
    # With `keep`, what the profile that spoke for an address before had and the next one lacks would stay.
    pipeline = Pipeline(box, tmp_path, target={"null_values": "clear"})
    assert pipeline.run().is_clean
    members = box.list_members(LIST)
    box.world.advance("vip_customers", leave=150)
    run = pipeline.run()
    assert run.tap_code == 2
    assert_says_what_to_change(run.log, "TAP_LYTICS_AUDIENCE_MAX_EXIT_PERCENT=100")
    pipeline.tap = {"max_exit_percent": 100}
    run = pipeline.run()
    assert run.target_code == 2
    assert_says_what_to_change(run.log, "TARGET_CORDIAL_MAX_REMOVAL_PERCENT=100")
    assert box.list_members(LIST) == members
    pipeline.target |= {"max_removal_percent": 100}
    assert pipeline.run().is_clean
    assert box.verify("vip_customers", LIST).ok


@pytest.mark.parametrize(
    ("fault", "settings", "code", "sentence"),
    [
        ("storage_read_only", {}, 2, "or set storage_url to another folder"),
        ("storage_full", {}, 1, "check storage_url"),
        ("source_login_fails", {}, 2, "as seen from Cordial's side"),
        ("job_fails", {}, 1, "failed in Cordial"),
        ("job_never_ends", {"import_timeout_seconds": 0.5}, 1, "set import_timeout_seconds higher"),
    ],
)
def test_what_goes_wrong_in_cordial_is_said_and_goes_again(
    make_box, tmp_path, fault, settings, code, sentence
):
    box = make_box()
    pipeline = Pipeline(box, tmp_path, target=settings)
    box.fault(fault)
    run = pipeline.run()
    assert run.target_code == code
    assert_says_what_to_change(run.log, sentence)
    assert all(not state["bookmarks"]["audience_members"]["audiences"] for state in run.states), (
        "only the state that names the ledger is acknowledged"
    )
    box.clear_faults()
    if fault != "job_never_ends":
        assert pipeline.run().is_clean
        assert box.verify("vip_customers", LIST).ok, "nothing was lost"


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        (b"this is no message\n", "Line 4 of the input is not valid JSON"),
        (
            b'{"type": "RECORD", "stream": "others", "record": {}}\n',
            "a record of stream 'others' before its schema",
        ),
        (
            b'{"type": "BATCH", "stream": "people", "encoding": {"format": "jsonl"}, "manifest": []}\n',
            "comes as BATCH files, which target-cordial does not read",
        ),
    ],
)
def test_a_bad_line_loses_nothing_that_came_before_it(box, tmp_path, line, sentence):
    messages = [
        {
            "type": "SCHEMA",
            "stream": "people",
            "schema": {"properties": {"email": {"type": "string"}}},
            "key_properties": [],
        },
        {"type": "RECORD", "stream": "people", "record": {"email": "ada@example.com"}},
        {"type": "STATE", "value": {"at": 1}},
    ]
    config = tmp_path / "config.json"
    config.write_text(json.dumps(box.target_config(list_name="People", field_mapping={})), encoding="utf-8")
    ended = subprocess.run(
        [BIN / "target-cordial", "--config", config],
        input=b"".join(json.dumps(message).encode() + b"\n" for message in messages) + line,
        capture_output=True,
        check=False,
        timeout=60,
    )
    log = ended.stderr.decode()
    assert ended.returncode == 2
    assert_says_what_to_change(log, sentence)
    assert box.list_members("People") == {"ada@example.com"}
    assert json.loads(ended.stdout) == {"at": 1}
