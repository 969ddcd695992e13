"""A block of profiles on its way from a scan to the database: on disk, as it may not fit in memory."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from tap_lytics_audience.lytics.identifier import member_key
from tap_lytics_audience.lytics.profiles import Profile
from tap_lytics_audience.members.selection import Selection

COLUMNS = (
    "{id: 'VARCHAR', key: 'VARCHAR', identifier: 'VARCHAR', representative: 'VARCHAR', digest: 'BIGINT', older: 'BIGINT[]', "
    "start: 'BIGINT', size: 'INTEGER'}"
)
"""The table file's columns, for DuckDB."""


class _Row(msgspec.Struct, omit_defaults=True):
    """A profile. What equals the key or the id is left out: to read it took a third of a join's time."""

    id: str
    digest: int
    start: int
    size: int
    key: str | None
    identifier: str | None = None
    representative: str | None = None
    older: list[int] | None = None


class Block:
    """Profiles as a table of keys and digests, and beside it each profile's fields as a record will have them.

    Attributes:
        table: The table's file: JSON lines of `COLUMNS`.
        rows: How many profiles are in the block.
        without_identifier: How many profiles had no identifier, in all blocks so far.
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

    def add(self, profiles: Iterable[Profile]) -> None:
        """Add profiles as Lytics gives them."""
        rows: list[_Row] = []
        texts: list[bytes] = []
        size = self._size
        for profile in profiles:
            self._count += 1
            fields, (digest, *older) = self._selection.fields_and_digests(profile)
            identifier = self._identifier(profile)
            key, spelled = member_key(identifier), str(identifier)
            self.without_identifier += key is None
            id_ = self._id(profile)
            rows.append(
                _Row(
                    # Without ids nobody can tell a profile that comes twice from two equal ones.
                    str(id_) if id_ else f"#{self._count}",
                    digest,
                    size,
                    len(fields),
                    key,
                    None if spelled == key else spelled,
                    None if id_ else str(digest),
                    older or None,
                )
            )
            texts.append(fields)
            size += len(fields)
        self._fields.write(b"".join(texts))
        self._lines.write(self._encode_lines(rows))
        self._size = size
        self.rows += len(rows)

    def flush(self) -> None:
        """Let others read what was added."""
        self._lines.flush()

    def fields(self, start: int, size: int) -> bytes:
        """The fields of a profile, as JSON without the braces. `start` and `size` are those of the table."""
        self._fields.seek(start)
        return self._fields.read(size)

    def keep(self, places: Iterable[tuple[int, int]]) -> int:
        """Keep the fields of some profiles beyond the block, and return where the first of them begins among all kept ones."""
        first = self._kept.seek(0, os.SEEK_END)
        for start, size in places:
            self._kept.write(self.fields(start, size))
        return first

    def clear(self, *, restore_kept: bool = False) -> None:
        """Forget the profiles of the block. With `restore_kept` the fields that were kept take their place."""
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
