"""Exits, held until the input ends, on disk: there can be as many as a list has contacts."""

from __future__ import annotations

import contextlib
import sqlite3
import typing as t
from collections import Counter

from lytics_to_cordial.errors import UserError

if t.TYPE_CHECKING:
    from pathlib import Path

    from target_cordial.cordial.api import ContactList


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
        self._folder = path.parent
        # One connection for the thread that reads the input; nothing here has to survive the process.
        self._database = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._database.executescript(
            "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; BEGIN;"
            "CREATE TABLE held (list INTEGER, contact TEXT, PRIMARY KEY (list, contact)) WITHOUT ROWID;"
        )

    def add(self, target_list: ContactList, key: str, position: int) -> None:
        """Hold an exit.

        Args:
            target_list: The list to leave.
            key: The contact.
            position: The oldest position that the exit stands for.

        Raises:
            UserError: If the disk does not take it.
        """
        with self._explained():
            added = self._database.execute(
                "INSERT OR IGNORE INTO held VALUES (?, ?)", (target_list.id, key)
            ).rowcount
        self._lists[target_list.id] = target_list
        self._counts[target_list.id] += added
        self.position = position if self.position is None else min(self.position, position)

    def holds(self, target_list: ContactList | None) -> bool:
        """Whether contacts are to leave a list.

        Args:
            target_list: The list.
        """
        return target_list is not None and self._counts[target_list.id] > 0

    def discard(self, target_list: ContactList, key: str) -> int | None:
        """Forget an exit, because the contact came back.

        Args:
            target_list: The list.
            key: The contact.

        Returns:
            The oldest position that the enter now stands for too; None if there was no exit.
        """
        if not self._counts[target_list.id]:
            return None
        removed = self._database.execute(
            "DELETE FROM held WHERE list = ? AND contact = ?", (target_list.id, key)
        ).rowcount
        if not removed:
            return None
        inherited = self.position
        self._drop(target_list, 1)
        return inherited

    def counts(self) -> dict[ContactList, int]:
        """How many contacts are to leave each list."""
        return {self._lists[list_id]: count for list_id, count in self._counts.items() if count}

    def take(self, target_list: ContactList, limit: int) -> list[str]:
        """The contacts of the next exit file of a list; they stay held until `drop`.

        Args:
            target_list: The list.
            limit: The most contacts to return.

        Returns:
            Contact keys; empty when all are taken.
        """
        rows = self._database.execute(
            "SELECT contact FROM held WHERE list = ? ORDER BY contact LIMIT ?", (target_list.id, limit)
        ).fetchall()
        return [contact for (contact,) in rows]

    def drop(self, target_list: ContactList, keys: t.Sequence[str]) -> None:
        """Let exits go that are in an import file now.

        Args:
            target_list: The list.
            keys: The contacts, as `take` gave them.
        """
        self._database.executemany(
            "DELETE FROM held WHERE list = ? AND contact = ?", [(target_list.id, key) for key in keys]
        )
        self._drop(target_list, len(keys))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    @contextlib.contextmanager
    def _explained(self) -> t.Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            msg = f"Exits cannot be kept in {self._folder} ({error}): make room there, or set TMPDIR to a folder with room."
            raise UserError(msg) from error

    def _drop(self, target_list: ContactList, count: int) -> None:
        self._counts[target_list.id] -= count
        if not self._counts.total():
            self.position = None
