"""How many rejects, values and removals a run may have before a person has to look: rules of numbers alone."""

from __future__ import annotations

from lytics_to_cordial.errors import UserError

ALWAYS_PASS = 10
"""So many exits, rejects or values pass whatever the percentage: a small list moves by much."""
EMPTYING_PASS = 3
"""So many exits pass also where they leave nobody."""
OFF = 100
"""The percentage that switches a limit off."""
FEW_ROWS = 10
HOPELESS_REJECTS = 10_000
"""With so many rejects, too many for what was read so far, the end of the input is not waited for."""


class ExitsHeldError(UserError):
    """Exits are too many to be sent before a person allowed it."""


def too_many(part: int, whole: int, max_percent: float) -> bool:
    """Whether a part, of rejects or of values that do not fit, is more than a setting allows."""
    return max_percent < OFF and part > ALWAYS_PASS and part * 100 > max_percent * whole


def mostly_lost(lost: int, rows: int) -> bool:
    """Whether Cordial rejected, or did not count, most rows of a file that has more than a few."""
    return rows > FEW_ROWS and 2 * lost > rows


def too_many_removals(exits: int, contacts: int, max_percent: float) -> bool:
    """Whether more exits would go than `max_removal_percent` allows, or all that are on a list.

    Args:
        exits: Exits of a list that were not acknowledged before.
        contacts: Contacts on the list.
        max_percent: The setting.
    """
    leaves_nobody = exits >= contacts > 0
    return too_many(exits, contacts, max_percent) or (
        max_percent < OFF and exits > EMPTYING_PASS and leaves_nobody
    )
