"""How a run ends: exits that could not be done, a tap that did not do all of its work, and imports under way in a folder of before."""

from collections import Counter

import msgspec
import pytest

from target_cordial.bookmark.bookmarks import Bookmarks
from target_cordial.settings import Settings
from tests.target.auditing import audit
from tests.target.following import AudienceRuns, PeopleRuns, audience_id
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    STREAM,
    enter,
    exit_,
    import_calls,
    quick_config,
    run,
    started,
    state,
    wait_until,
)

VIP = "VIP Customers"
ADA, BOB = "ada@example.com", "bob@example.com"


def last_run(path):
    return msgspec.json.decode(path.read_bytes().splitlines()[-1])


def test_members_are_in_the_journal_also_of_a_run_without_changes(box, tmp_path):
    journal = tmp_path / "journal.jsonl"
    runs = AudienceRuns(quick_config(box, journal_url=str(journal)))
    assert runs.run(enter(ADA), enter(BOB), members={VIP: 2}).code == 0
    assert runs.run(members={VIP: 2}).code == 0
    expected = {"enters": 0, "exits": 0, "size_before": 2, "size_after": 2, "members": 2}
    assert last_run(journal)["lists"] == {LIST: expected}


def test_an_empty_input_is_nothing_came(box, tmp_path):
    journal, page = tmp_path / "journal.jsonl", tmp_path / "page.html"
    config = quick_config(box, journal_url=str(journal))
    result = run(config)
    assert result.code == 0, result.log
    assert "Run nothing came" in result.log
    assert "Run done" not in result.log
    assert last_run(journal)["outcome"] == "nothing came"
    run(config, arguments=["--report", str(page)])
    assert "nothing came" in page.read_text(encoding="utf-8")
    assert "✓ done" not in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("records", [[], [enter(BOB)]], ids=["quiet", "changes"])
def test_a_run_whose_tap_did_not_do_all_of_its_work_is_incomplete(box, tmp_path, records):
    journal, page = tmp_path / "journal.jsonl", tmp_path / "page.html"
    runs = AudienceRuns(quick_config(box, journal_url=str(journal)))
    assert runs.run(enter(ADA), members={VIP: 1}).code == 0
    assert last_run(journal)["outcome"] == "done"
    result = runs.run(*records, members={VIP: 50}, is_ended=False)
    assert result.code == 0, "its exit code follows its own work"
    assert "Run incomplete" in result.log
    assert "missing" not in result.log, "what the tap says of its members is of no use"
    assert last_run(journal)["outcome"] == "incomplete"
    run(runs.config, arguments=["--report", str(page)])
    assert "incomplete" in page.read_text(encoding="utf-8")


def test_values_that_did_not_fit_are_warned_of_in_every_run_until_one_without_a_state(box):
    runs = AudienceRuns(quick_config(box))
    bad = [enter(ADA, birthday="soon"), enter(BOB, birthday="later", visit_count="many")]
    assert runs.run(*bad[:1], members={VIP: 1}).code == 0
    first = runs.run(*bad[1:], members={VIP: 2})
    assert "(1 of birthday)" in first.log
    for _ in range(2):
        quiet = runs.run(members={VIP: 2})
        assert quiet.code == 0, quiet.log
        assert (
            "values that did not fit since the last run without a state (2 of birthday, 1 of visit_count)"
            in quiet.log
        )
        assert "--full-refresh, which sends them" in quiet.log
    runs.state = None
    refreshed = runs.run(enter(ADA, birthday="2024-02-29"), enter(BOB), members={VIP: 2})
    assert "did not fit" not in refreshed.log
    assert "did not fit" not in runs.run(members={VIP: 2}).log


def test_exits_that_could_not_be_done_end_every_run_until_they_are_accepted(box):
    runs = AudienceRuns(quick_config(box))
    assert runs.run(enter(ADA), members={VIP: 1}).code == 0
    runs.entry["exits_open"] = 2
    for records in ([], [enter(BOB)]):
        result = runs.run(*records, members={VIP: 2})
        assert result.code != 0
        assert "2 exits could not be done in earlier runs" in result.message
        assert (
            "by a mirror that ends equal, with the storage_url of this pipeline, or by hand, and then run once with "
            "TARGET_CORDIAL_ACCEPT_REJECTED_EXITS=true" in result.message
        )
        assert runs.entry["exits_open"] == 2
        assert (BOB in box.list_members(LIST)) is bool(records), "they keep nobody else from arriving"
    accepted = runs.run(members={VIP: 2}, env={"TARGET_CORDIAL_ACCEPT_REJECTED_EXITS": "true"})
    assert accepted.code != 0, "the environment counts with --config=ENV alone"
    accepted = runs.run(members={VIP: 2}, accept_rejected_exits=True)
    assert accepted.code == 0, accepted.log
    assert "2 exits of earlier runs could not be done, which is accepted now" in accepted.log
    assert runs.run(members={VIP: 2}).code == 0


def test_a_mirror_that_ends_equal_settles_what_was_open_before_it(box):
    runs = AudienceRuns(quick_config(box, null_values="clear"))
    assert runs.run(enter(ADA), enter(BOB), members={VIP: 2}).code == 0
    box.account.put_contact("eve@example.com", {}, "none")
    box.account.join(box.account.list_id(LIST), "eve@example.com")
    runs.entry["exits_open"] = 1
    runs.entry["surplus"] = f'{{"{audience_id(VIP)}": 1}}'
    assert runs.run(members={VIP: 2}).code == 2
    assert audit(box, {ADA: {}, BOB: {}}, mode="mirror", plan_only=True).code == 0
    assert runs.run(members={VIP: 2}).code == 2, "a plan settles nothing"
    assert audit(box, {ADA: {}, BOB: {}}, mode="mirror").code == 0
    settled = runs.run(members={VIP: 2})
    assert settled.code == 0, settled.log
    assert "missing" not in settled.log
    assert (runs.entry["exits_open"], runs.entry["surplus"]) == (0, f'{{"{audience_id(VIP)}":0}}')
    runs.entry["exits_open"] = 1
    assert runs.run(enter(ADA), members={VIP: 2}).code == 2, "no earlier mirror settles what came after it"


def test_an_exit_that_cordial_rejects_is_open_until_it_is_accepted(box):
    people = [f"p{number}@example.com" for number in range(6)]
    runs = AudienceRuns(quick_config(box))
    assert runs.run(*map(enter, people), members={VIP: 6}).code == 0
    box.fault("job_rejects", 1)
    rejected = runs.run(*map(exit_, people[:4]), members={VIP: 2})
    assert rejected.code == 2
    assert f"1 exit of {LIST} could not be done" in rejected.message
    assert runs.entry["exits_open"] == 1, "it is acknowledged, and counted"
    box.clear_faults()
    quiet = runs.run(members={VIP: 2})
    assert quiet.code == 2
    assert "1 exit could not be done in earlier runs" in quiet.message
    assert runs.run(members={VIP: 2}, accept_rejected_exits=True).code == 0
    assert runs.run(members={VIP: 2}).code == 0
    assert len(box.list_members(LIST)) == 3


def test_exits_of_this_run_are_added_to_those_that_are_open():
    bookmarks = Bookmarks(Settings(api_key="key", storage_url="file:///x"), {})
    bookmarks.exits_failed = Counter({"People": 1})
    before = {"bookmarks": {"people": {"at": 1, "target_cordial": {"exits_open": 2}}, "others": {"at": 1}}}
    bookmarks.begin(before, is_before_records=True)
    bookmarks.open("people", has_identifier=True)
    bookmarks.open("others", has_identifier=True)
    stamped = bookmarks.stamp({"bookmarks": {"people": {"at": 2}, "others": {"at": 2}}})["bookmarks"]
    assert stamped["people"]["target_cordial"]["exits_open"] == 3
    assert "target_cordial" not in stamped["others"]
    assert bookmarks.exits_open == 3


def test_an_import_under_way_in_another_storage_folder_is_waited_for(box):
    """The folder of import files may be another one after a run that was killed."""
    runs = AudienceRuns(quick_config(box, poll_interval_seconds=0.1))
    first = state({"bookmarks": {STREAM: {"run": {"number": 1, "audiences": []}, "audiences": {}}}})
    box.fault("job_never_ends")
    with started(runs.config) as running:
        running.write([first, AUDIENCE_SCHEMA, enter(ADA)])
        running.end_input()
        wait_until(lambda: import_calls(box))
        running.process.kill()
        runs.state = running.result().states[-1]
    other = (box.folder / "sftp" / "other").as_uri()
    source = {**runs.config["import_source"], "path": "/other"}
    lines = [state(runs.state), AUDIENCE_SCHEMA, enter(ADA), state(runs.state)]
    with started({**runs.config, "storage_url": other, "import_source": source}) as running:
        running.write(lines)
        running.end_input()
        running.wait_for_log("Waiting for import")
        assert len(import_calls(box)) == 1
        box.clear_faults()
        result = running.result()
    assert result.code == 0, result.log
    assert len(import_calls(box)) == 2
    assert result.states[-1]["bookmarks"][STREAM]["target_cordial"]["storage_url"] == other


def test_nothing_of_the_key_is_in_a_state(box):
    runs = PeopleRuns(quick_config(box, list_name="People", field_mapping={}))
    result = runs.run(ADA)
    assert box.api_key not in result.output
    assert box.storage_password not in result.output
