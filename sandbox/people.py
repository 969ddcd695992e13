"""The people of the sandbox: made from a seed, with all that real profiles have in store."""

from __future__ import annotations

import datetime as dt
import random
import typing as t
import unicodedata

Profile: t.TypeAlias = dict[str, t.Any]
"""A profile with typed values; `_id`, `_split`, `_created` and `_modified` among them."""

FIELDS: dict[str, tuple[str, str]] = {
    "_id": ("string", "Profile id"),
    "_created": ("date", "When the profile was made"),
    "_modified": ("date", "When the profile last changed"),
    "_split": ("int", "Slice of the account, 0 to 99"),
    "email": ("string", "E-mail address"),
    "first_name": ("string", "First name"),
    "last_name": ("string", "Last name"),
    "city": ("string", "City"),
    "country": ("string", "Country"),
    "birthday": ("date", "Birthday"),
    "last_visit": ("datetime", "Last visit"),
    "lifetime_value": ("number", "Money spent so far"),
    "visit_count": ("int", "Visits so far"),
    "is_customer": ("bool", "Whether they ever bought"),
    "interests": ("[]string", "Interests"),
    "visits_by_channel": ("map[string]int", "Visits by channel"),
    "preferences": ("dynamic", "Preferences"),
    "score_intensity": ("int", "Score: intensity"),
    "visit_times": ("[]time", "Times of visits"),
    "segments": ("membership", "Audiences"),
}
"""Lytics type and description of each field."""

IDENTIFIERS = frozenset({"_id", "email"})

FIELD_MAPPING = {
    "first_name": "first_name",
    "last_name": "last_name",
    "city": "home.city",
    "country": "home.country",
    "birthday": "birthday",
    "last_visit": "last_visit",
    "lifetime_value": "lifetime_value",
    "visit_count": "visit_count",
    "is_customer": "is_customer",
    "interests": "interests",
}
"""Profile field to Cordial attribute: what the sandbox's pipeline sends."""

ATTRIBUTES = {
    "first_name": "string",
    "last_name": "string",
    "home": "geo",
    "birthday": "date",
    "last_visit": "date",
    "lifetime_value": "number",
    "visit_count": "number",
    "is_customer": "string",
    "interests": "array",
}
"""The attributes that Cordial has from the start, with their types."""

_FIRST = (
    "Zoë", "José", "Åsa", "Łukasz", "Mary-Jane", "O'Neil", "李", "Anna", "Björn", "Çelik", "Renée", "Søren", "Nguyễn",
    "Ada", "Grace", "Alan", "Katherine", "Đorđe", "Siân", "Ünal",
)  # fmt: skip
_LAST = (
    "D'Angelo", "von der Weiß", 'Smith "Smitty"', "García, Jr.", "Müller", "Brontë", "Nowak", "Okafor", "Tanaka", "Ó Briain",
    "Line\nBreak", "Carriage\r\nReturn", "Comma, Comma", "de la Cruz", "Şahin", "Kovács", "O'Hara", "Plain", "Long-Hyphen", "Ng",
)  # fmt: skip
_CITIES = (
    "Zürich",
    "São Paulo",
    "Portland, OR",
    "Köln",
    "Kraków",
    "New York",
    "東京",
    "Reykjavík",
    "Nîmes",
    "Oslo",
)
_COUNTRIES = ("CH", "BR", "US", "DE", "PL", "US", "JP", "IS", "FR", "NO")
_INTERESTS = ("running", "jazz", 'the "big" game', "café, bars", "travel", "books", "chess", "cooking")
_CHANNELS = ("web", "mobile", "email", "store")
_START = dt.datetime(2024, 1, 1, tzinfo=dt.timezone.utc)


def person(number: int, seed: int) -> Profile:
    """One person.

    Args:
        number: Which.
        seed: Of which population.

    Returns:
        The profile; the same each time.
    """
    chance = random.Random(seed * 1_000_003 + number)  # noqa: S311 - people, not keys
    draw = chance.random
    seconds = int(draw() * 60_000_000)
    nanoseconds = int(draw() * 1_000_000_000)
    visited = _START + dt.timedelta(seconds=seconds)
    zone = ("Z", "+02:00", "-07:00")[int(draw() * 3)]
    profile: Profile = {
        "_id": f"{seed:04d}{number:012d}",
        "_created": "2024-01-01T00:00:00Z",
        "_modified": f"{visited:%Y-%m-%dT%H:%M:%S}Z",
        "_split": int(draw() * 100),
        "email": _address(number, draw()),
        "first_name": _FIRST[int(draw() * len(_FIRST))],
        "last_name": _LAST[int(draw() * len(_LAST))],
    }
    place = int(draw() * len(_CITIES))
    if draw() < 0.8:
        profile["city"] = _CITIES[place]
    if draw() < 0.9:
        profile["country"] = _COUNTRIES[place]
    if draw() < 0.5:
        profile["birthday"] = (
            f"{1940 + int(draw() * 65)}-{1 + int(draw() * 12):02d}-{1 + int(draw() * 28):02d}"
        )
    if draw() < 0.9:
        profile["last_visit"] = f"{visited:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}{zone}"
        profile["visit_count"] = 1 + int(draw() * 300)
        profile["visits_by_channel"] = {
            channel: 1 + int(draw() * 40) for channel in _CHANNELS if draw() < 0.5
        }
    if draw() < 0.7:
        profile["is_customer"] = draw() < 0.5
        profile["lifetime_value"] = round(draw() * 5000, 2)
    if draw() < 0.6:
        profile["interests"] = chance.sample(_INTERESTS, 1 + int(draw() * 3))
    if draw() < 0.3:
        profile["preferences"] = {"newsletter": draw() < 0.5, "sizes": {"shoe": 36 + int(draw() * 12)}}
    profile["score_intensity"] = int(draw() * 100)
    if draw() < 0.2:
        profile["visit_times"] = [f"{visited:%Y-%m-%dT%H:%M:%S}Z"]
    if profile["email"] is None:
        del profile["email"]
    return profile


def recorded_person(number: int) -> Profile:
    """One person of the small audience that looks like Lytics' documented scan: an address and a score.

    Args:
        number: Which, from 0.

    Returns:
        The profile.
    """
    return {
        "_id": f"recorded{number:08d}",
        "_created": "2024-01-01T00:00:00Z",
        "_modified": "2024-01-01T00:00:00Z",
        "_split": number % 100,
        "email": f"email{number + 1}@email.com",
        "score_intensity": 50,
    }


def is_old_style(profile: Profile) -> bool:
    """Whether a profile's numbers and booleans are text, as in older accounts.

    Args:
        profile: The profile.

    Returns:
        True for about a fifth.
    """
    return int(profile["_split"]) % 5 == 0


def as_old_style(value: t.Any) -> t.Any:
    """A value as older accounts give it.

    Args:
        value: A typed value.

    Returns:
        Numbers and booleans as text.
    """
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dict):
        return {key: as_old_style(item) for key, item in value.items()}
    return value


def member_key(value: t.Any) -> str | None:
    """The key under which a profile is a member: trimmed; an address also in NFC and lower case.

    Args:
        value: The identifier.

    Returns:
        The key; None if there is none.
    """
    text = value.strip() if isinstance(value, str) else ""
    if "@" in text:
        text = unicodedata.normalize("NFC", text).lower()
    return text or None


def _address(number: int, chance: float) -> str | None:
    """Most people have an address of their own; some have none, some share one, some write it their own way."""
    if number % 50 == 17:
        return None
    if number % 40 == 11:
        number -= 1
    address = f"person.{number}@example.com"
    if chance < 0.05:
        return address.title()
    if chance < 0.07:
        return f" {address} "
    return address
