"""Reads an audience, or some people, and hands on block by block what happens to each member."""

from __future__ import annotations

import collections
import itertools
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from lytics_to_cordial.errors import TransientError
from lytics_to_cordial.progress import Work, counted
from tap_lytics_audience.lytics.api import Lytics
from tap_lytics_audience.lytics.audiences import Audience
from tap_lytics_audience.lytics.identifier import member_key
from tap_lytics_audience.lytics.lookup import LookUp, LookupFailedError
from tap_lytics_audience.lytics.profiles import Page
from tap_lytics_audience.lytics.scan import scan
from tap_lytics_audience.members import limits
from tap_lytics_audience.members.block import Block
from tap_lytics_audience.members.changes import Changes, Decisions
from tap_lytics_audience.members.delivery import Record
from tap_lytics_audience.members.exits import Exits
from tap_lytics_audience.members.kinds import EXITS, Change
from tap_lytics_audience.members.selection import Selection
from tap_lytics_audience.members.touched import Touched
from tap_lytics_audience.settings import Settings

SCANS = 3
"""So often at most an audience is scanned until nobody leaves meanwhile."""

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
    """

    account: Account
    audience: Audience
    slug: str
    name: str
    changes: Changes
    leaving: Exits
    touched: Touched
    selection: Selection
    block: Block
    counts: collections.Counter[Change] = field(default_factory=collections.Counter)
    work: Work = field(default_factory=Work)
    _total: int | None = None
    _has_shrunk: bool = False

    @property
    def expected(self) -> int | None:
        """How many profiles the audience has, by what Lytics said last; None if it did not."""
        return limits.whole_count(self._total, self.audience.size)

    def scan(self) -> Iterator[Decisions]:
        """Read all members."""
        self.work = Work("members read", total=self.audience.size)
        self._total, self._has_shrunk = None, False
        self.changes.forget_profiles()
        self.block.without_identifier = 0
        for page in self._pages():
            self._has_shrunk |= page.has_shrunk
            if page.total is not None:
                # People leave while the scan goes on: as many as there are at the lowest have to be seen.
                self._total = page.total if self._total is None else min(self._total, page.total)
                self.work.total = self.expected
            self.work.done += len(page.profiles)
            self.block.add(page.profiles)
            if self.block.rows >= self.changes.block_rows:
                yield from self._judged()
        yield from self._judged()
        yield from self._handed_on(self.changes.judge_deferred(self.block))

    def scan_undisturbed(self) -> Iterator[Decisions]:
        """Read all members while nobody leaves: who does lets all others move up, and one of them onto a page that was read before.

        Raises:
            TransientError: If somebody left in each scan.
        """
        for number in range(1, SCANS + 1):
            before = self._measured()
            yield from self.scan()
            after = self._measured()
            if not self._has_shrunk and (before is None or after is None or after >= before):
                return
            logger.info(
                "Audience %s: somebody left while it was scanned, so that others may be on no page (scan %d of at most %d).",
                self.slug,
                number,
                SCANS,
            )
        raise TransientError(
            f"In each of {SCANS} scans somebody left audience {self.audience.slug!r}, so that others may be on no page: run again at a quieter "
            "time."
        )

    def scan_touched(self) -> Iterator[Decisions]:
        """Read one page, for the size of the audience and for control members, then the members whom messages name."""
        first = next(self.account.lytics.scan(self.audience.id, self.selection.profiles), None)
        if first is not None:
            self._total = first.total
            self.block.add(first.profiles)
        yield from self._judged()
        # Not all profiles of these members were read, so their representatives stay.
        self.changes.forget_deferred()
        yield from self.look_up(self.touched.members(), Work("members of messages looked up"))

    def look_up(self, members: Iterator[tuple[str, str]], work: Work) -> Iterator[Decisions]:
        """Read those of some people who are members. The others stay unseen.

        Raises:
            LookupFailedError: If Lytics' answers cannot be trusted. Whom it found until then was handed on.
        """
        first = next(members, None)
        if first is None:
            return
        self.work = work
        failure = None
        try:
            members = work.counting(itertools.chain((first,), members))
            for answer in self._asking().ask(members, self.account.settings.scan_concurrency):
                self.block.add(answer.profiles)
                self.leaving.hold([member_key(value) or "" for value in answer.unknown])
                if self.block.rows >= self.changes.block_rows:
                    yield from self._judged()
        except LookupFailedError as error:
            failure = error
        yield from self._judged()
        yield from self._handed_on(self.changes.judge_deferred(self.block))
        if failure is not None:
            raise failure

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

    def check_whole(self, shortfall_percent: float) -> None:
        """See that all members were read. Who left meanwhile is missing, and missing in the size that Lytics gives then, too.

        Args:
            shortfall_percent: So many fewer are allowed.

        Raises:
            UserError: If they were not, or nobody can tell.
        """
        seen = self.changes.profile_count
        if self.expected is not None and limits.is_short(seen, self.expected, shortfall_percent):
            self._measured()
        limits.check_whole(self.slug, seen, self.expected, shortfall_percent)
        if not self.changes.seen_count:
            most = self.account.settings.max_exit_percent
            limits.check_identified(self.slug, seen, self.selection.identifier, most)

    def describe(self) -> str:
        """How much was read, for the log."""
        expected = "an unknown number of" if self.expected is None else f"{self.expected:,}"
        return (
            f"{self.changes.profile_count:,} of {expected} members read, {self.block.without_identifier:,} without "
            f"{self.selection.identifier}"
        )

    def warn(self) -> None:
        """Warn of what somebody should look at."""
        lost = self.leaving.without_identifier()
        if lost:
            logger.warning(
                "Audience %s: of those who left, %s in the audience and lost %s: somebody deleted it, or the profile is one that Lytics "
                "calls unhealthy and no longer processes. Without it they cannot stay on the list.",
                self.slug,
                "1 is still" if lost == 1 else f"{lost:,} are still",
                self.selection.identifier,
            )
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

    def _measured(self) -> int | None:
        """How many members there are now, by Lytics' count."""
        self.audience = replace(self.audience, size=self.account.lytics.size(self.audience.id))
        return self.audience.size

    def _pages(self) -> Iterator[Page]:
        return scan(
            self.account.lytics,
            self.audience.id,
            self.selection.profiles,
            size=self.audience.size,
            concurrency=self.account.settings.scan_concurrency,
        )

    def _asking(self) -> LookUp:
        """How Lytics is asked about members. Where none was seen, somebody whom the ledger holds may be the control."""
        lytics, profiles, identifier = self.account.lytics, self.selection.profiles, self.selection.identifier
        look_up = LookUp(lytics, self.audience, profiles, identifier, self.changes.controls)
        # Only an audience that is empty by both counts has no member who could be a control.
        if look_up.controls or (self._total == 0 and self.audience.size == 0):
            return look_up
        return look_up.with_controls_of(self.changes.plain_members())

    def _judged(self) -> Iterator[Decisions]:
        yield from self._handed_on(self.changes.judge(self.block))

    def _handed_on(self, decisions: Decisions) -> Iterator[Decisions]:
        if decisions.count:
            yield decisions
        self.block.clear()
