"""The reject report: records that cannot be sent, each with its reason, and imports with rows that Cordial rejected."""

from __future__ import annotations

import datetime as dt
import os
import typing as t
from pathlib import Path

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from target_cordial.errors import UserError

FLUSH_AFTER = 1_000
"""Rejects in memory before they become a file; each acknowledgement writes them too."""


class Rejects:
    """Writes the reject report of a run: JSON lines, in part files of mode 0600.

    Attributes:
        count: How many records were rejected so far.
        place: Where the report is, for messages.

    Args:
        url: Folder of all reports; a path or an fsspec URL.
        run_name: With which the names of this run's files begin.
    """

    def __init__(self, url: str, run_name: str) -> None:
        self.count = 0
        self.place = url
        self._url = url
        self._run_name = run_name
        self._lines: list[bytes] = []
        self._parts = 0
        self._encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode

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

    def add_import(self, import_name: str, job_id: str, rows: int, rejected: int) -> None:
        """Report an import with rows that Cordial rejected; it does not name them.

        Args:
            import_name: The import.
            job_id: Its job.
            rows: How many rows it had.
            rejected: How many of them were rejected.

        Raises:
            UserError: If the report cannot be written.
        """
        reason = "Cordial rejected rows of this import: download them from its job within 7 days"
        self._add(
            {
                "import_name": import_name,
                "job_id": job_id,
                "rows": rows,
                "rejected": rejected,
                "reason": reason,
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
            files, folder = fsspec.url_to_fs(self._url)
            if isinstance(files, LocalFileSystem):
                _write_private(Path(folder) / name, b"".join(self._lines))
            else:
                files.pipe_file(f"{folder.rstrip('/')}/{name}", b"".join(self._lines))
        except (OSError, ValueError, ImportError) as error:
            msg = (
                f"The reject report cannot be written to {self.place} ({type(error).__name__}): set rejects_url to a folder "
                "that can be written."
            )
            raise UserError(msg) from error
        self._parts += 1
        self._lines.clear()

    def _add(self, entry: dict[str, t.Any]) -> None:
        now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")
        self._lines.append(self._encode({"time": now.replace("+00:00", "Z"), **entry}) + b"\n")
        if len(self._lines) >= FLUSH_AFTER:
            self.flush()


def _write_private(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - Path has no open by descriptor
        file.write(content)
        file.flush()
        os.fsync(descriptor)
