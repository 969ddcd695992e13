"""Trigger events: what Lytics' messages say of people and audiences. They say whom to look at, never what is true."""

from __future__ import annotations

import datetime as dt
import logging
import typing as t
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import msgspec

from lytics_to_cordial.files import File
from tap_lytics_audience.triggers.files import LandedFiles
from tap_lytics_audience.triggers.messages import (
    BROKEN,
    CUT,
    MAX_FILE_BYTES,
    NOT_A_MESSAGE,
    TOO_LARGE,
    Garbage,
    Message,
    messages,
)

Kind: t.TypeAlias = t.Literal["enter", "exit", "change"]

MAX_WARNINGS = 20

_KINDS: tuple[Kind, ...] = t.get_args(Kind)
_UNFINISHED_FOR = {CUT: dt.timedelta(days=1), BROKEN: dt.timedelta(minutes=1)}
"""How long a file that ends badly counts as still being written; one that goes on later lands anew."""

logger = logging.getLogger("tap-lytics-audience")


@dataclass(frozen=True)
class Event:
    """What a message says of one person and one audience.

    Attributes:
        audience_id: The audience.
        identifier: The identifier field's value, as spelled in the message; None if the message has none.
        kind: What happened.
        happened_at: When, UTC: the event's own time, otherwise the message's, otherwise `landed_at`.
        landed_at: When the file landed, UTC.
    """

    audience_id: str
    identifier: str | None
    kind: Kind
    happened_at: dt.datetime
    landed_at: dt.datetime


class TriggerFiles:
    """The trigger messages that landed under a folder.

    Attributes:
        unfinished_since: After `events`: when the earliest file landed that is cut, still being written or gone; None if all
            were read. Such a file is read again when events since then are asked for.
        unread: After `events`: how many messages could not be read.
        without_identifier: After `events`: how many messages about followed audiences do not say who.

    Args:
        url: The folder; a path or an fsspec URL.
        audiences: Audience id by id and by slug of each followed audience.
        identifier_field: The profile field that says who.
    """

    def __init__(self, url: str, *, audiences: Mapping[str, str], identifier_field: str) -> None:
        self._files = LandedFiles(url)
        self._audiences = audiences
        self._identifier_field = identifier_field
        self._read = 0
        self._unread_in: Counter[File] = Counter()
        self.unfinished_since: dt.datetime | None = None
        self.unread = 0
        self.without_identifier = 0

    def events(self, since: dt.datetime) -> Iterator[Event]:
        """Yield what the messages say that landed at a time or after it, in the order in which their files landed.

        Garbage is counted and warned of, and never ends a run: the next full scan makes up for what it may have said.

        Raises:
            FolderError: If the folder or a file in it may not be read, or the storage does not answer.
        """
        self._read = self.unread = self.without_identifier = 0
        self._unread_in.clear()
        self.unfinished_since = None
        files = self._files.since(since)
        for file in files:
            if file.size > MAX_FILE_BYTES:
                self._count_garbage(file, Garbage(1, TOO_LARGE))
        for file, content in self._files.contents([file for file in files if file.size <= MAX_FILE_BYTES]):
            if content is None:
                self._count_unfinished(file)
                continue
            for found in messages(content):
                if isinstance(found, Message):
                    yield from self._events_of(found, file)
                else:
                    self._count_garbage(file, found)
        self._log_end()

    def _events_of(self, message: Message, file: File) -> Iterator[Event]:
        """Yield what a message says of followed audiences."""
        identifier = _identifier(message.fields.get(self._identifier_field))
        followed = [
            (audience_id, event)
            for event in message.events
            if (audience_id := self._audiences.get(event.id or "") or self._audiences.get(event.slug or ""))
        ]
        for audience_id, event in followed:
            for kind in _KINDS:
                if kind == event.event:
                    own_time = {"enter": event.enter, "exit": event.exit}.get(kind)
                    happened_at = _time(own_time) or _time(message.time) or file.modified_at
                    yield Event(audience_id, identifier, kind, happened_at, file.modified_at)
        if any(event.event not in _KINDS for _, event in followed):
            self._count_garbage(file, Garbage(message.line, NOT_A_MESSAGE))
        else:
            self._read += 1
        if followed and identifier is None:
            self.without_identifier += 1

    def _count_garbage(self, file: File, garbage: Garbage) -> None:
        patience = _UNFINISHED_FOR.get(garbage.reason)
        if patience is not None and dt.datetime.now(dt.timezone.utc) - file.modified_at < patience:
            self._count_unfinished(file)
            return
        self.unread += 1
        self._unread_in[file] += 1
        if self.unread <= MAX_WARNINGS:
            place = self._files.place(file)
            logger.warning("No trigger message: %s, line %d %s.", place, garbage.line, garbage.reason)

    def _count_unfinished(self, file: File) -> None:
        self.unfinished_since = min(self.unfinished_since or file.modified_at, file.modified_at)

    def _log_end(self) -> None:
        if self.unread > MAX_WARNINGS:
            [(file, count)] = self._unread_in.most_common(1)
            logger.warning(
                "%s of %s trigger messages cannot be read, %s of them in %s: move what Lytics did not write out of the folder, or set "
                "triggers_url to where its messages land.",
                f"{self.unread:,}",
                f"{self._read + self.unread:,}",
                f"{count:,}",
                self._files.place(file),
            )
        if self.unfinished_since is not None:
            logger.info("Some trigger files are not finished: the next run reads them again.")


def _time(written: t.Any) -> dt.datetime | None:
    """A time of a message; None if it is none, or one that stands for never."""
    try:
        time = msgspec.convert(written, dt.datetime)
        time = time.replace(tzinfo=time.tzinfo or dt.timezone.utc).astimezone(dt.timezone.utc)
    except (msgspec.ValidationError, OverflowError):
        return None
    # The older shape gives members an exit in the year 2099.
    return time if 1970 <= time.year < 2099 else None  # noqa: PLR2004


# A number stays as it is written: 1.10 is another identifier than 1.1.
_decode_identifier = msgspec.json.Decoder(float_hook=str).decode


def _identifier(written: msgspec.Raw | None) -> str | None:
    if written is None:
        return None
    try:
        value = _decode_identifier(written)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    text = str(value)
    return text if text.strip() else None
