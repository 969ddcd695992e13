"""The reject report: records that cannot be sent, each with its reason, and imports with rows that Cordial rejected."""

from __future__ import annotations

import datetime as dt
import decimal
import json
import typing as t

import msgspec

from lytics_to_cordial.errors import UserError
from target_cordial.delivery.imports import JOBS_PAGE
from target_cordial.storage.filesystems import open_filesystem
from target_cordial.storage.location import Location

if t.TYPE_CHECKING:
    from target_cordial.delivery.imports import ImportResult
    from target_cordial.settings import Settings

FLUSH_AFTER = 1_000
"""Rejects in memory before they become a file; each acknowledgement writes them too."""


class Rejects:
    """Writes the reject report of a run: JSON lines, in part files that only their owner may read.

    Attributes:
        count: How many records were rejected so far.
        place: Where the report is, for messages.

    Args:
        settings: Where to, and the login.
        run_name: With which the names of this run's files begin.
    """

    def __init__(self, settings: Settings, run_name: str) -> None:
        self.count = 0
        self.place = settings.rejects_url
        self._settings = settings
        self._run_name = run_name
        self._lines: list[bytes] = []
        self._parts = 0

    def add(self, stream: str, record: t.Mapping[str, t.Any], reason: str, field: str | None = None) -> None:
        """Report a record.

        Args:
            stream: Its stream.
            record: The record, whole.
            reason: Why it cannot be sent.
            field: The field to blame, if it is one.

        Raises:
            UserError: If the report cannot be written.
        """
        self.count += 1
        self._add({"stream": stream, "reason": reason, "field": field, "record": record})

    def add_import(self, result: ImportResult, rows: int) -> None:
        """Report an import with rows that Cordial rejected; it does not name them.

        Args:
            result: What Cordial made of the import.
            rows: How many rows it had.

        Raises:
            UserError: If the report cannot be written.
        """
        self._add(
            {
                "import_name": result.name,
                "job_id": result.job_id,
                "rows": rows,
                "rejected": result.rejected,
                "inserted": result.inserted,
                "updated": result.updated,
                "ignored": result.ignored,
                "reason": f"Cordial rejected rows of this import: download them within 7 days in {JOBS_PAGE}",
            }
        )

    def flush(self) -> None:
        """Make everything so far durable.

        Raises:
            UserError: If the report cannot be written.
        """
        if not self._lines:
            return
        name = f"{self._run_name}-{self._parts + 1:04d}.jsonl"
        try:
            location = Location.parse(self.place)
            files = open_filesystem(location, self._settings)
            files.pipe_file(location.opened(name), b"".join(self._lines))
        except UserError as error:
            msg = f"The reject report cannot be written to {self.place}: {error}"
            raise UserError(msg) from error
        except Exception as error:
            # Whatever its file system raises: what is not reported must not be acknowledged.
            msg = (
                f"The reject report cannot be written to {self.place} ({type(error).__name__}): set rejects_url to a folder "
                "that can be written."
            )
            raise UserError(msg) from error
        self._parts += 1
        self._lines.clear()

    def _add(self, entry: dict[str, t.Any]) -> None:
        now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")
        self._lines.append(_encoded({"time": now.replace("+00:00", "Z"), **entry}) + b"\n")
        if len(self._lines) >= FLUSH_AFTER:
            self.flush()


_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


def _encoded(entry: dict[str, t.Any]) -> bytes:
    try:
        return _encode(entry)
    except UnicodeEncodeError:
        # Half of a character, which no UTF-8 can hold and which may be why the record is here.
        return json.dumps(entry, default=_number_or_text).encode()


def _number_or_text(value: object) -> object:
    return float(value) if isinstance(value, decimal.Decimal) else str(value)
