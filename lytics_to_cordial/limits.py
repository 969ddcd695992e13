"""How many of something may go wrong, or go away, before a person has to look: one rule of numbers for each limit of both plugins."""

from __future__ import annotations

FEW = 10
"""So many pass whatever the percentage: a small audience moves by large shares."""
VERY_FEW = 3
"""So many pass also where they are most of what there is."""
MOST_PERCENT = 50
OFF_PERCENT = 100
"""The percentage that switches a limit off."""


def too_many(part: int, whole: int, max_percent: float, *, leaves_nobody: bool | None = None) -> bool:
    """Whether a part is more than a limit allows.

    It is if it is more than ten and more than the percentage. Ten can be a whole list, and a list that is wrong as a whole is no small
    matter: so more than three are too many as well where they are most of it.

    Args:
        part: How many.
        whole: Of how many.
        max_percent: The limit.
        leaves_nobody: Of exits, which are right also where most go: whether nobody stays.
    """
    if max_percent >= OFF_PERCENT:
        return False
    is_most = part * 100 > max(max_percent, MOST_PERCENT) * whole if leaves_nobody is None else leaves_nobody
    return (part > FEW and part * 100 > max_percent * whole) or (part > VERY_FEW and is_most)
