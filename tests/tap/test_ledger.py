"""The ledger: immutable files that the state points at; what happens when they are many, old, damaged, gone or foreign."""

from __future__ import annotations

import json
import os
import shutil
import stat
import time
from pathlib import Path

import pytest

from sandbox import AudienceSpec
from tap_lytics_audience.members import changes
from tests.tap.running import (
    AUDIENCE,
    STREAM,
    audience_id,
    bookmark,
    key_of,
    ledger_files,
    run,
    run_process,
    somebody,
)

DAY = 24 * 3600


@pytest.fixture
def box(make_box):
    return make_box([AudienceSpec("VIP Customers", 40)])


def grown_old(files, days=31):
    for path in files:
        os.utime(path, (time.time() - days * DAY, time.time() - days * DAY))


def reached(state, box):
    """The ledger files that a state needs."""
    ledger, name = bookmark(state, box)["position"].split("/")
    folder = box.folder / "ledger" / ledger / audience_id(box)
    manifest = json.loads((folder / name).read_text(encoding="utf-8"))
    return {folder / name, *(folder / part["name"] for part in manifest["parts"])}


def moved(box):
    """Two enter, and one leaves."""
    box.world.enter(AUDIENCE)
    box.world.enter(AUDIENCE)
    box.world.leave(AUDIENCE, somebody(box))


def test_files_are_for_their_owner_alone(box):
    run(box.tap_config())
    assert ledger_files(box)
    for path in ledger_files(box):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_files_of_each_audience_lie_under_the_ledger_and_the_audience_that_the_state_names(box):
    state = run(box.tap_config()).state
    ledger = state["bookmarks"][STREAM]["ledger"]
    assert {path.parent for path in ledger_files(box)} == {box.folder / "ledger" / ledger / audience_id(box)}


def test_files_are_never_changed_once_they_are_there(box):
    state = {}
    contents = {}
    for _ in range(8):
        state = run(box.tap_config(), state).state
        for path in ledger_files(box):
            assert contents.setdefault(path, path.read_bytes()) == path.read_bytes()
        moved(box)


def test_parts_are_merged_into_a_base_when_they_have_grown_past_a_tenth_of_it(make_box):
    box = make_box([AudienceSpec("VIP Customers", 100)])
    state = run(box.tap_config()).state
    kinds = []
    for _ in range(12):
        box.world.enter(AUDIENCE)
        state = run(box.tap_config(), state).state
        kinds.append(sorted(path.name[0] for path in reached(state, box)))
    assert ["b", "m"] in kinds, "merged"
    assert ["b", "m", "p", "p"] in kinds, "and not at each run"
    assert run(box.tap_config(), state).records == []


def test_nothing_is_lost_or_sent_twice_by_merging(box):
    state = run(box.tap_config()).state
    for _ in range(6):
        before = set(box.world.keys(AUDIENCE))
        moved(box)
        result = run(box.tap_config(), state)
        after = set(box.world.keys(AUDIENCE))
        assert set(result.of("enter")) == after - before
        assert set(result.of("exit")) == before - after
        assert len(result.records) == len(before ^ after)
        state = result.state


def test_old_files_are_deleted_at_the_start_of_a_run_but_never_what_the_state_reaches(box):
    state = run(box.tap_config()).state
    for _ in range(6):
        moved(box)
        state = run(box.tap_config(), state).state
    grown_old(ledger_files(box))
    needed = reached(state, box)
    assert len(ledger_files(box)) > len(needed)
    assert run(box.tap_config(), state).records == []
    assert set(ledger_files(box)) == needed


def test_young_files_are_kept_as_an_older_state_may_be_restored(box):
    state = run(box.tap_config()).state
    for _ in range(6):
        moved(box)
        state = run(box.tap_config(), state).state
    before = ledger_files(box)
    grown_old(before, days=29)
    run(box.tap_config(), state)
    assert ledger_files(box) == before
    run(box.tap_config(ledger_keep_days=28), state)
    assert set(ledger_files(box)) == reached(state, box)


def test_files_that_are_in_doubt_are_kept_however_old(box):
    state = run(box.tap_config()).state
    entered = box.world.enter(AUDIENCE)
    run(box.tap_config(), state)
    grown_old(ledger_files(box), days=400)
    box.world.leave(AUDIENCE, entered)
    assert run(box.tap_config(), state).of("exit") == [key_of(box, entered)]


def test_what_a_killed_run_left_half_written_is_deleted_when_it_is_old(box):
    state = run(box.tap_config()).state
    folder = ledger_files(box)[0].parent
    half = folder / "p-000009-0123456789abcdef.parquet.part"
    other = folder / "notes.txt"
    for path in (half, other):
        path.write_text("half", encoding="utf-8")
    run(box.tap_config(), state)
    assert half.exists()
    grown_old([half, other])
    run(box.tap_config(), state)
    assert not half.exists()
    assert other.exists(), "what is not the ledger's is left alone"


def test_two_pipelines_on_one_ledger_url_never_disturb_each_other(box):
    one, other = run(box.tap_config()).state, run(box.tap_config()).state
    for _ in range(3):
        before = set(box.world.keys(AUDIENCE))
        moved(box)
        after = set(box.world.keys(AUDIENCE))
        grown_old(ledger_files(box))
        for name, state in (("one", one), ("other", other)):
            result = run(box.tap_config(), state)
            assert set(result.of("enter")) == after - before
            assert set(result.of("exit")) == before - after
            assert len(result.records) == len(before ^ after)
            if name == "one":
                one = result.state
            else:
                other = result.state
    assert run(box.tap_config(), one).records == run(box.tap_config(), other).records == []


def test_a_new_pipeline_on_the_same_ledger_url_touches_nobody_who_is_a_member(box):
    run(box.tap_config())
    second = run(box.tap_config())
    assert set(second.changes) == {"backfill"}


@pytest.mark.parametrize("kind", ["m-", "p-", "b-"])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "garbage"])
def test_a_file_that_is_missing_or_damaged_is_one_sentence_whose_cure_works(box, kind, damage):
    state = run(box.tap_config()).state
    moved(box)
    state = run(box.tap_config(), state).state
    if kind == "p-":
        # One is too few to be merged into the base.
        box.world.leave(AUDIENCE, somebody(box))
        state = run(box.tap_config(), state).state
    (path,) = [path for path in reached(state, box) if path.name.startswith(kind)][:1]
    spoil(path, damage)
    left = somebody(box)
    box.world.leave(AUDIENCE, left)

    broken = run(box.tap_config(), state)
    assert str(path) in broken.error
    assert ("is missing" if damage == "missing" else "is damaged") in broken.error
    assert "restore it, or run once with --full-refresh" in broken.error
    assert broken.records == []

    cured = run(box.tap_config())
    assert cured.error == ""
    assert set(cured.of("backfill")) == set(box.world.keys(AUDIENCE))
    assert key_of(box, left) in cured.of("exit"), "the other files tell of them"
    assert run(box.tap_config(), cured.state).records == []


def spoil(path, damage):
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(
            {"empty": b"", "cut": content[: len(content) // 2], "garbage": b"garbage" * 99}[damage]
        )


def test_a_full_refresh_says_once_which_files_of_an_older_ledger_it_could_not_read(box, caplog):
    state = None
    for _ in range(5):
        state = run(box.tap_config(), state).state
        box.world.enter(AUDIENCE)
    parts = [path for path in ledger_files(box) if path.suffix == ".parquet"]
    for path in parts:
        spoil(path, "garbage")
    assert run(box.tap_config()).error == ""
    [warning] = [
        text for text in caplog.messages if "whoever left and is in no other file stays on the list" in text
    ]
    assert warning.startswith(f"{len(parts)} ledger files cannot be read (")
    assert warning.count(".parquet") == 3


def test_restoring_a_damaged_file_is_a_cure_too(box):
    state = run(box.tap_config()).state
    (path,) = [path for path in reached(state, box) if path.name.startswith("p-")]
    content = path.read_bytes()
    path.unlink()
    assert run(box.tap_config(), state).error
    path.write_bytes(content)
    assert run(box.tap_config(), state).records == []


def test_a_ledger_that_moved_to_another_folder_goes_on_from_there(box, tmp_path):
    state = run(box.tap_config()).state
    shutil.move(box.folder / "ledger", tmp_path / "elsewhere")
    moved(box)
    result = run(box.tap_config(ledger_url=str(tmp_path / "elsewhere")), state)
    assert result.counts == {"enter": 2, "exit": 1}


@pytest.mark.parametrize("name", ["o'brien", "[prod]", "50%", "a b", "st*r", "what?", 'quo"te', "zürich"])
def test_the_folder_may_have_any_name(box, tmp_path, name):
    config = box.tap_config(ledger_url=str(tmp_path / name))
    state = run(config).state
    moved(box)
    assert run(config, state).counts == {"enter": 2, "exit": 1}


def test_a_relative_path_and_a_file_url_mean_folders_too(box, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    state = run(box.tap_config(ledger_url="ledger/test")).state
    assert run(box.tap_config(ledger_url=f"file://{tmp_path}/ledger/test/"), state).records == []


def test_a_folder_that_cannot_be_written_is_one_sentence_and_nothing_is_sent(box, tmp_path):
    in_the_way = tmp_path / "ledger"
    in_the_way.write_text("a file", encoding="utf-8")
    ended = run_process(box.tap_config(ledger_url=str(in_the_way)))
    assert ended.code == 1
    assert "The ledger" in ended.sentence
    assert str(in_the_way) in ended.sentence
    assert "ledger_url" in ended.sentence
    assert "Traceback" not in ended.log
    assert ended.result.records == []
    assert ended.leftovers == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_disk_that_is_full_is_one_sentence_and_nothing_of_the_part_is_sent(box, monkeypatch):
    # The ledger's own folder is full, and the temporary one is not.
    def full(path, target):
        target.parent.mkdir(parents=True, exist_ok=True)
        with Path("/dev/full").open("wb", buffering=0) as file:
            file.write(path.read_bytes())

    monkeypatch.setattr("tap_lytics_audience.members.ledger._put_local", full)
    result = run(box.tap_config())
    assert "cannot be written (No space left on device): make room" in result.error
    assert result.records == []


def test_an_unknown_kind_of_url_is_one_sentence(box):
    result = run(box.tap_config(ledger_url="ftq://bucket/ledger"))
    assert "The ledger at ftq://bucket/ledger" in result.error
    assert "ledger_url" in result.error


@pytest.mark.parametrize("name", ["ledger_url", "triggers_url"])
def test_a_password_in_a_url_is_refused_and_not_shown(box, name):
    result = run(box.tap_config(**{name: "sftp://someone:hunter2@example.com/folder"}))
    assert f"The setting {name} must not hold a password" in result.error
    assert "hunter2" not in result.error


def test_the_numbers_of_files_rise_also_after_an_older_state_was_restored(box):
    old = run(box.tap_config()).state
    moved(box)
    run(box.tap_config(), old)
    numbers = [int(path.name[2:8]) for path in ledger_files(box)]
    run(box.tap_config(), old)
    newer = {int(path.name[2:8]) for path in ledger_files(box)} - set(numbers)
    assert min(newer) > max(numbers)


def test_blocks_do_not_change_what_the_ledger_holds(box, monkeypatch):
    monkeypatch.setattr(changes, "BLOCK_ROWS", 4)
    state = run(box.tap_config(page_size=2)).state
    parts = [path for path in reached(state, box) if path.name.startswith("p-")]
    bases = [path for path in reached(state, box) if path.name.startswith("b-")]
    assert len(bases) == 1 or len(parts) > 5
    monkeypatch.setattr(changes, "BLOCK_ROWS", 50_000)
    assert run(box.tap_config(), state).records == []
