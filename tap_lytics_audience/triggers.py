"""Landed trigger messages: a folder of files that say whom to look at, never what is true."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import io
import logging
import os
import re
import typing as t
import zlib
from collections import Counter
from dataclasses import dataclass

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from singer_process.errors import UserError
from tap_lytics_audience.trigger_messages import (
    MAX_TEXT_BYTES,
    NOT_A_MESSAGE,
    CutError,
    Garbage,
    Message,
    TooLargeError,
    lines_of,
    messages,
)

Kind: t.TypeAlias = t.Literal["enter", "exit", "change"]

MAX_WARNINGS = 20
MAX_UNREAD = 1_000
MIN_MESSAGES_FOR_SHARE = 100
SMALL_FILE_BYTES = 8 * 1024 * 1024
"""Files up to this size are fetched whole, many at once; larger ones are read as they come."""
FETCHED_BYTES = 32 * 1024 * 1024
FETCHED_FILES = 256
CUT_FILE_WAITS = dt.timedelta(days=1)
"""How long a file whose last line is cut may wait for the rest; one that grows later lands anew."""
BROKEN_FILE_WAITS = dt.timedelta(minutes=1)
HEAD_BYTES = 1024

_KINDS: tuple[Kind, ...] = t.get_args(Kind)
_UNFINISHED_SUFFIXES = (".part", ".tmp")
_TIME_NAMES = ("mtime", "LastModified", "last_modified", "updated")
"""What filesystems call the modification time: local and sftp and gs, s3, Azure, older gs."""
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "sftp": "sftp", "ssh": "sftp"}
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")

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
    """The trigger messages under a folder.

    Attributes:
        unfinished_since: After `events`: when the earliest file landed that was cut, still being written or gone; read again from there.
        unread: After `events`: how many messages could not be read.
        without_identifier: After `events`: how many messages about followed audiences do not say who.

    Args:
        url: The folder; a path or an fsspec URL.
        audiences: Audience id by id and by slug of each followed audience.
        identifier_field: The profile field that says who.

    Raises:
        UserError: If nothing can read such a URL.
    """

    def __init__(self, url: str, *, audiences: t.Mapping[str, str], identifier_field: str) -> None:
        self._files, self._folder = _opened(url)
        self._audiences = audiences
        self._identifier_field = identifier_field
        self._read = 0
        self._unread_in: Counter[str] = Counter()
        self.unfinished_since: dt.datetime | None = None
        self.unread = 0
        self.without_identifier = 0

    def events(self, since: dt.datetime) -> t.Iterator[Event]:
        """What the messages say that landed at a time or after it.

        Args:
            since: That time, aware.

        Yields:
            Events, of the file first that landed first.

        Raises:
            UserError: If the folder cannot be read, or too much in it is no message.
        """
        self._read = self.unread = self.without_identifier = 0
        self._unread_in.clear()
        self.unfinished_since = None
        for file, content in self._contents(self._landed(since)):
            yield from self._events_in(file, content)
        if self.unread > MAX_WARNINGS:
            logger.warning("%d more trigger messages cannot be read.", self.unread - MAX_WARNINGS)
        total = self._read + self.unread
        if total >= MIN_MESSAGES_FOR_SHARE and self.unread * 2 > total:
            raise self._too_much_garbage()
        if self.unfinished_since is not None:
            logger.info("Some trigger files are not finished: they are read again in the next run.")

    def _events_in(self, file: _File, content: bytes | Exception | None) -> t.Iterator[Event]:
        """What a file says; what is wrong with it is counted."""
        line = 1
        try:
            with self._text(file, content) as text:
                for found in messages(lines_of(text)):
                    line = found.line
                    if isinstance(found, Garbage):
                        self._count_garbage(file, line, found.reason)
                    else:
                        self._read += 1
                        yield from self._events_of(found, file)
        except CutError as error:
            self._count_broken(file, error.line, "is cut", CUT_FILE_WAITS)
        except (EOFError, zlib.error, gzip.BadGzipFile):
            self._count_broken(
                file, line, "is the last of a compressed file that breaks off", BROKEN_FILE_WAITS
            )
        except _NotTextError:
            self._count_broken(file, line, "is not text", BROKEN_FILE_WAITS)
        except TooLargeError:
            self._count_garbage(
                file, line, f"is the last that is read of more than {MAX_TEXT_BYTES >> 30} GB"
            )
        except UserError:
            raise
        except Exception as error:
            if not _is_gone(error):
                raise self._explained(error, file.path) from error
            self._count_unfinished(file)

    def _events_of(self, message: Message, file: _File) -> t.Iterator[Event]:
        identifier = _identifier(message.fields.get(self._identifier_field))
        is_followed = is_odd = False
        for event in message.events:
            audience_id = self._audiences.get(event.id or "") or self._audiences.get(event.slug or "")
            if audience_id is None:
                continue
            is_followed = True
            kind = next((kind for kind in _KINDS if kind == event.event), None)
            if kind is None:
                is_odd = True
                continue
            own = {"enter": event.enter, "exit": event.exit}.get(kind)
            happened_at = _time(own) or _time(message.time) or file.landed_at
            yield Event(audience_id, identifier, kind, happened_at, file.landed_at)
        if is_odd:
            self._read -= 1
            self._count_garbage(file, message.line, NOT_A_MESSAGE)
        if is_followed and identifier is None:
            self.without_identifier += 1

    def _landed(self, since: dt.datetime) -> list[_File]:
        """The files that landed since a time, in order."""
        try:
            found = [self._file(info) for info in self._listing() if not _is_passed_over(info["name"])]
            return sorted(file for file in found if file is not None and file.landed_at >= since)
        except Exception as error:
            raise self._explained(error, self._folder) from error

    def _listing(self) -> t.Iterator[dict[str, t.Any]]:
        if isinstance(self._files, LocalFileSystem):
            # fsspec's find passes over folders that cannot be read, without a word.
            for folder, _, _ in os.walk(self._folder, onerror=self._check_folder):
                yield from self._files.ls(folder, detail=True)
            return
        # What landed a moment ago is not in a listing that fsspec remembers.
        self._files.invalidate_cache()
        found = self._files.find(self._folder, detail=True)
        if not found:
            self._check_present()
        yield from found.values()

    def _check_folder(self, error: OSError) -> None:
        # A folder inside may be deleted while the listing goes on.
        if not isinstance(error, FileNotFoundError) or error.filename == self._folder:
            raise error

    def _check_present(self) -> None:
        """Tell an empty folder from a missing one; in an object store only the bucket can be told."""
        place = self._folder if self._folder.startswith("/") else self._folder.partition("/")[0]
        if not self._files.exists(place):
            raise FileNotFoundError

    def _file(self, info: dict[str, t.Any]) -> _File | None:
        """What a listing says of a file; None if it is none or empty."""
        if info["type"] not in {"file", "directory"}:
            # A link says what it leads to when asked by name.
            with contextlib.suppress(FileNotFoundError):
                info = self._files.info(info["name"])
        if info["type"] != "file" or not info["size"]:
            return None
        stated = next((info[name] for name in _TIME_NAMES if info.get(name)), None)
        if stated is None:
            stated = self._files.modified(info["name"])
        return _File(_modified(stated), info["name"], info["size"])

    def _contents(self, files: list[_File]) -> t.Iterator[tuple[_File, bytes | Exception | None]]:
        """Each file with its content, or why there is none; None for a large one, to be read as it comes."""
        for batch in _batches(files):
            if batch[0].size > SMALL_FILE_BYTES:
                yield batch[0], None
                continue
            # One call each would take a round trip a file. What a file has grown by meanwhile lands anew.
            contents = self._files.cat_ranges(
                [file.path for file in batch], [0] * len(batch), [file.size for file in batch]
            )
            yield from zip(batch, contents, strict=True)

    @contextlib.contextmanager
    def _text(self, file: _File, content: bytes | Exception | None) -> t.Iterator[t.BinaryIO]:
        """A file's text, unpacked if it is compressed: some stores unpack it themselves, whatever its name."""
        if isinstance(content, Exception):
            raise content
        with contextlib.ExitStack() as stack:
            raw = (
                self._files.open(file.path, "rb", block_size=SMALL_FILE_BYTES)
                if content is None
                else io.BytesIO(content)
            )
            text: t.Any = stack.enter_context(io.BufferedReader(stack.enter_context(raw), SMALL_FILE_BYTES))
            head = text.peek(HEAD_BYTES)[:HEAD_BYTES]
            starts_as_json = head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith((b"{", b"["))
            if head.startswith(b"\x1f\x8b") or (file.path.endswith(".gz") and not starts_as_json):
                text = stack.enter_context(gzip.GzipFile(fileobj=text))
                head = text.peek(HEAD_BYTES)[:HEAD_BYTES]
            if _CONTROL.search(head):
                raise _NotTextError
            yield text

    def _count_broken(self, file: _File, line: int, reason: str, patience: dt.timedelta) -> None:
        """A file that ends badly is still being written if it is young."""
        if dt.datetime.now(dt.timezone.utc) - file.landed_at < patience:
            self._count_unfinished(file)
        else:
            self._count_garbage(file, line, reason)

    def _count_unfinished(self, file: _File) -> None:
        self.unfinished_since = min(self.unfinished_since or file.landed_at, file.landed_at)

    def _count_garbage(self, file: _File, line: int, reason: str) -> None:
        self.unread += 1
        self._unread_in[file.path] += 1
        if self.unread <= MAX_WARNINGS:
            logger.warning(
                "A trigger message cannot be read: %s, line %d %s.", self._shown(file.path), line, reason
            )
        if self.unread > MAX_UNREAD:
            raise self._too_much_garbage()

    def _too_much_garbage(self) -> UserError:
        [(path, count)] = self._unread_in.most_common(1)
        return UserError(
            f"{self.unread} of {self._read + self.unread} trigger messages cannot be read, {count} of them in {self._shown(path)}: move "
            "what is not from Lytics out of triggers_url, or point triggers_url to the folder of its messages, then run again."
        )

    def _explained(self, error: Exception, path: str) -> UserError:
        folder = self._shown(self._folder)
        if isinstance(error, FileNotFoundError):
            return UserError(
                f"The triggers folder {folder} is missing: create it, correct triggers_url, or set change_detection to scan."
            )
        if isinstance(error, NotADirectoryError):
            return UserError(
                f"{folder} is not a folder: set triggers_url to the folder where trigger messages land."
            )
        if isinstance(error, PermissionError):
            return UserError(
                f"{self._shown(path)} may not be read: give the tap the right to list and read the triggers folder, or correct "
                "triggers_url."
            )
        return UserError(
            f"{self._shown(path)} cannot be read ({_reason(error)}): check triggers_url, its credentials and the network, then run again."
        )

    def _shown(self, path: str) -> str:
        """A path for messages, without what may be an address."""
        full = path if isinstance(self._files, LocalFileSystem) else str(self._files.unstrip_protocol(path))
        return re.sub(r"[^/]*(?:@|%40)[^/]*", "(address)", full)


@dataclass(frozen=True, order=True)
class _File:
    landed_at: dt.datetime
    path: str
    size: int


class _NotTextError(Exception):
    """A file holds bytes that no text has."""


def _opened(url: str) -> tuple[t.Any, str]:
    scheme = url.partition("://")[0]
    try:
        files, folder = fsspec.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        cure = (
            f"install lytics-to-cordial[{extra}]"
            if extra
            else f"install the package with which fsspec reads {scheme}://"
        )
        msg = f"A {scheme}:// triggers_url needs more packages: {cure}."
        raise UserError(msg) from error
    except ValueError as error:
        msg = "The setting triggers_url is neither a path nor a URL that fsspec knows, such as s3://bucket/folder: correct it."
        raise UserError(msg) from error
    except Exception as error:
        msg = f"The triggers_url cannot be opened ({_reason(error)}): check it, its credentials and the network, then run again."
        raise UserError(msg) from error
    return files, str(folder).rstrip("/") or "/"


def _is_passed_over(path: str) -> bool:
    name = path.rpartition("/")[2]
    return name.startswith((".", "_")) or name.endswith(_UNFINISHED_SUFFIXES)


def _batches(files: t.Iterable[_File]) -> t.Iterator[list[_File]]:
    """Small files in batches, large ones each alone."""
    batch: list[_File] = []
    size = 0
    for file in files:
        if batch and (
            len(batch) >= FETCHED_FILES or size + file.size > FETCHED_BYTES or file.size > SMALL_FILE_BYTES
        ):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
        if file.size > SMALL_FILE_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _modified(stated: float | str | dt.datetime) -> dt.datetime:
    if isinstance(stated, (int, float)):
        return dt.datetime.fromtimestamp(stated, dt.timezone.utc)
    return _utc(msgspec.convert(stated, dt.datetime))


def _time(stated: t.Any) -> dt.datetime | None:
    """A time of a message; None if it is none, or one of those that stand for never."""
    try:
        time = _utc(msgspec.convert(stated, dt.datetime))
    except (msgspec.ValidationError, OverflowError):
        return None
    # The older shape gives an exit in the year 2099 to those who are members still.
    return time if 1970 <= time.year < 2099 else None  # noqa: PLR2004


def _utc(time: dt.datetime) -> dt.datetime:
    return time.replace(tzinfo=time.tzinfo or dt.timezone.utc).astimezone(dt.timezone.utc)


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


def _is_gone(error: Exception) -> bool:
    """Whether a file vanished, or was written anew while it was read (s3fs: a busy file)."""
    return isinstance(error, FileNotFoundError) or type(error).__name__ == "FileExpired"


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
