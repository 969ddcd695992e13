"""One pass over one audience: first who entered or changed, last who left.

A pass yields deliveries. What a delivery holds is durable in the ledger before its first record is yielded, and its bookmark may
go into the state after its last record. Each phase returns the problem that keeps the pass from being complete, or None.
"""

from __future__ import annotations

import collections
import datetime as dt
import functools
import itertools
import logging
import typing as t
from dataclasses import dataclass, field, replace

from lytics_to_cordial.progress import Work, counted, duration
from tap_lytics_audience.bookmark import Bookmark
from tap_lytics_audience.lytics.identifier import member_key
from tap_lytics_audience.lytics.lookup import LookUp, LookupFailedError
from tap_lytics_audience.lytics.scan import scan
from tap_lytics_audience.members.delivery import Delivery
from tap_lytics_audience.members.kinds import EXITS, Change

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from tap_lytics_audience.lytics.api import Audience, Lytics
    from tap_lytics_audience.lytics.profiles import Page
    from tap_lytics_audience.members.block import Block
    from tap_lytics_audience.members.changes import Changes, Decisions
    from tap_lytics_audience.members.delivery import Record
    from tap_lytics_audience.members.exits import Exits
    from tap_lytics_audience.members.known import Known
    from tap_lytics_audience.members.ledger import Ledger
    from tap_lytics_audience.members.selection import Selection
    from tap_lytics_audience.members.touched import Touched
    from tap_lytics_audience.settings import Settings

    Deliveries: t.TypeAlias = Generator["Delivery", None, str | None]

ALWAYS_PASS = 100
"""So many exits pass whatever the percentage: a small audience changes by large shares."""
YOUNG_SECONDS = 60
"""Lytics' index may not know a change yet that is younger."""

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
class AudiencePass:
    """A pass over one audience, made by `open_pass`. Take all of `enters`, then of `late_enters`, then of `exits`.

    Attributes:
        counts: How many records there were of each change.
        work: What it is doing, and how far it is.
    """

    account: Account
    audience: Audience
    ledger: Ledger
    generation: str
    bookmark: Bookmark | None
    known: Known
    changes: Changes
    leaving: Exits
    touched: Touched
    selection: Selection
    block: Block
    counts: collections.Counter[Change] = field(default_factory=collections.Counter)
    work: Work = field(default_factory=Work)
    messages_wait_since: dt.datetime | None = None
    """Landing time of the earliest trigger message that could not be read yet."""

    def __post_init__(self) -> None:
        """Nothing is read yet."""
        self._started_at = dt.datetime.now(dt.timezone.utc)
        self._position = None if self.bookmark is None else self.bookmark.manifest(self.generation)
        self._expected: int | None = None

    @property
    def name(self) -> str:
        """The audience's name in records: what it was at the first run."""
        return self.ledger.manifest.audience_name or self.audience.name

    @property
    def slug(self) -> str:
        """The audience's slug in records: what it was at the first run."""
        return self.ledger.manifest.slug or self.audience.slug

    @property
    def triggers_since(self) -> dt.datetime | None:
        """The landing time from which on trigger messages count; None if the whole audience is scanned."""
        if self._scans_all or self.bookmark is None:
            return None
        return dt.datetime.fromisoformat(self.bookmark.triggers_from)

    def enters(self) -> Deliveries:
        """Read the audience, or the members whom trigger messages name: enters and updates."""
        if self.changes.adds_fields:
            logger.info(
                "Audience %s: fields were added, so all members are sent again as updates.", self.slug
            )
        if not self._scans_all:
            return (yield from self._read_touched())
        yield from self._scan()
        yield from self._deliver_deferred()
        if not self.ledger.manifest.is_scanned:
            self.ledger.update(is_scanned=True)
            if self.generation:
                yield self._saved(iter(()))
        return self._shortfall()

    def late_enters(self) -> Deliveries:
        """Ask Lytics about each member who was not seen: some are members all the same."""
        settings = self.account.settings
        self.leaving.find_candidates(among_touched=not self._scans_all)
        exits, size = self.leaving.count(), self.known.believed_members
        if exits > ALWAYS_PASS and exits * 100 > settings.max_exit_percent * size:
            return (
                f"{exits} of {size} members of audience {self.slug!r} would leave at once, more than max_exit_percent "
                f"({settings.max_exit_percent:g} %) allows, so no exit of it was sent: if they are right, run once with "
                "TAP_LYTICS_AUDIENCE_MAX_EXIT_PERCENT=100."
            )
        if not self._scans_all:
            return None
        candidates = self.leaving.candidates()
        problem = yield from self._look_up(candidates, Work("absent members looked up", total=exits))
        yield from self._deliver_deferred()
        return problem

    def exits(self) -> Deliveries:
        """Let the people go who are no longer members, and complete the pass."""
        self.work = Work("exits sent")
        for decisions in self.leaving.confirmed():
            yield self._remembered(decisions)
        self._complete()
        yield Delivery(iter(()), self.ledger.seen_at(), self._complete_bookmark())
        return None

    def sample(self, limit: int) -> Iterator[Record]:
        """Some members, for a look at the tap's output. Nothing is remembered."""
        page = next(self._pages(), None)
        self.block.add([] if page is None else page.profiles[:limit])
        yield from self._records(self.changes.judge(self.block))

    def log_summary(self) -> None:
        """Log what the pass did."""
        counts = self.counts
        again = counts[Change.EXIT_AGAIN]
        logger.info(
            "Audience %s: %s of %s members read, %s without %s; %s backfilled, %s entered, %s updated, %s left%s; %s.",
            self.slug,
            f"{self.changes.profile_count:,}",
            "an unknown number of" if self._expected is None else f"{self._expected:,}",
            f"{self.block.without_identifier:,}",
            self.account.settings.identifier_field,
            *(f"{counts[kind]:,}" for kind in (Change.BACKFILL, Change.ENTER, Change.UPDATE, Change.EXIT)),
            f", {counted(again, 'earlier exit')} sent again" if again else "",
            duration((dt.datetime.now(dt.timezone.utc) - self._started_at).total_seconds()),
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

    @functools.cached_property
    def _scans_all(self) -> bool:
        """Whether all members are read, or only those whom trigger messages name."""
        bookmark, settings = self.bookmark, self.account.settings
        if settings.change_detection == "scan" or bookmark is None or not self.ledger.manifest.is_complete:
            return True
        if not bookmark.triggers_from or not bookmark.scanned_at or self.changes.concerns_all:
            return True
        # A time in the future is that of a wrong clock.
        times = [dt.datetime.fromisoformat(text) for text in (bookmark.scanned_at, bookmark.triggers_from)]
        age = self._started_at - times[0]
        return age >= dt.timedelta(days=settings.rescan_days) or max(times) > self._started_at

    def _pages(self) -> Iterator[Page]:
        return scan(
            self.account.lytics,
            self.audience.id,
            self.selection.profiles,
            size=self.audience.size,
            concurrency=self.account.settings.scan_concurrency,
        )

    def _scan(self) -> Iterator[Delivery]:
        self.work = Work("members read", total=self.audience.size)
        for page in self._pages():
            if page.total is not None:
                # People leave while the scan goes on: as many as there are at the lowest have to be seen.
                self._expected = page.total if self._expected is None else min(self._expected, page.total)
                self.work.total = page.total
            self.work.done += len(page.profiles)
            self.block.add(page.profiles)
            if self.block.rows >= self.changes.block_rows:
                yield from self._deliver_block()
        yield from self._deliver_block()

    def _read_touched(self) -> Deliveries:
        first = next(self.account.lytics.scan(self.audience.id, self.selection.profiles), None)
        if first is not None:
            self._expected = first.total
            self.block.add(first.profiles)
        yield from self._deliver_block()
        # Not all profiles of these members were read, so their representatives stay.
        self.changes.forget_deferred()
        members = self.touched.members()
        problem = yield from self._look_up(members, Work("members looked up whom messages name"))
        yield from self._deliver_deferred()
        return problem

    def _look_up(self, members: Iterator[tuple[str, str]], work: Work) -> Deliveries:
        """Deliver those of some people who are members. The others stay unseen."""
        first = next(members, None)
        if first is None:
            return None
        self.work = work
        controls = self.changes.controls
        # Only an audience that is empty by both counts has no member who could be a control.
        if not controls and not (self._expected == 0 and self.audience.size == 0):
            return (
                f"The scan of audience {self.slug!r} showed nobody with {self.account.settings.identifier_field} though it may have members, "
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
                    yield from self._deliver_block()
        except LookupFailedError as error:
            problem = str(error)
        yield from self._deliver_block()
        return problem

    def _deliver_block(self) -> Iterator[Delivery]:
        yield from self._deliver(self.changes.judge(self.block))

    def _deliver_deferred(self) -> Iterator[Delivery]:
        yield from self._deliver(self.changes.judge_deferred(self.block))

    def _deliver(self, decisions: Decisions) -> Iterator[Delivery]:
        if decisions.count:
            yield self._remembered(decisions)
        self.block.clear()

    def _remembered(self, decisions: Decisions) -> Delivery:
        """Make decisions durable; then they may be delivered."""
        seen_at = self.ledger.seen_at()
        self.ledger.add_part(decisions.write, self.changes.fields, changed_at=seen_at)
        return replace(self._saved(self._records(decisions)), seen_at=seen_at)

    def _records(self, decisions: Decisions) -> Iterator[Record]:
        for change, key, start, size in decisions.records():
            self.counts[change] += 1
            self.work.done += change in EXITS
            yield change, key, self.block.fields(start, size)

    def _shortfall(self) -> str | None:
        """A short or strange scan yields no exits."""
        expected = self.audience.size if self._expected is None else self._expected
        seen, allowed = self.changes.profile_count, self.account.settings.scan_shortfall_percent
        if expected is None:
            return (
                f"Lytics does not say how many members audience {self.slug!r} has, so nobody can tell whether its scan was whole: no exit "
                "of it was sent; run again later."
            )
        if seen < expected * (1 - allowed / 100):
            return (
                f"The scan of audience {self.slug!r} gave {seen} of {expected} profiles, fewer than scan_shortfall_percent "
                f"({allowed:g} %) allows, so no exit of it was sent: run again later, and tell Lytics' support if it stays so."
            )
        return None

    def _complete(self) -> None:
        """Settle doubt, and merge parts when they are many. Without news no file is written."""
        ledger = self.ledger
        has_news = not ledger.manifest.is_complete
        ledger.update(is_complete=True)
        if ledger.doubtful and not self.leaving.has_open_doubt():
            ledger.settle()
            has_news = True
        if ledger.manifest.needs_merge and self.known.can_merge(self.changes.selection):
            ledger.add_part(self.known.write_base, self.changes.fields, replaces_all=True)
            has_news = True
        if has_news:
            self._position = ledger.save()

    def _saved(self, records: Iterator[Record]) -> Delivery:
        self._position = self.ledger.save()
        return Delivery(records, self.ledger.seen_at(), self._bookmark())

    def _bookmark(self) -> Bookmark:
        old = self.bookmark or Bookmark(self.slug, self.name)
        position = f"{self.generation}/{self._position}" if self._position else ""
        return replace(old, slug=self.slug, name=self.name, position=position)

    def _complete_bookmark(self) -> Bookmark:
        """The bookmark of a complete pass; in scan mode without times, so that a change of the mode scans anew."""
        bookmark = replace(self._bookmark(), members=self.known.sent_members, scanned_at="", triggers_from="")
        if self.account.settings.change_detection == "scan":
            return bookmark
        started = self._started_at.timestamp()
        waiting = None if self.messages_wait_since is None else self.messages_wait_since.timestamp()
        unsettled = self.touched.unsettled_since(started - YOUNG_SECONDS)
        since = min(time for time in (started, unsettled, waiting) if time is not None)
        return replace(
            bookmark,
            scanned_at=self._started_at.isoformat()
            if self._scans_all or self.bookmark is None
            else self.bookmark.scanned_at,
            triggers_from=dt.datetime.fromtimestamp(since, dt.timezone.utc).isoformat(),
        )
