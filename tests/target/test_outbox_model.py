"""Ordering and acknowledgement against a model: thousands of random histories, with failures, repeats and kills.

The model keeps, for each contact's membership of a list and for its attributes, the record that Cordial last saw of it.
A row's cell holds the position of its record, so that the model can tell old from new.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from target_cordial.cordial import ContactList
from target_cordial.held_exits import HeldExits
from target_cordial.outbox import Outbox

if TYPE_CHECKING:
    from target_cordial.order import ImportFile

LISTS = (ContactList(1, "one"), ContactList(2, "two"))
CONTACTS = ("a", "b", "c")
BATCH_ROWS = 2
NULL = "null"

Record = tuple[str, int, str]
"""enter or exit, which list, which contact."""

records = st.tuples(
    st.sampled_from(["enter", "enter", "exit"]), st.integers(0, len(LISTS) - 1), st.sampled_from(CONTACTS)
)
events = st.sampled_from(
    ["read", "read", "read", "close", "start", "slice", "finish", "finish", "repeat", "fail", "kill"]
)


@dataclass
class Account:
    """Cordial, as far as order goes: the position of the newest record that it saw of each thing."""

    memberships: dict[tuple[int, str], int] = field(default_factory=dict)
    attributes: dict[str, int] = field(default_factory=dict)

    def apply(self, row: Row) -> None:
        membership = (row.list_id, row.contact)
        assert row.membership >= self.memberships.get(membership, 0), (
            "an older membership came after a newer one"
        )
        self.memberships[membership] = row.membership
        if row.attributes is not None:
            assert row.attributes >= self.attributes.get(row.contact, 0), (
                "older attributes came after newer ones"
            )
            self.attributes[row.contact] = row.attributes


@dataclass(frozen=True)
class Row:
    list_id: int
    contact: str
    membership: int
    attributes: int | None


class Process:
    """One run of the target, from the last acknowledged position on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.held = HeldExits(Path(":memory:"))
        self.outbox = Outbox(null_marker=NULL, held_exits=self.held)
        self.rows: dict[int, list[Row]] = {}
        self.under_way: dict[int, tuple[ImportFile, list[Row]]] = {}
        self.memberships: dict[tuple[int, str], int] = {}
        self.read_position = world.acknowledged
        self.failed = False

    def read(self) -> None:
        if self.read_position == len(self.world.records):
            return
        kind, which, contact = self.world.records[self.read_position]
        self.read_position += 1
        position = self.read_position
        target_list = LISTS[which]
        self.memberships[target_list.id, contact] = position
        if kind == "enter":
            batch = self.outbox.enter(
                target_list, contact, [contact, str(position)], position=position, now=position
            )
            if len(batch.rows) >= BATCH_ROWS:
                self._close(batch)
        else:
            self.outbox.exit(target_list, contact, position=position)
        self.outbox.add_state({"position": position}, position=position)
        self.acknowledge()

    def close(self) -> None:
        for batch in self.outbox.open_batches()[:1]:
            self._close(batch)

    def _close(self, batch) -> None:
        rows = [
            Row(batch.target_list.id, key, self.memberships[batch.target_list.id, key], int(cells[1]))
            for key, cells in batch.rows.items()
        ]
        self.rows[self.outbox.close_batch(batch, Path("file")).number] = rows

    def close_exits(self) -> None:
        for target_list in self.held.counts():
            while keys := self.held.take(target_list, BATCH_ROWS):
                rows = [Row(target_list.id, key, self.memberships[target_list.id, key], None) for key in keys]
                self.rows[self.outbox.close_exits(target_list, keys, Path("file")).number] = rows

    def start(self) -> None:
        file = None if self.failed else self.outbox.order.start_next()
        if file is not None:
            contacts = {row.contact for row in self.rows[file.number]}
            for _, others in self.under_way.values():
                assert contacts.isdisjoint(row.contact for row in others), (
                    "two imports under way share a contact"
                )
            self.under_way[file.number] = (file, list(self.rows[file.number]))

    def some(self) -> tuple[ImportFile, list[Row]] | None:
        return self.under_way[self.world.random.choice(sorted(self.under_way))] if self.under_way else None

    def slice(self) -> None:
        """Cordial imports one row, whichever."""
        found = self.some()
        if found is not None and found[1]:
            self.world.account.apply(found[1].pop(self.world.random.randrange(len(found[1]))))

    def repeat(self) -> None:
        """An import was registered twice, because its answer was lost: all of its rows come again before it is final."""
        found = self.some()
        if found is not None:
            found[1][:] = self.rows[found[0].number]

    def finish(self) -> None:
        found = self.some()
        if found is not None:
            file, rows = found
            self.world.random.shuffle(rows)
            for row in rows:
                self.world.account.apply(row)
            del self.under_way[file.number]
            self.outbox.order.finish(file)
            self.acknowledge()

    def fail(self) -> None:
        found = self.some()
        if found is not None:
            del self.under_way[found[0].number]
            self.outbox.order.give_up(found[0])
            self.failed = True

    def acknowledge(self) -> None:
        state = self.outbox.acknowledged()
        if state is None:
            return
        assert state["position"] > self.world.acknowledged, "a state was acknowledged twice or out of order"
        self.world.acknowledged = state["position"]
        self.world.check_acknowledged()

    def end(self) -> None:
        """The input has ended: everything goes, enters before exits."""
        while self.outbox.open_batches():
            self.close()
        self.drain()
        self.close_exits()
        self.drain()
        assert not self.outbox.order.files(), "files wait for ever"

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
            for row in found[1]:
                self.account.apply(row)
            del self.process.under_way[found[0].number]
        self.process.held.close()
        # Sent again, what is in doubt counts as new: the source's state then is the source's state now.
        self.account = Account(
            {key: min(position, self.acknowledged) for key, position in self.account.memberships.items()},
            {key: min(position, self.acknowledged) for key, position in self.account.attributes.items()},
        )
        self.process = Process(self)

    def check_acknowledged(self) -> None:
        for position, (_, which, contact) in enumerate(self.records[: self.acknowledged], start=1):
            seen = self.account.memberships.get((LISTS[which].id, contact), 0)
            assert seen >= position, "a state was acknowledged before its record was in Cordial"


@settings(max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(records, max_size=12), st.lists(events, max_size=40), st.integers(0, 1000))
def test_nothing_is_acknowledged_early_and_nothing_is_overtaken(history, happenings, seed):
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
    world.process.end()
    assert world.acknowledged == len(history), "the last state is acknowledged when everything is done"
    newest = {
        (LISTS[which].id, contact): position for position, (_, which, contact) in enumerate(history, start=1)
    }
    assert world.account.memberships == newest
    world.process.held.close()
