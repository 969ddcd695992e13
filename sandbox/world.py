"""The account at Lytics: profiles, audiences, and who is in which."""

from __future__ import annotations

import datetime as dt
import hashlib
import random
import re
import threading
import typing as t
from dataclasses import dataclass, field

from sandbox.faults import Faults
from sandbox.people import FIELDS, People, Profile
from sandbox.profiles import Profiles

CREATED = "2024-01-01T00:00:00Z"
"""When everything began: audiences, their first members."""
Move: t.TypeAlias = t.Literal["enter", "exit", "change"]


@dataclass(frozen=True)
class AudienceSpec:
    """An audience to start with.

    Attributes:
        name: Its name.
        members: How many profiles are in it.
        slug: Its slug; made from the name by default.
        kind: `user`, or `content` for one that holds no people.
        is_invalid: Whether its filter no longer works.
        emit_trigger: Whether it sends trigger messages.
        schedule_exit: Whether a leave that time alone brings sends one too.
    """

    name: str
    members: int = 13
    slug: str | None = None
    kind: t.Literal["user", "content"] = "user"
    is_invalid: bool = False
    emit_trigger: bool = True
    schedule_exit: bool = True


@dataclass
class Audience:
    """An audience as it is now.

    Attributes:
        id: 32 hexadecimal digits.
        slug: Its slug.
        name: Its name.
        kind: `user`, or `content`.
        is_invalid: Whether its filter no longer works.
        emit_trigger: Whether it sends trigger messages.
        schedule_exit: Whether a leave that time alone brings sends one too.
        members: The profiles that are in it, in the order of their coming.
        entered: When each of those came who were not there from the start.
        left: The profiles that are not in it any more.
        moved: Those who came or left: how many ad hoc calls there had been, and whether they were in it before.
    """

    id: str
    slug: str
    name: str
    kind: str
    is_invalid: bool
    emit_trigger: bool = True
    schedule_exit: bool = True
    members: dict[str, None] = field(default_factory=dict)
    entered: dict[str, str] = field(default_factory=dict)
    left: dict[str, None] = field(default_factory=dict)
    moved: dict[str, tuple[int, bool]] = field(default_factory=dict)


class World:
    """Profiles and audiences. Several threads may use it.

    Args:
        audiences: Audiences to start with; each has people of its own.
        seed: Of the population.
        faults: What goes wrong.
        shape: `people`, or `recorded` for the plain profiles of Lytics' documented replies.
    """

    def __init__(
        self,
        audiences: t.Sequence[AudienceSpec],
        *,
        seed: int,
        faults: Faults,
        shape: t.Literal["people", "recorded"] = "people",
    ) -> None:
        self.fields = dict(FIELDS)
        """Type and description of each profile field."""
        self.on_move: t.Callable[[Move, Audience, str], None] | None = None
        """Told of each move: what it is, the audience, the profile's `_id`."""
        self.profiles = Profiles(People(seed, shape))
        """All profiles, in an audience or not."""
        self.lock = threading.RLock()
        self.version = 0
        """Changes when somebody comes or leaves."""
        self.ad_hoc_calls = 0
        """How many ad hoc scans there have been."""
        self._faults = faults
        self._random = random.Random(seed)  # noqa: S311 - moves, not keys
        self._seed = seed
        self._audiences: dict[str, Audience] = {}
        self._made_audiences = 0
        for spec in audiences:
            self.add_audience(spec)

    def add_audience(self, spec: AudienceSpec) -> Audience:
        """Make an audience with new people."""
        slug = spec.slug or re.sub(r"[^a-z0-9]+", "_", spec.name.lower()).strip("_")
        with self.lock:
            # An audience that is made again after it was deleted is another one.
            number, self._made_audiences = self._made_audiences, self._made_audiences + 1
            id_ = hashlib.blake2b(f"{self._seed}/{number}/{slug}".encode(), digest_size=16).hexdigest()
            audience = Audience(
                id_, slug, spec.name, spec.kind, spec.is_invalid, spec.emit_trigger, spec.schedule_exit
            )
            self._audiences[id_] = audience
            audience.members = dict.fromkeys(self.profiles.new_person() for _ in range(spec.members))
            return audience

    def audiences(self) -> list[Audience]:
        """All audiences."""
        with self.lock:
            return list(self._audiences.values())

    def audience(self, name: str) -> Audience:
        """An audience by slug, id or name."""
        with self.lock:
            for audience in self._audiences.values():
                if name in {audience.id, audience.slug, audience.name}:
                    return audience
        raise KeyError(f"audience {name}")

    def audience_by_id_or_slug(self, name: str) -> Audience:
        """An audience as Lytics' calls name it; raises `KeyError` if there is none."""
        with self.lock:
            for audience in self._audiences.values():
                if name in {audience.id, audience.slug}:
                    return audience
        raise KeyError(f"audience {name}")

    def profile(self, id_: str) -> Profile:
        """A profile, with typed values."""
        with self.lock:
            return self.profiles.get(id_)

    def keys(self, name: str) -> dict[str, list[str]]:
        """Who is in an audience, by member key. Those that share an address share a key."""
        with self.lock:
            found: dict[str, list[str]] = {}
            for id_ in self.audience(name).members:
                key = self.profiles.key(id_)
                if key is not None:
                    found.setdefault(key, []).append(id_)
            return found

    def members(self, name: str) -> dict[str, list[Profile]]:
        """Who is in an audience, as profiles; for a large one, see `keys`."""
        with self.lock:
            return {key: [self.profile(id_) for id_ in ids] for key, ids in self.keys(name).items()}

    def profiles_without_identifier(self, name: str) -> int:
        """How many members have no address."""
        with self.lock:
            return sum(self.profiles.key(id_) is None for id_ in self.audience(name).members)

    def enter(self, name: str, profile: Profile | None = None) -> str:
        """Let somebody into an audience."""
        with self.lock:
            audience = self.audience(name)
            if profile is None:
                id_ = self.profiles.new_person()
            else:
                number = self.profiles.new_number()
                given = {"_id": f"given{number:08d}", "_created": _now(), "_modified": _now(), **profile}
                id_ = str(given["_id"])
                self.profiles.store({**given, "_id": id_, "_split": int(profile.get("_split", number % 100))})
            self._join(audience, id_)
            return id_

    def reenter(self, name: str, id_: str) -> None:
        """Let somebody who is known into an audience, such as one who left it."""
        with self.lock:
            self.profile(id_)
            self._join(self.audience(name), id_)

    def leave(self, name: str, id_: str) -> None:
        """Let somebody leave an audience."""
        with self.lock:
            audience = self.audience(name)
            del audience.members[id_]
            audience.left[id_] = None
            self._moved("exit", audience, id_)
            if self._faults.get("leaving_modifies") is not None:
                self.profiles.store({**self.profile(id_), "_modified": _now()})

    def change(self, id_: str, **fields: t.Any) -> None:
        """Change a profile."""
        with self.lock:
            profile = {**self.profile(id_), **fields, "_modified": _now()}
            self.profiles.store({name: value for name, value in profile.items() if value is not None})
            for audience in self._audiences.values():
                if id_ in audience.members:
                    self._moved("change", audience, id_)

    def merge(self, id_: str, other: str) -> None:
        """Make two profiles one: the other goes, with all of its memberships."""
        with self.lock:
            merged = {**self.profile(other), **self.profile(id_)}
            for audience in self._audiences.values():
                audience.left.pop(other, None)
                if other in audience.members:
                    del audience.members[other]
                    if id_ not in audience.members:
                        self._join(audience, id_)
            self.profiles.forget(other)
            self.version += 1
            self.change(id_, **merged)

    def advance(
        self,
        name: str,
        *,
        enter: int = 0,
        leave: int = 0,
        return_: int = 0,
        change: int = 0,
        merge: int = 0,
        readdress: int = 0,
    ) -> dict[str, list[str]]:
        """Let time pass."""
        with self.lock:
            audience = self.audience(name)
            gone = list(audience.left)
            done: dict[str, list[str]] = {"enter": [self.enter(name) for _ in range(enter)]}
            done["leave"] = self._some(audience, leave, exclude=done["enter"])
            for id_ in done["leave"]:
                self.leave(name, id_)
            done["return"] = self._random.sample(gone, min(return_, len(gone)))
            for id_ in done["return"]:
                self.reenter(name, id_)
            new = [*done["enter"], *done["return"]]
            done["change"] = self._some(audience, change, exclude=new)
            for id_ in done["change"]:
                visits = int(self.profile(id_).get("visit_count", 0))
                self.change(id_, visit_count=visits + 1, first_name=f"New {visits}")
            done["readdress"] = self._some(audience, readdress, exclude=new)
            for id_ in done["readdress"]:
                self.change(id_, email=f"moved.{id_}.{self.profiles.new_number()}@example.com")
            pairs = self._some(audience, 2 * merge, exclude=new)
            pairs = pairs[: len(pairs) // 2 * 2]
            done["merge"] = pairs[::2]
            for id_, other in zip(pairs[::2], pairs[1::2], strict=True):
                self.merge(id_, other)
            return done

    def rename_audience(self, name: str, *, new_name: str | None = None, new_slug: str | None = None) -> None:
        """Give an audience another name or slug."""
        with self.lock:
            audience = self.audience(name)
            audience.name = new_name or audience.name
            audience.slug = new_slug or audience.slug

    def invalidate_audience(self, name: str) -> None:
        """Make an audience's filter stop working."""
        with self.lock:
            self.audience(name).is_invalid = True

    def remove_audience(self, name: str) -> None:
        """Delete an audience."""
        with self.lock:
            del self._audiences[self.audience(name).id]

    def _join(self, audience: Audience, id_: str) -> None:
        was_member = id_ in audience.members
        audience.members[id_] = None
        audience.left.pop(id_, None)
        if not was_member:
            audience.entered[id_] = _now()
            self._moved("enter", audience, id_)

    def _moved(self, move: Move, audience: Audience, id_: str) -> None:
        if move != "change":
            self.version += 1
            calls, was_member = audience.moved.get(id_, (-1, False))
            # Of two moves between the same calls nobody has seen what was in between.
            if calls != self.ad_hoc_calls:
                was_member = move == "exit"
            audience.moved[id_] = (self.ad_hoc_calls, was_member)
        if self.on_move is not None:
            self.on_move(move, audience, id_)

    def _some(self, audience: Audience, count: int, *, exclude: t.Iterable[str]) -> list[str]:
        new = set(exclude)
        found = [id_ for id_ in audience.members if id_ not in new] if count else []
        return self._random.sample(found, min(count, len(found)))


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
