"""One import file's way: uploaded, registered with Cordial, followed until every job of it is final, and its losses named."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.progress import counted
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.errors import CordialError
from target_cordial.cordial.jobs import Job
from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.counters import Counters
from target_cordial.delivery.importfile import new_import_file_with
from target_cordial.delivery.jobs import Jobs
from target_cordial.delivery.naming import LostRows, Naming
from target_cordial.delivery.order import ImportFile
from target_cordial.delivery.registration import Registrar, Stopped
from target_cordial.readback.export import Exporter
from target_cordial.readback.single_contacts import MOST, SingleContacts
from target_cordial.settings import Settings
from target_cordial.storage.storage import KEPT_PREFIX, Storage

CONFIRM_SECONDS = 10
"""A list that was there is not asked for again so soon, but once more at the end."""

logger = logging.getLogger("target-cordial")


class ListGoneError(UserError):
    """A list that was filled is not there any more."""


@dataclass
class ImportResult:
    """What became of a file.

    Attributes:
        name: Its last import name.
        job_id: Its job.
        lost: The rows that are not in Cordial.
        inserted: New contacts; None if Cordial does not say, as with the next two.
        updated: Changed contacts.
        ignored: Rows that the strategy passed over.
        seconds: From upload to end.
    """

    name: str
    job_id: str
    lost: LostRows = field(default_factory=LostRows)
    inserted: int | None = None
    updated: int | None = None
    ignored: int | None = None
    seconds: float = 0


@dataclass
class Importer:
    """Brings import files into Cordial.

    Attributes:
        cordial: The account.
        storage: Where Cordial fetches files from.
        settings: How to import.
        null_marker: The cell that leaves an attribute as it is.
        run_name: `<pipeline>-<run>`, with which the names of this run's files begin.
        run_started_at: No job of this run started earlier.
        kinds: What the cells of attributes hold, by column.
        stopping: Set when nothing more is to be registered.
        exporter: Exports contacts, to name the rows of large files; None to count them alone.
    """

    cordial: Cordial
    storage: Storage
    settings: Settings
    null_marker: str
    run_name: str
    run_started_at: dt.datetime
    kinds: t.Mapping[str, str] = field(default_factory=dict)
    stopping: threading.Event = field(default_factory=threading.Event)
    exporter: Exporter | None = None

    def __post_init__(self) -> None:
        settings = self.settings
        self.jobs = Jobs(self.cordial, settings)
        self._confirmed: dict[ContactList, float] = {}
        self._large: list[tuple[ImportFile, Counters, ImportResult]] = []
        self._registrar = Registrar(self.cordial, self.storage, self.jobs, self.run_started_at, self.stopping)
        self._naming = Naming(
            SingleContacts(self.cordial, settings.channel),
            self.exporter,
            self.kinds,
            self.null_marker,
            self.jobs.pause,
            makes_contacts=settings.import_strategy == "upsert",
        )

    def deliver(self, file: ImportFile) -> ImportResult:
        """Bring one file, complete on this machine, into Cordial.

        Raises:
            Stopped: If the run ends before the file is registered.
            UserError: If it cannot be imported; the sentence says why.
        """
        started = time.monotonic()
        if self.stopping.is_set():
            raise Stopped
        name = f"{self.run_name}-{file.number:04d}"
        status = self.settings.subscribe_status
        if status is None or file.is_exits or self.settings.import_strategy == "updateOnly":
            last_name, job_id, counters = self._import(file, name, file.path, self._options(file))
        else:
            # A status is for new contacts alone. Whoever is known is passed over first, and then brought up to date without one.
            with_status = new_import_file_with(file.path, self.settings.status_column, status)
            inserting = self._options(file, "insertOnly", has_status=True)
            *_, first = self._import(file, f"{name}-new", with_status, inserting)
            with_status.unlink()
            updating = self._options(file, "updateOnly")
            last_name, job_id, second = self._import(file, f"{name}-known", file.path, updating)
            counters = first.followed_by(second)
        if (
            file.target_list is not None
            and time.monotonic() > self._confirmed.get(file.target_list, 0) + CONFIRM_SECONDS
        ):
            self._confirm(file.target_list)
        lost = self._naming.lost_rows(file, counters)
        seconds = time.monotonic() - started
        result = ImportResult(
            last_name, job_id, lost, counters.inserted, counters.updated, counters.ignored, seconds
        )
        if self.exporter is not None and counters.most_lost and file.rows > MOST:
            self._large.append((file, counters, result))
        else:
            file.path.unlink(missing_ok=True)
        return result

    def name_lost_rows(self) -> list[tuple[ImportFile, ImportResult, LostRows]]:
        """Name the rows of large files that are not in Cordial; each file, what was known of it, and the rows."""
        large, self._large = self._large, []
        lost = self._naming.lost_rows_of_large([(file, counters) for file, counters, _ in large])
        for file, _, _ in large:
            file.path.unlink()
        return [(file, result, rows) for (file, _, result), rows in zip(large, lost, strict=True)]

    def finish(self) -> None:
        """See that the lists that were filled are still there.

        Raises:
            UserError: If one is not.
        """
        for target_list in [*self._confirmed]:
            self._confirm(target_list)

    def _confirm(self, target_list: ContactList) -> None:
        """See that a list is there: nobody says whether an import fails for want of it, or passes over it."""
        with contextlib.suppress(CordialError):
            if not self.cordial.lists.is_there(target_list):
                raise ListGoneError(
                    f"The list {target_list.name!r} (id {target_list.id}) was deleted or renamed in Cordial while the run filled it, so "
                    "nothing since is acknowledged: bring it back or set list_name, then run once with --full-refresh."
                )
        self._confirmed[target_list] = time.monotonic()

    def _import(
        self, file: ImportFile, name: str, path: Path, options: dict[str, t.Any]
    ) -> tuple[str, str, Counters]:
        """Import a file under a name; its last name, its job and what that says of the rows."""
        self.storage.put(f"{name}.csv", path)
        names, job_id = self._registrar.register(name, options)
        job = self.jobs.follow(job_id, names[-1])
        children: list[Job] = []
        if len(names) > 1 or job.outcomes < file.rows:
            # Outcomes that cover every row prove that nothing of it is under way; without them only the list of jobs tells.
            relatives = self.jobs.wait_for_relatives(job, set(names), file.rows, self.run_started_at)
            children = [
                self.jobs.wait_until_done(relative.id, names[-1])
                for relative in relatives
                if relative.parent_id == job_id
            ]
            job = self.jobs.wait_until_done(job_id, names[-1])
        self._put_away(f"{names[-1]}.csv")
        counters = Counters.of(file.rows, job, children)
        _compare(names[-1], job_id, counters)
        return names[-1], job_id, counters

    def _options(
        self,
        file: ImportFile,
        strategy: t.Literal["insertOnly", "updateOnly"] | None = None,
        *,
        has_status: bool = False,
    ) -> dict[str, t.Any]:
        """What to ask of an import (Cordial Swagger v2: ContactImportJob)."""
        options: dict[str, t.Any] = {
            **self.settings.import_options,
            "hasHeader": True,
            "nullMarker": self.null_marker,
            "suppressTriggers": self.settings.suppress_triggers,
        }
        if file.is_exits or self.settings.import_strategy == "updateOnly":
            strategy = "updateOnly"
        if strategy is not None:
            options["strategy"] = strategy
        if file.target_list is not None:
            options["lists"] = {"removeFrom" if file.is_exits else "addTo": [file.target_list.name]}
        if self.settings.keep_subscribe_status and not has_status:
            # Known contacts keep their status (Cordial support, article 203886058; not in the Swagger).
            options["subscribe"] = False
        return options

    def _put_away(self, name: str) -> None:
        """Delete an imported file, or keep it if the user wants to; neither can undo the import."""
        try:
            if self.settings.keep_files:
                # Under its own name the next run would take it for a leftover and delete it.
                self.storage.rename(name, KEPT_PREFIX + name)
            else:
                self.storage.delete(name)
        except UserError as error:
            logger.warning("Import file %s is imported but stays in the storage: %s", name, error)


def _compare(name: str, job_id: str, counters: Counters) -> None:
    """Say it when the counters of an import do not add up to the rows that were sent."""
    rows, total = counters.rows, counters.total
    if total is None:
        logger.warning(
            "Import %s (job %s) has no counters, so nobody can check its %s.",
            name,
            job_id,
            counted(rows, "row"),
        )
    elif total != rows:
        logger.warning(
            "Import %s (job %s) counts %s of the %d that were sent.",
            name,
            job_id,
            counted(total, "row"),
            rows,
        )
    elif counters.most_lost > counters.lost:
        logger.warning(
            "The counters of import %s (job %s) do not add up: no outcome is told of %d of its %s.",
            name,
            job_id,
            counters.most_lost - counters.lost,
            counted(rows, "row"),
        )
