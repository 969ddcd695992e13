"""Killed at random moments, with Cordial and the storage at their worst, the target loses nothing and says nothing too early."""

from __future__ import annotations

import csv
import io
import os
import random
import signal
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from tests.target.history import DELETED, LISTS, History
from tests.target.running import import_calls, quick_config, started, wait_until

if TYPE_CHECKING:
    from sandbox import Sandbox
    from tests.target.running import Result, Running

HISTORIES = int(os.environ.get("KILL_HISTORIES", "10"))
"""How many histories to play: more than these by an environment variable, and others by the next one."""
FIRST_HISTORY = int(os.environ.get("KILL_FIRST_HISTORY", "0"))
RUNS = 10
"""In each history, before the clean one: a hundred in all."""
MOVES = 30
TIMEOUT_SECONDS = 120
FOREIGN = "not.a.member@example.org"
UNSUBSCRIBED = ("person3@example.com", "person4@example.com")

REGISTER = "POST /v2/contactimports"
FAULTS: list[dict[str, Any]] = [
    {"name": "answer_lost", "path": REGISTER, "chance": 0.3},
    {"name": "answer_cut", "path": REGISTER, "chance": 0.3},
    {"name": "cordial_garbage", "path": REGISTER, "chance": 0.3},
    {"name": "cut_connection", "path": REGISTER, "chance": 0.3},
    {"name": "cordial_status", "value": 500, "path": REGISTER, "chance": 0.3},
    {"name": "zombie_import", "value": 0.05, "chance": 0.3},
    {"name": "jobid_error", "chance": 0.3},
    {"name": "jobs_listed_late", "value": 0.1, "chance": 0.5},
    {"name": "late_fetch", "value": 0.1, "chance": 0.5},
    {"name": "job_throttled", "value": 0.1, "chance": 0.5},
    {"name": "child_jobs", "value": 2, "chance": 0.5},
    {"name": "job_fails", "path": REGISTER, "chance": 0.1},
    {"name": "counters_missing", "chance": 0.3},
    {"name": "counters_text", "chance": 0.5},
    {"name": "job_id_field", "value": "jobId"},
    {"name": "rate_limit", "chance": 0.1},
    {"name": "rate_limit", "value": 1, "chance": 0.03},
    {"name": "cordial_status", "value": 503, "path": "GET /v2", "chance": 0.1},
    {"name": "answer_lost", "path": "GET /v2", "chance": 0.1},
    {"name": "answer_cut", "path": "GET /v2", "chance": 0.1},
    {"name": "cut_connection", "chance": 0.05},
    {"name": "cordial_garbage", "path": "GET /v2/jobs", "chance": 0.03},
    {"name": "slow_answer", "value": 0.1, "chance": 0.2},
    {"name": "storage_cut", "chance": 0.2},
    {"name": "storage_short", "chance": 0.2},
    {"name": "storage_full", "chance": 0.05},
]


@dataclass(frozen=True)
class Kill:
    """When the target gets which signal.

    Attributes:
        number: The signal.
        after: start, line, state, import or end.
        count: Of the lines, states or import calls.
        seconds: So much later, for moments that nothing marks.
    """

    number: signal.Signals
    after: str
    count: int
    seconds: float

    @classmethod
    def somewhere(cls, draw: random.Random) -> Kill:
        after = draw.choice(["start", "line", "state", "import", "import", "end", "end"])
        return cls(
            draw.choice([signal.SIGKILL, signal.SIGTERM]),
            after,
            draw.randrange(1, 150 if after == "line" else 4),
            draw.random() * {"start": 2.5, "end": 1}.get(after, 0.2),
        )


class Witness:
    """Looks at Cordial whenever the target acknowledges a state, and writes down what is not as it should be.

    Attributes:
        position: The last acknowledged position.
        acknowledged: How many states came in this run.
        complaints: What is wrong.
    """

    def __init__(self, box: Sandbox, history: History) -> None:
        self.position = 0
        self.acknowledged = 0
        self.complaints: list[str] = []
        self._box = box
        self._history = history

    def look(self, state: dict[str, Any]) -> None:
        position = state["position"]
        self.acknowledged += 1
        if position < self.position:
            self.complaints.append(f"{position} was acknowledged after {self.position}")
        self.position = position
        self._look_at_jobs(position)
        self._look_at_contacts(position)

    def _look_at_jobs(self, position: int) -> None:
        later = {event.membership for event in self._history.events[position:] if event is not None}
        for job in self._box.jobs():
            if job["status"] not in {"Done", "Failed"}:
                for membership in self._rows(job["metadata"]):
                    if membership not in later:
                        self.complaints.append(
                            f"{position} was acknowledged while {membership} was {job['status']}"
                        )
        if position == len(self._history.events) and any(
            job["status"] not in {"Done", "Failed"} for job in self._box.jobs()
        ):
            self.complaints.append("the last state was acknowledged while an import was under way")

    def _rows(self, metadata: dict[str, Any]) -> list[tuple[str, str]]:
        """Whom an import that is under way is about; its file stays until it is done."""
        try:
            text = (self._box.folder / "sftp" / "import" / metadata["fileName"]).read_text(encoding="utf-8")
        except FileNotFoundError:
            return []
        [audience] = [audience for audience, name in LISTS.items() if name in metadata["lists"]]
        return [(audience, row[0]) for row in list(csv.reader(io.StringIO(text, newline="")))[1:]]

    def _look_at_contacts(self, position: int) -> None:
        contacts = self._box.contacts()
        due: dict[tuple[str, str], int | None] = {}
        for event in self._history.events[:position]:
            if event is not None:
                due[event.membership] = event.version
        # A later record may be in Cordial already, from this run or an earlier one.
        open_again = {event.membership for event in self._history.events[position:] if event is not None}
        for (audience, address), version in due.items():
            contact = contacts.get(address)
            is_on = contact is not None and LISTS[audience] in contact.lists
            if (audience, address) not in open_again and is_on != (version is not None):
                self.complaints.append(f"{position} was acknowledged, yet {address} is_on={is_on} {audience}")
            if version is not None:
                found = int(contact.attributes.get("visit_count", 0)) if contact is not None else 0
                if found < version:
                    self.complaints.append(
                        f"{position} was acknowledged, yet {address} is at version {found} of {version}"
                    )


def play(
    box: Sandbox, config: dict[str, Any], history: History, witness: Witness, kill: Kill | None
) -> Result:
    """Run the target on what comes after the last acknowledged position, and kill it on the way."""
    messages = history.messages(witness.position)
    witness.acknowledged = 0
    calls_before = len(import_calls(box))
    is_fed, is_over = threading.Event(), threading.Event()

    def strike(running: Running) -> None:
        assert kill is not None
        moments = {
            "start": lambda: True,
            "line": is_fed.is_set,
            "end": is_fed.is_set,
            # The first one is only what it started from.
            "state": lambda: witness.acknowledged > kill.count,
            "import": lambda: len(import_calls(box)) >= calls_before + kill.count,
        }
        wait_until(lambda: is_over.is_set() or moments[kill.after](), TIMEOUT_SECONDS)
        is_over.wait(kill.seconds)
        running.process.send_signal(kill.number)

    with started(config, on_state=witness.look) as running:
        striker = threading.Thread(target=strike, args=(running,))
        if kill is not None:
            striker.start()
        running.write(messages[:1])
        if kill is None or kill.after != "start":
            wait_until(lambda: witness.acknowledged or running.process.poll() is not None, TIMEOUT_SECONDS)
        if kill is not None and kill.after == "line":
            # Nothing follows until it is dead.
            running.write(messages[1 : kill.count])
        else:
            running.write(messages[1:])
            running.end_input()
        is_fed.set()
        try:
            result = running.result(TIMEOUT_SECONDS)
        finally:
            is_over.set()
            if kill is not None:
                striker.join()
    return result


def assert_it_ended_well_or_told_why(result: Result) -> None:
    assert result.code in {0, 1, -signal.SIGKILL, 128 + signal.SIGTERM, -signal.SIGTERM}, result.log
    assert "Traceback" not in result.log, result.log
    assert "Unexpected" not in result.log, result.log
    assert "@example" not in result.log, result.log
    if result.code == 1:
        assert sum("CRITICAL" in line for line in result.log.splitlines()) == 1, result.log
    if result.code >= 0:
        assert result.leftovers == []


@pytest.mark.parametrize("seed", range(FIRST_HISTORY, FIRST_HISTORY + HISTORIES))
def test_after_any_kills_and_faults_one_clean_run_makes_lists_and_attributes_equal_the_source(make_box, seed):
    draw = random.Random(seed)
    box = make_box(seed=seed)
    for name in LISTS.values():
        box.account.add_list(name)
        box.account.put_contact(FOREIGN, {"first_name": "Foreign"}, "unsubscribed")
        box.account.join(box.account.list_id(name), FOREIGN)
    for address in UNSUBSCRIBED:
        box.account.put_contact(address, {}, "unsubscribed")
    is_over_sftp = seed % 3 == 0
    has_nulls = draw.random() < 0.5
    config = (box.target_config if is_over_sftp else lambda **options: quick_config(box, **options))(
        batch_size_rows=draw.choice([10, 20, 40]),
        batch_wait_seconds=draw.choice([0.05, 300]),
        max_concurrent_imports=draw.choice([1, 2, 4]),
        max_removal_percent=100,
        # What is null in the source is to be null in Cordial.
        null_values="clear" if has_nulls else "keep",
    )
    history = History(draw, has_nulls=has_nulls)
    witness = Witness(box, history)
    told = []
    for _ in range(RUNS):
        history.go_on(MOVES, draw.choice(["none", "last", "mixed"]))
        box.clear_faults()
        box.fault("slow_jobs", 0.1, chance=0.7)
        faults = draw.sample(FAULTS, draw.randrange(5))
        for fault in faults:
            box.fault(**fault)
        if draw.random() < 0.3:
            # Calls that were thought lost arrive when the run is over, or in the midst of the next.
            box.fault("zombie_import", 0, chance=0.3)
            box.fault("zombie_held")
        # Faults alone end a run at other moments.
        kill = Kill.somewhere(draw) if draw.random() < 0.9 else None
        position = witness.position
        begun = time.monotonic()
        result = play(box, config, history, witness, kill)
        told.append(
            f"{time.monotonic() - begun:.1f} s {kill} {[fault['name'] for fault in faults]}: {position} -> {witness.position} of {len(history.events)}, code {result.code}"
        )
        assert_it_ended_well_or_told_why(result)
        assert not witness.complaints, (told, witness.complaints[:5], result.log)
        if draw.random() < 0.1:
            # The state is lost: all of it comes again.
            witness.position = 0
    box.clear_faults()
    result = play(box, config, history, witness, None)
    assert result.code == 0, (told, result.log)
    assert witness.position == len(history.events), told
    assert not witness.complaints, (told, witness.complaints[:5], result.log)
    box.wait_idle()
    contacts = box.contacts()
    for name, members in history.members().items():
        assert box.list_members(name) == {*members, FOREIGN}, told
    found = {
        address: {key: value for key, value in contacts[address].attributes.items() if value != {}}
        for address in history.contacts()
    }
    assert found == history.contacts(), told
    assert {
        address for address, contact in contacts.items() if contact.subscribe_status == "unsubscribed"
    } == {
        FOREIGN,
        *UNSUBSCRIBED,
    }
    assert contacts[FOREIGN].attributes == {"first_name": "Foreign"}
    assert contacts[FOREIGN].lists == set(LISTS.values())
    assert DELETED not in contacts
    assert box.files() == []
