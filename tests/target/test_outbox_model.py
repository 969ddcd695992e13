"""Ordering and acknowledgement against a model: thousands of random histories, with failures, repeats and kills.

The model keeps, for each contact's membership of a list and for each of its attributes, the position of the newest
record that Cordial saw of it. A row's cells hold the position of the record that they come from, so that the model can
tell old from new.
"""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from target_cordial.cordial.lists import ContactList
from target_cordial.delivery import outbox as outbox_module
from target_cordial.delivery.exits import HeldExits
from target_cordial.delivery.outbox import Outbox

if TYPE_CHECKING:
    from target_cordial.delivery.order import ImportFile

CASES = 10_000
PARTS = 4
"""So that several processors can share the work."""
LISTS = tuple(ContactList(number, f"list-{number}") for number in range(1, 5))
CONTACTS = ("a", "b", "c")
COLUMNS = (0, 1)
BATCH_ROWS = 2
MAX_OPEN_BATCHES = 2
MAX_PENDING_STATES = 2
NULL = "null"


@dataclass(frozen=True)
class Record:
    """What the source says: who enters or leaves which list, with which attributes, and whether a state follows."""

    kind: str
    list: ContactList
    contact: str
    columns: frozenset[int]
    has_state: bool


# One choice for a whole record: a choice for each of its parts would take most of the time.
records = st.sampled_from(
    [
        Record(kind, target_list, contact, frozenset(columns), has_state)
        for kind, target_list, contact, columns, has_state in itertools.product(
            ["enter", "enter", "exit"], LISTS, CONTACTS, [(), (0,), (1,), COLUMNS], [False, True]
        )
    ]
)
events = st.sampled_from(
    [
        *["read"] * 4,
        "close",
        *["start"] * 2,
        *["import_rows"] * 2,
        *["finish"] * 2,
        "register_again",
        "call_comes_too_late",
        "fail",
        "import_rows_of_what_was_given_up",
        "kill",
    ]
)


@dataclass(frozen=True)
class Row:
    """A row of an import file.

    Attributes:
        list: The list to join or leave.
        contact: The contact.
        membership: The position of the newest record on this membership.
        attributes: The position of the newest record on each column that the row sets.
    """

    list: ContactList
    contact: str
    membership: int
    attributes: dict[int, int]


@dataclass
class Account:
    """Cordial, as far as order goes."""

    memberships: dict[tuple[ContactList, str], int] = field(default_factory=dict)
    attributes: dict[tuple[str, int], int] = field(default_factory=dict)

    def apply(self, row: Row) -> None:
        membership = (row.list, row.contact)
        assert row.membership >= self.memberships.get(membership, 0), (
            "an older membership came after a newer one"
        )
        self.memberships[membership] = row.membership
        for column, position in row.attributes.items():
            assert position >= self.attributes.get((row.contact, column), 0), (
                "an older attribute came after a newer one"
            )
            self.attributes[row.contact, column] = position


@dataclass
class Job:
    """An import at Cordial: the rows that it has not imported yet."""

    rows: list[Row]


class Process:
    """One run of the target, from the last acknowledged position on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.held = HeldExits(Path(":memory:"))
        self.outbox = Outbox(null_marker=NULL, held_exits=self.held, batch_rows=BATCH_ROWS)
        self.rows: dict[int, list[Row]] = {}
        self.under_way: dict[int, tuple[ImportFile, list[Job]]] = {}
        self.memberships: dict[tuple[ContactList, str], int] = {}
        self.read_position = world.acknowledged
        self.given_up: list[Job] = []
        self.failed = False

    def read(self) -> None:
        """Records in a row that go the same way are taken at once, as far as there is room, and no state is among them."""
        some = self.world.records[self.read_position :]
        if not some:
            return
        first = some[0]
        most = self.world.random.choice([1, 1, 2, 3])
        if first.kind == "enter":
            most = min(most, self.outbox.room(first.list))
        taken: list[Record] = []
        for record in some[:most]:
            if (record.kind, record.list) != (first.kind, first.list):
                break
            taken.append(record)
            if record.has_state:
                break
        position = self.read_position + 1
        self.read_position += len(taken)
        contacts = [record.contact for record in taken]
        for number, contact in enumerate(contacts, position):
            self.memberships[first.list, contact] = number
        if first.kind == "enter":
            rows = [
                (
                    record.contact,
                    *[str(number) if column in record.columns else NULL for column in COLUMNS],
                )
                for number, record in enumerate(taken, position)
            ]
            full = self.outbox.enter(first.list, contacts, rows, position=position, now=position)
            if full is not None:
                is_full = len(full.rows) == BATCH_ROWS
                assert is_full or self.open_rows() >= MAX_OPEN_BATCHES * BATCH_ROWS, "closed for no reason"
                self._close(full)
        else:
            again = self.world.random.random() < 0.5
            self.outbox.exit(first.list, contacts, position=position, again=again)
        assert self.open_rows() < MAX_OPEN_BATCHES * BATCH_ROWS, "open rows grow with the number of lists"
        if taken[-1].has_state or self.read_position == len(self.world.records):
            self.outbox.add_state({"position": self.read_position}, position=self.read_position)
            assert len(self.outbox._states) <= MAX_PENDING_STATES, "states that wait grow with the input"
            self.acknowledge()

    def open_rows(self) -> int:
        return sum(len(batch.rows) for batch in self.outbox.open_batches())

    def close(self) -> None:
        """The oldest batch has waited long enough."""
        for batch in self.outbox.open_batches()[:1]:
            self._close(batch)

    def _close(self, batch) -> None:
        rows = [
            Row(
                batch.target_list,
                key,
                self.memberships[batch.target_list, key],
                {column: int(cell) for column, cell in zip(COLUMNS, cells[1:], strict=True) if cell != NULL},
            )
            for key, cells in batch.rows.items()
        ]
        self.rows[self.outbox.close_batch(batch, Path("file")).number] = rows

    def close_exits(self, target_list: ContactList) -> None:
        while keys := self.held.take(target_list, BATCH_ROWS):
            rows = [Row(target_list, key, self.memberships[target_list, key], {}) for key in keys]
            self.rows[self.outbox.close_exits(target_list, keys, Path("file")).number] = rows

    def start(self) -> None:
        file = None if self.failed else self.outbox.order.start_next()
        if file is not None:
            contacts = {row.contact for row in self.rows[file.number]}
            for number in self.under_way:
                assert contacts.isdisjoint(row.contact for row in self.rows[number]), (
                    "two imports under way share a contact"
                )
            self.under_way[file.number] = (file, [Job(list(self.rows[file.number]))])

    def some(self) -> tuple[ImportFile, list[Job]] | None:
        return self.under_way[self.world.random.choice(sorted(self.under_way))] if self.under_way else None

    def import_rows(self) -> None:
        """Cordial imports one row, whichever, of one of the file's jobs."""
        found = self.some()
        if found is not None:
            rows = self.world.random.choice(found[1]).rows
            if rows:
                self.world.account.apply(rows.pop(self.world.random.randrange(len(rows))))

    def register_again(self) -> None:
        """The answer to the call was lost: the file is registered once more, and the first call's job may be alive."""
        found = self.some()
        if found is not None:
            found[1].append(Job(list(self.rows[found[0].number])))

    def call_comes_too_late(self) -> None:
        """A call that was thought lost finds no file: of several jobs one fails; never the last one."""
        found = self.some()
        if found is not None and len(found[1]) > 1:
            found[1].pop(0)

    def finish(self) -> None:
        """All jobs of a file come to their end, in any order, and only then is the file final."""
        found = self.some()
        if found is not None:
            file, jobs = found
            rows = [row for job in jobs for row in job.rows]
            self.world.random.shuffle(rows)
            for row in rows:
                self.world.account.apply(row)
            del self.under_way[file.number]
            self.outbox.order.finish(file)
            self.acknowledge()

    def fail(self) -> None:
        """A file is given up; what Cordial has of it may go on for as long as it likes."""
        found = self.some()
        if found is not None:
            del self.under_way[found[0].number]
            self.outbox.order.give_up(found[0])
            self.given_up += found[1]
            self.failed = True
            self.acknowledge()

    def import_rows_of_what_was_given_up(self) -> None:
        for job in self.given_up:
            while job.rows:
                self.world.account.apply(job.rows.pop())

    def acknowledge(self) -> None:
        state = self.outbox.acknowledged()
        if state is None:
            return
        assert state["position"] > self.world.acknowledged, "a state was acknowledged twice or out of order"
        self.world.acknowledged = state["position"]
        self.world.check_acknowledged()

    def end(self, held_back: frozenset[ContactList]) -> None:
        """The input has ended: enters go before exits, and some lists' exits are too many to go."""
        while self.outbox.open_batches():
            self.close()
        self.drain()
        exits = set(self.held.counts())
        if exits:
            assert self.world.acknowledged < len(self.world.records), (
                "exits were acknowledged while they were held"
            )
        for target_list in exits - held_back:
            self.close_exits(target_list)
        self.drain()
        assert not self.outbox.order.files(), "files wait for ever"
        if exits & held_back:
            assert self.world.acknowledged < len(self.world.records), (
                "exits that were held back were acknowledged"
            )
            # The person in charge lets them.
            self.end(frozenset())

    def drain(self) -> None:
        for _ in range(2 * len(self.rows) + 1):
            self.start()
            self.finish()


class World:
    def __init__(self, history: list[Record], seed: int) -> None:
        self.records = history
        self.random = random.Random(seed)
        self.account = Account()
        self.acknowledged = 0
        self.process = Process(self)

    def kill(self) -> None:
        # What is registered goes on without us; the next run waits for it before its first import.
        while self.process.under_way:
            found = self.process.some()
            assert found is not None
            for job in found[1]:
                for row in job.rows:
                    self.account.apply(row)
            del self.process.under_way[found[0].number]
        self.process.import_rows_of_what_was_given_up()
        self.process.held.close()
        # Sent again, what is in doubt counts as new: the source's state then is the source's state now.
        self.account = Account(
            {key: min(position, self.acknowledged) for key, position in self.account.memberships.items()},
            {key: min(position, self.acknowledged) for key, position in self.account.attributes.items()},
        )
        self.process = Process(self)

    def check_acknowledged(self) -> None:
        memberships: dict[tuple[ContactList, str], int] = {}
        attributes: dict[tuple[ContactList, str], dict[int, int]] = {}
        for position, record in enumerate(self.records[: self.process.read_position], start=1):
            membership = (record.list, record.contact)
            if position <= self.acknowledged:
                memberships[membership] = position
            if record.kind == "exit":
                # It replaces what the contact's open row for this list held, attributes and all.
                attributes[membership] = {}
            elif position <= self.acknowledged:
                attributes.setdefault(membership, {}).update(dict.fromkeys(record.columns, position))
        for membership, position in memberships.items():
            assert self.account.memberships.get(membership, 0) >= position, (
                "a state was acknowledged before its record was in Cordial"
            )
            for column, newest in attributes.get(membership, {}).items():
                assert self.account.attributes.get((membership[1], column), 0) >= newest, (
                    "a state was acknowledged before an attribute of its record was in Cordial"
                )


@pytest.mark.parametrize("part", range(PARTS))
@mock.patch.object(outbox_module, "MAX_OPEN_BATCHES", MAX_OPEN_BATCHES)
@mock.patch.object(outbox_module, "MAX_PENDING_STATES", MAX_PENDING_STATES)
@settings(max_examples=CASES // PARTS, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    history=st.lists(records, max_size=14),
    happenings=st.lists(events, max_size=40),
    held_back=st.frozensets(st.sampled_from(LISTS)),
    seed=st.integers(0, 1000),
)
def test_nothing_is_acknowledged_early_and_nothing_is_overtaken(part, history, happenings, held_back, seed):  # noqa: ARG001
    world = World(history, seed)
    for event in happenings:
        if event == "kill":
            world.kill()
        else:
            getattr(world.process, event)()
    if world.process.failed:
        world.kill()
    while world.process.read_position < len(history):
        world.process.read()
    world.process.end(held_back)
    assert world.acknowledged == len(history), "the last state is acknowledged when everything is done"
    newest = {(record.list, record.contact): position for position, record in enumerate(history, start=1)}
    assert world.account.memberships == newest
    world.process.held.close()
