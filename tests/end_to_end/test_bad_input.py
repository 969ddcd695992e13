"""Bad input ends in one clear sentence and a non-zero exit code, with nothing lost and nothing half done."""

from __future__ import annotations

import json
import subprocess

import pytest

from sandbox import AudienceSpec
from tests.end_to_end.pipeline import BIN, Pipeline

LIST = "Lytics_VIP_Customers"


def last_words(log):
    """The sentences that the run ended with; a log line for people's eyes is no sentence of failure."""
    return [line for line in log.splitlines() if "| CRITICAL |" in line]


def nothing_happened(box):
    return box.contacts() == {} and box.jobs() == [] and box.files() == []


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
    assert run.tap_code == 1
    assert any(sentence in line for line in last_words(run.log)), run.log
    assert "Traceback" not in run.log
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
    ],
)
def test_the_target_says_what_to_change_before_anything_is_sent(
    make_box, tmp_path, monkeypatch, settings, sentence
):
    monkeypatch.setenv("HOME", str(tmp_path))
    box = make_box()
    pipeline = Pipeline(box, tmp_path, target=settings)
    run = pipeline.run()
    assert run.target_code == 1
    assert any(sentence in line for line in last_words(run.log)), run.log
    assert "Traceback" not in run.log
    assert nothing_happened(box)
    pipeline.target = {}
    assert pipeline.run().is_clean
    assert box.verify("vip_customers", LIST).ok, "nothing was lost"


@pytest.mark.parametrize(
    ("fault", "settings", "sentence"),
    [
        ("storage_read_only", {}, "or correct storage_url"),
        ("source_login_fails", {}, "as seen from Cordial's side"),
        ("job_fails", {}, "failed in Cordial"),
        ("job_never_ends", {"import_timeout_seconds": 0.5}, "set import_timeout_seconds higher"),
    ],
)
def test_what_goes_wrong_in_cordial_is_said_and_goes_again(make_box, tmp_path, fault, settings, sentence):
    box = make_box()
    pipeline = Pipeline(box, tmp_path, target=settings)
    box.fault(fault)
    run = pipeline.run()
    assert run.target_code == 1
    assert any(sentence in line for line in last_words(run.log)), run.log
    assert "Traceback" not in run.log
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
    assert ended.returncode == 1
    assert any(sentence in words for words in last_words(log)), log
    assert "Traceback" not in log
    assert box.list_members("People") == {"ada@example.com"}
    assert json.loads(ended.stdout) == {"at": 1}
