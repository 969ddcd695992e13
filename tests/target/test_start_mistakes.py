"""Mistakes that nobody need be called for: each is one sentence at the start, with its cure, and no fault of the program."""

import json
import subprocess

import pytest

from sandbox.people import FIELD_MAPPING
from tests.target.running import (
    AUDIENCE_SCHEMA,
    COMMAND,
    TIMEOUT_SECONDS,
    enter,
    quick_config,
    run,
    started,
    state,
)

BASE = {
    "api_key": "key",
    "storage_url": "sftp://127.0.0.1/imports",
    "storage_username": "me",
    "storage_password": "p",
}


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"api_key": None}, "The setting api_key is missing: set it in .env as TARGET_CORDIAL_API_KEY."),
        ({"storage_url": None}, "The setting storage_url is missing: set it in meltano.yml, or in .env as TARGET_CORDIAL_STORAGE_URL."),
        ({"api_key": "", "storage_url": ""}, "TARGET_CORDIAL_API_KEY. The setting storage_url is missing"),
        ({"storage_url": "ftp://host/x"}, "The setting storage_url must be sftp://host:22/folder, s3://"),
        ({"storage_url": "sftp://["}, "The setting storage_url "),
        ({"storage_url": "file:///srv/x"}, 'set import_source to {"transport": "https"'),
        ({"storage_url": "file:///srv/x", "import_source": {"transport": "https", "url": "https://["}}, "set import_source to"),
        ({"storage_username": None}, "The setting storage_username is missing: import files are written by SFTP under this name."),
        ({"storage_username": None, "import_username": "c", "import_password": "p"}, "The setting storage_username is missing"),
        ({"storage_password": None}, "Cordial needs password to fetch a file by sftp: set storage_password,"),
        ({"rejects_url": "sfpt://h/x"}, "The setting rejects_url has a URL of a kind that is not known: set it to a path, or a URL"),
        ({"journal_url": "sfpt://h/x"}, "The setting journal_url has a URL of a kind that is not known: set it to a path, or a URL"),
        ({"api_url": "cordial.io"}, "The setting api_url must be an http(s) URL, such as"),
        ({"notify_url": "hooks.example.com/secret"}, "The setting notify_url must be an http(s) URL, such as"),
        ({"notify_url": "http://["}, "The setting notify_url must be an http(s) URL, such as"),
    ],
)  # fmt: skip
def test_a_mistake_in_the_settings_is_told_before_any_message_comes(settings, sentence):
    config = {name: value for name, value in {**BASE, **settings}.items() if value is not None}
    with started(config) as running:
        running.wait_for_log("CRITICAL", timeout=60)
        running.end_input()
        result = running.result()
    assert sentence in result.message
    assert "fault of the program" not in result.log
    assert "secret" not in result.log
    assert result.code == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--fetch"], "--fetch and --catalog belong to --check: add it, or leave them out."),
        (["--catalog", "{file}"], "--fetch and --catalog belong to --check: add it, or leave them out."),
        (["--status", "--max-age-hours", "nan"], "--max-age-hours must be a number of hours."),
        (["--check", "--catalog", "{file}"], "is not a Singer catalog: give --catalog the output of a tap's --discover."),
    ],
)  # fmt: skip
@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"streams": 5}', b"null"])
def test_what_is_given_on_the_command_line_is_checked(tmp_path, arguments, sentence, content):
    (tmp_path / "file").write_bytes(content)
    arguments = [argument.format(file=tmp_path / "file") for argument in arguments]
    result = run(BASE, arguments=arguments)
    assert sentence in result.message
    assert result.code == 2


@pytest.mark.parametrize("content", [b"", b"[]", b"\xff\xfe\x00", b"[" * 100_000, b"{", None], ids=range(6))
def test_a_broken_configuration_is_one_sentence_that_names_it(tmp_path, content):
    path = tmp_path / "broken.json"
    if content is not None:
        path.write_bytes(content)
    for config in (path, tmp_path):
        reply = subprocess.run(
            [COMMAND, "--config", config],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            check=False,
            timeout=TIMEOUT_SECONDS,
        )
        assert reply.returncode == 2
        assert f"The configuration file {config}".encode() in reply.stderr
        assert b"fault of the program" not in reply.stderr


def test_a_closed_input_is_one_sentence(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({**BASE, "plan_only": True}))
    command = f'exec "{COMMAND}" --config "{tmp_path}/config.json" <&-'
    reply = subprocess.run(
        ["/bin/sh", "-c", command], capture_output=True, check=False, timeout=TIMEOUT_SECONDS
    )
    assert b"The standard input is closed" in reply.stderr
    assert b"fault of the program" not in reply.stderr
    assert reply.returncode == 2


@pytest.mark.parametrize(
    ("settings", "env", "code", "sentence"),
    [
        ({"storage_options": {"client_kwargs": "text"}}, {}, 2, "storage_options"),
        ({}, {"REQUESTS_CA_BUNDLE": "/no/such/file.pem"}, 2, "REQUESTS_CA_BUNDLE names are not there"),
        ({}, {"TARGET_CORDIAL_BATCH_SIZE_ROWS": "null"}, 0, ""),
    ],
)
def test_an_odd_setting_is_no_fault_of_the_program(box, settings, env, code, sentence):
    config = quick_config(box, **settings)
    result = run(config, [AUDIENCE_SCHEMA, enter("ada@example.com"), state({"at": 1})], env=env)
    assert "fault of the program" not in result.log
    assert result.code == code, result.log
    assert sentence in result.message


def test_near_names_are_suggested_for_settings_and_attributes(box):
    config = quick_config(box, field_mapping={"first_name": "First_Name"}, list_nmae="X")
    result = run(config, [AUDIENCE_SCHEMA, enter("ada@example.com")])
    assert "There is no setting list_nmae: it is passed over; did you mean 'list_name'?" in result.log
    assert "Cordial has no attribute 'First_Name'" in result.message
    assert "case counts; did you mean 'first_name'?" in result.message


@pytest.mark.parametrize("mode", ["audit", "mirror"])
def test_a_check_of_an_audit_tries_what_it_needs_but_for_the_export(box, tmp_path, mode):
    config = quick_config(box, mode=mode, audits_url=str(tmp_path / "audits"), account_id=None)
    result = run(config, arguments=["--check"])
    assert result.code == 0, result.output
    for told in ("ok export Cordial", "untried export asking", "note export account_id", "ok audits"):
        assert told in " ".join(result.output.split())
    config = quick_config(
        box, mode=mode, audits_url="/proc/x", export_destination={"type": "FTP", "server": ""}
    )
    result = run(config, arguments=["--check"])
    assert result.code == 2
    assert "failed audits" in " ".join(result.output.split())
    assert "failed export Cordial needs" in " ".join(result.output.split())


def test_a_check_gives_up_soon(box):
    box.fault("cordial_status", 500, path="GET /v2/accountcontactattributes")
    assert "answered" in run(quick_config(box), arguments=["--check"]).message
    assert len([call for call in box.requests if call.path.startswith("/v2/accountcontactattributes")]) < 4


def test_a_check_tries_the_reject_report_and_the_journal_and_posts_nothing(box, tmp_path):
    journal = tmp_path / "runs.jsonl"
    result = run(
        quick_config(box, journal_url=str(journal), notify_url="http://127.0.0.1:9/x"), arguments=["--check"]
    )
    assert result.code == 0, result.output
    for topic in ("ok       rejects", "ok       journal", "untried  notify"):
        assert topic in result.output
    assert not list(tmp_path.glob("*.jsonl"))
    assert not list(tmp_path.glob("check*"))
    result = run(
        quick_config(box, rejects_url="/proc/x", journal_url="/proc/y/runs.jsonl"), arguments=["--check"]
    )
    assert result.code == 2
    assert "failed   rejects" in result.output
    assert "failed   journal" in result.output


def test_a_check_says_that_a_field_of_text_goes_into_a_number(box, tmp_path):
    properties = {name: {"type": ["string", "null"]} for name in ("email", *FIELD_MAPPING)}
    entry = {
        "stream": "s",
        "tap_stream_id": "s",
        "schema": {"properties": properties},
        "metadata": [{"breadcrumb": [], "metadata": {"selected": True}}],
    }
    (tmp_path / "catalog.json").write_text(json.dumps({"streams": [entry]}))
    result = run(
        quick_config(box, list_name="Case"),
        arguments=["--check", "--catalog", str(tmp_path / "catalog.json")],
    )
    assert (
        "note     field        lifetime_value holds text: of it, only what is a number goes into lifetime_value"
        in result.output
    )
    assert "first_name holds text" not in result.output
