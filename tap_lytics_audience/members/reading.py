"""Reads an audience, or some people, and hands on block by block what happens to each member."""

from __future__ import annotations

import collections
import itertools
import logging
import typing as t
from dataclasses import dataclass, field

from lytics_to_cordial.progress import Work, counted
from tap_lytics_audience.lytics.identifier import member_key
from tap_lytics_audience.lytics.lookup import LookUp, LookupFailedError
from tap_lytics_audience.lytics.scan import scan
from tap_lytics_audience.members.kinds import EXITS, Change

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tap_lytics_audience.lytics.api import Audience, Lytics
    from tap_lytics_audience.lytics.profiles import Page
    from tap_lytics_audience.members.block import Block
    from tap_lytics_audience.members.changes import Changes, Decisions
    from tap_lytics_audience.members.delivery import Record
    from tap_lytics_audience.members.exits import Exits
    from tap_lytics_audience.members.selection import Selection
    from tap_lytics_audience.settings import Settings

    Blocks: t.TypeAlias = Generator[Decisions, None, str | None]

logger = logging.getLogger("tap-lytics-audience")


@dataclass(frozen=True)
class Account:
    """What every pass of a run shares.

    Attributes:
        lytics: The account.
        settings: How to read it.
        kinds: Lytics type of all profile fields of the account.
        sent: Name in Lytics and in records of each field to send, beside the identifier.
    """

    lytics: Lytics
    settings: Settings
    kinds: dict[str, str]
    sent: list[tuple[str, str]]


@dataclass
class Reading:
    """Reads one audience. What it hands on is good until the next is asked for.

    Attributes:
        slug: The audience's slug in records: what it was at the first run.
        name: Its name in records: what it was at the first run.
        counts: How many records there were of each change.
        work: What it is doing, and how far it is.
        expected: How many profiles Lytics counts, by the pages of the scan; None if it does not say.
    """

    account: Account
    audience: Audience
    slug: str
    name: str
    changes: Changes
    leaving: Exits
    selection: Selection
    block: Block
    counts: collections.Counter[Change] = field(default_factory=collections.Counter)
    work: Work = field(default_factory=Work)
    expected: int | None = None

    def scan(self) -> Iterator[Decisions]:
        """Read all members."""
        self.work = Work("members read", total=self.audience.size)
        for page in self._pages():
            if page.total is not None:
                # People leave while the scan goes on: as many as there are at the lowest have to be seen.
                self.expected = page.total if self.expected is None else min(self.expected, page.total)
                self.work.total = page.total
            self.work.done += len(page.profiles)
            self.block.add(page.profiles)
            if self.block.rows >= self.changes.block_rows:
                yield from self._judged()
        yield from self._judged()
        yield from self._handed_on(self.changes.judge_deferred(self.block))

    def touched(self, members: Iterator[tuple[str, str]]) -> Blocks:
        """Read one page, for the size of the audience and for control members, then the members whom messages name."""
        first = next(self.account.lytics.scan(self.audience.id, self.selection.profiles), None)
        if first is not None:
            self.expected = first.total
            self.block.add(first.profiles)
        yield from self._judged()
        # Not all profiles of these members were read, so their representatives stay.
        self.changes.forget_deferred()
        return (yield from self.look_up(members, Work("members looked up whom messages name")))

    def look_up(self, members: Iterator[tuple[str, str]], work: Work) -> Blocks:
        """Read those of some people who are members. The others stay unseen. Return the problem, if there is one."""
        first = next(members, None)
        if first is None:
            return None
        self.work = work
        controls = self.changes.controls
        # Only an audience that is empty by both counts has no member who could be a control.
        if not controls and not (self.expected == 0 and self.audience.size == 0):
            return (
                f"The scan of audience {self.slug!r} showed nobody with {self.selection.identifier} though it may have members, "
                "so no exit of it was sent: check identifier_field, and run again later."
            )
        look_up = LookUp(
            self.account.lytics, self.audience, self.selection.profiles, self.selection.identifier, controls
        )
        problem = None
        try:
            members = work.counting(itertools.chain((first,), members))
            for found in look_up.ask(members, self.account.settings.scan_concurrency):
                self.block.add(found.profiles)
                self.leaving.hold([member_key(value) or "" for value in found.unknown])
                if self.block.rows >= self.changes.block_rows:
                    yield from self._judged()
        except LookupFailedError as error:
            problem = str(error)
        yield from self._judged()
        yield from self._handed_on(self.changes.judge_deferred(self.block))
        return problem

    def records(self, decisions: Decisions) -> Iterator[Record]:
        """The records of what was handed on last."""
        for change, key, start, size in decisions.records():
            self.counts[change] += 1
            self.work.done += change in EXITS
            yield change, key, self.block.fields(start, size)

    def sample(self, limit: int) -> Iterator[Record]:
        """Some members, for a look at the tap's output."""
        page = next(self._pages(), None)
        self.block.add([] if page is None else page.profiles[:limit])
        yield from self.records(self.changes.judge(self.block))

    def shortfall(self, allowed_percent: float) -> str | None:
        """The problem, if fewer profiles were read than Lytics counts."""
        expected = self.audience.size if self.expected is None else self.expected
        seen = self.changes.profile_count
        if expected is None:
            return (
                f"Lytics does not say how many members audience {self.slug!r} has, so nobody can tell whether its scan was whole: no "
                "exit of it was sent; run again later."
            )
        if seen < expected * (1 - allowed_percent / 100):
            return (
                f"The scan of audience {self.slug!r} gave {seen} of {expected} profiles, fewer than scan_shortfall_percent "
                f"({allowed_percent:g} %) allows, so no exit of it was sent: run again later, and tell Lytics' support if it stays so."
            )
        return None

    def describe(self) -> str:
        """How much was read, for the log."""
        expected = "an unknown number of" if self.expected is None else f"{self.expected:,}"
        return (
            f"{self.changes.profile_count:,} of {expected} members read, {self.block.without_identifier:,} without "
            f"{self.selection.identifier}"
        )

    def warn(self) -> None:
        """Warn of members and values that could not be read."""
        held = self.leaving.held()
        if held:
            logger.warning(
                "Audience %s: Lytics cannot be asked about %s. No filter can hold their identifiers (a backslash at the end, or beside a "
                "quote), and the call for a single profile gave no answer. Nobody knows whether they left, so they stay: correct the "
                "identifiers in Lytics, or give the API token the right to read profiles.",
                self.slug,
                counted(held, "member"),
            )
        for name, count in sorted(self.selection.profiles.misfits.items()):
            logger.warning(
                "Audience %s: %s of field %s could not be made to fit its type: left out, so that what a contact has stays.",
                self.slug,
                counted(count, "value"),
                name,
            )

    def _pages(self) -> Iterator[Page]:
        return scan(
            self.account.lytics,
            self.audience.id,
            self.selection.profiles,
            size=self.audience.size,
            concurrency=self.account.settings.scan_concurrency,
        )

    def _judged(self) -> Iterator[Decisions]:
        yield from self._handed_on(self.changes.judge(self.block))

    def _handed_on(self, decisions: Decisions) -> Iterator[Decisions]:
        if decisions.count:
            yield decisions
        self.block.clear()
