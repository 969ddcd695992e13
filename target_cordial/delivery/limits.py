"""How many rejects and removals a run may have before a person has to look: rules of numbers alone."""

from __future__ import annotations

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.limits import FEW, too_many

HOPELESS_REJECTS = 10_000
"""With so many rejects, too many for what was read so far, the end of the input is not waited for."""


class ExitsHeldError(UserError):
    """Exits are too many to be sent before a person allowed it."""


def mostly_lost(lost: int, rows: int) -> bool:
    """Whether Cordial rejected, or did not count, most rows of a file that has more than a few."""
    return rows > FEW and 2 * lost > rows


def too_many_removals(exits: int, contacts: int, max_percent: float) -> bool:
    """Whether more exits would go than `max_removal_percent` allows, or all that are on a list.

    Args:
        exits: Exits of a list that were not acknowledged before.
        contacts: Contacts on the list.
        max_percent: The setting.
    """
    return too_many(exits, contacts, max_percent, is_grave=exits >= contacts > 0)
