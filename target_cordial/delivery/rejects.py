"""The reject report: records that cannot be sent, each with its reason, and imports with rows that Cordial rejected."""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass

import simplejson

from target_cordial.delivery.imports import ImportResult
from target_cordial.delivery.jobs import JOBS_PAGE
from target_cordial.delivery.naming import LostRows
from target_cordial.delivery.order import ImportFile
from target_cordial.settings import Settings
from target_cordial.storage.storage import folder_beside

FLUSH_AFTER = 1_000
"""Rejects in memory before they become a file; each acknowledgement writes them too."""


@dataclass(frozen=True, eq=False)
class Reject:
    """A record that cannot be sent.

    Attributes:
        stream: Its stream.
        record: The record, whole.
        reason: Why, without the value.
        field: The field to blame, if it is one.
        lacks_contact: Whether its identifier is the reason.
        exit_from: For an exit: the list that its contact stays on, or the stream where nobody knows the list.
        may_enter: Whether nobody knows that it is an exit.
    """

    stream: str
    record: t.Mapping[str, t.Any]
    reason: str
    field: str | None
    lacks_contact: bool = False
    exit_from: str | None = None
    may_enter: bool = False


@dataclass(frozen=True, eq=False)
class SkippedValue:
    """A value that does not fit its attribute, so that its record is sent without it.

    Attributes:
        stream: The record's stream.
        record: The record, whole.
        reason: Why, without the value.
        field: The value's field.
        column: The column that goes without it.
    """

    stream: str
    record: t.Mapping[str, t.Any]
    reason: str
    field: str | None
    column: str


class Rejects:
    """Writes the reject report of a run: JSON lines, in files that only their owner may read.

    What cannot be reported must not be acknowledged, so every method raises a `UserError` if the report cannot be written.

    Attributes:
        count: How many records were rejected so far.
        place: Where the report is, for messages.
        has_lines: Whether anything was reported.

    Args:
        settings: Where to, and the login.
        run_name: With which the names of this run's files begin.
    """

    def __init__(self, settings: Settings, run_name: str) -> None:
        self.count = 0
        self.place = settings.rejects_url
        self.has_lines = False
        self._folder = folder_beside(settings, settings.rejects_url, "rejects_url")
        self._run_name = run_name
        self._lines: list[bytes] = []
        self._parts = 0

    def add(self, reject: Reject) -> None:
        """Report a record that cannot be sent, with why, and the field to blame, if it is one."""
        self.count += 1
        self._add(
            {
                "stream": reject.stream,
                "reason": reject.reason,
                "field": reject.field,
                "record": reject.record,
                **({} if reject.exit_from is None else {"stays_on": reject.exit_from}),
            }
        )

    def add_value(self, value: SkippedValue) -> None:
        """Report a value that its record is sent without."""
        self._add(
            {
                "stream": value.stream,
                "reason": value.reason,
                "field": value.field,
                "record": value.record,
                "sent_without": value.column,
            }
        )

    def add_import(self, file: ImportFile, result: ImportResult, lost: LostRows) -> None:
        """Report an import of which Cordial did not take all rows: those that are named, and how many there are."""
        job = {
            "list": file.target_list and file.target_list.name,
            "kind": "exit" if file.is_exits else "enter",
            "import_name": result.name,
            "job_id": result.job_id,
        }
        for row in lost.named:
            self._add({**job, "reason": "rejected by Cordial", "record": row})
        if lost.unnamed:
            counts = {
                "rows": file.rows,
                "rejected": lost.count,
                "unnamed": lost.unnamed,
                "inserted": result.inserted,
                "updated": result.updated,
                "ignored": result.ignored,
            }
            reason = f"Cordial rejected rows of this import: download them within 7 days in {JOBS_PAGE}"
            self._add({**job, **counts, "reason": reason})

    def flush(self) -> None:
        """Make everything so far durable."""
        if self._lines:
            self._folder.put(f"{self._run_name}-{self._parts + 1:04d}.jsonl", b"".join(self._lines))
            self._parts += 1
            self._lines.clear()

    def _add(self, entry: dict[str, t.Any]) -> None:
        self.has_lines = True
        now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")
        self._lines.append(_encoded({"time": now.replace("+00:00", "Z"), **entry}) + b"\n")
        if len(self._lines) >= FLUSH_AFTER:
            self.flush()


def _encoded(entry: dict[str, t.Any]) -> bytes:
    """A line of JSON that holds what came as it came, as far as text can: `NaN`, too."""
    options: dict[str, t.Any] = {"use_decimal": True, "allow_nan": True, "default": str}
    options["separators"] = (",", ":")
    try:
        return str(simplejson.dumps(entry, ensure_ascii=False, **options)).encode()
    except UnicodeEncodeError:
        # Half of a character, which no UTF-8 can hold and which may be why the record is here.
        return str(simplejson.dumps(entry, **options)).encode()
