"""The ledger: immutable files that the state points at; what happens when they are many, old, damaged, gone or foreign."""

from __future__ import annotations

import datetime as dt
import errno
import json
import os
import shutil
import stat
import time

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


def grown_old(box, days=31):
    """All that manifests say was dropped, was dropped so many days earlier."""
    for path in ledger_files(box):
        if path.name.startswith("m-"):
            manifest = json.loads(path.read_text(encoding="utf-8"))
            for name, time in manifest["settled"].items():
                earlier = dt.datetime.fromisoformat(time.replace("Z", "+00:00")) - dt.timedelta(days=days)
                manifest["settled"][name] = earlier.isoformat().replace("+00:00", "Z")
            path.write_text(json.dumps(manifest), encoding="utf-8")


def reached(state, box):
    """The ledger files that a state needs."""
    generation, name = bookmark(state, box)["position"].split("/")
    assert generation == state["bookmarks"][STREAM]["generation"]
    folder = box.folder / "ledger" / audience_id(box)
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


def test_files_of_each_audience_lie_under_its_id_beside_the_file_that_names_the_ledger(box):
    state = run(box.tap_config()).state["bookmarks"][STREAM]
    assert {path.parent for path in ledger_files(box)} == {box.folder / "ledger" / audience_id(box)}
    stored = json.loads((box.folder / "ledger" / "ledger.json").read_text(encoding="utf-8"))
    assert stored["id"] == state["ledger"] == state["run"]["ledger"]
    assert stored["generation"] == state["generation"]
    assert stored["run"] == state["run"]["number"] == state["ended"] == 1
    assert state["run"]["audiences"] == [audience_id(box)]


def test_the_number_of_the_run_rises_with_each_run_and_only_one_that_did_all_says_that_it_ended(box):
    state = run(box.tap_config()).state
    box.fault("short_scan", 0.5)
    short = run(box.tap_config(), state)
    assert short.error
    assert [entry["bookmarks"][STREAM]["run"]["number"] for entry in short.states] == [2] * len(short.states)
    assert not any("ended" in entry["bookmarks"][STREAM] for entry in short.states)
    box.clear_faults()
    assert run(box.tap_config(), short.state).state["bookmarks"][STREAM]["ended"] == 3


def test_what_others_put_into_the_stream_s_bookmark_comes_out_again_from_the_first_state_on(box):
    state = run(box.tap_config()).state
    state["bookmarks"][STREAM]["target_cordial"] = {"lists": '{"a":1}'}
    result = run(box.tap_config(), state)
    assert result.states
    for later in result.states:
        assert later["bookmarks"][STREAM]["target_cordial"] == {"lists": '{"a":1}'}


def test_the_state_says_how_many_were_sent_and_are_members(box):
    state = run(box.tap_config()).state
    assert bookmark(state, box)["members"] == len(box.world.keys(AUDIENCE))
    moved(box)
    state = run(box.tap_config(), state).state
    assert bookmark(state, box)["members"] == len(box.world.keys(AUDIENCE))
    assert bookmark(run(box.tap_config(existing_users=False)).state, box)["members"] == len(
        box.world.keys(AUDIENCE)
    )


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


def used(box, runs=6):
    """The state after some runs with changes."""
    state = run(box.tap_config()).state
    for _ in range(runs):
        moved(box)
        state = run(box.tap_config(), state).state
    return state


def test_files_go_some_days_after_they_were_dropped_but_never_what_the_state_reaches(box):
    state = used(box)
    needed = reached(state, box)
    before = ledger_files(box)
    assert len(before) > len(needed)
    grown_old(box, days=29)
    run(box.tap_config(), state)
    assert ledger_files(box) == before, "an older state may be restored"
    grown_old(box, days=2)
    assert run(box.tap_config(), state).records == []
    left = set(ledger_files(box))
    assert needed <= left
    assert len(left) < len(before)
    # What the last run dropped is known to have been dropped since then alone.
    moved(box)
    state = run(box.tap_config(), state).state
    grown_old(box)
    assert run(box.tap_config(), state).records == []
    assert len(set(ledger_files(box)) - reached(state, box)) <= len(needed)


def test_the_days_count_from_when_a_file_was_dropped_whatever_the_age_of_the_file(box):
    state = used(box, runs=1)
    for path in ledger_files(box):
        os.utime(path, (time.time() - 400 * DAY, time.time() - 400 * DAY))
    moved(box)
    later = run(box.tap_config(), state).state
    run(box.tap_config(), later)
    moved(box)
    restored = run(box.tap_config(), state)
    assert restored.error == "", "yesterday's state is good, after a year without changes too"


def test_the_order_of_files_is_that_of_their_numbers_also_in_a_copy_without_times(box, tmp_path):
    state = used(box)
    shutil.copytree(box.folder / "ledger", tmp_path / "copy", copy_function=shutil.copy)
    assert run(box.tap_config(ledger_url=str(tmp_path / "copy")), state).records == []


def test_numbers_have_any_width(box):
    state = run(box.tap_config()).state
    folder = box.folder / "ledger" / audience_id(box)
    (folder / "m-999997-0123456789abcdef.json").write_text("{}", encoding="utf-8")
    for _ in range(4):
        one = box.world.enter(AUDIENCE)
        state = run(box.tap_config(), state).state
        box.world.leave(AUDIENCE, one)
        result = run(box.tap_config(), state)
        assert result.of("exit") == [key_of(box, one)]
        state = result.state
    assert max(map(number, ledger_files(box))) > 1_000_000


def number(path):
    return int(path.name.split("-")[1])


def test_a_time_in_the_future_keeps_no_file_for_ever(box):
    state = used(box)
    grown_old(box, days=-4000)
    moved(box)
    state = run(box.tap_config(), state).state
    before = len(ledger_files(box))
    grown_old(box)
    run(box.tap_config(), state)
    assert len(ledger_files(box)) < before


def test_a_full_refresh_leaves_no_copy_of_the_ledger_behind(box):
    state = used(box)
    for _ in range(3):
        state = run(box.tap_config()).state
        moved(box)
        state = run(box.tap_config(), state).state
    grown_old(box)
    moved(box)
    state = run(box.tap_config(), state).state
    grown_old(box)
    run(box.tap_config(), state)
    assert len(ledger_files(box)) < 12


def test_the_newest_acknowledged_manifest_stays_whatever_states_come_after_it(box):
    state = used(box)
    kept = reached(state, box)
    moved(box)
    run(box.tap_config(), state)
    for _ in range(3):
        # Nothing of these is acknowledged.
        moved(box)
        run(box.tap_config())
        grown_old(box)
    assert kept <= set(ledger_files(box))
    assert run(box.tap_config(), state).error == ""


def test_files_that_are_in_doubt_are_kept_however_old(box):
    state = run(box.tap_config()).state
    entered = box.world.enter(AUDIENCE)
    run(box.tap_config(), state)
    grown_old(box, days=400)
    box.world.leave(AUDIENCE, entered)
    assert run(box.tap_config(), state).of("exit") == [key_of(box, entered)]


def test_what_a_killed_run_left_half_written_goes_too(box):
    state = run(box.tap_config()).state
    folder = ledger_files(box)[0].parent
    half = folder / "p-000009-0123456789abcdef.parquet.part"
    other = folder / "notes.txt"
    for path in (half, other):
        path.write_text("half", encoding="utf-8")
    moved(box)
    state = run(box.tap_config(), state).state
    assert half.exists()
    grown_old(box)
    run(box.tap_config(), state)
    assert not half.exists()
    assert other.exists(), "what is not the ledger's is left alone"


def test_a_state_of_another_pipeline_s_ledger_is_an_error_with_both_causes_and_cures(box, tmp_path):
    state = run(box.tap_config()).state
    elsewhere = box.tap_config(ledger_url=str(tmp_path / "other"))
    run(elsewhere)
    refused = run(elsewhere, state)
    assert "the folder of another pipeline, correct ledger_url" in refused.error
    assert "lost and begun anew, run once with --full-refresh" in refused.error
    assert refused.messages == []


def test_a_ledger_that_is_gone_is_an_error_that_says_who_is_not_known(box):
    state = run(box.tap_config()).state
    shutil.rmtree(box.folder / "ledger")
    refused = run(box.tap_config(), state)
    assert "is gone" in refused.error
    assert "Who left since the last run is not known then" in refused.error
    assert refused.messages == []
    assert list((box.folder / "ledger").iterdir()) == []


def test_a_state_of_version_0_1_is_an_error_that_says_the_way(box):
    state = run(box.tap_config()).state
    del state["bookmarks"][STREAM]["generation"]
    refused = run(box.tap_config(), state)
    assert "made by version 0.1" in refused.error
    assert "--full-refresh" in refused.error
    assert refused.messages == []


def test_a_position_never_leads_out_of_the_ledger(box):
    state = run(box.tap_config()).state
    generation = state["bookmarks"][STREAM]["generation"]
    bookmark(state, box)["position"] = f"{generation}/../../../etc/passwd"
    refused = run(box.tap_config(), state)
    assert "no file of the name" in refused.error


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
        text for text in caplog.messages if "who left and is named in no other file stays on the list" in text
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
    assert ended.code == 2
    assert "The ledger" in ended.sentence
    assert str(in_the_way) in ended.sentence
    assert "ledger_url" in ended.sentence
    assert "Traceback" not in ended.log
    assert ended.result.records == []
    assert ended.leftovers == []


def test_a_disk_that_is_full_is_one_sentence_and_nothing_of_the_part_is_sent(box, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    # The ledger's own folder is full, and the temporary one is not.
    monkeypatch.setattr("lytics_to_cordial.filesystems.PrivateFileSystem.put_file", full)
    result = run(box.tap_config())
    assert "has no room" in result.error
    assert "make room" in result.error
    assert result.records == []


def test_an_unknown_kind_of_url_is_one_sentence(box):
    result = run(box.tap_config(ledger_url="ftq://bucket/ledger"))
    assert "has a URL of a kind that is not known" in result.error
    assert "ledger_url" in result.error


@pytest.mark.parametrize("name", ["ledger_url", "triggers_url"])
def test_a_password_in_a_url_is_refused_and_not_shown(box, name):
    result = run(box.tap_config(**{name: "sftp://someone:hunter2@example.com/folder"}))
    assert f"The setting {name} holds a password" in result.error
    assert "hunter2" not in result.error


def test_the_numbers_of_files_rise_also_after_an_older_state_was_restored(box):
    old = run(box.tap_config()).state
    moved(box)
    run(box.tap_config(), old)
    numbers = list(map(number, ledger_files(box)))
    run(box.tap_config(), old)
    newer = set(map(number, ledger_files(box))) - set(numbers)
    assert min(newer) > max(numbers)


def test_blocks_do_not_change_what_the_ledger_holds(box, monkeypatch):
    monkeypatch.setattr(changes, "BLOCK_ROWS", 4)
    state = run(box.tap_config(page_size=2)).state
    parts = [path for path in reached(state, box) if path.name.startswith("p-")]
    bases = [path for path in reached(state, box) if path.name.startswith("b-")]
    assert (len(bases), len(parts)) == (1, 0)
    monkeypatch.setattr(changes, "BLOCK_ROWS", 50_000)
    assert run(box.tap_config(), state).records == []
