"""A pass over one audience that sends every member once, whatever was sent before.

A mirror may make of the list what the snapshot says. So of whomever the ledger does not say the same (who is new, changed or gone), it
gets to know before the snapshot ends, as a part that no manifest names. They are in doubt: the next run reads them again, and
sends the present truth.
"""

from __future__ import annotations

import datetime as dt
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.progress import Work, counted, duration
from tap_lytics_audience.bookmark import SnapshotBookmark
from tap_lytics_audience.members.changes import Decisions
from tap_lytics_audience.members.delivery import Delivery, Record
from tap_lytics_audience.members.kinds import Change
from tap_lytics_audience.members.ledger import Ledger
from tap_lytics_audience.members.reading import Reading

logger = logging.getLogger("tap-lytics-audience")


@dataclass
class SnapshotPass:
    """A snapshot of one audience, made by `open_snapshots`. Take all of each phase."""

    reading: Reading
    ledger: Ledger

    def __post_init__(self) -> None:
        """Nothing is read yet."""
        self._started_at = dt.datetime.now(dt.timezone.utc)
        self._settings = self.reading.account.settings
        self._news = 0

    @property
    def phases(self) -> tuple[Callable[[], Iterator[Delivery]], ...]:
        """What to do, in order."""
        return (self.enters, self.late_enters)

    @property
    def members(self) -> int:
        """How many were sent."""
        return self.reading.counts[Change.ENTER]

    @property
    def bookmark(self) -> SnapshotBookmark:
        """For the state that follows the last member."""
        return SnapshotBookmark(self.reading.slug, self.reading.name, self.members)

    def enters(self) -> Iterator[Delivery]:
        """Read the audience."""
        if not self._settings.existing_users and not self.ledger.manifest.is_scanned:
            raise UserError(
                f"The ledger knows of no first run over audience {self.reading.slug!r}, so nobody knows who was a member then: run the "
                "changes first, or set existing_users to true for the snapshot."
            )
        # Whoever is hidden by somebody's leaving is looked up, if the ledger holds them.
        is_known = self.ledger.manifest.is_complete
        scan = self.reading.scan() if is_known else self.reading.scan_undisturbed()
        yield from map(self._written, scan)
        self.reading.check_whole(self._settings.scan_shortfall_percent)

    def late_enters(self) -> Iterator[Delivery]:
        """Ask Lytics about members of the ledger who were not seen. After that, everybody has to have been seen whom Lytics counts."""
        leaving = self.reading.leaving
        leaving.find_candidates(among_touched=False)
        work = Work("absent members looked up", total=leaving.count())
        yield from map(self._written, self.reading.look_up(leaving.candidates(), work))
        # Nobody is taken off a list because Lytics cannot be asked about them.
        yield Delivery(self._unasked(), self.ledger.seen_at())
        self.reading.check_whole(0)
        for decisions in leaving.confirmed(are_news=True):
            self._news += decisions.count
            self.ledger.add_part(decisions.write, self.reading.changes.fields)

    def log_summary(self) -> None:
        """Log what the pass did."""
        reading = self.reading
        left_out = reading.changes.seen_count - self.members
        logger.info(
            "Audience %s: %s; a snapshot of %s%s%s; %s.",
            reading.slug,
            reading.describe(),
            counted(self.members, "member"),
            f", without {left_out:,} of the first run (existing_users: false)" if left_out > 0 else "",
            f"; {counted(self._news, 'change')} not sent yet, which the next run sends" if self._news else "",
            duration((dt.datetime.now(dt.timezone.utc) - self._started_at).total_seconds()),
        )
        reading.warn()

    def _written(self, decisions: Decisions) -> Delivery:
        """Make durable what the ledger does not say; then all may be delivered."""
        news = decisions.news_count
        if news:
            self.ledger.add_part(decisions.write_news, self.reading.changes.fields)
            self._news += news
        return Delivery(self.reading.records(decisions), self.ledger.seen_at())

    def _unasked(self) -> Iterator[Record]:
        for key in self.reading.leaving.held_members():
            self.reading.counts[Change.ENTER] += 1
            yield Change.ENTER, key, b""
