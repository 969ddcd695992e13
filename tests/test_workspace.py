"""A run's folder: its owner's alone, and removed by a later run if its own was killed."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
from pathlib import Path

import duckdb
import pytest

from lytics_to_cordial.workspace import open_workspace, workspace
from sandbox import AudienceSpec
from tests.tap.running import started

PLUGIN = "tap-somebody"


@pytest.fixture(autouse=True)
def temporary(monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    umask = os.umask(0o022)
    yield tmp_path
    os.umask(umask)


@pytest.fixture
def abandoned(temporary):
    """The folder of a run that was killed: nobody holds its lock."""
    folder = temporary / f"{PLUGIN}-killed"
    folder.mkdir()
    (folder / "rows.csv").touch()
    return folder


def modes(folder):
    return {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def test_each_file_is_its_owners_alone_also_those_that_databases_make():
    with workspace(PLUGIN) as folder:
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        (folder / "block.jsonl").write_text("ada@example.com")
        with duckdb.connect(folder / "changes.duckdb") as database:
            database.execute("CREATE TABLE member (address TEXT)")
            with sqlite3.connect(folder / "exits.sqlite") as exits:
                exits.execute("CREATE TABLE exit (address TEXT)")
            exits.close()
            found = modes(folder)
    assert set(found) >= {"block.jsonl", "changes.duckdb", "exits.sqlite", "run.lock"}
    assert set(found.values()) == {0o600}
    assert not folder.exists()
    assert os.umask(0o022) == 0o022, "as before"


def test_each_file_of_a_tap_at_work_is_its_owners_alone(make_box):
    box = make_box([AudienceSpec("VIP Customers", 5000)])
    with started(box.tap_config()) as process:
        assert any(b'"RECORD"' in line for line in process.stdout), "it ended without a record"
        # The tap now waits for somebody to read on.
        found = modes(Path(process.args[2]).with_name("tmp"))
    assert set(found) >= {"block.jsonl", "fields.bin"}
    assert set(found.values()) == {0o600}


def test_a_folder_for_the_whole_process_has_private_files_too():
    folder = open_workspace(PLUGIN)
    (folder / "exits.sqlite").touch()
    assert set(modes(folder).values()) == {0o600}


def test_the_folder_of_a_killed_run_goes_and_that_of_a_running_one_stays(abandoned):
    (abandoned / "run.lock").touch()
    with workspace(PLUGIN) as running, workspace(PLUGIN) as other:
        assert running.exists()
        assert other.exists()
        assert not abandoned.exists()


def test_a_pipe_in_place_of_a_lock_does_not_stop_a_run(abandoned):
    os.mkfifo(abandoned / "run.lock")
    with workspace(PLUGIN):
        assert (abandoned / "rows.csv").exists()


def test_a_link_in_place_of_a_lock_is_not_followed(abandoned, tmp_path):
    (tmp_path / "elsewhere").touch()
    (abandoned / "run.lock").symlink_to(tmp_path / "elsewhere")
    with workspace(PLUGIN):
        assert (abandoned / "rows.csv").exists()


def test_a_link_to_a_folder_leaves_what_it_leads_to(abandoned, tmp_path):
    (abandoned / "run.lock").touch()
    mine = Path(abandoned.rename(tmp_path / "mine"))
    abandoned.symlink_to(mine)
    with workspace(PLUGIN):
        assert (mine / "rows.csv").exists()


def test_what_belongs_to_another_user_stays(abandoned, monkeypatch):
    (abandoned / "run.lock").touch()
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    with workspace(PLUGIN):
        assert (abandoned / "rows.csv").exists()
