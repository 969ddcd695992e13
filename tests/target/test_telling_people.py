"""Telling people: a post when a run ends otherwise than the one before, and --status for a monitor."""

import datetime as dt
import json
from concurrent.futures import ThreadPoolExecutor

import pytest

from target_cordial.history.journal import Journal, read_history
from tests.serving import answering, serving
from tests.target.journals import encoded, stamp
from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, exit_, quick_config, run, state

NOW = dt.datetime.now(dt.timezone.utc)
HERE, THERE = "sftp://here/a", "sftp://there/b"


def line(hours_ago, outcome="done", pipeline=HERE, **more):
    at = NOW - dt.timedelta(hours=hours_ago)
    name = f"{at:%Y%m%d%H%M%S}{abs(hash((hours_ago, pipeline))) % 65_536:04x}"
    return {
        "time": stamp(at), "run": name, "pipeline": pipeline, "event": "run", "started": stamp(at), "ended": stamp(at),
        "outcome": outcome, **more,
    }  # fmt: skip


FAILED = {"outcome": "failed", "failure": "It cannot be done: do that.", "failure_class": "person"}


@pytest.mark.parametrize(
    ("lines", "age", "code", "said"),
    [
        ([line(5)], 26, 0, ["sftp://here/a: last run", "UTC done; last good run 5 h "]),
        ([line(30)], 26, 1, ["last good run 30 h ", " ago, more than 26 h 0 min"]),
        ([line(30)], 31, 0, ["last good run 30 h "]),
        ([line(5), line(1, **FAILED)], 26, 0, ["failed (person): It cannot be done: do that; last good run 5 h"]),
        ([line(1, **FAILED)], 26, 1, ["; no good run is known"]),
        ([line(1, "incomplete"), line(2, "plan done"), line(3, "stopped")], 26, 1, ["no good run is known"]),
        ([line(-50), line(30)], 26, 1, ["last good run 30 h"]),
        ([line(5), line(40, pipeline=THERE)], 26, 1, ["sftp://here/a: ", "sftp://there/b: "]),
        ([line(5), line(7, pipeline=THERE)], 26, 0, ["sftp://here/a: ", "sftp://there/b: "]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("is_folder", [False, True], ids=["file", "folder"])
def test_status_says_whether_the_last_good_run_is_young_enough(tmp_path, lines, age, code, said, is_folder):
    journal = tmp_path / "journal"
    if is_folder:
        journal.mkdir()
        for one, text in zip(lines, encoded(lines), strict=True):
            (journal / f"{one['run']}-cordial-x-0001.jsonl").write_bytes(text)
    else:
        journal.write_bytes(b"".join(encoded(lines)))
    arguments = ["--status", "--max-age-hours", str(age)]
    result = run({"journal_url": str(journal)}, arguments=arguments)
    assert result.code == code, result.log
    for text in said:
        assert text in result.output


def test_status_of_one_pipeline_looks_at_it_alone(tmp_path):
    (tmp_path / "journal").write_bytes(b"".join(encoded([line(5), line(40, pipeline=THERE)])))
    config = {"journal_url": str(tmp_path / "journal"), "storage_url": "sftp://me@here:22/a/"}
    result = run(config, arguments=["--status"])
    assert result.code == 0, result.output
    assert "there" not in result.output
    result = run({**config, "storage_url": "sftp://elsewhere/c"}, arguments=["--status"])
    assert result.code == 2
    assert "knows no run of sftp://elsewhere/c" in result.message


@pytest.mark.parametrize("config", [{}, {"journal_url": "nowhere.jsonl"}])
def test_status_without_a_journal_is_an_error(config):
    result = run(config, arguments=["--status"])
    assert result.code != 0
    assert "journal" in result.message
    assert not result.output


@pytest.fixture
def chat():
    """A receiver, and what it got."""
    with serving(answering(200, b"ok")) as server:
        yield server


def posts(server):
    return [json.loads(body) for body in server.bodies]


def test_people_are_told_when_the_outcome_changes_and_not_each_time(box, tmp_path, chat):
    config = quick_config(box, journal_url=f"{tmp_path}/journal/", notify_url=f"{chat.url}/hook/secret-path")
    messages = [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada"), state({"at": 1})]
    assert run(config, messages).code == 0
    assert posts(chat) == []
    box.fault("jobid_error", f"No way in with {box.storage_password} for ada@example.com")
    for _ in range(2):
        failed = run(config, messages)
        assert failed.code != 0
    [post] = posts(chat)
    assert post["outcome"] == "failed"
    assert post["failure_class"] in {"person", "transient"}
    assert f"run failed ({post['failure_class']}): Cordial cannot read the import file" in post["text"]
    assert post["pipeline"] in post["text"]
    assert post["lists"] == failed_lists(tmp_path)
    box.clear_faults()
    for _ in range(2):
        assert run(config, messages).code == 0
    assert [post["outcome"] for post in posts(chat)] == ["failed", "done"]
    everything = b"".join(chat.bodies).decode()
    for needle in ("@", "Ada", box.storage_password, box.api_key, "secret-path"):
        assert needle not in everything
    assert "secret-path" not in failed.log


def failed_lists(tmp_path):
    return json.loads(sorted((tmp_path / "journal").iterdir())[1].read_bytes().splitlines()[-1])["lists"]


def test_exits_that_are_held_back_are_told_each_time(box, tmp_path, chat):
    config = quick_config(box, journal_url=f"{tmp_path}/journal/", notify_url=chat.url)
    people = [f"p{number}@example.com" for number in range(150)]
    assert run(config, [AUDIENCE_SCHEMA, *map(enter, people)]).code == 0
    for _ in range(2):
        assert run(config, [AUDIENCE_SCHEMA, *map(exit_, people)]).code != 0
    assert ["max_removal_percent" in post["text"] for post in posts(chat)] == [True, True]


def test_without_a_journal_each_failure_is_told(box, chat):
    config = quick_config(box, notify_url=chat.url)
    assert run(config, [AUDIENCE_SCHEMA, enter("ada@example.com")]).code == 0
    assert posts(chat) == []
    for _ in range(2):
        assert run(config, [b"nonsense\n"]).code != 0
    assert [post["outcome"] for post in posts(chat)] == ["failed", "failed"]


@pytest.mark.parametrize("answer", [answering(404), answering(302, Location="http://127.0.0.1:1/x"), None])
def test_a_receiver_that_does_not_work_is_a_warning_without_its_url(box, answer):
    config = quick_config(box)
    with serving(answer or answering()) as server:
        url = f"{server.url if answer else 'http://127.0.0.1:9'}/services/T0/B0/secret-path"
        result = run({**config, "notify_url": url}, [b"nonsense\n"])
    assert "Nobody was told how the run ended, as notify_url " in result.log
    assert "secret-path" not in result.log
    assert "not valid JSON" in result.message
    assert len(server.calls) == (1 if answer else 0)


def test_runs_side_by_side_lose_no_line_in_a_folder(s3, tmp_path):
    s3.create_bucket(Bucket="journals")
    for url in ("s3://journals/prod/", f"{tmp_path}/journal/"):

        def one(number, url=url):
            journal = Journal(
                url, f"20260102040000{number:08x}", f"sftp://host/{number}", f"cordial-{number}"
            )
            for _ in range(5):
                journal.add("import", kind="enter", rows=1, seconds=0.5, list_name=LIST)
            assert journal.run_before() is None

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(20)))
        history = read_history(url)
        assert [run.imports for run in history.runs] == [5] * 20
        assert len({run.pipeline for run in history.runs}) == 20
