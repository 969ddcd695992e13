"""How many of something may go wrong, or go away, before a person has to look: one rule of numbers for each limit of both plugins."""

from __future__ import annotations

FEW = 10
"""So many pass whatever the percentage: a small audience moves by large shares."""
VERY_FEW = 3
"""So many pass also where they are what a whole list is made of."""
OFF_PERCENT = 100
"""The percentage that switches a limit off."""


def too_many(part: int, whole: int, max_percent: float, *, is_grave: bool = False) -> bool:
    """Whether a part is more than a limit allows: more than ten and more than the percentage.

    Args:
        part: How many.
        whole: Of how many.
        max_percent: The limit.
        is_grave: Whether ten are a small list as a whole, of which nobody would stay, say: more than three are too many then.
    """
    is_over = part > FEW and part * 100 > max_percent * whole
    return max_percent < OFF_PERCENT and (is_over or (is_grave and part > VERY_FEW))
