"""What keeps exits back: a scan that was not whole, and more exits at once than may go unasked."""

from __future__ import annotations

from lytics_to_cordial.errors import TransientError, UserError
from lytics_to_cordial.limits import FEW, too_many

CAPPED_TOTAL = 10_000
"""A search index may count no further (not known of Lytics')."""


def check_exits(
    audience: str, exits: int, members: int, *, leaves_nobody: bool, max_exit_percent: float
) -> None:
    """See that exits may go without being asked for.

    Args:
        audience: The audience's slug.
        exits: How many would go at once.
        members: How many members there were before.
        leaves_nobody: Whether there is no member left after them.
        max_exit_percent: The limit.

    Raises:
        UserError: If they may not.
    """
    if not too_many(exits, members, max_exit_percent, is_grave=leaves_nobody):
        return
    who, why = f"{exits} of {members}", f"more than max_exit_percent ({max_exit_percent:g} %) allows"
    if leaves_nobody and exits <= FEW:
        who, why = f"All {exits}", "which max_exit_percent allows at 100 alone"
    raise UserError(
        f"{who} members of audience {audience!r} would leave at once, {why}, so no exit of it was sent: if they are right, run once with "
        "TAP_LYTICS_AUDIENCE_MAX_EXIT_PERCENT=100."
    )


def whole_count(total: int | None, size: int | None) -> int | None:
    """How many profiles a whole scan gives; None if Lytics does not say.

    Args:
        total: The lowest `total` of the scan's pages. It may be capped, or that of a slice.
        size: The audience's size.
    """
    if size is None and total == CAPPED_TOTAL:
        return None
    return max((count for count in (total, size) if count is not None), default=None)


def is_short(seen: int, expected: int, shortfall_percent: float) -> bool:
    """Whether a scan gave too few profiles to take others for absent."""
    return seen < expected * (1 - shortfall_percent / 100)


def check_whole(audience: str, seen: int, expected: int | None, shortfall_percent: float) -> None:
    """See that a scan was whole, or nearly.

    Args:
        audience: The audience's slug.
        seen: How many profiles it gave.
        expected: How many a whole scan gives.
        shortfall_percent: So many fewer are allowed.

    Raises:
        TransientError: If it was not, or nobody can tell.
    """
    if expected is None:
        raise TransientError(
            f"Lytics does not say how many members audience {audience!r} has, so nobody can tell whether its scan was whole: no exit "
            "of it was sent; run again later."
        )
    if is_short(seen, expected, shortfall_percent):
        limit = f"fewer than scan_shortfall_percent ({shortfall_percent:g} %) allows"
        raise TransientError(
            f"The scan of audience {audience!r} gave {seen} of {expected} profiles, {limit if shortfall_percent else 'and all are needed'}, "
            "so no exit of it was sent: run again later, and tell Lytics' support if it stays so."
        )


def check_identified(audience: str, profiles: int, identifier: str, max_exit_percent: float) -> None:
    """See that an audience of which nobody can be identified is meant.

    Args:
        audience: The audience's slug.
        profiles: How many profiles were read, none of them with an identifier.
        identifier: The identifier's field.
        max_exit_percent: The limit of exits, which at 100 lets this pass, too.

    Raises:
        UserError: If nobody said that it is.
    """
    if too_many(profiles, profiles, max_exit_percent):
        raise UserError(
            f"None of the {profiles} profiles of audience {audience!r} has {identifier}, so nobody of it was sent: correct identifier_field, "
            "or take it out of audiences; if they all lost it, run once with TAP_LYTICS_AUDIENCE_MAX_EXIT_PERCENT=100."
        )
