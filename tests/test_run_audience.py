"""What one audience's run uses, and what its exit code says, with a Meltano that only says how it ended; `make fleet` has the real one."""

import json
import sys
from pathlib import Path

import pytest

from orchestrate import run_audience
from tests.target.journals import encoded, stamp

MELTANO = """#!/bin/sh
echo "$@" > "$MELTANO_SYS_DIR_ROOT/../arguments"
env > "$MELTANO_SYS_DIR_ROOT/../variables"
cat "$MELTANO_SYS_DIR_ROOT/../log" >&2
exit {code}
"""


@pytest.fixture
def run(tmp_path, monkeypatch, capfd):
    """Runs an audience; gives back the exit code and what was shown."""
    monkeypatch.setattr(run_audience, "ENVIRONMENT", tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("signal.signal", lambda *_: None)
    for name, value in {
        "FLEET_BUCKET": str(tmp_path / "bucket"),
        "FLEET_STORAGE": "sftp://sftp.example.com/lytics/",
        "FLEET_AUDIENCES": str(tmp_path / "audiences.txt"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "audiences.txt").write_text("vip_customers\nlapsed\n", encoding="utf-8")

    def start(*arguments, code=0, log=()):
        monkeypatch.setattr(sys, "argv", ["run_audience.py", *arguments])
        (tmp_path / "log").write_bytes(b"".join(encoded(log)))
        (tmp_path / "bin").mkdir(exist_ok=True)
        (tmp_path / "bin" / "meltano").write_text(MELTANO.format(code=code), encoding="utf-8")
        (tmp_path / "bin" / "meltano").chmod(0o700)
        return run_audience.main(), capfd.readouterr().err

    return start


def journal_line(tmp_path, failure_class, started=None):
    now = stamp(
        run_audience.dt.datetime.now(run_audience.dt.timezone.utc) + run_audience.dt.timedelta(hours=1)
    )
    folder = tmp_path / "bucket" / "journal" / "lapsed"
    folder.mkdir(parents=True)
    line = {
        "event": "run",
        "run": "1",
        "started": started or now,
        "ended": now,
        "outcome": "failed",
        "failure_class": failure_class,
    }
    (folder / "1-0001.jsonl").write_text(json.dumps(line) + "\n", encoding="utf-8")


def test_each_audience_has_folders_and_a_state_of_its_own_and_nothing_is_installed(run, tmp_path):
    assert run("lapsed")[0] == 0
    assert (tmp_path / "arguments").read_text(encoding="utf-8").split()[1:] == [
        "run",
        "--no-install",
        "--state-id-suffix=lapsed",
        "tap-lytics-audience",
        "target-cordial",
    ]
    variables = dict(
        line.split("=", 1)
        for line in (tmp_path / "variables").read_text(encoding="utf-8").splitlines()
        if "=" in line
    )
    assert variables["TAP_LYTICS_AUDIENCE_AUDIENCES"] == '["lapsed"]'
    assert variables["TAP_LYTICS_AUDIENCE_LEDGER_URL"] == f"{tmp_path}/bucket/ledger/lapsed"
    assert variables["TARGET_CORDIAL_STORAGE_URL"] == "sftp://sftp.example.com/lytics/lapsed"
    assert not Path(variables["MELTANO_SYS_DIR_ROOT"]).exists(), "gone with the run"
    assert (tmp_path / "bin" / "meltano").exists(), "what the run's folder leads to stays"


@pytest.mark.parametrize(
    ("codes", "expected"),
    [({"extractors": 2}, 2), ({"extractors": 1, "loaders": 2}, 2), ({"loaders": 1}, 1), ({}, 1)],
)
def test_what_a_plugin_ended_with_says_what_helps(run, codes, expected):
    log = [
        {"event": "Lytics has no audience 'lapsed'.", "level": "critical"},
        {"event": "Block run completed", "exit_codes": codes},
    ]
    code, shown = run("lapsed", code=1, log=log)
    assert code == expected
    assert shown.startswith("critical Lytics has no audience 'lapsed'.\n")


@pytest.mark.parametrize(
    ("failure_class", "expected"), [("person", 2), ("transient", 1), ("program", 1), ("signal", 1)]
)
def test_so_does_the_journals_line_of_the_run(run, tmp_path, failure_class, expected):
    journal_line(tmp_path, failure_class)
    assert run("lapsed", code=1)[0] == expected


def test_an_earlier_runs_line_says_nothing_of_this_one(run, tmp_path):
    journal_line(tmp_path, "person", started="2020-01-01T00:00:00Z")
    assert run("lapsed", code=1)[0] == 1


def test_a_pod_runs_the_audience_of_its_index(run, tmp_path, monkeypatch):
    monkeypatch.setenv("FLEET_COMPLETIONS", "2")
    monkeypatch.setenv("JOB_COMPLETION_INDEX", "1")
    assert run()[0] == 0
    assert "--state-id-suffix=lapsed" in (tmp_path / "arguments").read_text(encoding="utf-8")


def test_a_list_of_other_length_than_the_job_is_refused_so_that_nobody_is_left_out(run, monkeypatch):
    monkeypatch.setenv("FLEET_COMPLETIONS", "1")
    code, shown = run()
    assert code == 2
    assert "names 2 audiences: set completions" in shown


def test_a_variable_that_is_not_set_is_named(run, monkeypatch):
    monkeypatch.delenv("FLEET_BUCKET")
    assert run("lapsed") == (
        2,
        "The variable FLEET_BUCKET is not set: orchestrate/README.md says what it holds.\n",
    )
