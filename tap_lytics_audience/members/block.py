"""Profiles on their way from a scan to the ledger: on disk, as a block of any size may not fit in memory."""

from __future__ import annotations

import os
import typing as t

import msgspec

from tap_lytics_audience.lytics.identifier import member_key

if t.TYPE_CHECKING:
    from pathlib import Path

    from tap_lytics_audience.lytics.profiles import Profile
    from tap_lytics_audience.members.selection import Selection

COLUMNS = (
    "{id: 'VARCHAR', key: 'VARCHAR', raw: 'VARCHAR', speaker: 'VARCHAR', digest: 'BIGINT', older: 'BIGINT[]', "
    "start: 'BIGINT', size: 'INTEGER'}"
)
"""Of a spool's table file, for DuckDB."""


class _Line(msgspec.Struct, omit_defaults=True):
    """What is missing is as the key or the id: to read that took a third of a join's time."""

    id: str
    digest: int
    start: int
    size: int
    key: str | None
    raw: str | None = None
    speaker: str | None = None
    older: list[int] | None = None


class Spool:
    """A block of profiles: a table of keys and digests, and beside it each profile's fields as they will be sent.

    Attributes:
        table: The table's file: JSON lines of `COLUMNS`.
        rows: How many profiles there are.
        without_identifier: How many profiles had none, of all blocks.

    Args:
        folder: Where to keep it.
        selection: The fields that are sent.
    """

    def __init__(self, folder: Path, selection: Selection) -> None:
        self.table = folder / "block.jsonl"
        self.rows = self.without_identifier = 0
        self._selection = selection
        self._identifier = selection.profiles.getter(selection.identifier)
        self._id = selection.profiles.getter("_id")
        self._count = 0
        self._size = 0
        self._lines = self.table.open("w+b")
        self._fields = (folder / "fields.bin").open("w+b")
        self._kept = (folder / "kept.bin").open("w+b")
        self._encode_lines = msgspec.json.Encoder().encode_lines

    def add(self, profiles: t.Iterable[Profile]) -> None:
        """Add profiles.

        Args:
            profiles: As Lytics gives them.
        """
        lines: list[_Line] = []
        written: list[bytes] = []
        size = self._size
        for profile in profiles:
            self._count += 1
            fields, (mark, *older) = self._selection.shown(profile)
            found = self._identifier(profile)
            key, raw = member_key(found), str(found)
            self.without_identifier += key is None
            id_ = self._id(profile)
            lines.append(
                _Line(
                    # Without ids nobody can tell a repeated profile from two alike.
                    str(id_) if id_ else f"#{self._count}",
                    mark,
                    size,
                    len(fields),
                    key,
                    None if raw == key else raw,
                    None if id_ else str(mark),
                    older or None,
                )
            )
            written.append(fields)
            size += len(fields)
        self._fields.write(b"".join(written))
        self._lines.write(self._encode_lines(lines))
        self._size = size
        self.rows += len(lines)

    def flush(self) -> None:
        """Let others read what was added."""
        self._lines.flush()

    def fields(self, start: int, size: int) -> bytes:
        """The fields of a profile, as JSON without the braces.

        Args:
            start: Where they begin, as the table says.
            size: How long they are.
        """
        self._fields.seek(start)
        return self._fields.read(size)

    def keep(self, places: t.Iterable[tuple[int, int]]) -> int:
        """Keep the fields of some profiles beyond the block, one after the other.

        Args:
            places: Start and size of each.

        Returns:
            Where the first of them begins among all that were kept.
        """
        first = self._kept.seek(0, os.SEEK_END)
        for start, size in places:
            self._kept.write(self.fields(start, size))
        return first

    def clear(self, *, restore_kept: bool = False) -> None:
        """Forget all profiles of the block.

        Args:
            restore_kept: Go on with the fields that were kept, in place of the block's.
        """
        if restore_kept:
            self._fields, self._kept = self._kept, self._fields
        else:
            self._fields.seek(0)
            self._fields.truncate()
        self._lines.seek(0)
        self._lines.truncate()
        self.rows = self._size = 0

    def close(self) -> None:
        """Let go of the files."""
        for file in (self._lines, self._fields, self._kept):
            file.close()
