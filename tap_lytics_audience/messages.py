"""Records of audience members as Singer messages on standard output: whole lines, many at a time."""

from __future__ import annotations

import sys
import typing as t
from dataclasses import dataclass

import msgspec
from singer_sdk.io_base import SingerWriter

from lytics_to_cordial.errors import UserError

if t.TYPE_CHECKING:
    from collections.abc import Iterator

    from singer_sdk.singerlib.encoding.simple import Message

    from tap_lytics_audience.members.audience import Record

CHUNK_RECORDS = 500
"""Lines written at once: a system call for each would take longer than all the rest."""

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
        "enum": ["backfill", "enter", "update", "exit"],
        "description": "Why this record: a member of the first run, one who entered, whose fields changed, or who left.",
    },
    "audience_changed_at": {
        "type": ["string"],
        "format": "date-time",
        "description": "When the tap saw the change.",
    },
}
"""The columns that say what a record is about, with their JSON schema."""

_encode = msgspec.json.encode


@dataclass(frozen=True)
class RecordFormat:
    """How the records of one audience are written.

    Attributes:
        stream: The stream's name.
        identifier: The identifier's column.
        audience_id: The audience.
        audience_slug: Its slug in records.
        audience_name: Its name in records.
    """

    stream: str
    identifier: str
    audience_id: str
    audience_slug: str
    audience_name: str

    def lines(self, records: Iterator[Record], seen_at: str) -> Iterator[tuple[bytes, int]]:
        """Messages of records, ready to write.

        Args:
            records: Change, key and fields of each.
            seen_at: When their changes were seen.

        Yields:
            Some whole lines, and how many.
        """
        heads: dict[str, bytes] = {}
        tail = b'},"time_extracted":' + _encode(seen_at) + b"}\n"
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

    def columns(self, change: str, key: str, seen_at: str) -> dict[str, t.Any]:
        """The columns that every record has.

        Args:
            change: Why the record.
            key: The member.
            seen_at: When the change was seen.

        Returns:
            Value by column.
        """
        return {
            "audience_id": self.audience_id,
            "audience_slug": self.audience_slug,
            "audience_name": self.audience_name,
            "audience_state": "exit" if change == "exit" else "enter",
            "audience_change": change,
            "audience_changed_at": seen_at,
            self.identifier: key,
        }

    def _head(self, change: str, seen_at: str) -> bytes:
        columns = self.columns(change, "", seen_at)
        message = _encode({"type": "RECORD", "stream": self.stream, "record": columns})
        # All but the empty key and the closing braces: the key and the fields follow.
        return message.removesuffix(b'""}}')


def write(lines: bytes) -> None:
    """Write whole lines to standard output.

    Args:
        lines: The lines.

    Raises:
        UserError: If nobody reads them any more.
    """
    try:
        sys.stdout.flush()
        if hasattr(sys.stdout, "buffer"):
            sys.stdout.buffer.write(lines)
            sys.stdout.buffer.flush()
        else:
            sys.stdout.write(lines.decode())
    except BrokenPipeError as error:
        raise UserError(CLOSED_OUTPUT) from error


class MessageWriter(SingerWriter):
    """The SDK's writer of single messages, which tells a closed output in one sentence too."""

    def write_message(self, message: Message) -> None:
        """Write a message to standard output.

        Args:
            message: The message.

        Raises:
            UserError: If nobody reads it any more.
        """
        try:
            super().write_message(message)
        except BrokenPipeError as error:
            raise UserError(CLOSED_OUTPUT) from error


CLOSED_OUTPUT = "The target stopped reading: look at its log, then run again."
