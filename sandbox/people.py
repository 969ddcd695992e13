"""The people of the sandbox: made from a seed, with all that real profiles have in store."""

from __future__ import annotations

import datetime as dt
import random
import re
import typing as t
import unicodedata

import msgspec

Profile: t.TypeAlias = dict[str, t.Any]
"""A profile with typed values; `_id`, `_split`, `_created` and `_modified` among them."""

FIELDS: dict[str, tuple[str, str]] = {
    "_id": ("string", "Profile id"),
    "_created": ("date", "When the profile was made"),
    "_modified": ("date", "When the profile last changed"),
    "_split": ("int", "Slice of the account, 0 to 99"),
    "_split2": ("int", "Another slice of the account, 0 to 99"),
    "_last_scored": ("date", "When the scores were last made"),
    "_segments": ("[]string", "All audiences that the profile is in now"),
    "_segs": ("membership", "When the profile went in and out of its audiences"),
    "_num_aliases": ("int", "Number of identities"),
    "_num_events": ("int", "Number of events"),
    "_num_days": ("int", "Number of days with events"),
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
    "joined": ("time", "When they joined"),
    "score_churn": ("float", "Score: churn"),
    "tags": ("ts[]string", "Tags, each with its time"),
    "spend_by_year": ("map[string]number", "Spend by year"),
    "labels": ("map[string]string", "Labels"),
    "opt_ins": ("map[string]bool", "Opt-ins by channel"),
    "seen_by_channel": ("map[string]time", "Last seen, by channel"),
    "odds_and_ends": ("map[string]value", "Odds and ends"),
    "activity": ("[]timebucket", "Activity by hour"),
    "place": ("geolocation", "Where they are"),
    "likeness": ("embedding", "What they are like"),
    "journeys": ("flows", "Journeys that they are on"),
}
"""Lytics type and description of each field; those that begin with `_` are in every account (Lytics docs: Meta Fields).

`segments` is none of them: the API adds it to what it answers.
"""

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
_BODIES = 2003
_VISITS = 9973
"""Two primes: body and count of visits together tell apart any two of the first twenty million people."""
_ADDRESSES_WRITTEN_PLAINLY = 0.93 * 2**32
_RECORDED: Profile = {
    "_created": "2024-01-01T00:00:00Z",
    "_modified": "2024-01-01T00:00:00Z",
    "score_intensity": 50,
}


class People:
    """The people that a seed makes. A person is made when asked for: a million of them take no room.

    What tells a person from all others is their own; the rest is one of two thousand bodies of fields, which
    many share, so that it is made and serialized only once.
    """

    own_names = ("_id", "_split", "email", "visit_count")
    """The fields that are a person's own, where they have them."""

    def __init__(self, seed: int, shape: t.Literal["people", "recorded"] = "people") -> None:
        self._seed = seed
        self._is_recorded = shape == "recorded"
        self._bodies: dict[int, Profile] = {}

    def person(self, number: int) -> Profile:
        """One person."""
        profile = {**self.own(number), **self.body(self.body_number(number))}
        # A copy, as bodies are shared.
        return t.cast("Profile", msgspec.json.decode(msgspec.json.encode(profile)))

    def id(self, number: int) -> str:
        """The `_id` of a person."""
        return f"recorded{number:08d}" if self._is_recorded else f"{self._seed:04d}{number:012d}"

    def own(self, number: int) -> Profile:
        """The fields that tell a person from all others."""
        own: Profile = {"_id": self.id(number), "_split": self.split(number)}
        address = self.address(number)
        if address is not None:
            own["email"] = address
        if not self._is_recorded:
            own["visit_count"] = 1 + number % _VISITS
        return own

    def body(self, body_number: int) -> Profile:
        """The fields that many share; not to be changed."""
        body = self._bodies.get(body_number)
        if body is None:
            body = _RECORDED if self._is_recorded else _body(body_number, self._seed)
            self._bodies[body_number] = body
        return body

    def body_number(self, number: int) -> int:
        """Which body of fields a person has."""
        return 0 if self._is_recorded else number % _BODIES

    def split(self, number: int) -> int:
        """The slice of the account that a person is in."""
        return number % 100 if self._is_recorded else _draw(number, self._seed) * 100 >> 32

    def address(self, number: int) -> str | None:
        """Most people have an address of their own; some have none, some share one, some write it their own way."""
        if self._is_recorded:
            return f"email{number + 1}@email.com"
        if number % 50 == 17:
            return None
        address = f"person.{number - _shares(number)}@example.com"
        chance = _draw(number, self._seed + 1)
        if chance > _ADDRESSES_WRITTEN_PLAINLY:
            return address.title() if chance % 7 < 5 else f" {address} "
        return address

    def at(self, key: str) -> t.Iterator[int]:
        """Who may have an address."""
        pattern = r"email(\d+)@email\.com" if self._is_recorded else r"person\.(\d+)@example\.com"
        found = re.fullmatch(pattern, key)
        if found is not None:
            number = int(found[1])
            yield from (number - 1,) if self._is_recorded else (number, number + 1)


def _shares(number: int) -> bool:
    """Whether somebody has the address of the person before them."""
    return number % 40 == 11


def _draw(number: int, salt: int) -> int:
    """A number of 32 bits that a person has; far cheaper than a random generator each."""
    return (number * 2_654_435_761 + salt * 1_013_904_223) & 0xFFFFFFFF


def _body(number: int, seed: int) -> Profile:
    chance = random.Random(seed * 1_000_003 + number)  # noqa: S311 - people, not keys
    draw = chance.random
    seconds = int(draw() * 60_000_000)
    nanoseconds = int(draw() * 1_000_000_000)
    visited = _START + dt.timedelta(seconds=seconds)
    zone = ("Z", "+02:00", "-07:00")[int(draw() * 3)]
    body: Profile = {
        "_created": "2024-01-01T00:00:00Z",
        "_modified": f"{visited:%Y-%m-%dT%H:%M:%S}Z",
        "_last_scored": f"{visited:%Y-%m-%dT%H:%M:%S}Z",
        "_split2": number % 100,
        "_num_aliases": 1 + number % 3,
        "_num_events": 1 + number % 500,
        "_num_days": 1 + number % 90,
        "first_name": _FIRST[int(draw() * len(_FIRST))],
        "last_name": _LAST[int(draw() * len(_LAST))],
    }
    place = int(draw() * len(_CITIES))
    if draw() < 0.8:
        body["city"] = _CITIES[place]
    if draw() < 0.9:
        body["country"] = _COUNTRIES[place]
    if draw() < 0.5:
        body["birthday"] = f"{1940 + int(draw() * 65)}-{1 + int(draw() * 12):02d}-{1 + int(draw() * 28):02d}"
    if draw() < 0.9:
        body["last_visit"] = f"{visited:%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}{zone}"
        body["visits_by_channel"] = {channel: 1 + int(draw() * 40) for channel in _CHANNELS if draw() < 0.5}
    if draw() < 0.7:
        body["is_customer"] = draw() < 0.5
        body["lifetime_value"] = round(draw() * 5000, 2)
    if draw() < 0.6:
        body["interests"] = chance.sample(_INTERESTS, 1 + int(draw() * 3))
    if draw() < 0.3:
        body["preferences"] = {"newsletter": draw() < 0.5, "sizes": {"shoe": 36 + int(draw() * 12)}}
    body["score_intensity"] = int(draw() * 100)
    if draw() < 0.2:
        body["visit_times"] = [f"{visited:%Y-%m-%dT%H:%M:%S}Z"]
    if draw() < 0.1:
        body |= _rarities(visited, draw())
    return body


def _rarities(visited: dt.datetime, chance: float) -> Profile:
    """Fields of the rarer types of Lytics."""
    time = f"{visited:%Y-%m-%dT%H:%M:%S}Z"
    return {
        "joined": time,
        "score_churn": chance,
        "tags": ["vip", "a, b"],
        "spend_by_year": {"2024": round(chance * 900, 2), "2025": 0.5},
        "labels": {"size": "L", "colour": "blå"},
        "opt_ins": {"email": chance < 0.5, "sms": False},
        "seen_by_channel": {"web": time},
        "odds_and_ends": {"count": 3, "text": "x", "none": None},
        "activity": [{"time": time, "count": 2}],
        "place": {"lat": 47.37, "lon": round(8 + chance, 4)},
        "likeness": [chance, 0.25, -1.5],
        "journeys": {"welcome": {"step": 2}},
    }


def is_old_split(split: int) -> bool:
    """Whether the numbers and booleans of a slice's profiles are text, as in older accounts."""
    return split % 5 == 0


def as_old_style(value: t.Any) -> t.Any:
    """A value as older accounts give it."""
    if isinstance(value, bool):
        return "t" if value else "f"
    if isinstance(value, (int, float)):
        return str(value)
    if isinstance(value, dict):
        return {key: as_old_style(item) for key, item in value.items()}
    return value


def member_key(value: t.Any) -> str | None:
    """The key under which a profile is a member: trimmed; an address also in NFC and lower case."""
    text = value.strip() if isinstance(value, str) else ""
    if "@" in text:
        text = unicodedata.normalize("NFC", text).lower()
    return text or None
