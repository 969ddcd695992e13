"""A run's name, which begins with the time at which it started."""

from __future__ import annotations

import contextlib
import datetime as dt

RUN_TIME_FORMAT = "%Y%m%d%H%M%S"
"""In UTC."""
_RUN_TIME_CHARACTERS = 14


def time_of_run(name: str) -> dt.datetime | None:
    """When a run started by its own clock, read from its name or a file's of it; None if it is no run's name."""
    with contextlib.suppress(ValueError):
        return dt.datetime.strptime(f"{name[:_RUN_TIME_CHARACTERS]}+0000", f"{RUN_TIME_FORMAT}%z")
    return None
