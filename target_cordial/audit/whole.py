"""Whether an input holds all members of its lists: it is marked as whole, and nothing in it is a change."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator, Mapping

from lytics_to_cordial.errors import UserError
from target_cordial.bookmark.tap_run import is_ended
from target_cordial.history.totals import Totals
from target_cordial.intake.marks import Marks

Snapshot: t.TypeAlias = "dict[str, dict[str, t.Any]]"
"""What the tap's last state says of each audience by its id: `slug`, `name`, and how many `members` it sent."""


class NotWholeError(UserError):
    """The input is not, or may not be, all members: nothing is compared, and nobody is removed."""


class ExitsError(NotWholeError):
    """The input holds exits: who leaves is no member."""

    def __init__(self) -> None:
        super().__init__(
            "The input holds exits, so it is what changed and not all members: set snapshot to true in the tap, or mode to changes."
        )


def check_whole(marks: Marks, totals: Totals, *, records: int, accept_unmarked: bool) -> Snapshot:
    """See that an input is whole, and give back the audiences of a snapshot of tap-lytics-audience.

    Args:
        marks: Of the input.
        totals: What was read.
        records: How many records it had.
        accept_unmarked: Whether it is taken for whole without an end mark.

    Raises:
        NotWholeError: If not.
    """
    if totals.ignored_exits:
        raise ExitsError
    bookmarks = marks.state.get("bookmarks") if isinstance(marks.state, dict) else None
    entries: dict[str, dict[str, t.Any]] = {
        stream: entry
        for stream, entry in (bookmarks if isinstance(bookmarks, dict) else {}).items()
        if stream in marks.records and isinstance(entry, dict)
    }
    snapshot: Snapshot = {}
    # Many taps write SCHEMA and ACTIVATE_VERSION before records: of a child stream once for each parent, and one may die in between.
    whole = {
        stream
        for stream, line in marks.records.items()
        if marks.schemas[stream] < line < marks.versions.get(stream, 0)
    }
    for stream, entry in entries.items():
        if any(key == "replication_key_value" for key in _keys(entry)):
            raise NotWholeError(
                f"The state of stream {stream!r} has a replication_key_value, so it holds what changed and not all members: set its "
                "replication method to FULL_TABLE in the tap."
            )
        if "snapshot" not in entry and "audiences" in entry:
            raise NotWholeError(
                f"The stream {stream!r} holds the changes of audiences, or a snapshot of them that ended early: set snapshot to true in the "
                "tap, or look at its log and run again."
            )
        if isinstance(entry.get("snapshot"), dict):
            snapshot |= entry["snapshot"]
            if is_ended(entry) and marks.records[stream] < marks.state_line:
                whole.add(stream)
    unmarked = sorted(marks.records.keys() - whole)
    of_stream = f" of stream {unmarked[0]!r}" if unmarked else ""
    if (unmarked or not marks.records) and not accept_unmarked:
        raise NotWholeError(
            f"No end mark closes the input{of_stream}, so it may have ended early, and the list is not compared "
            "with it: look at the tap's log and run again; if it comes from a file that was written whole, set accept_unmarked_end to true."
        )
    bare = [stream for stream in unmarked if not marks.records[stream]]
    if bare or not marks.records:
        raise NotWholeError(
            f"No record{f' of stream {bare[0]!r}' if bare else ''} came and no end mark, which accept_unmarked_end does not take for all members: "
            "look at what wrote the input; only an end mark can say that there is no member."
        )
    members = sum(int(audience.get("members") or 0) for audience in snapshot.values())
    if records < members:
        raise NotWholeError(
            f"The tap sent {members:,} members and {records:,} records arrived, so the list is not compared with them: run again."
        )
    return snapshot


def _keys(value: Mapping[str, t.Any]) -> Iterator[str]:
    for key, inner in value.items():
        yield key
        for each in inner if isinstance(inner, list) else [inner]:
            if isinstance(each, dict):
                yield from _keys(each)
