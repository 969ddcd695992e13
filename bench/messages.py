"""The input of the target's benchmarks: an audience's members as Singer messages, made once."""

from __future__ import annotations

import json
import random
import typing as t
from collections.abc import Iterable
from pathlib import Path

FIELDS = {
    "audience_id": {"type": "string"},
    "audience_state": {"type": "string"},
    "audience_changed_at": {"type": ["string", "null"], "format": "date-time"},
    "email": {"type": "string"},
    "first_name": {"type": ["string", "null"]},
    "last_name": {"type": ["string", "null"]},
    "city": {"type": ["string", "null"]},
    "visit_count": {"type": ["integer", "null"]},
    "created": {"type": ["string", "null"], "format": "date-time"},
    "last_visit": {"type": ["string", "null"], "format": "date-time"},
    "interests": {"type": ["string", "null"]},
}
ATTRIBUTES = {
    "audience_changed_at": "date",
    "first_name": "string",
    "last_name": "string",
    "city": "string",
    "visit_count": "number",
    "created": "date",
    "last_visit": "date",
    "interests": "string",
}
"""The attributes that the fields of the same name go to, and their types."""
MORE_COLUMNS = [f"more_{number:02}" for number in range(60)]
"""Text attributes for records that have many more fields."""
STATE_EVERY = 10_000
_NULLS = 0.1
_FIRST = ["Zoë", "José", "Anna", "Søren", 'Robert "Bob"', "Mary", "Łukasz", "D'Arcy", "Chloé", "Tom"]
_LAST = ["Smith", "O'Neill", "García", "Müller", "Lee, Jr.", "Ångström", "Brown", 'van "der" Berg', "Kim"]
_CITIES = ["Portland", "São Paulo", "Zürich", "Lyon", "Winston-Salem, NC", "København"]
_WORDS = ["running", "café", "jazz", "cycling", "wine", "crochet", "chess", "gardening", "sailing", "opera"]


def write_messages(path: Path, members: int) -> Path:
    """Write the input, unless it is there.

    A record is from 200 bytes to 1 kB long, 11 fields of which 3 are times; each tenth field or so is null.
    """
    return write_lines(path, messages(members))


def write_lines(path: Path, found: Iterable[dict[str, t.Any]]) -> Path:
    """Write messages into a file, unless it is there."""
    if path.exists():
        return path
    unfinished = path.with_suffix(".part")
    with unfinished.open("w", encoding="utf-8") as file:
        file.writelines(
            json.dumps(message, ensure_ascii=False, separators=(",", ":")) + "\n" for message in found
        )
    return unfinished.rename(path)


def repeated(path: Path, copy: Path, times: int) -> Path:
    """Write the same input several times over, with other people each time.

    Args:
        path: The input.
        copy: The file to write.
        times: How often.

    Returns:
        The copy.
    """
    with copy.open("wb") as file:
        for number in range(times):
            name = f'"person.{number}.'.encode()
            with path.open("rb") as lines:
                file.writelines(line.replace(b'"person.', name) for line in lines)
    return copy


def messages(members: int) -> t.Iterator[dict[str, t.Any]]:
    """The messages of an audience with so many members."""
    chance = random.Random(7)
    schema = {"type": "object", "properties": dict(FIELDS)}
    keys = ["audience_id", "email"]
    yield {"type": "SCHEMA", "stream": "audience_members", "schema": schema, "key_properties": keys}
    for number in range(members):
        record = {
            "audience_id": "5f8d04b3a1b2c3d4e5f60718293a4b5c",
            "audience_state": "enter",
            "audience_changed_at": _time(chance),
            "email": f"person.{number}@example.com",
            "first_name": _or_none(chance, chance.choice(_FIRST)),
            "last_name": _or_none(chance, chance.choice(_LAST)),
            "city": _or_none(chance, chance.choice(_CITIES)),
            "visit_count": _or_none(chance, chance.randrange(5000)),
            "created": _or_none(chance, _time(chance)),
            "last_visit": _or_none(chance, _time(chance)),
            "interests": " ".join(chance.choices(_WORDS, k=chance.choice([0, 1, 3, 10, 80])))[:600],
        }
        yield {"type": "RECORD", "stream": "audience_members", "record": record}
        if number % STATE_EVERY == STATE_EVERY - 1 or number == members - 1:
            yield {"type": "STATE", "value": {"bookmarks": {"audience_members": {"at": number}}}}


def _time(chance: random.Random) -> str:
    day, second = chance.randrange(28), chance.randrange(86_400)
    clock = f"{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}"
    return f"2026-{chance.randrange(12) + 1:02}-{day + 1:02}T{clock}.{chance.randrange(10**6):06}Z"


def _or_none(chance: random.Random, value: t.Any) -> t.Any:
    return None if chance.random() < _NULLS else value
