"""The order of imports: Cordial keeps none, so files that share a contact go one after the other."""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from pathlib import Path

from target_cordial.cordial.lists import ContactList


@dataclass
class ImportFile:
    """A closed batch: an import file, on its way until its import is done.

    Attributes:
        number: Its place in closing order, from 1.
        target_list: The list that its contacts join or leave; None for contacts alone.
        is_exits: Whether they leave.
        rows: How many contacts it holds.
        position: The oldest position that its rows stand for.
        contacts: A hash of each contact key. Two keys with one hash cost a wait, never the order.
        path: Where it is on this machine.
        waits_for: Numbers of the earlier files, not final yet, that share a contact with it.
    """

    number: int
    target_list: ContactList | None
    is_exits: bool
    rows: int
    position: int
    contacts: array[int]
    path: Path
    waits_for: set[int] = field(default_factory=set)


class ImportOrder:
    """The files that are closed and not final, and which of them may go next."""

    def __init__(self) -> None:
        self._waiting: dict[int, ImportFile] = {}
        self._under_way: dict[int, ImportFile] = {}
        self._given_up: dict[int, ImportFile] = {}

    def add(self, file: ImportFile) -> None:
        """Take a file, in closing order, and fill in what it waits for."""
        contacts = set(file.contacts)
        file.waits_for = {
            earlier.number for earlier in self.files() if not contacts.isdisjoint(earlier.contacts)
        }
        self._waiting[file.number] = file

    def start_next(self) -> ImportFile | None:
        """The earliest file that waits for none, now under way; None if there is none."""
        for number, file in self._waiting.items():
            if not file.waits_for:
                self._under_way[number] = self._waiting.pop(number)
                return file
        return None

    def finish(self, file: ImportFile) -> None:
        """Let later files go, now that every import of a file under way is final."""
        del self._under_way[file.number]
        for later in self._waiting.values():
            later.waits_for.discard(file.number)

    def give_up(self, file: ImportFile) -> None:
        """Let no file overtake one that was under way and is not imported in this run."""
        self._given_up[file.number] = self._under_way.pop(file.number)

    def files(self) -> list[ImportFile]:
        """All files that are not final."""
        return [*self._given_up.values(), *self._under_way.values(), *self._waiting.values()]

    @property
    def waiting(self) -> int:
        """How many files are not under way yet."""
        return len(self._waiting)

    @property
    def under_way(self) -> int:
        """How many files are under way."""
        return len(self._under_way)

    @property
    def position(self) -> int | None:
        """The oldest position in any file that is not final; None if all are."""
        return min((file.position for file in self.files()), default=None)
