"""Looks up which people are members: queries of many identifiers, each with a control member who must come back."""

from __future__ import annotations

import collections
import typing as t
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from lytics_to_cordial.errors import TransientError
from tap_lytics_audience.lytics.api import Lytics, LyticsError
from tap_lytics_audience.lytics.audiences import Audience
from tap_lytics_audience.lytics.filterql import can_be_written, members_with
from tap_lytics_audience.lytics.identifier import member_key
from tap_lytics_audience.lytics.profiles import Profile, Profiles

Members: t.TypeAlias = t.Iterable[tuple[str, str]]

CONTROLS = 5
VALUES = 99
"""Identifiers in a query. With the control member's they fill one page of Lytics."""


class LookupFailedError(TransientError):
    """Lytics' answers about single members cannot be trusted."""


@dataclass
class Found:
    """What Lytics says of some people.

    Attributes:
        profiles: Those of people who are members, control members among them.
        unknown: Identifiers of which Lytics cannot be asked, or does not answer.
    """

    profiles: list[Profile] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class LookUp:
    """Looks up members of one audience. Several threads may use it.

    Attributes:
        lytics: The account.
        audience: The audience.
        profiles: The fields to ask for.
        identifier: The field that identifies members.
        controls: Key and identifier of people who are in the audience for certain, with plain identifiers. Without them, nothing
            proves that an empty answer is true.
        is_single: Whether each person is asked for alone, which needs no control.
    """

    lytics: Lytics
    audience: Audience
    profiles: Profiles
    identifier: str
    controls: t.Sequence[tuple[str, str]]
    is_single: bool = False

    def with_controls_of(self, members: t.Sequence[tuple[str, str]]) -> LookUp:
        """The same with those of some people as controls whom Lytics finds; if there are none, each person is asked for alone."""
        spellings = [spelling for _, spelling in members]
        answer = replace(self, controls=[])._find(spellings)  # noqa: SLF001 - one's own
        keys = set(map(member_key, map(self.profiles.getter(self.identifier), answer)))
        controls = [member for member in members if member[0] in keys]
        return replace(self, controls=controls[:CONTROLS], is_single=not controls)

    def ask(self, members: Members, concurrency: int) -> t.Iterator[Found]:
        """Yield what Lytics says of people, given by key and identifier; a key can come with several identifiers.

        Raises:
            LookupFailedError: If no control member comes back, or fewer profiles than Lytics counts.
            LyticsError: If Lytics does not answer.
        """
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="lookup")
        try:
            queries: collections.deque[Future[Found]] = collections.deque()
            for values in _chunks(members):
                queries.append(pool.submit(self._ask, values))
                if len(queries) > 2 * concurrency:
                    yield queries.popleft().result()
            while queries:
                yield queries.popleft().result()
        finally:
            # If the consumer stops early, drop the outstanding queries.
            pool.shutdown(wait=False, cancel_futures=True)

    def _ask(self, values: list[str]) -> Found:
        found = Found()
        together = [value for value in values if can_be_written(value) and not self.is_single]
        if together:
            self._find_all(together, found)
        for value in values:
            if value not in together:
                self._find_alone(value, found)
        if self.is_single and found.unknown:
            raise LookupFailedError(
                f"Lytics shows no member of audience {self.audience.slug!r} with {self.identifier} and gives no answer about single profiles, "
                "so it cannot confirm who left: no exit of this audience was sent; run again later, or give the API token the right to read "
                "profiles."
            )
        return found

    def _find_all(self, values: list[str], found: Found, *, is_halved: bool = False) -> None:
        """Ask for several values at once. A query that Lytics refuses is halved, until one value is left."""
        try:
            found.profiles += self._find(values)
        except LyticsError as error:
            if error.status != HTTPStatus.BAD_REQUEST:
                raise
            if not is_halved:
                # Where each query is refused, it is not for a value.
                self._find([])
            if len(values) == 1:
                self._find_alone(values[0], found)
                return
            middle = len(values) // 2
            self._find_all(values[:middle], found, is_halved=True)
            self._find_all(values[middle:], found, is_halved=True)

    def _find(self, values: list[str]) -> list[Profile]:
        identifier_of = self.profiles.getter(self.identifier)
        # One control member may have left a moment ago. That all of several did is no coincidence.
        for key, spelling in self.controls or [("", "")]:
            asked = [*values, spelling] if spelling else values
            if not asked:
                return []
            pages = list(
                self.lytics.find(members_with(self.audience.id, self.identifier, asked), self.profiles)
            )
            answer = [profile for page in pages for profile in page.profiles]
            is_whole = all(page.total is None or len(answer) >= page.total for page in pages)
            if is_whole and (not key or key in map(member_key, map(identifier_of, answer))):
                return answer
        raise LookupFailedError(
            f"Lytics' answers about members of audience {self.audience.slug!r} lack people who are in it for certain, so it cannot confirm "
            "who left: no exit of this audience was sent; run again later, and tell Lytics' support if it stays so."
        )

    def _find_alone(self, value: str, found: Found) -> None:
        """Ask for the profile of one identifier that no filter can hold, and for its audiences."""
        try:
            entity = self.lytics.entity(self.identifier, value, self.profiles)
        except LyticsError:
            entity = None
        if entity is None:
            found.unknown.append(value)
        elif not {self.audience.slug, self.audience.id}.isdisjoint(entity.audiences):
            found.profiles += entity.profiles


def _chunks(members: Members) -> t.Iterator[list[str]]:
    """The values to ask for, in lists that fit a query. A member is asked for by key, and as spelled in Lytics."""
    values: list[str] = []
    for key, spelling in members:
        spellings = [key] if spelling == key else [key, spelling]
        if len(values) + len(spellings) > VALUES:
            yield values
            values = []
        values += [value for value in spellings if value not in values]
    if values:
        yield values
