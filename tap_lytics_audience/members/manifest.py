"""What the files of a ledger are, and what a manifest says of them."""

from __future__ import annotations

import re
from dataclasses import dataclass

import msgspec

MERGE_SHARE = 10
"""Parts are merged into a new base when they hold more than a tenth of it."""
MAX_PARTS = 100
FILE_NAME = re.compile(r"[mpb]-(\d+)-[0-9a-f]{16}\.(?:json|parquet)(?:(?:\.[0-9a-f]{8})?\.part)?")
"""A manifest, a part or a base. What ends in `.part` was left by a run that was killed while it wrote."""


class Part(msgspec.Struct, frozen=True):
    """A Parquet file of members.

    Attributes:
        name: Its name: `b-` for a base, into which parts were merged, or `p-`.
        rows: How many rows it holds.
        selection: The place of the fields that its digests cover in the manifest's `selections`.
    """

    name: str
    rows: int
    selection: int

    @property
    def is_base(self) -> bool:
        """Whether parts were merged into it."""
        return is_base(self.name)


class Manifest(msgspec.Struct, frozen=True):
    """What counts. Times are UTC, in ISO 8601.

    Attributes:
        number: Its place in the order of all files of the audience.
        origin: The origin when it was written; blank for none.
        identifier_field: The field that identifies members.
        slug: The audience's slug at the first run.
        audience_name: The audience's name at the first run.
        is_scanned: Whether a scan of the audience once came to its end. Who is new later has entered.
        is_complete: Whether the audience was sent once from beginning to end.
        changed_at: When the newest change was seen.
        selections: Lists of profile fields.
        parts: Files in order. Later rows win.
        resent: Files in doubt, each with the number of the first part that was written in knowledge of it. From there on, a record
            of a member ends the doubt that the file casts on them.
        settled: Files that count no more, and when a manifest first dropped them: merged, superseded, or sent again after doubt.
        foreign: Files of another `identifier_field`, which are never in doubt.
    """

    number: int = 0
    origin: str = ""
    identifier_field: str = ""
    slug: str = ""
    audience_name: str = ""
    is_scanned: bool = False
    is_complete: bool = False
    changed_at: str = ""
    selections: list[list[str]] = []
    parts: list[Part] = []
    resent: dict[str, int] = {}
    settled: dict[str, str] = {}
    foreign: list[str] = []

    @property
    def covered(self) -> set[str]:
        """Names of the files about which there is no doubt."""
        return {part.name for part in self.parts} | self.settled.keys()

    @property
    def needs_merge(self) -> bool:
        """Whether the parts have grown past a tenth of the base."""
        base = sum(part.rows for part in self.parts if part.is_base)
        rows = sum(part.rows for part in self.parts)
        return len(self.parts) > 1 and ((rows - base) * MERGE_SHARE > base or len(self.parts) > MAX_PARTS)


@dataclass(frozen=True)
class DoubtfulFile:
    """A file that the state's manifest does not cover.

    Attributes:
        audience_id: Whose it is. Another audience's, if that had the same slug.
        name: Its name.
        is_acknowledged: Whether the origin covers it: what it says was delivered, once.
        resent_since: Parts from this number on tell the present truth about its members; None if no run knew of it before.
    """

    audience_id: str
    name: str
    is_acknowledged: bool
    resent_since: int | None

    @property
    def path(self) -> str:
        """Its name within the pipeline's folder."""
        return f"{self.audience_id}/{self.name}"


def is_base(name: str) -> bool:
    """Whether a file is a base, by its name."""
    return name.startswith("b-")


def number_of(name: str) -> int:
    """A file's place in the order of all files of its audience, by its name."""
    match = FILE_NAME.fullmatch(name)
    return int(match[1]) if match else 0
