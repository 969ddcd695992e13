"""The members whom trigger messages name.

events  One row a message: the member's key, the identifier as spelled, what happened (enter, exit, change), and when it happened and
        landed, in seconds since 1970.
"""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from pathlib import Path

import msgspec

from lytics_to_cordial.database import Tables, quoted
from tap_lytics_audience.lytics.identifier import member_key
from tap_lytics_audience.triggers.events import Event

LOADED_EVENTS = 10_000
_EVENTS = {
    "key": "VARCHAR",
    "identifier": "VARCHAR",
    "kind": "VARCHAR",
    "happened_at": "DOUBLE",
    "landed_at": "DOUBLE",
}
JUST_ENTERED = "SELECT key FROM events GROUP BY key HAVING arg_max(kind, happened_at) = 'enter'"
"""SQL: those of whom Lytics' index may not know yet that they are members. Not to see them is no exit; the next run looks again."""


class Touched:
    """Collects the events of one audience."""

    def __init__(self, tables: Tables, folder: Path) -> None:
        self._tables = tables
        self._path = folder / "events.jsonl"
        self._events: list[bytes] = []
        tables.run(f"CREATE TABLE events ({', '.join(f'{name} {kind}' for name, kind in _EVENTS.items())})")

    def add(self, event: Event) -> None:
        """Take an event; without an identifier it says nothing."""
        key = member_key(event.identifier)
        if key is None:
            return
        row = (
            key,
            str(event.identifier),
            event.kind,
            event.happened_at.timestamp(),
            event.landed_at.timestamp(),
        )
        self._events.append(msgspec.json.encode(dict(zip(_EVENTS, row, strict=True))))
        if len(self._events) >= LOADED_EVENTS:
            self._load()

    def members(self) -> Iterator[tuple[str, str]]:
        """Key and identifier of each member to look up where not all are read: those of events and those in doubt."""
        self._load()
        yield from self._tables.stream(
            "SELECT DISTINCT key, identifier FROM (SELECT key, identifier FROM events UNION ALL SELECT key, identifier FROM doubt "
            "UNION ALL SELECT key, identifier FROM members SEMI JOIN events USING (key)) ORDER BY key"
        )

    def unsettled_since(self, young_since: float) -> float | None:
        """The landing time of the earliest event that the next run has to look at again, in seconds since 1970.

        Args:
            young_since: Lytics' index may not know yet what happened since then.
        """
        self._load()
        rows = self._tables.rows(
            f"""
            WITH newest AS (
                SELECT key, arg_max(kind, happened_at) AS kind, min(landed_at) AS landed_at,
                    max(greatest(happened_at, landed_at)) AS latest
                FROM events GROUP BY key
            )
            SELECT min(landed_at) FROM newest LEFT JOIN seen ON hash(newest.key) = seen.hash
            WHERE latest > {young_since} OR (kind = 'enter' AND seen.hash IS NULL) OR (kind = 'exit' AND seen.hash IS NOT NULL)
            """
        )
        return t.cast("float | None", rows[0][0])

    def _load(self) -> None:
        if self._events:
            self._path.write_bytes(b"\n".join(self._events))
            columns = ", ".join(f"{name}: '{kind}'" for name, kind in _EVENTS.items())
            self._tables.run(
                f"INSERT INTO events FROM read_json({quoted(self._path)}, format = 'newline_delimited', columns = {{{columns}}})"
            )
            self._path.unlink()
            self._events.clear()
