"""Where the input says that a stream is whole: what came last of each stream, and what closes it."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field


@dataclass
class Marks:
    """Lines of the input, from 1.

    Attributes:
        schemas: The last SCHEMA of each stream, also if it is the same as before.
        records: The last RECORD of each stream that has the identifier; 0 if none came.
        versions: The last ACTIVATE_VERSION of each stream.
        state: The last STATE's value.
        state_line: Its line.
    """

    schemas: dict[str, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    state: dict[str, t.Any] = field(default_factory=dict)
    state_line: int = 0
