"""What the Singer state says of a run and of each audience.

The stream's entry in the state holds `ledger`, `generation`, `run`, `identifier_field`, `stream_maps` and `audiences` by id; after a
snapshot `snapshot`, too. What others put beside them is kept.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import typing as t
from dataclasses import dataclass

from lytics_to_cordial.errors import UserError

StreamState: t.TypeAlias = dict[str, t.Any]

_SEVERAL = "several"
"""In place of the hash of stream maps: members were sent by several ones."""


@dataclass(frozen=True)
class LedgerRun:
    """A run of a pipeline, as the state names it: the ledger's id, the generation, and the number of the run."""

    ledger: str
    generation: str
    number: int


@dataclass(frozen=True)
class Bookmark:
    """How far an audience was sent.

    Attributes:
        slug: The audience's slug at the first run.
        name: The audience's name at the first run.
        position: The ledger's manifest that holds all that was sent: `<generation>/<manifest>`; blank at first.
        members: After the last complete pass, how many people were sent and are members.
        scanned_at: With triggers, when the last full scan began.
        triggers_from: With triggers, the landing time from which on messages are read.
    """

    slug: str
    name: str
    position: str = ""
    members: int = 0
    scanned_at: str = ""
    triggers_from: str = ""

    def manifest(self, generation: str) -> str | None:
        """The manifest that the position names, if it is of a generation.

        Meltano merges states on a full refresh, so that a position of an older generation can show through. It counts for nothing.
        """
        own, _, name = self.position.partition("/")
        return name if name and own == generation else None


@dataclass(frozen=True)
class SnapshotBookmark:
    """What a snapshot holds of an audience: its slug and name in records, and how many members."""

    slug: str
    name: str
    members: int


def check_form(state: StreamState) -> None:
    """See that a state holds what is looked for in it, as it may come from any file.

    Raises:
        UserError: If it does not.
    """
    damaged = [
        name
        for name in ("ledger", "generation", "identifier_field", "stream_maps")
        if not isinstance(state.get(name, ""), str)
    ]
    audiences = state.get("audiences", {})
    if not isinstance(audiences, dict) or not all(isinstance(entry, dict) for entry in audiences.values()):
        damaged.append("audiences")
    if damaged:
        raise UserError(
            f"The state of audience_members is damaged ({', '.join(damaged)} cannot be read): restore an earlier state, or run once with "
            "--full-refresh."
        )


def begin(state: StreamState, run: LedgerRun, identifier_field: str, audience_ids: list[str]) -> None:
    """Prepare the stream's state for a run."""
    state["ledger"], state["generation"] = run.ledger, run.generation
    state["run"] = {"ledger": run.ledger, "number": run.number, "audiences": audience_ids}
    state["identifier_field"] = identifier_field
    state.setdefault("audiences", {})
    _forget_end(state)


def begin_snapshot(state: StreamState, run: LedgerRun, audience_ids: list[str]) -> None:
    """Name a run in the stream's state that leaves all bookmarks as they are."""
    state["run"] = {"ledger": run.ledger, "number": run.number, "audiences": audience_ids}
    _forget_end(state)


def end(state: StreamState, snapshot: dict[str, SnapshotBookmark]) -> None:
    """Note that the run did all of its work, and of each audience by id the snapshot that was taken of it."""
    if snapshot:
        state["snapshot"] = {
            audience_id: dataclasses.asdict(bookmark) for audience_id, bookmark in snapshot.items()
        }
    state["ended"] = state["run"]["number"]


def _forget_end(state: StreamState) -> None:
    for name in ("ended", "snapshot"):
        state.pop(name, None)


def check_identifier(state: StreamState, identifier_field: str) -> None:
    """See that members are still identified by the field by which they were.

    Raises:
        UserError: If it is another one.
    """
    before = state.get("identifier_field", identifier_field)
    if before != identifier_field:
        raise UserError(
            f"The state was made with identifier_field {before!r}, and it is now {identifier_field!r}: set it back, or run once with "
            "--full-refresh and another list, as the contacts of the old one stay on theirs."
        )


def stream_maps_changed(state: StreamState, now: str) -> bool:
    """Whether members of earlier runs were sent by other stream maps, known by a hash; the state keeps that until a run without one."""
    # Where nobody was sent, whatever failed so far is none of it.
    before = state.get("stream_maps", now) if read_positions(state) else now
    state["stream_maps"] = now if before == now else _SEVERAL
    return bool(before != now)


def read_positions(state: StreamState) -> dict[str, str]:
    """The manifests that the state names, of whatever generation, by the id of the audience."""
    names = {
        audience_id: _text(entry.get("position")).rpartition("/")[2]
        for audience_id, entry in state.get("audiences", {}).items()
    }
    return {audience_id: name for audience_id, name in names.items() if name}


def read_bookmark(state: StreamState, audience_id: str) -> Bookmark | None:
    """An audience's bookmark; None if the state has none."""
    entry = state.get("audiences", {}).get(audience_id)
    if entry is None:
        return None
    members = entry.get("members")
    times = [_text(entry.get(name)) for name in ("scanned_at", "triggers_from")]
    # Without both times the audience is scanned.
    scanned_at, triggers_from = times if all(map(_is_time, times)) else ("", "")
    return Bookmark(
        slug=_text(entry.get("slug")),
        name=_text(entry.get("name")),
        position=_text(entry.get("position")),
        members=members if isinstance(members, int) else 0,
        scanned_at=scanned_at,
        triggers_from=triggers_from,
    )


def write_bookmark(state: StreamState, audience_id: str, bookmark: Bookmark) -> None:
    """Put an audience's bookmark into the state."""
    # Blanks too: Meltano merges states on a full refresh, and an older value must not show through.
    state["audiences"][audience_id] = dataclasses.asdict(bookmark)


def check_slug(state: StreamState, slug: str, audience_id: str) -> None:
    """See that a slug that the user set still means the audience that it meant in the last run.

    Raises:
        UserError: If it means another one now.
    """
    audiences = state.get("audiences", {})
    for known_id, entry in audiences.items():
        if entry.get("slug") == slug and known_id != audience_id and audience_id not in audiences:
            raise UserError(
                f"The audience {slug!r} is another one now (id {audience_id}, was {known_id}), so its members were not compared: if it "
                "takes the old one's place, run once with --full-refresh; else put the ids in audiences."
            )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _is_time(text: str) -> bool:
    """Whether a text is a time with its offset, as the tap writes it."""
    try:
        return dt.datetime.fromisoformat(text).tzinfo is not None
    except ValueError:
        return False
