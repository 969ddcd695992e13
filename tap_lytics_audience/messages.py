"""Records of audience members as Singer messages on standard output: whole lines, many at once."""

from __future__ import annotations

import sys
import typing as t
from collections.abc import Iterator
from dataclasses import dataclass

import msgspec

from tap_lytics_audience.members.delivery import Record
from tap_lytics_audience.members.kinds import EXITS, SILENT, Change

CHUNK_RECORDS = 500
"""Lines in one write: a system call for each would take longer than all other work."""

COLUMNS: dict[str, dict[str, t.Any]] = {
    "audience_id": {"type": ["string"], "description": "Which audience: its id in Lytics."},
    "audience_slug": {"type": ["string"], "description": "The audience's slug when it was first sent."},
    "audience_name": {"type": ["string"], "description": "The audience's name when it was first sent."},
    "audience_state": {
        "type": ["string"],
        "enum": ["enter", "exit"],
        "description": "enter: is a member now. exit: no longer is.",
    },
    "audience_change": {
        "type": ["string"],
        "enum": [change.value for change in Change if change not in SILENT],
        "description": "Why this record: a member of the first run (backfill), one who entered, whose fields changed (update), who left "
        "(exit), or who left before and is sent once more by a full refresh (exit_again).",
    },
    "audience_changed_at": {
        "type": ["string"],
        "format": "date-time",
        "description": "When the tap saw the change.",
    },
}
"""The columns that say what a record is about, each with its JSON schema."""

_encode = msgspec.json.encode


@dataclass(frozen=True)
class RecordFormat:
    """Writes the records of one audience as messages.

    Attributes:
        stream: The stream's name.
        identifier: The identifier's column.
        audience_id: The audience.
        audience_slug: The slug in its records.
        audience_name: The name in its records.
        version: The version of a FULL_TABLE stream; None for changes.
    """

    stream: str
    identifier: str
    audience_id: str
    audience_slug: str
    audience_name: str
    version: int | None = None

    def lines(self, records: Iterator[Record], seen_at: str) -> Iterator[tuple[bytes, int]]:
        """Yield RECORD messages as some whole lines, and how many they are.

        Args:
            records: The change, key and fields of each.
            seen_at: When the tap saw these changes.
        """
        heads: dict[Change, bytes] = {}
        version = b"" if self.version is None else b'"version":%d,' % self.version
        tail = b"}," + version + b'"time_extracted":' + _encode(seen_at) + b"}\n"
        lines: list[bytes] = []
        for change, key, fields in records:
            head = heads.get(change)
            if head is None:
                head = heads[change] = self._head(change, seen_at)
            lines.append(b"".join((head, _encode(key), b"," if fields else b"", fields, tail)))
            if len(lines) == CHUNK_RECORDS:
                yield b"".join(lines), len(lines)
                lines = []
        if lines:
            yield b"".join(lines), len(lines)

    def columns(self, change: Change, key: str, seen_at: str) -> dict[str, t.Any]:
        """The values of `COLUMNS` and of the identifier, for one record."""
        return {
            "audience_id": self.audience_id,
            "audience_slug": self.audience_slug,
            "audience_name": self.audience_name,
            "audience_state": "exit" if change in EXITS else "enter",
            "audience_change": change.value,
            "audience_changed_at": seen_at,
            self.identifier: key,
        }

    def _head(self, change: Change, seen_at: str) -> bytes:
        columns = self.columns(change, "", seen_at)
        message = _encode({"type": "RECORD", "stream": self.stream, "record": columns})
        # Without the empty key and the closing braces: the key and the fields follow.
        return message.removesuffix(b'""}}')


def write(lines: bytes) -> None:
    """Write whole lines to standard output."""
    sys.stdout.flush()
    # The SDK's tests for taps redirect standard output to text without a buffer of bytes.
    if hasattr(sys.stdout, "buffer"):
        sys.stdout.buffer.write(lines)
        sys.stdout.buffer.flush()
    else:
        sys.stdout.write(lines.decode())
