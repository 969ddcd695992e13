"""What became of each import, for people (log), for machines (metrics) and for looking back (journal)."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass

from singer_sdk.metrics import Status

from lytics_to_cordial.progress import counted, duration
from target_cordial.delivery.imports import ImportResult
from target_cordial.delivery.naming import LostRows
from target_cordial.delivery.order import ImportFile
from target_cordial.delivery.registration import Stopped
from target_cordial.delivery.workers import FileImporter
from target_cordial.history.journal import Journal
from target_cordial.history.metrics import log_import

logger = logging.getLogger("target-cordial")


@dataclass
class LoggedImporter:
    """Delivers files by another importer, and logs each import."""

    importer: FileImporter
    journal: Journal

    def deliver(self, file: ImportFile) -> ImportResult:
        """Bring one file into Cordial."""
        started = time.monotonic()
        try:
            result = self.importer.deliver(file)
        except Stopped:
            raise
        except Exception:
            log_import(time.monotonic() - started, Status.FAILED)
            raise
        log_import(time.monotonic() - started, Status.SUCCEEDED)
        self._log(file, result)
        return result

    def name_lost_rows(self) -> list[tuple[ImportFile, ImportResult, LostRows]]:
        """Name the rows of large files that are not in Cordial."""
        return self.importer.name_lost_rows()

    def finish(self) -> None:
        """See that what was imported is still there."""
        self.importer.finish()

    def _log(self, file: ImportFile, result: ImportResult) -> None:
        kind = "exit" if file.is_exits else "enter"
        logger.info(
            "Import %s is done: %s in %s (job %s).",
            result.name,
            counted(file.rows, kind),
            duration(result.seconds),
            result.job_id,
        )
        self.journal.add(
            "import",
            import_name=result.name,
            job_id=result.job_id,
            list_id=file.target_list and file.target_list.id,
            list_name=file.target_list and file.target_list.name,
            kind=kind,
            rows=file.rows,
            inserted=result.inserted,
            updated=result.updated,
            ignored=result.ignored,
            rejected=result.lost.count,
            seconds=round(result.seconds, 3),
        )
