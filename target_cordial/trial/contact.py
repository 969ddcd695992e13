"""The contact of a trial: imported as in a run, and read back."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import secrets
import typing as t
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lytics_to_cordial.errors import UserError
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.contacts import Contact
from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.importfile import Cells, new_import_file, quoted
from target_cordial.delivery.imports import Importer, ImportResult
from target_cordial.delivery.jobs import Jobs
from target_cordial.delivery.order import ImportFile
from target_cordial.intake.columns import Column, kinds_of
from target_cordial.intake.rows import RowWriter
from target_cordial.settings import Settings
from target_cordial.storage.storage import Storage

LOOKS = 3
"""How often the contact is read until it is as it should be: what an import did may show late."""
TIMEOUT_SECONDS = 300


@dataclass
class TrialContact:
    """The contact with the address that the trial was given.

    Attributes:
        settings: How a run would import.
        cordial: The account.
        storage: Where Cordial fetches files from.
        folder: For the files on this machine.
        key: The address, as a run would send it.
        target_list: The list that it joins for a while; None for none.
    """

    settings: Settings
    cordial: Cordial
    storage: Storage
    folder: Path
    key: str
    target_list: ContactList | None
    null_marker: str = field(default_factory=lambda: f"null-{secrets.token_hex(8)}")
    started_at: dt.datetime = field(default_factory=lambda: dt.datetime.now(dt.timezone.utc))
    _imports: int = 0

    def __post_init__(self) -> None:
        timeout = min(self.settings.import_timeout_seconds, TIMEOUT_SECONDS)
        self.settings = dataclasses.replace(self.settings, keep_files=False, import_timeout_seconds=timeout)
        self.jobs = Jobs(self.cordial, self.settings)
        self._run_name = f"{self.storage.folder_tag}-trial-{secrets.token_hex(4)}"

    @property
    def since(self) -> dt.datetime:
        """No job of the trial started earlier, whoever's clock is wrong."""
        return self.started_at - dt.timedelta(hours=1)

    def cells(
        self, values: Mapping[Column, object], null_values: t.Literal["keep", "clear"] = "keep"
    ) -> Cells | None:
        """The contact's row with these values, as a run would write it; None if one of them cannot be sent."""
        settings = dataclasses.replace(
            self.settings,
            import_strategy="updateOnly",
            null_values=null_values,
            require_all_fields=False,
            invalid_values="reject",
        )
        writer = RowWriter(list(values), settings, self.null_marker)
        rows = writer.rows([self.key], {column.field: [value] for column, value in values.items()})
        return None if rows.rejects else rows.cells[0]

    def enter(self, columns: Sequence[Column], cells: Cells) -> ImportResult:
        """Import a row as a run does, onto the list."""
        return self._import(self.settings, columns, cells, self.target_list)

    def update(self, columns: Sequence[Column], cells: Cells) -> ImportResult:
        """Import a row, if Cordial knows the contact."""
        settings = dataclasses.replace(self.settings, import_strategy="updateOnly")
        return self._import(settings, columns, cells, None)

    def leave(self) -> ImportResult:
        """Take the contact off the list as a run does."""
        return self._import(self.settings, [], (quoted(self.key),), self.target_list, is_exit=True)

    def what_stays(self, columns: Sequence[Column]) -> str:
        """What may be left of a trial that is broken off, and how it goes."""
        values = ", ".join(column.header for column in columns) or "none of its attributes"
        listed, cure = "", ""
        if self.target_list is not None:
            listed, cure = (
                f" on the list {self.target_list.name}, and",
                "take it off the list in Cordial, and ",
            )
        return (
            f"it is broken off; its contact may be{listed} with values of the trial in {values}, once its imports are done: {cure}set these "
            "values back there"
        )

    def read(self, is_settled: Callable[[Contact], bool] = lambda _: True) -> Contact | None:
        """The contact as Cordial has it, once it is as it should be, or after some looks anyway."""
        contact = None
        for look in range(LOOKS):
            if look:
                self.jobs.pause()
            contact = self.cordial.contacts.find(self.settings.channel, self.key)
            if contact is not None and is_settled(contact):
                break
        return contact

    def _import(
        self,
        settings: Settings,
        columns: Sequence[Column],
        cells: Cells,
        target_list: ContactList | None,
        *,
        is_exit: bool = False,
    ) -> ImportResult:
        self._imports += 1
        importer = Importer(
            cordial=self.cordial,
            storage=self.storage,
            settings=settings,
            null_marker=self.null_marker,
            run_name=self._run_name,
            run_started_at=self.since,
            kinds=kinds_of(columns),
        )
        header = [settings.identifier_column, *(column.header for column in columns)]
        path = new_import_file(self.folder, header, [cells])
        file = ImportFile(
            self._imports, target_list, is_exits=is_exit, rows=1, position=0, contacts=array("q"), path=path
        )
        try:
            return importer.deliver(file)
        finally:
            path.unlink(missing_ok=True)
            with contextlib.suppress(UserError):
                for name in self.storage.names():
                    if name.startswith(self._run_name):
                        self.storage.delete(name)
