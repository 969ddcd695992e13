"""One pass over one audience: first who entered or changed, last who left.

A pass yields deliveries. What a delivery holds is durable in the ledger before its first record is yielded, and its bookmark may
go into the state after its last record. A phase that raises a `UserError` is the last one: what it yielded stands.
"""

from __future__ import annotations

import datetime as dt
import functools
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from lytics_to_cordial.progress import Work, counted, duration
from tap_lytics_audience.bookmark import Bookmark
from tap_lytics_audience.members import limits
from tap_lytics_audience.members.changes import Decisions
from tap_lytics_audience.members.delivery import Delivery, Record
from tap_lytics_audience.members.kinds import Change
from tap_lytics_audience.members.known import Known
from tap_lytics_audience.members.ledger import Ledger
from tap_lytics_audience.members.reading import Reading

YOUNG_SECONDS = 60
"""Lytics' index may not know a change yet that is younger."""

logger = logging.getLogger("tap-lytics-audience")


@dataclass
class AudiencePass:
    """A pass over one audience, made by `open_passes`. Take all of `enters`, then of `late_enters`, then of `exits`."""

    reading: Reading
    ledger: Ledger
    generation: str
    bookmark: Bookmark | None
    known: Known
    messages_wait_since: dt.datetime | None = None
    """Landing time of the earliest trigger message that could not be read yet."""

    def __post_init__(self) -> None:
        """Nothing is read yet."""
        self._started_at = dt.datetime.now(dt.timezone.utc)
        self._position = None if self.bookmark is None else self.bookmark.manifest(self.generation)
        self._changes, self._leaving = self.reading.changes, self.reading.leaving
        self._settings = self.reading.account.settings

    @property
    def phases(self) -> tuple[Callable[[], Iterator[Delivery]], ...]:
        """What to do, in order."""
        return (self.enters, self.late_enters, self.exits)

    @property
    def triggers_since(self) -> dt.datetime | None:
        """The landing time from which on trigger messages count; None if the whole audience is scanned."""
        if self._scans_all or self.bookmark is None:
            return None
        return dt.datetime.fromisoformat(self.bookmark.triggers_from)

    def enters(self) -> Iterator[Delivery]:
        """Read the audience, or the members whom trigger messages name: enters and updates."""
        if self._changes.adds_fields:
            logger.info(
                "Audience %s: fields were added, so all members are sent again as updates.", self.reading.slug
            )
        if not self._scans_all:
            yield from map(self._remembered, self.reading.scan_touched())
            return
        yield from map(self._remembered, self.reading.scan())
        if not self.ledger.manifest.is_scanned:
            self.ledger.update(is_scanned=True)
            yield self._saved(iter(()))
        self.reading.check_whole(self._settings.scan_shortfall_percent)

    def late_enters(self) -> Iterator[Delivery]:
        """Ask Lytics about each member who was not seen: some are members all the same."""
        self._leaving.find_candidates(among_touched=not self._scans_all)
        exits, members = self._leaving.count(), self.known.believed_members
        limits.check_exits(
            self.reading.slug,
            exits,
            members,
            leaves_nobody=exits >= members and not self._changes.seen_count,
            max_exit_percent=self._settings.max_exit_percent,
        )
        if self._scans_all:
            work = Work("absent members looked up", total=exits)
            yield from map(self._remembered, self.reading.look_up(self._leaving.candidates(), work))

    def exits(self) -> Iterator[Delivery]:
        """Let the people go who are no longer members, and complete the pass."""
        self.reading.work = Work("exits sent")
        for decisions in self._leaving.confirmed():
            yield self._remembered(decisions)
        self._complete()
        yield Delivery(iter(()), self.ledger.seen_at(), self._complete_bookmark())

    def log_summary(self) -> None:
        """Log what the pass did."""
        counts = self.reading.counts
        again = counts[Change.EXIT_AGAIN]
        logger.info(
            "Audience %s: %s; %s backfilled, %s entered, %s updated, %s left%s; %s.",
            self.reading.slug,
            self.reading.describe(),
            *(f"{counts[kind]:,}" for kind in (Change.BACKFILL, Change.ENTER, Change.UPDATE, Change.EXIT)),
            f", {counted(again, 'earlier exit')} sent again" if again else "",
            duration((dt.datetime.now(dt.timezone.utc) - self._started_at).total_seconds()),
        )
        self.reading.warn()

    @functools.cached_property
    def _scans_all(self) -> bool:
        """Whether all members are read, or only those whom trigger messages name."""
        bookmark, settings = self.bookmark, self._settings
        if settings.change_detection == "scan" or bookmark is None or not self.ledger.manifest.is_complete:
            return True
        if not bookmark.triggers_from or not bookmark.scanned_at or self._changes.concerns_all:
            return True
        # A time in the future is that of a wrong clock.
        times = [dt.datetime.fromisoformat(text) for text in (bookmark.scanned_at, bookmark.triggers_from)]
        age = self._started_at - times[0]
        return age >= dt.timedelta(days=settings.rescan_days) or max(times) > self._started_at

    def _remembered(self, decisions: Decisions) -> Delivery:
        """Make decisions durable; then they may be delivered."""
        seen_at = self.ledger.seen_at()
        self.ledger.add_part(decisions.write, self._changes.fields, changed_at=seen_at)
        return replace(self._saved(self.reading.records(decisions)), seen_at=seen_at)

    def _complete(self) -> None:
        """Settle doubt, and merge parts when they are many. Without news no file is written."""
        ledger = self.ledger
        has_news = not ledger.manifest.is_complete
        ledger.update(is_complete=True)
        if ledger.doubtful and not self._leaving.has_open_doubt():
            ledger.settle()
            has_news = True
        if ledger.manifest.needs_merge and self.known.can_merge(self._changes.selection):
            ledger.add_part(self.known.write_base, self._changes.fields, replaces_all=True)
            has_news = True
        if has_news:
            self._position = ledger.save()

    def _saved(self, records: Iterator[Record]) -> Delivery:
        self._position = self.ledger.save()
        return Delivery(records, self.ledger.seen_at(), self._bookmark())

    def _bookmark(self) -> Bookmark:
        old = self.bookmark or Bookmark(self.reading.slug, self.reading.name)
        position = f"{self.generation}/{self._position}" if self._position else ""
        return replace(old, slug=self.reading.slug, name=self.reading.name, position=position)

    def _complete_bookmark(self) -> Bookmark:
        """The bookmark of a complete pass; in scan mode without times, so that a change of the mode scans anew."""
        bookmark = replace(self._bookmark(), members=self.known.sent_members, scanned_at="", triggers_from="")
        if self._settings.change_detection == "scan":
            return bookmark
        started = self._started_at.timestamp()
        waiting = None if self.messages_wait_since is None else self.messages_wait_since.timestamp()
        unsettled = self.reading.touched.unsettled_since(started - YOUNG_SECONDS)
        since = min(time for time in (started, unsettled, waiting) if time is not None)
        return replace(
            bookmark,
            scanned_at=self._started_at.isoformat()
            if self._scans_all or self.bookmark is None
            else self.bookmark.scanned_at,
            triggers_from=dt.datetime.fromtimestamp(since, dt.timezone.utc).isoformat(),
        )
