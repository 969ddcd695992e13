"""What a run did, for people: one line a list, and one for the whole."""

from __future__ import annotations

import typing as t

from lytics_to_cordial.progress import counted, duration

if t.TYPE_CHECKING:
    from target_cordial.cordial.api import Sizes
    from target_cordial.history.totals import Totals


def list_lines(totals: Totals, sizes: t.Mapping[str, Sizes]) -> t.Iterator[str]:
    """What happened to each list.

    Args:
        totals: What the run did.
        sizes: How many contacts are on each list, by its name.

    Yields:
        A sentence a list.
    """
    for name in totals.lists:
        rejected = totals.rejected_of[name]
        yield (
            f"List {name}: {counts_text(totals, name)}; {counted(totals.rows_of(name), 'row')} in "
            f"{counted(totals.imports_of[name], 'import')}"
            f"{f', {rejected:,} rejected by Cordial' if rejected else ''}{_size(sizes.get(name))}."
        )


def run_line(totals: Totals, *, records: int, rejects: int, place: str, seconds: float) -> str:
    """What the whole run did.

    Args:
        totals: What the run did.
        records: How many records were read.
        rejects: How many of them were rejected here.
        place: Where the reject report is.
        seconds: How long the run took.

    Returns:
        A sentence.
    """
    reasons = f" ({reject_reasons(totals)}; see {place})" if rejects else ""
    passed = f", {counted(totals.ignored_exits, 'exit')} passed over" if totals.ignored_exits else ""
    return (
        f"{counted(records, 'record')} read{passed}, {rejects:,} rejected here{reasons} and {totals.rejected:,} by Cordial; "
        f"{counted(totals.rows, 'row')} in {counted(totals.imports, 'import')}; {duration(seconds)}."
    )


def reject_reasons(totals: Totals) -> str:
    """Why records were rejected, the most frequent reason first.

    Args:
        totals: What the run did.
    """
    return ", ".join(f"{count:,} {reason}" for reason, count in totals.reject_reasons.most_common())


def counts_text(totals: Totals, name: str) -> str:
    """How many records came for a list.

    Args:
        totals: What the run did.
        name: The list.
    """
    return ", ".join(counted(totals.arrived[name, f"{kind}s"], kind) for kind in ("enter", "update", "exit"))


def _size(sizes: Sizes | None) -> str:
    if sizes is None or sizes.size_before is None:
        return ""
    after = "" if sizes.size_after is None else f", {sizes.size_after:,} after"
    return f"; {counted(sizes.size_before, 'contact')} before{after}"
