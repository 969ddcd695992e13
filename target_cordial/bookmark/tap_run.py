"""What a state says of the tap's own run: tap-lytics-audience names its run, its audiences, and whether it did all of its work."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field

State: t.TypeAlias = dict[str, t.Any]

KEY = "target_cordial"
"""Under which the target keeps its entry in a stream's bookmark."""
_KEYS_OF_NO_RUN = frozenset({KEY, "starting_replication_value", "replication_key_signpost"})
"""What a bookmark may hold before a first record is acknowledged; the last two are the Meltano SDK's."""


@dataclass(frozen=True)
class Audience:
    """An audience of the tap's run.

    Attributes:
        values: What its records hold of it: `audience_id`, and `audience_slug` and `audience_name` once they are known.
        members: How many were sent and are members; None if not known.
    """

    values: t.Mapping[str, str]
    members: int | None = None

    @property
    def label(self) -> str:
        """What people call it."""
        return self.values.get("audience_slug") or self.values["audience_id"]


@dataclass(frozen=True)
class TapRun:
    """A run of tap-lytics-audience.

    Attributes:
        ledger: The ledger's id; blank without one.
        number: The run's number, which rises with each run of the ledger.
        is_ended: Whether it did all of its work.
        audiences: Its audiences by id.
    """

    ledger: str
    number: int
    is_ended: bool
    audiences: t.Mapping[str, Audience] = field(default_factory=dict)


def bookmarks_of(state: State) -> dict[str, t.Any]:
    """The bookmarks of all streams; empty if the state holds something else."""
    bookmarks = state.get("bookmarks") if isinstance(state, dict) else None
    return bookmarks if isinstance(bookmarks, dict) else {}


def bookmark_name(state: State, stream: str) -> str:
    """The name under which the tap keeps a stream's bookmark: a stream map of the tap may have renamed the stream."""
    bookmarks = bookmarks_of(state)
    if stream in bookmarks:
        return stream
    named = [name for name, bookmark in bookmarks.items() if _run_of(bookmark)]
    return named[0] if len(named) == 1 else stream


def is_used(state: State, stream: str) -> bool:
    """Whether a stream's bookmark says that something was acknowledged before."""
    bookmark = bookmarks_of(state).get(bookmark_name(state, stream))
    if not isinstance(bookmark, dict):
        return False
    if _run_of(bookmark):
        return bool(bookmark.get("audiences"))
    return bool(bookmark.keys() - _KEYS_OF_NO_RUN)


def is_ended(bookmark: dict[str, t.Any]) -> bool:
    """Whether the run of tap-lytics-audience that a stream's bookmark names did all of its work."""
    run = _run_of(bookmark)
    return bool(run) and bookmark.get("ended") == run["number"]


def tap_run(state: State) -> TapRun | None:
    """The run of tap-lytics-audience that wrote a state; None if another tap did."""
    for bookmark in bookmarks_of(state).values():
        run = _run_of(bookmark)
        if not run:
            continue
        ids = run.get("audiences")
        known = bookmark.get("audiences")
        audiences = {
            id_: _audience(id_, known.get(id_) if isinstance(known, dict) else None)
            for id_ in (ids if isinstance(ids, list) else [])
            if isinstance(id_, str)
        }
        ledger = run.get("ledger")
        ledger = ledger if isinstance(ledger, str) else ""
        return TapRun(ledger, run["number"], is_ended(bookmark), audiences)
    return None


def _run_of(bookmark: object) -> dict[str, t.Any]:
    run = bookmark.get("run") if isinstance(bookmark, dict) else None
    return run if isinstance(run, dict) and isinstance(run.get("number"), int) else {}


def _audience(id_: str, entry: object) -> Audience:
    entry = entry if isinstance(entry, dict) else {}
    names = {f"audience_{name}": entry.get(name) for name in ("slug", "name")}
    members = entry.get("members")
    return Audience(
        {"audience_id": id_, **{name: value for name, value in names.items() if isinstance(value, str)}},
        members if isinstance(members, int) and not isinstance(members, bool) and members >= 0 else None,
    )
