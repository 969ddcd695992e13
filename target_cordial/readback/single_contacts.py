"""Contacts read back one by one, for as few as that is reasonable for."""

from __future__ import annotations

import queue
import threading
import typing as t
from dataclasses import dataclass

from lytics_to_cordial.errors import UserError
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.contacts import Contact

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

    def read(self, keys: t.Sequence[str]) -> dict[str, Contact | None]:
        """The contacts of these keys, a few side by side; None for one that Cordial does not have.

        Raises:
            UserError: If Cordial does not tell.
        """
        left: queue.SimpleQueue[str] = queue.SimpleQueue()
        for key in keys:
            left.put(key)
        contacts: dict[str, Contact | None] = {}
        failures: list[UserError] = []

        def work() -> None:
            while not failures:
                try:
                    key = left.get_nowait()
                except queue.Empty:
                    return
                try:
                    contacts[key] = self.cordial.contacts.find(self.channel, key)
                except UserError as error:
                    failures.append(error)

        # Threads of a pool would keep a process that is told to stop.
        threads = [threading.Thread(target=work, daemon=True) for _ in range(SIDE_BY_SIDE)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        return contacts
