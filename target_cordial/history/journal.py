"""The journal: one JSON line an import and one a run, without personal data, for looking back over months."""

from __future__ import annotations

import datetime as dt
import logging
import os
import threading
import typing as t
from pathlib import Path

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

NO_LIST = "(contacts alone)"
"""In place of a list's name, where contacts go on none."""
_CAN_APPEND = frozenset({"sftp", "ssh", "s3", "s3a"})
"""Elsewhere nobody promises it: Google's file system takes `ab` for `wb`, and would leave the last line alone."""

logger = logging.getLogger("target-cordial")


class Journal:
    """Appends lines. One that cannot be written is a warning, never a failed run. Several threads may use it.

    Args:
        url: The file; a path or an fsspec URL. None keeps no journal.
        run: The run's name, on each of its lines.
    """

    def __init__(self, url: str | None, run: str) -> None:
        self._url = url
        self._run = run
        self._lock = threading.Lock()

    def add(self, event: str, **entry: t.Any) -> None:
        """Append a line.

        Args:
            event: `import` or `run`.
            **entry: What to say of it; never an identifier or a value.
        """
        line = msgspec.json.encode({"time": timestamp(), "run": self._run, "event": event, **entry}) + b"\n"
        with self._lock:
            if self._url is None:
                return
            try:
                _append(self._url, line)
            except Exception as error:  # noqa: BLE001 - whatever a file system raises, the run is worth more
                logger.warning(
                    "The journal cannot be written (%s): set journal_url to a file that can be appended to.",
                    type(error).__name__,
                )
                self._url = None


def timestamp() -> str:
    """Now, as the journal and its readers have it: UTC, to the millisecond."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _append(url: str, line: bytes) -> None:
    files, path = fsspec.url_to_fs(url)
    if not isinstance(files, LocalFileSystem):
        _append_remote(files, path, line)
        return
    Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    with open(descriptor, "ab") as file:  # noqa: PTH123 - Path has no open by descriptor
        file.write(line)


def _append_remote(files: t.Any, path: str, line: bytes) -> None:
    protocols = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
    if protocols & _CAN_APPEND:
        with files.open(path, "ab") as file:
            file.write(line)
        return
    files.invalidate_cache()
    before = files.cat_file(path) if files.exists(path) else b""
    files.pipe_file(path, before + line)
