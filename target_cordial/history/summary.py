"""What a run did, in sentences: one for each list, and one for the whole."""

from __future__ import annotations

import typing as t

from lytics_to_cordial.progress import counted, duration
from target_cordial.cordial.lists import Sizes
from target_cordial.history.totals import Totals

SHOWN_REASONS = 10


def list_lines(totals: Totals, sizes: t.Mapping[str, Sizes], members: t.Mapping[str, int]) -> t.Iterator[str]:
    """Yield, for each list, what was read for it and what was imported, and its size beside its audience's."""
    for name in sorted({*totals.lists, *sizes}):
        yield f"List {name}: {_work(totals, name)}{_size(sizes.get(name), members.get(name))}."


def _work(totals: Totals, name: str) -> str:
    if name not in totals.lists:
        return "nothing changed"
    rejected, ignored = totals.rejected_of[name], totals.ignored_of[name]
    refused = f", {counted(rejected, 'row')} rejected by Cordial" if rejected else ""
    passed = f", {counted(ignored, 'row')} passed over by Cordial" if ignored else ""
    imports = counted(totals.imports_of[name], "import")
    return f"{read_text(totals, name)}; imported {rows_text(totals, name)} in {imports}{refused}{passed}"


def run_line(totals: Totals, *, records: int, rejects: int, place: str, seconds: float) -> str:
    """Tell what the whole run did, with the place of the reject report if there are rejects."""
    reasons = f" ({reject_reasons(totals)}; see {place})" if rejects else ""
    passed = f", {counted(totals.ignored_exits, 'exit')} passed over" if totals.ignored_exits else ""
    whole = ", all records of this run" if records and rejects == records else ""
    skipped = f", {skipped_values(totals)} left out" if totals.values_skipped else ""
    if skipped and not rejects:
        skipped += f" (see {place})"
    return (
        f"{counted(records, 'record')} read{passed}{skipped}, {rejects:,} rejected here{whole}{reasons} and {totals.rejected:,} by Cordial; "
        f"{counted(totals.rows, 'row')} in {counted(totals.imports, 'import')}; {duration(seconds)}."
    )


def reject_reasons(totals: Totals) -> str:
    """Tell why records were rejected, the most frequent reasons first."""
    reasons = totals.reject_reasons.most_common()
    texts = [f"{count:,} {reason}" for reason, count in reasons[:SHOWN_REASONS]]
    rest = sum(count for _, count in reasons[SHOWN_REASONS:])
    return ", ".join([*texts, *([f"{rest:,} for other reasons"] if rest else [])])


def skipped_values(totals: Totals) -> str:
    """Tell how many values do not fit, by column, such as `2 values of birthday and 1 value of city`."""
    columns = sorted(totals.values_skipped.items())
    return " and ".join(f"{counted(count, 'value')} of {column}" for column, count in columns)


def read_text(totals: Totals, name: str) -> str:
    """Tell how many records came for a list, such as `read 12 enters (7 updates) and 1 exit`."""
    enters, updates, exits = (totals.arrived[name, kind] for kind in ("enters", "updates", "exits"))
    among = f" ({counted(updates, 'update')})" if updates else ""
    return f"read {counted(enters, 'enter')}{among} and {counted(exits, 'exit')}"


def rows_text(totals: Totals, name: str) -> str:
    """Tell how many rows were imported for a list, such as `12 enters and 1 exit`."""
    rows = totals.by_list[name]
    return f"{counted(rows['enters'], 'enter')} and {counted(rows['exits'], 'exit')}"


def _size(sizes: Sizes | None, members: int | None) -> str:
    if sizes is None or sizes.size_before is None:
        return ""
    after = "" if sizes.size_after is None else f", {sizes.size_after:,} after"
    audience = "" if members is None else f", {counted(members, 'member')} in the audience"
    return f"; {counted(sizes.size_before, 'contact')} before{after}{audience}"
