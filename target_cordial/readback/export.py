"""Exports of contacts: asked for, followed until they are done, fetched, and deleted from the storage."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import re
import secrets
import time
import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lytics_to_cordial.errors import TransientError, UserError
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.errors import UnansweredError
from target_cordial.cordial.jobs import Job
from target_cordial.cordial.lists import ContactList
from target_cordial.settings import Settings
from target_cordial.storage.storage import KEPT_PREFIX, Storage

TRIES = 3
LOOKS = 12
"""How often files are looked for without anything new, a poll interval apart."""
_MARK = "-export-"
"""In the name of each export, after the pipeline's tag and the run's name."""
_SHORTEST_ID = 8
"""A shorter job id may be part of any file's name by chance."""
_KEPT = dt.timedelta(days=31)
"""Exports that killed runs left are looked for so far back."""

logger = logging.getLogger("target-cordial")


class ExportFailedError(TransientError):
    """An export did not give what was asked for; nothing can be said about the list."""


class DamagedExportError(ExportFailedError):
    """A file of an export cannot be read, at least not yet."""

    def __init__(self) -> None:
        super().__init__(
            "An export file is damaged, or is not CSV as it was asked for, so nothing can be compared: look at the export in Cordial, then "
            "run again."
        )


@dataclass
class Exporter:
    """Has Cordial export contacts into the storage.

    Attributes:
        cordial: The account.
        storage: Where exports are written.
        settings: How to export, and how long to wait.
        run_name: `<pipeline>-<run>`, with which the names of this run's exports begin.
        folder: For the files on this machine; only the owner may enter it.
    """

    cordial: Cordial
    storage: Storage
    settings: Settings
    run_name: str
    folder: Path

    def export(
        self, fields: Sequence[str], lists: Sequence[ContactList], load: Callable[[list[Path]], int]
    ) -> None:
        """Export contacts, let `load` read the files and count their contacts, and delete all files.

        Raises:
            ExportFailedError: If the export fails, shows no progress, or its files do not hold all contacts.
            CordialError: If Cordial refuses it.
        """
        tokens: list[str] = []
        paths: list[Path] = []
        try:
            job = self._follow(self._start(self._body(fields, lists), tokens))
            contacts = job.completed_items if job.total_items is None else job.total_items
            for _ in range(LOOKS):
                _unlink(paths)
                paths[:] = self._fetch(tokens, is_empty=contacts == 0)
                try:
                    rows = load(paths)
                except DamagedExportError as error:
                    failure: ExportFailedError = error
                else:
                    if contacts is None or rows >= contacts:
                        return
                    failure = ExportFailedError(
                        f"Cordial says that export {tokens[0]} holds {contacts:,} contacts, and its files hold {rows:,}: run again; if it stays so, look at "
                        "the export in Cordial, or give export_audience_key a saved rule that covers the list."
                    )
                self._pause()
            raise failure
        finally:
            _unlink(paths)
            self._delete(tokens)

    def clear_earlier_runs(self) -> None:
        """Delete the exports that killed runs of the pipeline left; they may hold the whole account.

        Raises:
            ExportFailedError: If one of them does not come to its end.
        """
        # A file may be called by its job alone, and one of a job that is under way is still to come.
        jobs = self.cordial.jobs.exports(dt.datetime.now(dt.timezone.utc) - _KEPT)
        own = [job for job in jobs if self._is_own(str(job.export_name or ""))]
        for job in own:
            if not job.is_final:
                with contextlib.suppress(ExportFailedError):
                    self._follow(job.id)
        tokens = [job.id for job in own]
        for file in self.storage.files():
            if self._is_own(file.name) or self._is_of(file.name, tokens):
                self.storage.delete(file.name)

    def _body(self, fields: Sequence[str], lists: Sequence[ContactList]) -> dict[str, t.Any]:
        """The export call (Cordial Swagger v2: SourceCE)."""
        body: dict[str, t.Any] = {
            "exportType": "CSV",
            "destination": self.storage.destination(),
            "fields": list(fields),
            "lists": [target_list.id for target_list in lists],
            "showHeader": True,
            "compress": True,
        }
        if self.settings.account_id is not None:
            body["accountId"] = self.settings.account_id
        if self.settings.export_audience_key is not None:
            body["audience-key"] = self.settings.export_audience_key
        return body

    def _start(self, body: dict[str, t.Any], tokens: list[str]) -> str:
        """Ask for an export, under a new name each time that nobody knows what became of the call; `tokens` takes all names."""
        for tries_left in range(TRIES - 1, -1, -1):
            name = f"{self.run_name}{_MARK}{secrets.token_hex(4)}"
            tokens.append(name)
            try:
                job_id = self.cordial.exports.start({**body, "name": name})
            except UnansweredError:
                if not tries_left:
                    raise
                self._pause()
            else:
                tokens.append(job_id)
                return job_id
        raise AssertionError

    def _follow(self, job_id: str) -> Job:
        """Wait until an export is done."""
        patience = self.settings.import_timeout_seconds
        job = self.cordial.jobs.follow(
            job_id, patience=patience, interval=self.settings.poll_interval_seconds
        )
        if job is None:
            raise ExportFailedError(
                f"The export (job {job_id}) has shown no progress for {patience:g} seconds: look at the job in Cordial, then run again, or "
                "set import_timeout_seconds higher."
            )
        if job.status == "Failed":
            raise ExportFailedError(
                f"The export failed in Cordial (job {job_id}): check export_destination, export_username and export_password as seen "
                "from Cordial's side, then run again."
            )
        return job

    def _fetch(self, tokens: Sequence[str], *, is_empty: bool) -> list[Path]:
        """Wait until the files are there and grow no more, and fetch them."""
        seen: dict[str, int] = {}
        looks_left = LOOKS
        while looks_left:
            looks_left -= 1
            files = self._files(tokens)
            if files and files == seen:
                return [
                    self.storage.get(name, self.folder / f"export-{secrets.token_hex(8)}") for name in files
                ]
            if files != seen:
                seen, looks_left = files, LOOKS
            self._pause()
        if is_empty:
            return []
        raise ExportFailedError(
            f"The export is done, and the storage holds no file of it ({tokens[0]}): check that export_destination "
            "leads Cordial into the folder of storage_url, then run again."
        )

    def _delete(self, tokens: Sequence[str]) -> None:
        try:
            for name in self._files(tokens):
                self.storage.delete(name)
        except UserError as error:
            logger.warning("An export may be left in the storage, and goes with the next audit: %s", error)

    def _files(self, tokens: Sequence[str]) -> dict[str, int]:
        """The files whose names hold the name or the job of an export as a whole word, with their sizes."""
        return {file.name: file.size for file in self.storage.files() if self._is_of(file.name, tokens)}

    def _is_of(self, path: str, tokens: Sequence[str]) -> bool:
        name = path.rpartition("/")[2]
        may_have_job = not name.startswith((f"{self.storage.folder_tag}-", KEPT_PREFIX))
        return any(
            re.search(rf"(?<![^\W_]){re.escape(token)}(?![^\W_])", name)
            for token in tokens
            if _MARK in token or (may_have_job and len(token) >= _SHORTEST_ID)
        )

    def _is_own(self, path: str) -> bool:
        """Whether this is the name of an export of the pipeline, or of a file of one."""
        name = path.rpartition("/")[2]
        return name.startswith(f"{self.storage.folder_tag}-") and _MARK in name

    def _pause(self) -> None:
        time.sleep(self.settings.poll_interval_seconds)


def _unlink(paths: list[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
