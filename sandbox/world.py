"""The account at Lytics: profiles, audiences, and who is in which."""

from __future__ import annotations

import base64
import datetime as dt
import hashlib
import random
import re
import threading
import typing as t
from dataclasses import dataclass, field

import msgspec

from sandbox.filterql import FilterError, parse
from sandbox.people import as_old_style, is_old_style, member_key, person, recorded_person

if t.TYPE_CHECKING:
    from sandbox.faults import Faults
    from sandbox.filterql import Test
    from sandbox.people import Profile

MAX_PAGE = 100
_encode = msgspec.json.Encoder().encode


class CursorError(ValueError):
    """The cursor is not one of ours, or too old."""


@dataclass(frozen=True)
class AudienceSpec:
    """An audience to start with.

    Attributes:
        name: Its name.
        members: How many profiles are in it.
        slug: Its slug; made from the name by default.
        kind: `user`, or `content` for one that holds no people.
        is_invalid: Whether its filter no longer works.
    """

    name: str
    members: int = 13
    slug: str | None = None
    kind: t.Literal["user", "content"] = "user"
    is_invalid: bool = False


@dataclass
class Audience:
    """An audience as it is now."""

    id: str
    slug: str
    name: str
    kind: str
    is_invalid: bool
    members: dict[str, None] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


class World:
    """Profiles and audiences. Several threads may use it.

    Args:
        audiences: Audiences to start with; each has people of its own.
        seed: Of the population.
        faults: What goes wrong in scans.
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
        self._faults = faults
        self._lock = threading.RLock()
        self._random = random.Random(seed)  # noqa: S311 - moves, not keys
        self._seed = seed
        self._shape = shape
        self._profiles: dict[str, bytes] = {}
        self._people = 0
        self._audiences: dict[str, Audience] = {}
        self._version = 0
        self._orders: dict[tuple[str, str], tuple[int, list[str]]] = {}
        self._pages: dict[t.Any, tuple[int, bytes]] = {}
        self._by_key: tuple[int, dict[str, list[str]]] = (-1, {})
        for spec in audiences:
            self.add_audience(spec)

    def add_audience(self, spec: AudienceSpec) -> Audience:
        """Make an audience with new people.

        Args:
            spec: The audience.

        Returns:
            It.
        """
        slug = spec.slug or re.sub(r"[^a-z0-9]+", "_", spec.name.lower()).strip("_")
        with self._lock:
            number = len(self._audiences)
            id_ = hashlib.blake2b(f"{self._seed}/{number}/{slug}".encode(), digest_size=16).hexdigest()
            audience = Audience(id_, slug, spec.name, spec.kind, spec.is_invalid)
            self._audiences[id_] = audience
            for _ in range(spec.members):
                self._add_person(audience)
            return audience

    def audiences(self) -> list[Audience]:
        """All audiences."""
        with self._lock:
            return list(self._audiences.values())

    def audience(self, name: str) -> Audience:
        """An audience by slug, id or name.

        Args:
            name: Which.

        Returns:
            It.

        Raises:
            KeyError: If there is none.
        """
        with self._lock:
            for audience in self._audiences.values():
                if name in {audience.id, audience.slug, audience.name}:
                    return audience
        raise KeyError(name)

    def profile(self, id_: str) -> Profile:
        """A profile, with typed values.

        Args:
            id_: Its `_id`.

        Returns:
            The profile.
        """
        return t.cast("Profile", msgspec.json.decode(self._profiles[id_]))

    def members(self, name: str) -> dict[str, list[Profile]]:
        """Who is in an audience: its profiles by member key. Those that share an address share a key.

        Args:
            name: The audience.

        Returns:
            Profiles with typed values, by key; without those that have no address.
        """
        with self._lock:
            found: dict[str, list[Profile]] = {}
            for id_ in self.audience(name).members:
                profile = self.profile(id_)
                key = member_key(profile.get("email"))
                if key is not None:
                    found.setdefault(key, []).append(profile)
            return found

    def profiles_without_identifier(self, name: str) -> int:
        """How many members have no address.

        Args:
            name: The audience.
        """
        with self._lock:
            members = self.audience(name).members
            return sum(member_key(self.profile(id_).get("email")) is None for id_ in members)

    def page(
        self, name: str, *, fields: list[str] | None, splits: frozenset[int] | None, limit: int, cursor: str
    ) -> bytes:
        """A page of a scan, as Lytics answers it.

        Args:
            name: The audience.
            fields: The fields to give; all by default.
            splits: The slices to give; all by default.
            limit: The most rows.
            cursor: The last page's `_next`; blank for the first.

        Returns:
            The answer's body.

        Raises:
            KeyError: If there is no such audience.
            CursorError: If the cursor is no good.
        """
        with self._lock:
            audience = self.audience(name)
            order = self._order(audience, splits)
            total = len(audience.members)
            start = self._start(cursor, len(order))
            memo = (audience.id, tuple(fields or ()), splits, limit, start)
            version, body = self._pages.get(memo, (-1, b""))
            if version != self._version or self._faults.describe():
                body = self._page(order, start, limit, total, fields)
                self._pages[memo] = (self._version, body)
            return body

    def ad_hoc_page(self, filter_text: str, *, fields: list[str] | None, limit: int, cursor: str) -> bytes:
        """A page of the profiles that a filter matches, as Lytics answers it.

        Args:
            filter_text: The filter.
            fields: The fields to give; all by default.
            limit: The most rows.
            cursor: The last page's `_next`; blank for the first.

        Returns:
            The answer's body.

        Raises:
            FilterError: If the filter cannot be read.
            CursorError: If the cursor is no good.
        """
        with self._lock:
            test = parse(filter_text, self._includes, fold=bool(self._faults.get("filter_ignores_case")))
            ids = (
                []
                if self._faults.get("filter_blind")
                else [id_ for id_ in self._asked_for(filter_text) if test(self.profile(id_))]
            )
            return self._page(sorted(ids), self._start(cursor, len(ids)), limit, len(ids), fields)

    def enter(self, name: str, profile: Profile | None = None) -> str:
        """Let somebody into an audience.

        Args:
            name: The audience.
            profile: A profile, new or (by `_id`) known; a new person by default.

        Returns:
            Its `_id`.
        """
        with self._lock:
            self._version += 1
            audience = self.audience(name)
            if profile is None:
                return self._add_person(audience)
            self._people += 1
            number = self._people
            split = int(profile.get("_split", number % 100))
            given = {
                "_id": f"given{number:08d}",
                "_created": _now(),
                "_modified": _now(),
                **profile,
                "_split": split,
            }
            self._profiles[given["_id"]] = _encode(given)
            audience.members[given["_id"]] = None
            return str(given["_id"])

    def leave(self, name: str, id_: str) -> None:
        """Let somebody leave an audience.

        Args:
            name: The audience.
            id_: The profile.
        """
        with self._lock:
            self._version += 1
            audience = self.audience(name)
            del audience.members[id_]
            audience.left.append(id_)

    def change(self, id_: str, **fields: t.Any) -> None:
        """Change a profile.

        Args:
            id_: The profile.
            **fields: New values; None takes a field away.
        """
        with self._lock:
            self._version += 1
            profile = {**self.profile(id_), **fields, "_modified": _now()}
            self._profiles[id_] = _encode(
                {name: value for name, value in profile.items() if value is not None}
            )

    def merge(self, id_: str, other: str) -> None:
        """Make two profiles one: the other goes, with all of its memberships.

        Args:
            id_: The profile that stays.
            other: The one that goes.
        """
        with self._lock:
            self._version += 1
            profile = {**self.profile(other), **self.profile(id_), "_modified": _now()}
            self._profiles[id_] = _encode(profile)
            for audience in self._audiences.values():
                if other in audience.members:
                    del audience.members[other]
                    audience.members[id_] = None
            del self._profiles[other]

    def advance(
        self,
        name: str,
        *,
        enter: int = 0,
        leave: int = 0,
        change: int = 0,
        merge: int = 0,
        readdress: int = 0,
    ) -> dict[str, list[str]]:
        """Let time pass.

        Args:
            name: The audience.
            enter: How many new people come in.
            leave: How many members leave.
            change: How many members' fields change.
            merge: How many pairs of members become one.
            readdress: How many members change their address.

        Returns:
            The profiles concerned, by kind of change.
        """
        with self._lock:
            done: dict[str, list[str]] = {"enter": [self.enter(name) for _ in range(enter)]}
            done["leave"] = self._some(name, leave, exclude=done["enter"])
            for id_ in done["leave"]:
                self.leave(name, id_)
            done["change"] = self._some(name, change, exclude=done["enter"])
            for id_ in done["change"]:
                visits = int(self.profile(id_).get("visit_count", 0))
                self.change(id_, visit_count=visits + 1, first_name=f"New {visits}")
            done["readdress"] = self._some(name, readdress, exclude=done["enter"])
            for id_ in done["readdress"]:
                self.change(id_, email=f"moved.{id_}.{self._version}@example.com")
            pairs = self._some(name, 2 * merge, exclude=done["enter"])
            done["merge"] = pairs[::2]
            for id_, other in zip(pairs[::2], pairs[1::2], strict=True):
                self.merge(id_, other)
            return done

    def rename_audience(self, name: str, *, new_name: str | None = None, new_slug: str | None = None) -> None:
        """Give an audience another name or slug.

        Args:
            name: The audience.
            new_name: Its new name.
            new_slug: Its new slug.
        """
        with self._lock:
            audience = self.audience(name)
            audience.name = new_name or audience.name
            audience.slug = new_slug or audience.slug

    def invalidate_audience(self, name: str) -> None:
        """Make an audience's filter stop working.

        Args:
            name: The audience.
        """
        with self._lock:
            self.audience(name).is_invalid = True

    def remove_audience(self, name: str) -> None:
        """Delete an audience.

        Args:
            name: The audience.
        """
        with self._lock:
            del self._audiences[self.audience(name).id]

    def _add_person(self, audience: Audience) -> str:
        number, self._people = self._people, self._people + 1
        profile = recorded_person(number) if self._shape == "recorded" else person(number, self._seed)
        self._profiles[profile["_id"]] = _encode(profile)
        audience.members[profile["_id"]] = None
        return str(profile["_id"])

    def _some(self, name: str, count: int, *, exclude: list[str]) -> list[str]:
        found = [id_ for id_ in self.audience(name).members if id_ not in set(exclude)]
        return self._random.sample(found, min(count, len(found)))

    def _includes(self, name: str) -> Test:
        audience = self.audience(name)
        lagging = set(audience.left) if self._faults.get("index_lag") else set()
        return lambda profile: profile["_id"] in audience.members or profile["_id"] in lagging

    def _asked_for(self, filter_text: str) -> t.Iterable[str]:
        """The profiles that can match: those with a named address where the filter has any, else all."""
        named = re.findall(r'"([^"\\]*@[^"\\]*)"', filter_text)
        if not named or " NOT " in filter_text:
            return list(self._profiles)
        version, index = self._by_key
        if version != self._version:
            index = {}
            for id_ in self._profiles:
                key = member_key(self.profile(id_).get("email"))
                if key is not None:
                    index.setdefault(key, []).append(id_)
            self._by_key = (self._version, index)
        return {id_ for address in named for id_ in index.get(member_key(address) or "", ())}

    def _order(self, audience: Audience, splits: frozenset[int] | None) -> list[str]:
        if splits is None or self._faults.get("splits_ignored"):
            memo = (audience.id, "")
            wanted: frozenset[int] | None = None
        else:
            wanted = splits
            if self._faults.get("splits_overlap"):
                wanted = wanted | {(split + 1) % 100 for split in wanted}
            memo = (audience.id, ",".join(map(str, sorted(wanted))))
        version, order = self._orders.get(memo, (-1, []))
        if version != self._version:
            if wanted is None:
                order = list(audience.members)
            else:
                order = [id_ for id_ in audience.members if self.profile(id_)["_split"] in wanted]
            self._orders[memo] = (self._version, order)
        return order

    def _start(self, cursor: str, total: int) -> int:
        if not cursor:
            return 0
        try:
            kind, start = base64.urlsafe_b64decode(cursor.encode()).decode().split(":")
        except ValueError:
            kind, start = "", "0"
        expires = self._faults.get("cursor_expires")
        if (
            kind != "scan"
            or not start.isdigit()
            or (expires is not None and int(start) >= int(expires) * MAX_PAGE)
        ):
            msg = "the scan cursor is not valid or has expired"
            raise CursorError(msg)
        return min(int(start), total)

    def _page(self, order: list[str], start: int, limit: int, total: int, fields: list[str] | None) -> bytes:
        short = self._faults.get("short_scan")
        end = len(order) if short is None else int(len(order) * float(short))
        stop = min(start + limit, end)
        rows = [self._row(id_, fields) for id_ in order[start:stop]]
        missed, repeated = self._faults.get("rows_missed"), self._faults.get("rows_repeated")
        if missed:
            rows = [row for place, row in enumerate(rows, start + 1) if place % int(missed)]
        if repeated:
            rows = [
                row
                for place, row in enumerate(rows, start + 1)
                for _ in range(1 if place % int(repeated) else 2)
            ]
        following = base64.urlsafe_b64encode(f"scan:{stop}".encode()).decode() if stop < end else ""
        head = _encode({"status": 200, "message": "success", "_next": following, "total": total})
        return head[:-1] + b',"data":[' + b",".join(rows) + b"]}"

    def _row(self, id_: str, fields: list[str] | None) -> bytes:
        profile = self.profile(id_)
        is_old = is_old_style(profile) or self._faults.get("old_style_values")
        profile["segments"] = [
            audience.slug for audience in self._audiences.values() if id_ in audience.members
        ]
        if fields is not None:
            profile = {name: profile[name] for name in fields if name in profile}
        if is_old:
            profile = {
                name: value if name == "_split" else as_old_style(value) for name, value in profile.items()
            }
        return _encode(profile)


def _now() -> str:
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")


__all__ = ["Audience", "AudienceSpec", "CursorError", "FilterError", "World"]
