"""Contacts read back one by one into a table, for as few as that is reasonable for."""

from __future__ import annotations

import queue
import threading
import typing as t
from dataclasses import dataclass

from lytics_to_cordial.database import Tables
from lytics_to_cordial.errors import UserError
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.contacts import Contact
from target_cordial.readback.addresses import key_of
from target_cordial.readback.contacts import Columns, create_contacts, finish_contacts
from target_cordial.readback.values import cell_of, value_of

MOST = 200
"""More contacts than this are not worth a call each."""
SIDE_BY_SIDE = 4
NOBODY = "nobody@target-cordial.invalid"
"""An address that no contact has."""


@dataclass(frozen=True)
class SingleContacts:
    """Reads contacts of an account by their address of a channel."""

    cordial: Cordial
    channel: str

    def load(self, tables: Tables, columns: Columns) -> None:
        """Read the contacts whose rows are in the table `members` into the table `contacts`, as `read_contacts` does.

        Raises:
            UserError: If Cordial does not tell.
        """
        create_contacts(tables, columns)
        found = self._read([address for (address,) in tables.rows("SELECT DISTINCT address FROM members")])
        texts = [[address for address, _ in found]]
        texts += [[cell_of(value_of(contact, name)) for _, contact in found] for name in columns.attributes]
        marks = [[contact.is_on(each) for _, contact in found] for each in columns.lists]
        cells = "".join(
            [", unnest(?::VARCHAR[])"] * len(columns.attributes) + [", unnest(?::BOOLEAN[])"] * len(marks)
        )
        names = [f"a{number}" for number in range(len(columns.attributes))]
        names += [f"l{number}" for number in range(len(marks))]
        tables.run(
            f"INSERT INTO contacts BY NAME SELECT *, {key_of('address')} AS key, true AS is_first FROM (SELECT unnest(?::VARCHAR[]){cells}) "
            f"AS found({', '.join(['address', *names])})",
            [*texts, *marks],
        )
        finish_contacts(tables, "members")

    def _read(self, keys: t.Sequence[str]) -> list[tuple[str, Contact]]:
        """The contacts of these keys that Cordial has, a few side by side."""
        left: queue.SimpleQueue[str] = queue.SimpleQueue()
        for key in keys:
            left.put(key)
        contacts: list[tuple[str, Contact]] = []
        failures: list[UserError] = []

        def work() -> None:
            while not failures:
                try:
                    key = left.get_nowait()
                except queue.Empty:
                    return
                try:
                    contact = self.cordial.contacts.find(self.channel, key)
                except UserError as error:
                    failures.append(error)
                    return
                if contact is not None:
                    contacts.append((key, contact))

        # Threads of a pool would keep a process that is told to stop.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(SIDE_BY_SIDE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return contacts
