"""Looks up which people are members: queries of many identifiers, each with a control member who must come back."""

from __future__ import annotations

import collections
import re
import typing as t
from concurrent.futures import ThreadPoolExecutor

from lytics_to_cordial.errors import UserError
from tap_lytics_audience.lytics.identifier import member_key

if t.TYPE_CHECKING:
    from concurrent.futures import Future

    from tap_lytics_audience.lytics.api import Audience, Lytics
    from tap_lytics_audience.lytics.profiles import Profile, Profiles

    Members: t.TypeAlias = t.Iterable[tuple[str, str]]

VALUES = 99
"""Identifiers in a query. With the control member's they fill one page of Lytics."""


class LookupFailedError(UserError):
    """Lytics' answers about single members cannot be trusted."""


def look_up(
    lytics: Lytics,
    audience: Audience,
    members: Members,
    *,
    controls: t.Sequence[tuple[str, str]],
    profiles: Profiles,
    identifier: str,
    concurrency: int,
) -> t.Iterator[list[Profile]]:
    """Yield the profiles of those people who are in an audience now; profiles of control members are among them.

    Args:
        lytics: The account.
        audience: The audience.
        members: The key and an identifier of each; a key can come with several identifiers.
        controls: People who are in the audience for certain. Without them, nothing proves that an empty answer is true.
        profiles: The fields to ask for.
        identifier: The field that identifies members.
        concurrency: How many queries to make at once.

    Raises:
        LookupFailedError: If no control member comes back, or fewer profiles than Lytics counts.
        LyticsError: If Lytics does not answer.
    """
    identifier_of = profiles.getter(identifier)

    def ask(values: list[str]) -> list[Profile]:
        # One control member may have left a moment ago. That all of several did is no coincidence.
        for key, spelling in controls or [("", "")]:
            filter_ = filter_text(audience, identifier, [*values, spelling] if spelling else values)
            pages = list(lytics.find(filter_, profiles))
            answer = [profile for page in pages for profile in page.profiles]
            is_whole = all(page.total is None or len(answer) >= page.total for page in pages)
            if is_whole and (not key or key in map(member_key, map(identifier_of, answer))):
                return answer
        raise LookupFailedError(
            f"Lytics' answers about members of audience {audience.slug!r} lack people who are in it for certain, so it cannot confirm "
            "who left: no exit of this audience was sent; run again later, and tell Lytics' support if it stays so."
        )

    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="lookup")
    try:
        queries: collections.deque[Future[list[Profile]]] = collections.deque()
        for values in _chunks(members):
            queries.append(pool.submit(ask, values))
            if len(queries) > 2 * concurrency:
                yield queries.popleft().result()
        while queries:
            yield queries.popleft().result()
    finally:
        # If the consumer stops early, drop the outstanding queries.
        pool.shutdown(wait=False, cancel_futures=True)


def filter_text(audience: Audience, field: str, values: t.Iterable[str]) -> str:
    """A filter for members of an audience by their identifiers (Lytics docs: FilterQL).

    People influence their identifiers, so these are quoted.
    """
    name = audience.slug if re.fullmatch(r"[A-Za-z0-9_-]+", audience.slug) else audience.id
    return f"FILTER AND (INCLUDE {name}, {field} IN ({', '.join(map(_quoted, values))})) FROM user"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


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
