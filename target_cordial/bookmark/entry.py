"""What was delivered, and how: the target's own entry in a stream's bookmark.

Meltano merges states deeply on a full refresh, so that a key of an older state shows through where the newer one has none.
Whatever has keys of its own is therefore one JSON text, which the newer one replaces as a whole.
"""

from __future__ import annotations

import hashlib
import json
import typing as t
from dataclasses import dataclass, field

import msgspec

from target_cordial.bookmark.tap_run import KEY, State, bookmark_name, bookmarks_of
from target_cordial.cordial.lists import ContactList

_HASH_CHARACTERS = 10

Place: t.TypeAlias = tuple[str, str]
"""Where records of an audience, or of a stream without audiences, go: its id or name, and the name that list_name gave."""
_Count = t.Annotated[int, msgspec.Meta(ge=0)]


class _StoredList(msgspec.Struct):
    id: int
    name: str


class _Stored(msgspec.Struct):
    """The entry as it stands in the state."""

    settings: dict[str, str] = {}
    accepted: str = "[]"
    lists: str = "{}"
    surplus: str = "{}"
    api_url: str = ""
    account: str = ""
    storage_url: str = ""
    exits_open: _Count = 0
    mirrored: _Count = 0
    values_skipped: str = "{}"


@dataclass(frozen=True)
class Entry:
    """What was delivered of a stream, and how.

    Attributes:
        settings: The settings that decide what a contact gets, each as canonical JSON text.
        accepted: Settings whose change was accepted since the last run without a state.
        lists: The list of each place, with the name that Cordial has for it.
        surplus: By audience, how many more contacts its lists hold than it has members.
        api_url: Where the lists are.
        account: What tells the account from others: `id:` or `key:` and a short hash.
        storage_url: Where import files were put last.
        exits_open: Exits that could not be done, and that nobody has accepted yet.
        mirrored: The number of the last mirror of all its lists.
        values_skipped: Values that did not fit since the last run without a state, by column.
    """

    settings: t.Mapping[str, str] = field(default_factory=dict)
    accepted: tuple[str, ...] = ()
    lists: t.Mapping[Place, ContactList] = field(default_factory=dict)
    surplus: t.Mapping[str, int] = field(default_factory=dict)
    api_url: str = ""
    account: str = ""
    storage_url: str = ""
    exits_open: int = 0
    mirrored: int = 0
    values_skipped: t.Mapping[str, int] = field(default_factory=dict)


def canonical(value: object) -> str:
    """JSON text that is the same for equal values."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"))


def short_hash(text: str) -> str:
    """Tells two texts apart without showing them."""
    return hashlib.sha256(text.encode()).hexdigest()[:_HASH_CHARACTERS]


def read_entry(state: State, stream: str) -> Entry | None:
    """The entry of a stream; None if the state has none that can be read."""
    bookmark = bookmarks_of(state).get(bookmark_name(state, stream))
    if not isinstance(bookmark, dict) or KEY not in bookmark:
        return None
    try:
        stored = msgspec.convert(bookmark[KEY], _Stored)
        lists = msgspec.json.decode(stored.lists, type=dict[str, dict[str, _StoredList]])
        surplus = msgspec.json.decode(stored.surplus, type=dict[str, int])
        values_skipped = msgspec.json.decode(stored.values_skipped, type=dict[str, _Count])
        accepted = msgspec.json.decode(stored.accepted, type=list[str])
        for name, text in stored.settings.items():
            msgspec.json.decode(text, type=dict[str, str] if name == "field_mapping" else t.Any)
    except msgspec.MsgspecError:
        return None
    return Entry(
        settings=stored.settings,
        accepted=tuple(accepted),
        lists={
            (owner, name): ContactList(known.id, known.name)
            for owner, names in lists.items()
            for name, known in names.items()
        },
        surplus=surplus,
        api_url=stored.api_url,
        account=stored.account,
        storage_url=stored.storage_url,
        exits_open=stored.exits_open,
        mirrored=stored.mirrored,
        values_skipped=values_skipped,
    )


def with_entry(state: State, stream: str, entry: Entry) -> State:
    """A state with a stream's entry in it; the state itself where the stream has no bookmark in it."""
    bookmarks, name = bookmarks_of(state), bookmark_name(state, stream)
    if not isinstance(bookmarks.get(name), dict):
        return state
    lists: dict[str, dict[str, dict[str, t.Any]]] = {}
    for (owner, rendered), known in entry.lists.items():
        lists.setdefault(owner, {})[rendered] = {"id": known.id, "name": known.name}
    stored = _Stored(
        settings=dict(entry.settings),
        accepted=canonical(sorted(entry.accepted)),
        lists=canonical(lists),
        surplus=canonical(dict(entry.surplus)),
        api_url=entry.api_url,
        account=entry.account,
        storage_url=entry.storage_url,
        exits_open=entry.exits_open,
        mirrored=entry.mirrored,
        values_skipped=canonical(dict(entry.values_skipped)),
    )
    bookmark = {**bookmarks[name], KEY: msgspec.to_builtins(stored)}
    return {**state, "bookmarks": {**bookmarks, name: bookmark}}
