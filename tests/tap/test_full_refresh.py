"""A full refresh is the cure for whatever happened to a state: afterwards the consumer knows the truth, and no limit stops it."""

from __future__ import annotations

import itertools
import shutil

import pytest

from sandbox import AudienceSpec
from tests.tap.running import AUDIENCE, key_of, run, somebody
from tests.tap.test_crash_safety import killed, take
from tests.tap.test_ledger import grown_old, moved


@pytest.fixture
def box(make_box):
    return make_box([AudienceSpec("VIP Customers", 40)])


def leaving(box, count):
    """So many members leave who share their address with nobody; their keys."""
    gone = [somebody(box, number=number) for number in range(count)]
    keys = sorted(key_of(box, id_) for id_ in gone)
    for id_ in gone:
        box.world.leave(AUDIENCE, id_)
    return keys


def consumed(*runs):
    """Whom a consumer has as members after these runs."""
    consumer = {}
    for result in runs:
        take(consumer, result.messages)
    return set(consumer)


def test_it_works_twice_in_a_row_and_no_limit_counts_exits_of_before(box):
    settings = box.tap_config(max_exit_percent=30)
    runs = [run(settings), run(settings)]
    for _ in range(3):
        leaving(box, 9)
        runs.append(run(settings, runs[-1].state))
    runs.append(run(settings, runs[-1].state))
    for _ in range(2):
        runs.append(run(settings))
        assert runs[-1].error == ""
        assert runs[-1].of("exit") == []
    assert consumed(*runs) == set(box.world.keys(AUDIENCE))
    assert run(settings, runs[-1].state).records == []


def test_it_works_in_a_copy_of_the_ledger_without_the_times_of_files(box, tmp_path):
    runs = [run(box.tap_config())]
    for _ in range(3):
        moved(box)
        runs.append(run(box.tap_config(), runs[-1].state))
    # A quiet run, so that the ledger hears that the last exits were acknowledged.
    runs.append(run(box.tap_config(), runs[-1].state))
    shutil.copytree(box.folder / "ledger", tmp_path / "copy", copy_function=shutil.copy)
    left = leaving(box, 1)
    copied = box.tap_config(ledger_url=str(tmp_path / "copy"))
    runs.append(run(copied))
    assert runs[-1].of("exit") == left
    runs.append(run(copied, runs[-1].state))
    assert runs[-1].records == []
    assert consumed(*runs) == set(box.world.keys(AUDIENCE))


def test_it_works_after_quiet_months(box):
    runs = [run(box.tap_config())]
    moved(box)
    runs.append(run(box.tap_config(), runs[-1].state))
    for _ in range(3):
        grown_old(box, days=60)
        runs.append(run(box.tap_config(), runs[-1].state))
        assert runs[-1].records == []
    left = leaving(box, 2)
    runs.append(run(box.tap_config()))
    assert sorted(runs[-1].of("exit")) == left
    assert consumed(*runs) == set(box.world.keys(AUDIENCE))


@pytest.mark.parametrize("after", [2, 9, 30])
def test_it_works_after_one_that_was_killed(box, after):
    settings = box.tap_config(page_size=3)
    runs = [run(settings)]
    moved(box)
    messages = killed(settings, None, after=after)
    leaving(box, 2)
    consumer = {}
    for given in (runs[0].messages, messages, (last := run(settings)).messages):
        take(consumer, given)
    assert set(consumer) == set(box.world.keys(AUDIENCE))
    assert run(settings, last.state).records == []


def test_it_works_after_an_older_state_was_used(box):
    runs = [run(box.tap_config())]
    for _ in range(2):
        moved(box)
        runs.append(run(box.tap_config(), runs[-1].state))
    runs.append(run(box.tap_config(), runs[0].state))
    moved(box)
    runs.append(run(box.tap_config()))
    assert consumed(*runs) == set(box.world.keys(AUDIENCE))
    assert run(box.tap_config(), runs[-1].state).records == []


def test_whom_the_first_run_recorded_stays_recorded_and_who_came_later_is_sent(box):
    settings = box.tap_config(existing_users=False)
    recorded = set(box.world.keys(AUDIENCE))
    runs = [run(settings)]
    box.world.enter(AUDIENCE)
    runs.append(run(settings, runs[-1].state))
    box.world.enter(AUDIENCE)
    runs += [run(settings), run(settings)]
    assert consumed(*runs) == set(box.world.keys(AUDIENCE)) - recorded
    left = leaving(box, 1)
    runs.append(run(settings))
    assert runs[-1].of("exit") == left, "who was recorded leaves like anybody"
    assert run(settings, runs[-1].state).records == []


def test_who_came_while_the_first_scan_was_never_whole_has_entered(box):
    settings = box.tap_config(existing_users=False)
    box.fault("short_scan", 0.7)
    state = run(settings).state
    box.clear_faults()
    came = {key_of(box, box.world.enter(AUDIENCE)) for _ in range(3)}
    assert came <= set(run(settings).of("enter"))
    assert came <= consumed(run(settings, state))


def test_it_cannot_know_who_left_before_the_ledger_was_lost_and_the_message_says_so(box):
    state = run(box.tap_config()).state
    shutil.rmtree(box.folder / "ledger")
    left = leaving(box, 2)
    refused = run(box.tap_config(), state)
    assert "--full-refresh" in refused.error
    assert "stays on the list until a mirror takes them off; an audit shows who they are" in refused.error
    refreshed = run(box.tap_config())
    assert refreshed.error == ""
    assert not set(left) & {record["email"] for record in refreshed.records}
    # What the mirror needs: all who are members, and nobody else.
    taken = run(box.tap_config(snapshot=True))
    assert {record["email"] for record in taken.records} == set(box.world.keys(AUDIENCE))


def test_each_generation_has_a_name_of_its_own_and_the_ledger_stays_the_same(box):
    states = [run(box.tap_config()).state["bookmarks"]["audience_members"] for _ in range(3)]
    assert len({state["generation"] for state in states}) == 3
    assert len({state["ledger"] for state in states}) == 1
    for earlier, later in itertools.pairwise(states):
        assert later["run"]["number"] == earlier["run"]["number"] + 1
