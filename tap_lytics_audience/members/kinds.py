"""The kinds of change that can happen to a member, and which of them become records."""

from __future__ import annotations

from enum import Enum


class Change(str, Enum):
    """What happened to a member of an audience. A record carries the value in `audience_change`."""

    BACKFILL = "backfill"
    """A member of the first run, or of a full refresh."""
    ENTER = "enter"
    """Somebody who became a member since the last run; in a snapshot, any member."""
    UPDATE = "update"
    """A member whose selected fields changed, or of whom nobody knows what was delivered."""
    EXIT = "exit"
    """Somebody who is no longer a member."""
    EXIT_AGAIN = "exit_again"
    """An exit that was acknowledged before. A full refresh sends it once more, and no limit counts it."""
    RECORDED = "recorded"
    """Never in a record: a member of the first scan, whom `existing_users: false` leaves out."""
    NOTED = "noted"
    """Never in a record: the ledger learns another spelling, representative or selection of fields."""


EXITS = (Change.EXIT, Change.EXIT_AGAIN)
SILENT = (Change.RECORDED, Change.NOTED)
"""What the ledger learns and no record says."""
