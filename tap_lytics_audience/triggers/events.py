"""Triggers: what Lytics' messages say of people and audiences. They say whom to look at, never what is true."""

from __future__ import annotations

import datetime as dt
import logging
import typing as t
from collections import Counter
from dataclasses import dataclass

import msgspec

from lytics_to_cordial.errors import UserError
from tap_lytics_audience.triggers.files import BrokenError, GoneError, LandedFile, LandedFiles
from tap_lytics_audience.triggers.messages import (
    NOT_A_MESSAGE,
    CutError,
    Garbage,
    Message,
    TooLargeError,
    lines_of,
    messages,
)

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Kind: t.TypeAlias = t.Literal["enter", "exit", "change"]

MAX_WARNINGS = 20
MAX_UNREAD = 1_000
MIN_MESSAGES_FOR_SHARE = 100
"""Of so many messages at least, no more than half may be garbage."""
CUT_FILE_WAITS = dt.timedelta(days=1)
"""How long a cut last line may wait for its rest; a file that goes on later lands anew."""
BROKEN_FILE_WAITS = dt.timedelta(minutes=1)

_KINDS: tuple[Kind, ...] = t.get_args(Kind)

logger = logging.getLogger("tap-lytics-audience")


@dataclass(frozen=True)
class Event:
    """What a message says of one person and one audience.

    Attributes:
        audience_id: The audience.
        identifier: The identifier field's value, as it stands; None if the message has none.
        kind: What happened.
        happened_at: When, UTC: the event's own time, else the message's, else `landed_at`.
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
            is read. Such a file is read again when events since then are asked for.
        unread: After `events`: how many messages could not be read.
        without_identifier: After `events`: how many messages about followed audiences do not say who.

    Args:
        url: The folder; a path or an fsspec URL.
        audiences: Audience id by id and by slug of each followed audience.
        identifier_field: The profile field that says who.

    Raises:
        UserError: If nothing can open such a URL.
    """

    def __init__(self, url: str, *, audiences: Mapping[str, str], identifier_field: str) -> None:
        self._files = LandedFiles(url)
        self._audiences = audiences
        self._identifier_field = identifier_field
        self._read = 0
        self._unread_in: Counter[str] = Counter()
        self.unfinished_since: dt.datetime | None = None
        self.unread = 0
        self.without_identifier = 0

    def events(self, since: dt.datetime) -> Iterator[Event]:
        """What the messages say that landed at a time or after it.

        Args:
            since: That time, aware.

        Yields:
            Events; those of the file that landed first come first.

        Raises:
            UserError: If the folder cannot be read, or too much in it is garbage.
        """
        self._read = self.unread = self.without_identifier = 0
        self._unread_in.clear()
        self.unfinished_since = None
        for file, opening in self._files.texts(self._files.since(since)):
            try:
                with opening as text:
                    for found in messages(lines_of(text)):
                        if isinstance(found, Message):
                            yield from self._events_of(found, file)
                        else:
                            self._count_garbage(file, found)
            except GoneError:
                self._count_unfinished(file)
            except CutError as error:
                self._count_broken(file, Garbage(error.line, "is cut"), CUT_FILE_WAITS)
            except BrokenError:
                self._count_broken(
                    file, Garbage(1, "begins a file that is corrupt or cut"), BROKEN_FILE_WAITS
                )
            except TooLargeError as error:
                self._count_garbage(file, Garbage(error.line, "is one too many: the file is too large"))
        self._check_share()
        if self.unread > MAX_WARNINGS:
            logger.warning("%d more trigger messages cannot be read.", self.unread - MAX_WARNINGS)
        if self.unfinished_since is not None:
            logger.info("Some trigger files are not finished: the next run reads them again.")

    def _events_of(self, message: Message, file: LandedFile) -> Iterator[Event]:
        """What a message says of followed audiences."""
        identifier = _identifier(message.fields.get(self._identifier_field))
        followed = [
            (audience_id, event)
            for event in message.events
            if (audience_id := self._audiences.get(event.id or "") or self._audiences.get(event.slug or ""))
        ]
        for audience_id, event in followed:
            for kind in _KINDS:
                if kind == event.event:
                    own = {"enter": event.enter, "exit": event.exit}.get(kind)
                    happened_at = _time(own) or _time(message.time) or file.landed_at
                    yield Event(audience_id, identifier, kind, happened_at, file.landed_at)
        if any(event.event not in _KINDS for _, event in followed):
            self._count_garbage(file, Garbage(message.line, NOT_A_MESSAGE))
        else:
            self._read += 1
        if followed and identifier is None:
            self.without_identifier += 1

    def _count_broken(self, file: LandedFile, garbage: Garbage, patience: dt.timedelta) -> None:
        """Count a file that ends badly; a young one is still being written."""
        if dt.datetime.now(dt.timezone.utc) - file.landed_at < patience:
            self._count_unfinished(file)
        else:
            self._count_garbage(file, garbage)

    def _count_unfinished(self, file: LandedFile) -> None:
        self.unfinished_since = min(self.unfinished_since or file.landed_at, file.landed_at)

    def _count_garbage(self, file: LandedFile, garbage: Garbage) -> None:
        self.unread += 1
        self._unread_in[file.path] += 1
        if self.unread <= MAX_WARNINGS:
            place = self._files.shown(file.path)
            logger.warning("No trigger message: %s, line %d %s.", place, garbage.line, garbage.reason)
        if self.unread > MAX_UNREAD:
            raise self._too_much_garbage()

    def _check_share(self) -> None:
        total = self._read + self.unread
        if total >= MIN_MESSAGES_FOR_SHARE and self.unread * 2 > total:
            raise self._too_much_garbage()

    def _too_much_garbage(self) -> UserError:
        [(path, count)] = self._unread_in.most_common(1)
        return UserError(
            f"{self.unread} of {self._read + self.unread} trigger messages cannot be read, {count} of them in {self._files.shown(path)}: "
            "move what Lytics did not write out of the folder, or set triggers_url to where its messages land, then run again."
        )


def _time(stated: t.Any) -> dt.datetime | None:
    """A time of a message; None if it is none, or one that stands for never."""
    try:
        time = msgspec.convert(stated, dt.datetime)
        time = time.replace(tzinfo=time.tzinfo or dt.timezone.utc).astimezone(dt.timezone.utc)
    except (msgspec.ValidationError, OverflowError):
        return None
    # The older shape gives members an exit in the year 2099.
    return time if 1970 <= time.year < 2099 else None  # noqa: PLR2004


# A number stays as it is written: 1.10 is another identifier than 1.1.
_decode_identifier = msgspec.json.Decoder(float_hook=str).decode


def _identifier(stated: msgspec.Raw | None) -> str | None:
    if stated is None:
        return None
    try:
        value = _decode_identifier(stated)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        return None
    text = str(value)
    return text if text.strip() else None
