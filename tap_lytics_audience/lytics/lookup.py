"""What is true of some members: ad hoc scans, each with a control member who must come back."""

from __future__ import annotations

import collections
import re
import typing as t
from concurrent.futures import ThreadPoolExecutor

from lytics_to_cordial.errors import UserError
from tap_lytics_audience.members.block import member_key

if t.TYPE_CHECKING:
    from tap_lytics_audience.lytics.api import Audience, Lytics
    from tap_lytics_audience.lytics.profiles import Profile
    from tap_lytics_audience.members.selection import Selection

    Members: t.TypeAlias = t.Iterable[tuple[str, str]]

VALUES = 99
"""Identifiers in one query, the control member's aside: with it they fill one page of Lytics."""


class LookupFailedError(UserError):
    """Lytics' answers about single members cannot be trusted."""


def look_up(
    lytics: Lytics,
    audience: Audience,
    members: Members,
    *,
    controls: t.Sequence[tuple[str, str]],
    selection: Selection,
    concurrency: int,
) -> t.Iterator[list[Profile]]:
    """Read those of some people who are in an audience now.

    Args:
        lytics: The account.
        audience: The audience.
        members: Key and identifier of each; one key can have several identifiers.
        controls: Members for certain; without any, nothing proves that an empty answer is one.
        selection: What to ask for, and which field identifies members.
        concurrency: How many queries at once.

    Yields:
        Profiles, those of control members among them.

    Raises:
        LookupFailedError: If a control member does not come back, or fewer profiles than Lytics counts.
        LyticsError: If Lytics does not answer.
    """
    identifier_of = selection.profiles.getter(selection.identifier)

    def ask(values: list[str]) -> list[Profile]:
        # A control member may have left a moment ago; that all of several did is no coincidence.
        for key, raw in controls or [("", "")]:
            text = filter_text(audience, selection.identifier, [*values, raw] if raw else values)
            pages = list(lytics.find(text, selection.profiles))
            profiles = [profile for page in pages for profile in page.profiles]
            is_whole = all(page.total is None or len(profiles) >= page.total for page in pages)
            if is_whole and (not key or key in map(member_key, map(identifier_of, profiles))):
                return profiles
        msg = (
            f"Lytics' answers about members of audience {audience.slug!r} lack people who are in it for certain, so it cannot confirm "
            "who left: no exit of this audience was sent; run again later, and tell Lytics' support if it stays so."
        )
        raise LookupFailedError(msg)

    pool = ThreadPoolExecutor(concurrency, thread_name_prefix="lookup")
    try:
        waiting: collections.deque[t.Any] = collections.deque()
        for values in _chunks(members):
            waiting.append(pool.submit(ask, values))
            if len(waiting) > 2 * concurrency:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        # Whoever stops early does not wait for answers that nobody reads.
        pool.shutdown(wait=False, cancel_futures=True)


def filter_text(audience: Audience, field: str, values: t.Iterable[str]) -> str:
    """A filter for those members of an audience who have one of some identifiers (Lytics docs: FilterQL).

    Args:
        audience: The audience.
        field: The identifier's field.
        values: Identifiers. People influence them, so they are quoted.

    Returns:
        FilterQL.
    """
    name = audience.slug if re.fullmatch(r"[A-Za-z0-9_-]+", audience.slug) else audience.id
    return f"FILTER AND (INCLUDE {name}, {field} IN ({', '.join(map(_quoted, values))})) FROM user"


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _chunks(members: Members) -> t.Iterator[list[str]]:
    values: list[str] = []
    for key, raw in members:
        new = [key] if raw == key else [key, raw]
        if len(values) + len(new) > VALUES:
            yield values
            values = []
        values += [value for value in new if value not in values]
    if values:
        yield values
