"""The journal: no line of it is lost, wherever it is kept, and it never fails a run."""

import json
import re
from pathlib import Path

import duckdb
import fsspec
import pytest
import requests
from gcp_storage_emulator.server import create_server

from target_cordial.history.journal import Journal, read_history
from tests.target.running import AUDIENCE_SCHEMA, enter, quick_config, run, state

LINE = {"kind": "enter", "rows": 1, "seconds": 0.5, "list_name": "one"}


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="journals")
    return "s3://journals/prod/runs.jsonl"


@pytest.fixture
def gs(monkeypatch):
    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    url = f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", url)
    monkeypatch.setenv("GOOGLE_CLOUD_PROJECT", "test")
    requests.post(
        f"{url}/storage/v1/b?project=test", json={"name": "journals"}, timeout=10
    ).raise_for_status()
    yield "gs://journals/prod/runs.jsonl"
    server.stop()


@pytest.fixture
def memory():
    yield "memory://journals/runs.jsonl"
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def local(tmp_path):
    return str(tmp_path / "new folder" / "runs.jsonl")


@pytest.mark.parametrize("kind", ["local", "memory", "bucket", "gs"])
def test_each_line_is_added_to_those_before_it(request, kind):
    url = request.getfixturevalue(kind)
    for name in ("20260102040000aaaa", "20260103040000bbbb"):
        journal = Journal(url, name)
        for _ in range(3):
            journal.add("import", **LINE)
    history = read_history(url)
    assert [(run.run, run.imports, run.enters) for run in history.runs] == [
        ("20260102040000aaaa", 3, 3),
        ("20260103040000bbbb", 3, 3),
    ]
    assert history.unreadable == 0


def test_a_journal_that_cannot_be_written_is_a_warning_and_no_more(box, tmp_path):
    (tmp_path / "file").write_text("a file where the folder should be")
    config = quick_config(box, journal_url=str(tmp_path / "file" / "runs.jsonl"))
    result = run(config, [AUDIENCE_SCHEMA, enter("ada@example.com"), state({"at": 1})])
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert result.log.count("This run leaves no more lines in the journal.") == 1
    assert f"The journal at {tmp_path}/file is not a folder: set journal_url to another file." in result.log


def test_the_journal_is_for_its_owner_alone(box, tmp_path):
    path = tmp_path / "journal" / "runs.jsonl"
    assert (
        run(quick_config(box, journal_url=str(path)), [AUDIENCE_SCHEMA, enter("ada@example.com")]).code == 0
    )
    assert path.stat().st_mode & 0o777 == 0o600
    assert [json.loads(line)["event"] for line in path.read_text().splitlines()] == ["import", "run"]


def test_the_queries_of_the_documentation_work_on_a_folder(tmp_path, monkeypatch):
    for number in range(3):
        journal = Journal(f"{tmp_path}/journal/", f"2026010204000{number}", "sftp://host/a", "cordial-a")
        journal.add("import", **LINE)
        ended = f"2026-01-02T04:00:1{number}Z"
        failed = {"failure": "why", "failure_class": "person"} if number == 2 else {"failure": None}
        journal.add("run", started=ended, ended=ended, outcome="failed" if number == 2 else "done", **failed)
    text = Path(__file__).parents[2].joinpath("docs/report.md").read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    last, days = (duckdb.sql(query).fetchall() for query in re.findall(r"```sql\n(.*?)```", text, re.DOTALL))
    assert [(row[0], str(row[1])[:19], *row[2:]) for row in last] == [
        ("sftp://host/a", "2026-01-02 04:00:11", "failed", "person")
    ]
    assert [row[1:] for row in days] == [("one", "enter", 3, 2)]


def test_the_documentation_names_every_field_of_a_line(box, tmp_path):
    path = tmp_path / "runs.jsonl"
    assert (
        run(quick_config(box, journal_url=str(path)), [AUDIENCE_SCHEMA, enter("ada@example.com")]).code == 0
    )
    documented = set(
        re.findall(
            r"`(\w+)`", Path(__file__).parents[2].joinpath("docs/report.md").read_text(encoding="utf-8")
        )
    )
    for text in path.read_text().splitlines():
        line = json.loads(text)
        assert documented >= set(line)
        for counts in line.get("lists", {}).values():
            assert documented >= set(counts)
