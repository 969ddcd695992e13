"""How many rejects and removals a run may have before a person has to look: rules of numbers alone."""

from __future__ import annotations

from lytics_to_cordial.errors import UserError

ALWAYS_PASS = 100
"""So many exits or rejects pass whatever the percentage: a small list moves by much."""
FEW_ROWS = 10
HOPELESS_REJECTS = 10_000
"""With so many rejects, too many for what was read so far, the end of the input is not waited for."""


class ExitsHeldError(UserError):
    """Exits are too many to be sent before a person allowed it."""


def too_many_rejects(rejects: int, records: int, max_percent: float) -> bool:
    """Whether more records were rejected than `max_reject_percent` allows.

    Args:
        rejects: Records rejected, by the target or by Cordial.
        records: Records read.
        max_percent: The setting.
    """
    return _exceeds(rejects, records, max_percent)


def hopeless_rejects(rejects: int, records: int, max_percent: float) -> bool:
    """Whether so many were rejected that the rest of the input is not waited for; fewer may still be few in the end."""
    return rejects >= HOPELESS_REJECTS and too_many_rejects(rejects, records, max_percent)


def mostly_lost(lost: int, rows: int) -> bool:
    """Whether Cordial rejected, or did not count, most rows of a file that has more than a few."""
    return rows > FEW_ROWS and 2 * lost > rows


def too_many_removals(exits: int, contacts: int, max_percent: float) -> bool:
    """Whether more exits would go than `max_removal_percent` allows.

    Args:
        exits: Exits of a list that were not acknowledged before.
        contacts: Contacts on the list.
        max_percent: The setting.
    """
    return _exceeds(exits, contacts, max_percent)


def _exceeds(part: int, whole: int, max_percent: float) -> bool:
    return part > ALWAYS_PASS and part * 100 > max_percent * whole
