"""Random histories of a whole pipeline, and of what changes outside of it: after each run that ends well the list is the audience.

Lists are deleted, renamed and emptied, contacts taken off by hand, settings changed, ledgers lost and restored, clocks set, workers
killed or stalled until another has run, rows made that nobody can take. A run may end non-zero where it cannot make the list
right, and then names a cure. The judge is the list: equal after the cures, and after each run that says nothing.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import shutil
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from lytics_to_cordial.lease import BEAT_VARIABLE
from sandbox import AudienceSpec, Sandbox
from tests.tap.running import STREAM
from tests.tap.test_histories import Clock, move, run_tap
from tests.target.running import quick_config, run, started

HISTORIES = int(os.environ.get("HISTORIES", "240")) // 8
"""One for eight of the tap's alone, as each takes eight times as long."""
IN_A_ROW = 4
PARTS = 5
"""So that processes can share them."""
CURES = 6
BASE = {"null_values": "clear"}
MISSING = re.compile(r"([\d,]+) of [\d,]+ members? (?:is|are) missing: ")
OTHERS: list[dict[str, Any]] = [
    {"list_name": "Another"},
    {"list_action": "add"},
    {"list_action": "none"},
    {"import_strategy": "updateOnly"},
    {"null_values": "keep"},
    {"field_mapping": {"first_name": "first_name"}},
    {"require_all_fields": True},
]
FAULTS: list[tuple[str, Any]] = [
    ("job_rejects", 1),
    ("job_rejects", 100),
    ("counters_short", 1),
    ("job_fails", "import"),
    ("short_scan", 0.5),
    ("filter_blind", True),
]
BAD_ADDRESSES = ["nobody", "a@example..com", "mailto:a@example.com", "a b@example.com", "a@b@example.com"]

moves = st.tuples(
    st.sampled_from(["enter", "leave", "return", "change", "readdress", "spell", "share", "merge", "rename"]),
    st.integers(0, 50),
)
outside = st.tuples(
    st.sampled_from(
        [
            "delete the list",
            "rename the list",
            "clear the list",
            "take off by hand",
            "delete a contact",
            "lose the ledger",
            "keep a copy of the ledger",
            "restore the ledger",
            "lose the state",
            "restore a state",
            "set the clock",
            "poison an address",
            "poison a value",
            "all leave",
        ]
    ),
    st.integers(0, 50),
)
runs = st.tuples(
    st.sampled_from(
        [
            "run",
            "run",
            "cut off",
            "kill",
            "stall",
            "read ahead",
            "deliver late",
            "zombie",
            "other settings",
            "fault",
            "snapshot",
        ]
    ),
    st.integers(0, 50),
)
histories = st.lists(
    st.lists(st.one_of(moves, moves, moves, outside, runs, runs), min_size=1, max_size=6),
    min_size=IN_A_ROW,
    max_size=IN_A_ROW,
)


@dataclass
class Ended:
    """How a run of both plugins ended.

    Attributes:
        error: The sentence of the tap or of the target; blank if both ended well.
        log: The target's.
        records: How many the tap sent.
    """

    error: str
    log: str
    records: int


@dataclass
class Worker:
    """Runs the pipeline, and keeps its state as Meltano does."""

    box: Sandbox
    clock: Clock
    states: list[Any] = field(default_factory=lambda: [None])
    read_ahead: list[Any] = field(default_factory=list)
    story: list[Any] = field(default_factory=list)
    excuses: set[str] = field(default_factory=set)
    """What happened since the list was equal that a run cannot make right by itself."""
    unsure_of: set[str] = field(default_factory=set)
    """Who may be on the list and is not known to any ledger, until a mirror."""
    is_poisoned: bool = False
    """Whether a profile holds what no contact can."""

    @property
    def audience(self) -> str:
        return self.box.world.audiences()[0].id

    @property
    def lists(self) -> list[int]:
        """The ids of the lists that the state names; of one that names none, those of the one before."""
        for state in reversed(self.states):
            entry = ((state or {}).get("bookmarks") or {}).get(STREAM, {}).get("target_cordial") or {}
            places = json.loads(entry.get("lists", "{}"))
            if places:
                return [known["id"] for names in places.values() for known in names.values()]
        return []

    @property
    def members(self) -> set[str]:
        """Who belongs on the list: all members but those whom nobody can send."""
        return {key for key in self.box.world.members(self.audience) if not is_bad(key)}

    def on_list(self) -> set[str]:
        """Who is on the lists."""
        found: set[str] = set()
        for list_id in self.lists:
            if list_id in self.box.account.lists():
                found |= self.box.list_members(str(list_id))
        return found

    def read(self, state: Any, **options: Any) -> tuple[list[Any], str]:
        return run_tap(self.box, state, page_size=50, **options)

    def run(self, state: Any = ..., *, tap: Any = None, **target: Any) -> Ended:
        """Run both plugins once."""
        state = self.states[-1] if state is ... else state
        messages, error = self.read(state, **(tap or {}))
        result = run(quick_config(self.box, **{**BASE, **target}), messages)
        assert "fault of the program" not in error + result.log, (self.story, error, result.log)
        self.keep(state, result.states)
        records = sum(message["type"] == "RECORD" for message in messages)
        return Ended(" ".join(filter(None, [error, result.message])), result.log, records)

    def keep(self, began_with: Any, states: list[Any]) -> None:
        """Keep what was acknowledged; a full refresh's is merged into the one before."""
        if states:
            before = self.states[-1]
            is_refresh = began_with is None and before is not None
            self.states.append(merged(before, states[-1]) if is_refresh else states[-1])

    def judge(self, ended: Ended) -> None:
        """A run that ended well, and says nothing, left the list equal to the audience."""
        if ended.error:
            return
        missing, extra = self.members - self.on_list(), self.on_list() - self.members - self.unsure_of
        is_told = MISSING.search(ended.log) is not None or "Cordial rejected" in ended.log
        if extra and "more than members" not in ended.log:
            raise self.wrong(f"green, and there are more: {extra}", ended)
        is_most = len(missing) > 3 and 2 * len(missing) > len(self.members)
        if is_most or (missing and not is_told):
            raise self.wrong(f"green, and some are missing: {missing}", ended)

    def clean(self) -> None:
        """Run with nothing in the way until it ends well, by the cures that it names; then the list is equal."""
        tap: dict[str, Any] = {}
        target: dict[str, Any] = {}
        state: Any = self.states[-1]
        self.story.append("clean")
        for _ in range(CURES):
            ended = self.run(state, tap=tap, **target)
            self.story.append(ended.error or "done")
            self.judge(ended)
            told = ended.error or self.lacking(ended)
            if not told:
                break
            # A limit asks a person whatever happened, and a state that was lost cannot tell which exits were acknowledged.
            if not (self.excuses or "take turns" in told or "_PERCENT=100" in told):
                raise self.wrong(f"no cure should be needed: {told}", ended)
            earlier = tap if "the tap's own override" in told else {}
            tap, target, state = self.cured(told)
            tap = {**earlier, **tap}
        else:
            raise self.wrong("no cure helps", ended)
        if self.lists and (self.unsure_of or "more than members" in ended.log):
            self.mirror()
        if self.on_list() != self.members:
            raise self.wrong(f"not equal: {self.on_list() ^ self.members}", ended)
        if self.members and not self.is_poisoned:
            [list_id] = self.lists
            proof = self.box.verify(self.audience, self.box.account.lists()[list_id])
            if not proof.ok:
                raise self.wrong(f"other values: {proof}", ended)
        self.excuses.clear()
        self.unsure_of.clear()

    def wrong(self, what: str, ended: Ended) -> AssertionError:
        story = "\n".join(map(str, self.story))
        return AssertionError(f"{what}\n\n{story}\n\n{ended.error}\n{ended.log}")

    def lacking(self, ended: Ended) -> str:
        """Who else is missing than those whom nobody can send, in the run's words."""
        found = MISSING.search(ended.log)
        unsendable = len(self.box.world.members(self.audience)) - len(self.members)
        return "" if found is None or int(found[1]) == unsendable else found[0] + "--full-refresh"

    def cured(self, told: str) -> tuple[dict[str, Any], dict[str, Any], Any]:
        """What a sentence says is to be done."""
        tap: dict[str, Any] = {}
        target: dict[str, Any] = {}
        state = self.states[-1]
        if found := re.search(r"delete (\S+runs\.json)", told):
            Path(found[1].removeprefix("file://")).unlink()
        if "MAX_EXIT_PERCENT=100" in told:
            tap["max_exit_percent"] = 100
        if "MAX_REMOVAL_PERCENT=100" in told:
            target["max_removal_percent"] = 100
        if "MAX_REJECT_PERCENT=100" in told:
            target["max_reject_percent"] = 100
        if "by a mirror that ends equal" in told:
            self.mirror()
        if "--full-refresh" in told:
            state = None
        return tap, target, state

    def mirror(self) -> None:
        messages, error = self.read(self.states[-1], snapshot=True)
        if "existing_users" in error or "belongs to ledger" in error or "is gone" in error:
            messages, error = self.read(None, snapshot=True)
        assert error == "", (self.story, error)
        [list_id] = self.lists
        limits = {"max_removal_percent": 100, "max_reject_percent": 100}
        config = quick_config(self.box, **{**BASE, **limits}, mode="mirror", list_name=str(list_id))
        result = run(config, messages)
        assert result.code == 0, (self.story, result.log)
        self.unsure_of.clear()


def is_bad(address: str) -> bool:
    return address in BAD_ADDRESSES


def merged(before: Any, after: Any) -> Any:
    """Two states, as Meltano merges them on a full refresh."""
    if isinstance(before, dict) and isinstance(after, dict):
        return {**before, **{key: merged(before.get(key), value) for key, value in after.items()}}
    return after


class Outside:
    """What happens to a list, a ledger, a state or a clock without a run."""

    def __init__(self, worker: Worker) -> None:
        self.worker, self.box = worker, worker.box
        self.ledger = worker.box.folder / "ledger"
        self.copy = worker.box.folder / "copy"

    def excuse(self, what: str) -> None:
        self.worker.excuses.add(what)

    def forget(self, what: str) -> None:
        """No ledger knows any more who is on the list, nor does a number tell that what was read from it is old."""
        self.excuse(what)
        for list_id in self.box.account.lists():
            self.worker.unsure_of |= self.box.list_members(str(list_id))
        self.worker.read_ahead.clear()

    def known(self) -> int | None:
        return next((id_ for id_ in self.worker.lists if id_ in self.box.account.lists()), None)

    def delete_the_list(self, _: int) -> None:
        if (known := self.known()) is not None:
            self.box.account.remove_list(known)
            self.excuse("list deleted")

    def rename_the_list(self, number: int) -> None:
        if (
            known := self.known()
        ) is not None and f"Renamed_{number}" not in self.box.account.lists().values():
            self.box.account.change_list(known, f"Renamed_{number}", enhanced=True)

    def clear_the_list(self, _: int) -> None:
        if (known := self.known()) is not None:
            self.box.account.clear_list(known)
            self.excuse("list cleared")

    def take_off_by_hand(self, number: int) -> None:
        if (known := self.known()) is not None and (people := sorted(self.worker.on_list())):
            self.box.account.leave(known, people[number % len(people)])
            self.excuse("taken off")

    def delete_a_contact(self, number: int) -> None:
        if people := sorted(self.worker.on_list()):
            self.box.account.remove_contact(people[number % len(people)])
            self.excuse("contact deleted")

    def lose_the_ledger(self, _: int) -> None:
        if self.ledger.exists():
            shutil.rmtree(self.ledger)
            self.forget("ledger lost")

    def keep_a_copy_of_the_ledger(self, _: int) -> None:
        shutil.rmtree(self.copy, ignore_errors=True)
        if self.ledger.exists():
            shutil.copytree(self.ledger, self.copy)

    def restore_the_ledger(self, _: int) -> None:
        if self.copy.exists():
            shutil.rmtree(self.ledger, ignore_errors=True)
            shutil.copytree(self.copy, self.ledger)
            self.forget("ledger restored")

    def lose_the_state(self, _: int) -> None:
        self.worker.states.append(None)

    def restore_a_state(self, number: int) -> None:
        self.worker.states.append(self.worker.states[number % len(self.worker.states)])
        self.excuse("state restored")

    def set_the_clock(self, number: int) -> None:
        self.worker.clock.shift = dt.timedelta(days=[-400, -1, 0, 40][number % 4])

    def poison_an_address(self, number: int) -> None:
        ids = list(self.box.world.audience(self.worker.audience).members)
        if ids:
            self.box.world.change(ids[number % len(ids)], email=BAD_ADDRESSES[number % len(BAD_ADDRESSES)])
            self.worker.is_poisoned = True
            self.excuse("poisoned")

    def poison_a_value(self, number: int) -> None:
        ids = list(self.box.world.audience(self.worker.audience).members)
        if ids:
            self.box.world.change(ids[number % len(ids)], lifetime_value="1,234.50")
            self.worker.is_poisoned = True

    def all_leave(self, _: int) -> None:
        for id_ in list(self.box.world.audience(self.worker.audience).members):
            self.box.world.leave(self.worker.audience, id_)
        self.excuse("all left")


class Acts:
    """Runs that go wrong, or that somebody else does."""

    def __init__(self, worker: Worker) -> None:
        self.worker, self.box = worker, worker.box

    def run(self, _: int) -> None:
        self.worker.judge(self.worker.run())

    def config(self, **more: Any) -> dict[str, Any]:
        return quick_config(self.box, **{**BASE, "batch_size_rows": 3, **more})

    def cut_off(self, number: int) -> None:
        state = self.worker.states[-1]
        messages, _ = self.worker.read(state)
        result = run(self.config(), messages[: len(messages) * (number % 10) // 10])
        self.worker.keep(state, result.states)

    def kill(self, number: int) -> None:
        state = self.worker.states[-1]
        messages, _ = self.worker.read(state)
        with started(self.config()) as running:
            running.write(messages[: 1 + number % max(1, len(messages))])
            time.sleep(number / 100)
            running.process.kill()
            running.result()
            self.worker.keep(state, running.whole_states)

    def stall(self, number: int) -> None:
        """A worker stands still, another takes over, and the first wakes and loses its state."""
        messages, _ = self.worker.read(self.worker.states[-1])
        with started(self.config()) as running:
            running.write(messages[: 1 + number % max(1, len(messages))])
            time.sleep(number / 100)
            running.process.send_signal(signal.SIGSTOP)
            if number % 2 and (members := list(self.box.world.audience(self.worker.audience).members)):
                self.box.world.leave(self.worker.audience, members[number % len(members)])
            ended = self.worker.run()
            running.process.send_signal(signal.SIGCONT)
            running.write(messages[1 + number % max(1, len(messages)) :])
            running.end_input()
            running.result()
        self.worker.judge(ended)

    def read_ahead(self, _: int) -> None:
        messages, _ = self.worker.read(self.worker.states[-1])
        self.worker.read_ahead.append(messages)

    def deliver_late(self, number: int) -> None:
        """A file of messages that somebody kept is delivered, and its state thrown away."""
        if self.worker.read_ahead:
            run(self.config(), self.worker.read_ahead.pop(number % len(self.worker.read_ahead)))

    def zombie(self, _: int) -> None:
        """A worker reads of somebody who enters, who leaves before another runs whole; then the first one delivers."""
        newest = self.box.world.enter(self.worker.audience)
        messages, _ = self.worker.read(self.worker.states[-1])
        self.worker.judge(self.worker.run())
        self.box.world.leave(self.worker.audience, newest)
        self.worker.judge(self.worker.run())
        run(self.config(), messages)

    def other_settings(self, number: int) -> None:
        self.worker.run(**OTHERS[number % len(OTHERS)])
        self.worker.excuses.add("other settings")

    def fault(self, number: int) -> None:
        self.box.fault(*FAULTS[number % len(FAULTS)])
        ended = self.worker.run()
        self.box.clear_faults()
        self.worker.excuses.add("fault")
        self.worker.judge(ended)

    def snapshot(self, _: int) -> None:
        self.worker.read(self.worker.states[-1], snapshot=True)


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setenv(BEAT_VARIABLE, "0.1")


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("part", range(PARTS))
@settings(
    max_examples=max(1, HISTORIES // IN_A_ROW // PARTS),
    derandomize=False,
    print_blob=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    # Each failure tells its story; to make it small would take hours.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
)
@given(histories=histories)
def test_green_and_wrong_does_not_exist(
    tmp_path_factory,
    monkeypatch,
    part,  # noqa: ARG001 - each part draws its own
    histories,
):
    folder = tmp_path_factory.mktemp("history")
    clock = Clock(monkeypatch)
    with Sandbox(folder / "box", [AudienceSpec("VIP Customers", 8)]) as box:
        worker = Worker(box, clock)
        outside, acts = Outside(worker), Acts(worker)
        worker.clean()
        for history in histories:
            worker.story.append("---")
            for what, number in history:
                worker.story.append((what, number))
                name = what.replace(" ", "_")
                act = getattr(outside, name, None) or getattr(acts, name, None)
                if act is None:
                    move(box, worker.audience, what, number)
                else:
                    act(number)
            worker.clean()
