"""What is on its way to Cordial, and so which state may be acknowledged.

Pure rules without threads, files or network of their own: `delivery` drives them, and so does the model check
in the tests.
"""

from __future__ import annotations

import typing as t
from array import array
from collections import deque

from target_cordial.delivery.batch import Batch, merged
from target_cordial.delivery.order import ImportFile, ImportOrder

if t.TYPE_CHECKING:
    from pathlib import Path

    from target_cordial.cordial.api import ContactList
    from target_cordial.delivery.exits import HeldExits
    from target_cordial.delivery.importfile import Cells

State: t.TypeAlias = dict[str, t.Any]

MAX_PENDING_STATES = 1_000
MAX_OPEN_BATCHES = 4
"""So many full batches' rows may be open over all lists: with 50 lists, each just short of full, memory would not do."""


class Outbox:
    """Open batches, held exits, files in order, and the states that wait for them.

    A *position* is the number of records read so far; a state stands for all records up to its position. It may
    be acknowledged once nothing of those is open, held or in a file that is not final.

    Args:
        null_marker: The cell that leaves an attribute as it is.
        held_exits: Where exits are held.
    """

    def __init__(self, *, null_marker: str, held_exits: HeldExits) -> None:
        self.order = ImportOrder()
        self.held_exits = held_exits
        self._null_marker = null_marker
        self._batches: dict[ContactList | None, Batch] = {}
        self._open_rows = 0
        self._states: deque[tuple[int, State]] = deque()
        self._holds: set[int] = set()
        self._closed = 0

    def enter(
        self, target_list: ContactList | None, key: str, cells: Cells, *, position: int, now: float
    ) -> Batch:
        """Put a contact's row into its list's open batch.

        Args:
            target_list: The list to join; None for the contact alone.
            key: The contact.
            cells: Its row.
            position: The record's.
            now: The time, in seconds of any steady clock.

        Returns:
            The batch, for a look at its size.
        """
        if target_list is not None:
            inherited = self.held_exits.discard(target_list, key)
            if inherited is not None:
                position = min(position, inherited)
        batch = self._open(target_list, position, now)
        rows = len(batch.rows)
        batch.put(key, cells, self._null_marker)
        self._open_rows += len(batch.rows) - rows
        if len(self._batches) > 1:
            self._refresh_other_lists(batch, key, cells)
        return batch

    def enter_all(
        self,
        target_list: ContactList | None,
        keys: t.Sequence[str],
        rows: t.Sequence[Cells],
        *,
        position: int,
        now: float,
    ) -> Batch:
        """Put many contacts' rows into their list's open batch, as if one by one.

        Args:
            target_list: The list to join; None for the contacts alone.
            keys: The contacts, at least one.
            rows: Their rows.
            position: That of the first record; the others follow.
            now: The time, in seconds of any steady clock.

        Returns:
            The batch, for a look at its size.
        """
        batch = self._open(target_list, position, now)
        contacts = set(keys)
        if (
            len(contacts) == len(keys)
            and len(self._batches) == 1
            and not self.held_exits.holds(target_list)
            and batch.rows.keys().isdisjoint(contacts)
        ):
            # All are new, which is how a backfill goes.
            batch.rows.update(zip(keys, rows, strict=True))
            self._open_rows += len(keys)
            return batch
        for number, (key, row) in enumerate(zip(keys, rows, strict=True)):
            self.enter(target_list, key, row, position=position + number, now=now)
        return batch

    def room(self, target_list: ContactList | None, most_rows: int) -> int:
        """How many rows of contacts that it does not hold yet a list's open batch takes.

        Args:
            target_list: The list.
            most_rows: Rows of one import file.
        """
        batch = self._batches.get(target_list)
        return most_rows if batch is None else most_rows - len(batch.rows)

    def exit(self, target_list: ContactList, key: str, *, position: int) -> None:
        """Hold a contact's exit, in place of an open row of the same list.

        Args:
            target_list: The list to leave.
            key: The contact.
            position: The record's.
        """
        batch = self._batches.get(target_list)
        if batch is not None and batch.rows.pop(key, None) is not None:
            position = min(position, batch.position)
            self._open_rows -= 1
            if not batch.rows:
                del self._batches[target_list]
        self.held_exits.add(target_list, key, position)

    def open_batches(self) -> list[Batch]:
        """The open batches, oldest first."""
        return sorted(self._batches.values(), key=lambda batch: batch.opened_at)

    def full_batch(self, batch: Batch, most_rows: int) -> Batch | None:
        """The batch that has to go out for want of room.

        Args:
            batch: The one that just grew.
            most_rows: Rows of one import file.

        Returns:
            It, if it is full; the fullest, if all batches together are; else None.
        """
        if len(batch.rows) >= most_rows:
            return batch
        if self._open_rows >= MAX_OPEN_BATCHES * most_rows:
            return max(self._batches.values(), key=lambda batch: len(batch.rows))
        return None

    def close_batch(self, batch: Batch, path: Path) -> ImportFile:
        """Turn an open batch into the next file.

        Args:
            batch: The batch; its rows are in the file already.
            path: The file.

        Returns:
            The file, in order.
        """
        del self._batches[batch.target_list]
        self._open_rows -= len(batch.rows)
        contacts = array("q", map(hash, batch.rows))
        return self._close(batch.target_list, contacts, batch.position, path, is_exits=False)

    def close_exits(self, target_list: ContactList, keys: t.Sequence[str], path: Path) -> ImportFile:
        """Turn held exits into the next file.

        Args:
            target_list: The list to leave.
            keys: The contacts, as `held_exits.take` gave them.
            path: The file.

        Returns:
            The file, in order.

        Raises:
            ValueError: If no exits are held.
        """
        position = self.held_exits.position
        if position is None:
            msg = "No exits are held."
            raise ValueError(msg)
        file = self._close(target_list, array("q", map(hash, keys)), position, path, is_exits=True)
        self.held_exits.drop(target_list, keys)
        return file

    def add_state(self, state: State, *, position: int) -> None:
        """Keep a state until it may be acknowledged.

        Args:
            state: The STATE message's value.
            position: How many records came before it.
        """
        if self._states and self._states[-1][0] == position:
            self._states.pop()
        self._states.append((position, state))
        if len(self._states) > MAX_PENDING_STATES:
            # Each state stands for all before it, so every second one can go: what is left is released later, not wrongly.
            # The newest must stay, or the end of the input would never be acknowledged.
            self._states = deque(list(self._states)[::-2][::-1])

    def hold(self, position: int) -> None:
        """Acknowledge nothing from a position on, until `release`.

        Args:
            position: The first that is held.
        """
        self._holds.add(position)

    def release(self) -> None:
        """End every `hold`."""
        self._holds.clear()

    def acknowledged(self) -> State | None:
        """The newest state that may be acknowledged now; it is given once.

        Returns:
            The state, or None if there is no new one.
        """
        oldest = self.position
        newest: State | None = None
        while self._states and (oldest is None or self._states[0][0] < oldest):
            newest = self._states.popleft()[1]
        return newest

    @property
    def position(self) -> int | None:
        """The oldest position that is not in Cordial yet; None if all are."""
        found = [batch.position for batch in self._batches.values()]
        found += [
            position for position in (self.held_exits.position, self.order.position) if position is not None
        ]
        return min([*found, *self._holds], default=None)

    def _open(self, target_list: ContactList | None, position: int, now: float) -> Batch:
        batch = self._batches.get(target_list)
        if batch is None:
            batch = self._batches[target_list] = Batch(target_list, now, position)
        elif position < batch.position:
            batch.position = position
        return batch

    def _close(
        self,
        target_list: ContactList | None,
        contacts: array[int],
        position: int,
        path: Path,
        *,
        is_exits: bool,
    ) -> ImportFile:
        self._closed += 1
        file = ImportFile(self._closed, target_list, is_exits, len(contacts), position, contacts, path)
        self.order.add(file)
        return file

    def _refresh_other_lists(self, changed: Batch, key: str, cells: Cells) -> None:
        """A contact's attributes are one for all lists: an older row must not bring old ones after newer ones."""
        for batch in self._batches.values():
            if batch is not changed and (row := batch.rows.get(key)) is not None:
                batch.rows[key] = merged(row, cells, self._null_marker)
