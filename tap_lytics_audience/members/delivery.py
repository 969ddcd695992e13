"""What a pass gives to the stream: records that leave together, and what is true once they are delivered."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator
from dataclasses import dataclass

from tap_lytics_audience.bookmark import Bookmark
from tap_lytics_audience.members.kinds import Change

Record: t.TypeAlias = tuple[Change, str, bytes]
"""A change, the member's key, and the fields as JSON without the braces."""


@dataclass(frozen=True)
class Delivery:
    """Records that leave together, and what is true once they are delivered.

    Attributes:
        records: The records. Read them before the next delivery.
        seen_at: When their changes were seen: UTC, microseconds.
        bookmark: For the state that follows the last record; None if none does.
    """

    records: Iterator[Record]
    seen_at: str
    bookmark: Bookmark | None = None
