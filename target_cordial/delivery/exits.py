"""Exits, held until the input ends, on disk: there can be as many as a list has contacts."""

from __future__ import annotations

import contextlib
import errno
import os
import sqlite3
import typing as t
from collections import Counter
from pathlib import Path

from target_cordial.cordial.lists import ContactList


class HeldExits:
    """The contacts that are to leave each list.

    Attributes:
        position: The oldest position that they stand for; None if there are none.

    Args:
        path: Where to keep them; in a folder that only the owner can enter.
    """

    def __init__(self, path: Path) -> None:
        self.position: int | None = None
        self._counts: Counter[int] = Counter()
        self._lists: dict[int, ContactList] = {}
        # One connection for the thread that reads the input; nothing here has to survive the process.
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        with _writing():
            self._database.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;"
                "CREATE TABLE held (list INTEGER, contact TEXT, again INTEGER, PRIMARY KEY (list, contact)) WITHOUT ROWID;"
            )

    def add(self, target_list: ContactList, keys: t.Sequence[str], *, position: int, again: bool) -> None:
        """Hold exits; one that comes again and once more plainly is a plain one."""
        added = self._change("INSERT OR IGNORE INTO held VALUES (?, ?, ?)", target_list, keys, again)
        if not again and added < len(keys):
            self._change("UPDATE held SET again = FALSE WHERE list = ? AND contact = ?", target_list, keys)
        self._lists[target_list.id] = target_list
        self._counts[target_list.id] += added
        self.position = position if self.position is None else min(self.position, position)

    def discard(self, target_list: ContactList, keys: t.Sequence[str]) -> int | None:
        """Forget exits, because the contacts came back or are in an import file now.

        Returns:
            The oldest position that what replaces them stands for; None if none of them was held.
        """
        if not self._counts[target_list.id]:
            return None
        removed = self._change("DELETE FROM held WHERE list = ? AND contact = ?", target_list, keys)
        if not removed:
            return None
        inherited = self.position
        self._counts[target_list.id] -= removed
        if not self._counts.total():
            self.position = None
        return inherited

    def counts(self) -> dict[ContactList, int]:
        """How many exits of each list with held exits limits count: all that were not acknowledged before."""
        rows = self._database.execute("SELECT list, sum(NOT again) FROM held GROUP BY list").fetchall()
        return {self._lists[list_id]: counted for list_id, counted in rows}

    def take(self, target_list: ContactList, limit: int) -> list[str]:
        """The contacts of the next exit file of a list; they stay held until `discard`."""
        rows = self._database.execute(
            "SELECT contact FROM held WHERE list = ? ORDER BY contact LIMIT ?", (target_list.id, limit)
        ).fetchall()
        return [contact for (contact,) in rows]

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _change(self, statement: str, target_list: ContactList, keys: t.Sequence[str], *more: bool) -> int:
        """Run a statement for each contact, and count the rows that it changed."""
        before = self._database.total_changes
        with _writing():
            self._database.executemany(statement, [(target_list.id, key, *more) for key in keys])
        return self._database.total_changes - before


@contextlib.contextmanager
def _writing() -> t.Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        # The database is nobody else's, so only the disk can be in its way.
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error
