"""One pass over one audience: who enters or changed first, who left last.

A pass yields deliveries. What a delivery holds is durable in the ledger before its first record is yielded, and its
bookmark may go into the state after its last.
"""

from __future__ import annotations

import collections
import dataclasses
import datetime as dt
import logging
import typing as t
from dataclasses import dataclass, field

import msgspec

from lytics_to_cordial.progress import Work, counted, duration
from tap_lytics_audience.bookmark import Bookmark
from tap_lytics_audience.lytics.identifier import member_key
from tap_lytics_audience.lytics.lookup import LookupFailedError, look_up
from tap_lytics_audience.lytics.scan import scan
from tap_lytics_audience.members.block import Spool
from tap_lytics_audience.members.changes import Changes, Rules
from tap_lytics_audience.members.selection import Selection, digest_fields

if t.TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from typing_extensions import Self

    from tap_lytics_audience.lytics.api import Audience, Lytics
    from tap_lytics_audience.lytics.profiles import Page
    from tap_lytics_audience.members.ledger import Ledger
    from tap_lytics_audience.settings import Settings
    from tap_lytics_audience.triggers.events import Event

ALWAYS_PASS = 100
"""So many exits pass whatever the percentage: a small audience moves by much."""
YOUNG_SECONDS = 60
"""Lytics' index may not know a change yet that is younger."""
LOADED_EVENTS = 10_000

logger = logging.getLogger("tap-lytics-audience")

Record: t.TypeAlias = tuple[str, str, bytes]
"""A change, the member's key, and the fields as JSON without the braces."""


@dataclass(frozen=True)
class Delivery:
    """Records that leave together, and what is true once they are delivered.

    Attributes:
        records: The records; read them before the next delivery.
        seen_at: When their changes were seen: UTC, microseconds.
        bookmark: For the state that follows the last record.
    """

    records: Iterator[Record]
    seen_at: str
    bookmark: Bookmark


@dataclass
class AudiencePass:
    """A pass over one audience: call `enters`, then `late_enters`, then `exits`.

    Attributes:
        lytics: The account.
        audience: The audience.
        settings: How to read it.
        ledger: Its ledger.
        ledger_id: Whose ledger that is; blank for a sample.
        bookmark: How far it was sent; None if the state does not know it.
        kinds: Lytics type of all fields of the account.
        sent: Name in Lytics and in records of each field to send, beside the identifier.
        folder: For files on this machine, for this pass alone.
        problem: Why the pass is not complete; blank if it is.
        counts: How many records there were of each change.
        work: What it is doing, and how far it is.
    """

    lytics: Lytics
    audience: Audience
    settings: Settings
    ledger: Ledger
    ledger_id: str
    bookmark: Bookmark | None
    kinds: dict[str, str]
    sent: list[tuple[str, str]]
    folder: Path
    problem: str = ""
    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    work: Work = field(default_factory=Work)

    def __post_init__(self) -> None:
        """Open the ledger."""
        self.folder.mkdir(mode=0o700)
        is_sample = not self.ledger_id
        self._started_at = dt.datetime.now(dt.timezone.utc)
        position = None if self.bookmark is None else self.bookmark.manifest_name(self.ledger_id)
        self.ledger.open(position)
        self.ledger.delete_old(self.settings.ledger_keep_days)
        is_first = not self.ledger.manifest.complete
        names = [name for name, _ in self.sent]
        fields = digest_fields(names, self.settings.identifier_field)
        rules = Rules(self.settings.existing_users or is_sample, self.settings.profile_updates, is_first)
        self._changes = Changes(self.folder, fields, rules)
        self._changes.load(self.ledger)
        slug, name = self._kept_names(is_first=is_first and not is_sample)
        others, self._others_until = self.ledger.later_parts_of_others(self.settings.identifier_field)
        self._heeds_others = position is not None and self._changes.load_later_words(self.ledger, others)
        self.ledger.update(slug=slug, audience_name=name, identifier_field=self.settings.identifier_field)
        self._is_due = self._needs_scan(is_first=is_first)
        self._position = position or ""
        self._selection = self._select(fields)
        self._spool = Spool(self.folder, self._selection)
        self._expected: int | None = None
        self._unfinished_since: float | None = None
        self._events: list[bytes] = []

    @property
    def name(self) -> str:
        """The audience's name in records: what it was at the first run."""
        return self.ledger.manifest.audience_name

    @property
    def slug(self) -> str:
        """The audience's slug in records: what it was at the first run."""
        return self.ledger.manifest.slug

    @property
    def seen_at(self) -> str:
        """The time, in UTC with microseconds; never earlier than that of the audience's last change."""
        now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z")
        return max(now, self.ledger.manifest.changed_at)

    @property
    def triggers_since(self) -> dt.datetime | None:
        """The landing time from which on trigger messages count; None if the whole audience is scanned."""
        if self._is_due or self.bookmark is None:
            return None
        return dt.datetime.fromisoformat(self.bookmark.triggers_from)

    def add_event(self, event: Event) -> None:
        """Take a trigger message's word that somebody is worth a look.

        Args:
            event: What it says of this audience.
        """
        key = member_key(event.identifier)
        if key is not None:
            self._events.append(
                msgspec.json.encode(
                    {
                        "key": key,
                        "raw": str(event.identifier),
                        "kind": event.kind,
                        "happened_at": event.happened_at.timestamp(),
                        "landed_at": event.landed_at.timestamp(),
                    }
                )
            )
        if len(self._events) >= LOADED_EVENTS:
            self._load_events()

    def leave_unfinished(self, since: dt.datetime | None) -> None:
        """Note that trigger messages could not be read to their end.

        Args:
            since: Landing time of the earliest file; None if all could.
        """
        self._unfinished_since = None if since is None else since.timestamp()

    def enters(self) -> Iterator[Delivery]:
        """Read the audience, or those whom trigger messages name.

        Yields:
            Enters and updates.

        Raises:
            UserError: If it cannot be read.
        """
        if self._changes.adds_fields:
            logger.info(
                "Audience %s: fields were added, so that all members are sent again as updates.", self.slug
            )
        if self._is_due:
            yield from self._scan()
        else:
            yield from self._look_at_touched()
        yield from self._deliver_deferred()
        if self._is_due:
            self._check_total()

    def late_enters(self) -> Iterator[Delivery]:
        """Ask Lytics about each member who was not seen.

        Yields:
            Those who are members all the same.

        Raises:
            UserError: If Lytics does not answer.
        """
        if self.problem:
            return
        changes, settings = self._changes, self.settings
        changes.find_candidates(among_touched=not self._is_due)
        exits, size = changes.count_candidates(), changes.ledger_size
        if exits > ALWAYS_PASS and exits * 100 > settings.max_exit_percent * size:
            self.problem = (
                f"{exits} of {size} members of audience {self.slug!r} would leave at once, more than max_exit_percent "
                f"({settings.max_exit_percent:g} %) allows, so no exit of it was sent: if they are right, run once with "
                "TAP_LYTICS_AUDIENCE_MAX_EXIT_PERCENT=100."
            )
            return
        if self._is_due:
            yield from self._look_at(changes.candidates(), Work("absent members looked up", total=exits))
            yield from self._deliver_deferred()

    def exits(self) -> Iterator[Delivery]:
        """Let those go who are no longer members, and finish.

        Yields:
            Exits, and last the bookmark of the complete pass.

        Raises:
            UserError: If the ledger cannot be written.
        """
        if self.problem:
            return
        self._changes.confirm_exits()
        self.work = Work("exits sent")
        while self._changes.take_exits():
            seen_at = self.seen_at
            self.ledger.add_part(self._changes.write_exits, self._selection.fields, changed_at=seen_at)
            self._save()
            yield Delivery(self._exit_records(), seen_at, self._bookmark())
        self._finish()
        yield Delivery(iter(()), self.seen_at, self._complete_bookmark())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._changes.close()
        self._spool.close()

    def log_summary(self) -> None:
        """Say what the pass did."""
        counts = self.counts
        logger.info(
            "Audience %s: %s of %s members read, %s without %s; %s backfilled, %s entered, %s updated, %s left; %s.",
            self.slug,
            f"{self._changes.profiles:,}",
            "an unknown number of" if self._expected is None else f"{self._expected:,}",
            f"{self._spool.without_identifier:,}",
            self.settings.identifier_field,
            *(f"{counts[change]:,}" for change in ("backfill", "enter", "update", "exit")),
            duration((dt.datetime.now(dt.timezone.utc) - self._started_at).total_seconds()),
        )
        for name, count in sorted(self._selection.profiles.misfits.items()):
            logger.warning(
                "Audience %s: %s of field %s could not be made to fit its type: sent as null.",
                self.slug,
                counted(count, "value"),
                name,
            )

    def sample(self, limit: int) -> Iterator[Record]:
        """Some members, for a look at the tap's output; nothing is remembered.

        Args:
            limit: How many.

        Yields:
            Records.
        """
        page = next(self._pages(), None)
        self._spool.add([] if page is None else page.profiles[:limit])
        self._changes.look_at(self._spool)
        yield from self._records()

    def _kept_names(self, *, is_first: bool) -> tuple[str, str]:
        """Slug and name at the first run: a renamed audience must not start a second list."""
        audience = self.audience
        manifest = self.ledger.manifest
        slug, name = manifest.slug, manifest.audience_name
        if is_first:
            strangers = self.ledger.strangers(self.settings.identifier_field, audience.slug)
            self._changes.load_strangers(self.ledger, strangers)
            own = [stranger.newest for stranger in strangers if stranger.audience_id == audience.id]
            if own and not slug:
                newest = max(own, key=lambda other: other.changed_at)
                slug, name = newest.slug, newest.audience_name
        if self.bookmark is not None:
            slug, name = self.bookmark.slug or slug, self.bookmark.name or name
        if slug and (slug, name) != (audience.slug, audience.name):
            logger.warning(
                "The audience %s (%s) was renamed to %s (%s) in Lytics: records keep the old names, so that no second list begins.",
                slug,
                name,
                audience.slug,
                audience.name,
            )
        return slug or audience.slug, name or audience.name

    def _needs_scan(self, *, is_first: bool) -> bool:
        bookmark = self.bookmark
        if self.settings.change_detection == "scan" or is_first or bookmark is None:
            return True
        if not bookmark.triggers_from or not bookmark.scanned_at:
            return True
        if self._changes.concerns_all:
            return True
        age = self._started_at - dt.datetime.fromisoformat(bookmark.scanned_at)
        return age >= dt.timedelta(days=self.settings.rescan_days)

    def _select(self, fields: list[str]) -> Selection:
        older = [selection for selection in self._changes.selections if set(selection) > set(fields)]
        return Selection(
            identifier=self.settings.identifier_field,
            account=self.kinds,
            sent=self.sent,
            fields=fields,
            compared=older,
        )

    def _pages(self) -> Iterator[Page]:
        return scan(
            self.lytics,
            self.audience.id,
            self._selection.profiles,
            size=self.audience.size,
            concurrency=self.settings.scan_concurrency,
        )

    def _scan(self) -> Iterator[Delivery]:
        self.work = Work("members read", total=self.audience.size)
        for page in self._pages():
            if page.total is not None:
                # People leave while the scan goes on: what is there at the lowest has to be seen.
                self._expected = page.total if self._expected is None else min(self._expected, page.total)
                self.work.total = page.total
            self.work.done += len(page.profiles)
            self._spool.add(page.profiles)
            if self._spool.rows >= self._changes.block_rows:
                yield from self._deliver_block()
        yield from self._deliver_block()

    def _look_at_touched(self) -> Iterator[Delivery]:
        self._load_events()
        first = next(self.lytics.scan(self.audience.id, self._selection.profiles), None)
        if first is not None:
            self._expected = first.total
            self._spool.add(first.profiles)
        yield from self._deliver_block()
        # Not all profiles of these members were read, so the usual one goes on speaking for them.
        self._changes.forget_deferred()
        yield from self._look_at(self._changes.touched(), Work("members looked up whom messages name"))

    def _look_at(self, members: Iterator[tuple[str, str]], work: Work) -> Iterator[Delivery]:
        """Deliver those who are members, of some people; those who are not stay unseen."""
        first = next(members, None)
        if first is None:
            return
        self.work = work
        controls = self._changes.last_seen
        # Only of an audience that is empty by both counts there is no member who could be a control.
        if not controls and not (self._expected == 0 and self.audience.size == 0):
            self.problem = (
                f"The scan of audience {self.slug!r} showed nobody with {self.settings.identifier_field} though it may have members, so no "
                "exit of it was sent: check identifier_field, and run again later."
            )
            return
        try:
            for profiles in look_up(
                self.lytics,
                self.audience,
                _counted(first, members, work),
                controls=controls,
                profiles=self._selection.profiles,
                identifier=self._selection.identifier,
                concurrency=self.settings.scan_concurrency,
            ):
                self._spool.add(profiles)
                if self._spool.rows >= self._changes.block_rows:
                    yield from self._deliver_block()
        except LookupFailedError as error:
            self.problem = str(error)
        yield from self._deliver_block()

    def _deliver_block(self) -> Iterator[Delivery]:
        self._changes.look_at(self._spool)
        yield from self._deliver()
        self._spool.clear()

    def _deliver_deferred(self) -> Iterator[Delivery]:
        if self._changes.is_any_deferred:
            self._changes.look_at_deferred(self._spool)
            yield from self._deliver()
            self._spool.clear()

    def _deliver(self) -> Iterator[Delivery]:
        if self._changes.has_part:
            seen_at = self.seen_at
            self.ledger.add_part(self._changes.write_part, self._selection.fields, changed_at=seen_at)
            self._save()
            yield Delivery(self._records(), seen_at, self._bookmark())

    def _records(self) -> Iterator[Record]:
        for change, key, start, size in self._changes.records():
            self.counts[change] += 1
            yield change, key, self._spool.fields(start, size)

    def _exit_records(self) -> Iterator[Record]:
        for key in self._changes.exit_keys():
            self.counts["exit"] += 1
            self.work.done += 1
            yield "exit", key, b""

    def _check_total(self) -> None:
        """A short or odd scan yields no exits."""
        expected = self.audience.size if self._expected is None else self._expected
        seen = self._changes.profiles
        if expected is None:
            self.problem = (
                f"Lytics does not say how many members audience {self.slug!r} has, so nobody can tell whether its scan was whole: no exit "
                "of it was sent; run again later."
            )
        elif seen < expected * (1 - self.settings.scan_shortfall_percent / 100):
            self.problem = (
                f"The scan of audience {self.slug!r} gave {seen} of {expected} profiles, fewer than scan_shortfall_percent "
                f"({self.settings.scan_shortfall_percent:g} %) allows, so no exit of it was sent: run again later, and tell Lytics' support "
                "if it stays so."
            )

    def _finish(self) -> None:
        ledger = self.ledger
        is_settled = bool(ledger.doubtful) and not self._changes.is_doubt_open
        needs_save = is_settled or self._heeds_others or not ledger.manifest.complete
        if is_settled:
            ledger.settle()
        ledger.update(complete=True, others_until=self._others_until)
        if ledger.manifest.needs_merge and self._changes.can_merge:
            ledger.add_part(self._changes.write_base, self._selection.fields, is_base=True)
            needs_save = True
        if needs_save:
            self._save()

    def _save(self) -> None:
        self._position = self.ledger.save()

    def _bookmark(self) -> Bookmark:
        old = self.bookmark
        return Bookmark(
            slug=self.slug,
            name=self.name,
            position=f"{self.ledger_id}/{self._position}" if self._position else "",
            scanned_at="" if old is None else old.scanned_at,
            triggers_from="" if old is None else old.triggers_from,
        )

    def _complete_bookmark(self) -> Bookmark:
        """The bookmark of a complete pass; in scan mode without times, so that switching modes scans anew."""
        bookmark = dataclasses.replace(self._bookmark(), scanned_at="", triggers_from="")
        if self.settings.change_detection == "scan":
            return bookmark
        started = self._started_at.timestamp()
        waiting = self._changes.unsettled_since(started - YOUNG_SECONDS)
        times = [time for time in (started, waiting, self._unfinished_since) if time is not None]
        scanned_at = (
            self._started_at.isoformat()
            if self._is_due or self.bookmark is None
            else self.bookmark.scanned_at
        )
        triggers_from = dt.datetime.fromtimestamp(min(times), dt.timezone.utc).isoformat()
        return dataclasses.replace(bookmark, scanned_at=scanned_at, triggers_from=triggers_from)

    def _load_events(self) -> None:
        if not self._events:
            return
        path = self.folder / "events.jsonl"
        path.write_bytes(b"\n".join(self._events))
        self._changes.load_events(path)
        path.unlink()
        self._events.clear()


def _counted(
    first: tuple[str, str], others: Iterator[tuple[str, str]], work: Work
) -> Iterator[tuple[str, str]]:
    work.done = 1
    yield first
    for member in others:
        work.done += 1
        yield member
