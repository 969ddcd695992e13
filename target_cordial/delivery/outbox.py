"""What is on its way to Cordial, and so which state may be acknowledged.

Pure rules without threads, files or network of their own: `delivery` drives them, and so does the model check
in the tests.
"""

from __future__ import annotations

import typing as t
from array import array
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path

from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.exits import HeldExits
from target_cordial.delivery.importfile import Cells
from target_cordial.delivery.order import ImportFile, ImportOrder

State: t.TypeAlias = dict[str, t.Any]

MAX_PENDING_STATES = 1_000
MAX_OPEN_BATCHES = 4
"""So many full batches' rows may be open over all lists: with 50 lists, each just short of full, memory would not do."""


@dataclass
class Batch:
    """The open rows of one list, one for each contact, kept until the batch is closed into an import file.

    Attributes:
        target_list: The list that the contacts go on; None for contacts alone.
        opened_at: When its first row came, in seconds of the outbox's clock.
        position: The oldest position that its rows stand for.
        rows: Cells by contact key.
    """

    target_list: ContactList | None
    opened_at: float
    position: int
    rows: dict[str, Cells] = field(default_factory=dict)


class Outbox:
    """Open batches, held exits, files in order, and the states that wait for them.

    A *position* is the number of records read so far; a state stands for all records up to its position. It may
    be acknowledged once nothing of those is open, held or in a file that is not final.

    Attributes:
        acknowledged_position: The position that the newest acknowledged state stands for.

    Args:
        null_marker: The cell that leaves an attribute as it is, and so an earlier cell too.
        held_exits: Where exits are held.
        batch_rows: Rows of one import file.
    """

    def __init__(self, *, null_marker: str, held_exits: HeldExits, batch_rows: int) -> None:
        self.order = ImportOrder()
        self.held_exits = held_exits
        self.acknowledged_position = 0
        self._null_marker = null_marker
        self._batch_rows = batch_rows
        self._batches: dict[ContactList | None, Batch] = {}
        self._open_rows = 0
        self._states: deque[tuple[int, State]] = deque()
        self._held_from: int | None = None
        self._closed = 0

    def room(self, target_list: ContactList | None) -> int:
        """How many more contacts a list's open batch takes."""
        batch = self._batches.get(target_list)
        return self._batch_rows if batch is None else self._batch_rows - len(batch.rows)

    def enter(
        self,
        target_list: ContactList | None,
        keys: t.Sequence[str],
        rows: t.Sequence[Cells],
        *,
        position: int,
        now: float,
    ) -> Batch | None:
        """Put contacts' rows into their list's open batch, no more than there is `room` for.

        Args:
            target_list: The list to join; None for the contacts alone.
            keys: The contacts, at least one.
            rows: Their rows.
            position: The oldest one that they stand for.
            now: The time, in seconds of any steady clock.

        Returns:
            The batch that has to go out for want of room, if one has to.
        """
        if target_list is not None:
            # An enter stands for the exit that it replaces, too.
            inherited = self.held_exits.discard(target_list, keys)
            position = position if inherited is None else min(position, inherited)
        batch = self._batches.setdefault(target_list, Batch(target_list, now, position))
        batch.position = min(batch.position, position)
        before = len(batch.rows)
        contacts = set(keys)
        if len(contacts) == len(keys) and batch.rows.keys().isdisjoint(contacts):
            # All are new, which is how a backfill goes.
            batch.rows.update(zip(keys, rows, strict=True))
        else:
            for key, row in zip(keys, rows, strict=True):
                earlier = batch.rows.get(key)
                batch.rows[key] = row if earlier is None else self._merged(earlier, row)
        self._open_rows += len(batch.rows) - before
        self._refresh_other_lists(batch, keys, rows)
        if len(batch.rows) >= self._batch_rows:
            return batch
        if self._open_rows >= MAX_OPEN_BATCHES * self._batch_rows:
            return max(self._batches.values(), key=lambda batch: len(batch.rows))
        return None

    def exit(
        self, target_list: ContactList, keys: t.Sequence[str], *, position: int, again: bool = False
    ) -> None:
        """Hold contacts' exits, in place of open rows of the same list.

        Args:
            target_list: The list to leave.
            keys: The contacts.
            position: The oldest one that they stand for.
            again: Whether they were acknowledged before, so that no limit counts them.
        """
        batch = self._batches.get(target_list)
        if batch is not None:
            replaced = [key for key in keys if batch.rows.pop(key, None) is not None]
            if replaced:
                position = min(position, batch.position)
                self._open_rows -= len(replaced)
            if not batch.rows:
                del self._batches[target_list]
        self.held_exits.add(target_list, keys, position=position, again=again)

    def open_batches(self) -> list[Batch]:
        """The open batches, oldest first."""
        return list(self._batches.values())

    def close_batch(self, batch: Batch, path: Path) -> ImportFile:
        """Turn an open batch, whose rows are in the file at `path` already, into the next file in order."""
        del self._batches[batch.target_list]
        self._open_rows -= len(batch.rows)
        return self._close(batch.target_list, batch.rows, batch.position, path, is_exits=False)

    def close_exits(self, target_list: ContactList, keys: t.Sequence[str], path: Path) -> ImportFile:
        """Turn held exits, as `held_exits.take` gave them, into the next file in order."""
        position = self.held_exits.position
        if position is None:
            raise ValueError("No exits are held.")
        file = self._close(target_list, keys, position, path, is_exits=True)
        self.held_exits.discard(target_list, keys)
        return file

    def add_state(self, state: State, *, position: int) -> None:
        """Keep a STATE message's value until all `position` records before it are in Cordial."""
        if self._states and self._states[-1][0] == position:
            self._states.pop()
        self._states.append((position, state))
        if len(self._states) > MAX_PENDING_STATES:
            # Each state stands for all before it, so every second one can go: what is left is released later, not wrongly.
            # The newest must stay, or the end of the input would never be acknowledged.
            self._states = deque(list(self._states)[::-2][::-1])

    def hold(self, position: int) -> None:
        """Acknowledge nothing from a position on, until `release`."""
        if self._held_from is None:
            self._held_from = position

    def release(self) -> None:
        """End a `hold`."""
        self._held_from = None

    def acknowledged(self) -> State | None:
        """The newest state that may be acknowledged now; each is given once."""
        oldest = self.position
        newest: State | None = None
        while self._states and (oldest is None or self._states[0][0] < oldest):
            self.acknowledged_position, newest = self._states.popleft()
        return newest

    @property
    def position(self) -> int | None:
        """The oldest position that is not in Cordial yet, or is held; None if there is none."""
        positions = [self.held_exits.position, self.order.position, self._held_from]
        positions += [batch.position for batch in self._batches.values()]
        return min((position for position in positions if position is not None), default=None)

    def _close(
        self,
        target_list: ContactList | None,
        keys: t.Iterable[str],
        position: int,
        path: Path,
        *,
        is_exits: bool,
    ) -> ImportFile:
        self._closed += 1
        contacts = array("q", map(hash, keys))
        file = ImportFile(self._closed, target_list, is_exits, len(contacts), position, contacts, path)
        self.order.add(file)
        return file

    def _refresh_other_lists(self, changed: Batch, keys: t.Sequence[str], rows: t.Sequence[Cells]) -> None:
        """A contact's attributes are one for all lists: an older row must not bring old ones after newer ones."""
        for batch in self._batches.values():
            if batch is not changed:
                for key, row in zip(keys, rows, strict=True):
                    older = batch.rows.get(key)
                    if older is not None:
                        batch.rows[key] = self._merged(older, row)

    def _merged(self, earlier: Cells, newer: Cells) -> Cells:
        """Newer cells win over earlier ones, unless they leave the attribute as it is."""
        marker = self._null_marker
        return tuple([old if new == marker else new for old, new in zip(earlier, newer, strict=True)])
