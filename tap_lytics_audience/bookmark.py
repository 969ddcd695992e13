"""What the Singer state says of each audience."""

from __future__ import annotations

import dataclasses
import secrets
import typing as t
from dataclasses import dataclass

from lytics_to_cordial.errors import UserError

StreamState: t.TypeAlias = dict[str, t.Any]
"""The stream's entry in the state: `ledger`, `identifier_field`, and `audiences` by id."""


@dataclass(frozen=True)
class Bookmark:
    """How far an audience was sent.

    Attributes:
        slug: The audience's slug at the first run.
        name: The audience's name at the first run.
        position: The ledger's manifest that holds all that was sent: `<ledger id>/<manifest>`; blank at first.
        scanned_at: With triggers, when the last full scan began.
        triggers_from: With triggers, the landing time from which on messages are read.
    """

    slug: str
    name: str
    position: str = ""
    scanned_at: str = ""
    triggers_from: str = ""

    def manifest_name(self, ledger_id: str) -> str | None:
        """The manifest that the position names.

        Args:
            ledger_id: The ledger in use. A state that was merged with an older one can name another; that one does not count.

        Returns:
            Its name; None if there is none.
        """
        ledger, _, name = self.position.partition("/")
        return name if name and ledger == ledger_id else None


def begin(state: StreamState, identifier_field: str) -> None:
    """Prepare the stream's state for a run: a new ledger if it names none.

    Args:
        state: The state, changed in place.
        identifier_field: The field that identifies members.
    """
    state.setdefault("ledger", secrets.token_hex(8))
    state.setdefault("identifier_field", identifier_field)
    state.setdefault("audiences", {})


def check_identifier(state: StreamState, identifier_field: str) -> None:
    """See that members are still identified as they were.

    Args:
        state: The state.
        identifier_field: The field that identifies members now.

    Raises:
        UserError: If it is another one.
    """
    if state["identifier_field"] != identifier_field:
        msg = (
            f"The state was made with identifier_field {state['identifier_field']!r}, and it is now {identifier_field!r}: set it back, or "
            "run once with --full-refresh and another list, as the contacts of the old one stay on theirs."
        )
        raise UserError(msg)


def read_bookmark(state: StreamState, audience_id: str) -> Bookmark | None:
    """An audience's bookmark.

    Args:
        state: The state.
        audience_id: The audience.

    Returns:
        The bookmark; None if the state has none.
    """
    entry = state["audiences"].get(audience_id)
    if not isinstance(entry, dict):
        return None
    return Bookmark(**{name: str(value) for name, value in entry.items() if name in Bookmark.__annotations__})


def write_bookmark(state: StreamState, audience_id: str, bookmark: Bookmark) -> None:
    """Put an audience's bookmark into the state.

    Args:
        state: The state, changed in place.
        audience_id: The audience.
        bookmark: The bookmark.
    """
    # Blanks too: Meltano merges states on a full refresh, and an older value must not show through.
    state["audiences"][audience_id] = dataclasses.asdict(bookmark)


def check_slug(state: StreamState, slug: str, audience_id: str) -> None:
    """See that a slug still means the audience that it meant.

    Args:
        state: The state.
        slug: The slug, as the user set it.
        audience_id: The audience that Lytics gives for it.

    Raises:
        UserError: If it means another one now.
    """
    for known_id, entry in state["audiences"].items():
        if isinstance(entry, dict) and entry.get("slug") == slug and known_id != audience_id:
            if audience_id in state["audiences"]:
                continue
            msg = (
                f"The audience {slug!r} is another one now (id {audience_id}, was {known_id}), so its members were not compared: if it "
                "takes the old one's place, run once with --full-refresh; else put the ids in audiences."
            )
            raise UserError(msg)
