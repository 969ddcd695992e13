"""Trigger messages as Lytics writes them (Lytics docs: audience triggers), found in text however it is batched.

A message is a JSON object. Around messages stand only white space, commas and the brackets of arrays. So JSON lines, arrays
on one line or many, pretty-printed JSON, and messages strung together without line ends all read the same.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

import msgspec

MAX_LINE_BYTES = 16 * 1024 * 1024
MAX_TEXT_BYTES = 1024 * 1024 * 1024

NOT_JSON = "is not JSON"
NOT_A_MESSAGE = "is not a trigger message of Lytics"
TOO_LONG = f"is longer than {MAX_LINE_BYTES >> 20} MB"

_BETWEEN = b" \t\r\n,"
_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?|[][{}]', re.DOTALL)
"""A bracket, or a string, which may hold brackets; it may lack its end."""


class SegmentEvent(msgspec.Struct):
    """What a message says of one audience; `event` alone decides, an older shape has both times."""

    id: str | None = None
    slug: str | None = None
    event: str | None = None
    enter: t.Any = None
    exit: t.Any = None


@dataclass(frozen=True)
class Message:
    """A trigger message.

    Attributes:
        line: The line it begins in.
        fields: The profile's fields, not decoded yet.
        events: What happened.
        time: When the message was made, as it stands.
    """

    line: int
    fields: dict[str, msgspec.Raw]
    events: list[SegmentEvent]
    time: t.Any


@dataclass(frozen=True)
class Garbage:
    """What should be a message and is none.

    Attributes:
        line: The line it begins in.
        reason: What is wrong with it.
    """

    line: int
    reason: str


class CutError(Exception):
    """The text ends within a message: it is still being written, or was never finished.

    Attributes:
        line: The line that the message begins in.
    """

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


class TooLargeError(Exception):
    """The text is longer than `MAX_TEXT_BYTES`.

    Attributes:
        line: The line that is too many.
    """

    def __init__(self, line: int) -> None:
        super().__init__(line)
        self.line = line


def lines_of(text: t.BinaryIO) -> t.Iterator[bytes | None]:
    """The lines of a text, with their ends.

    Args:
        text: The text.

    Yields:
        Lines; None for one longer than `MAX_LINE_BYTES`.

    Raises:
        TooLargeError: If there is too much of it.
    """
    size = number = 0
    in_long_line = False
    while line := text.readline(MAX_LINE_BYTES):
        size += len(line)
        if size > MAX_TEXT_BYTES:
            raise TooLargeError(number + 1)
        ends = line.endswith(b"\n") or len(line) < MAX_LINE_BYTES
        number += ends
        if in_long_line or not ends:
            if ends:
                yield None
            in_long_line = not ends
        else:
            yield line
    if in_long_line:
        yield None


def messages(lines: t.Iterable[bytes | None]) -> t.Iterator[Message | Garbage]:
    """The messages in a text.

    Args:
        lines: Its lines, with their ends; None for one that is too long.

    Yields:
        Messages, and what should be some.

    Raises:
        CutError: If the last line has no end and is not JSON.
    """
    scanner = _Scanner()
    ends = True
    for number, line in enumerate(lines, 1):
        if line is None:
            yield from scanner.broken_off()
            yield Garbage(number, TOO_LONG)
            continue
        ends = line.endswith(b"\n")
        whole = _whole_line(line, number)
        # Inside a pretty-printed message a line can be an object or array of its own, but not a message.
        if whole and (not scanner.is_inside or any(isinstance(found, Message) for found in whole)):
            yield from scanner.broken_off()
            yield from whole
            continue
        for begun, text in scanner.objects(line, number):
            found = Garbage(begun, NOT_JSON) if text is None else _read(text, begun)
            if found == Garbage(begun, NOT_JSON) and not ends:
                raise CutError(begun)
            yield found
    if scanner.is_open and not ends:
        raise CutError(scanner.begun)
    if scanner.is_open:
        yield Garbage(scanner.begun, NOT_JSON)


class _Scanner:
    """Cuts lines into the objects that they hold.

    Attributes:
        begun: The line that an open object, or the outermost open array, begins in.
    """

    def __init__(self) -> None:
        self.begun = 0
        self._text: bytearray | None = bytearray()
        """Of an open object, from its earlier lines; None once it is too long to be kept."""
        self._depth = 0
        self._arrays = 0

    @property
    def is_inside(self) -> bool:
        """Whether the last line ended within an object."""
        return self._depth > 0

    @property
    def is_open(self) -> bool:
        """Whether the last line ended within an object or an array."""
        return self._depth > 0 or self._arrays > 0

    def broken_off(self) -> t.Iterator[Garbage]:
        """Give up the open object, if there is one."""
        if self._depth:
            yield Garbage(self.begun, NOT_JSON)
            self._text = bytearray()
            self._depth = 0

    def objects(self, line: bytes, number: int) -> t.Iterator[tuple[int, bytes | None]]:
        """The objects that end in a line.

        Yields:
            The line it begins in, and its text; None where something else stands in place of an object.
        """
        start = 0
        for token in _TOKEN.finditer(line):
            mark = token[0]
            if self._depth:
                self._depth += (mark in {b"{", b"["}) - (mark in {b"}", b"]"})
                if not self._depth:
                    self._keep(line[start : token.end()])
                    yield self.begun, None if self._text is None else bytes(self._text)
                    self._text = bytearray()
                    start = token.end()
                continue
            if mark not in {b"{", b"[", b"]"} or line[start : token.start()].strip(_BETWEEN):
                break
            if mark == b"{":
                start = token.start()
                self._depth = 1
                self.begun = number
            else:
                start = token.end()
                if mark == b"[" and not self._arrays:
                    self.begun = number
                self._arrays = max(0, self._arrays + (1 if mark == b"[" else -1))
        if self._depth:
            self._keep(line[start:])
        elif line[start:].strip(_BETWEEN):
            self._arrays = 0
            yield number, None

    def _keep(self, text: bytes) -> None:
        if self._text is not None:
            self._text += text
            if len(self._text) > MAX_LINE_BYTES:
                self._text = None


class _Meta(msgspec.Struct):
    timestamp: t.Any = None


class _Envelope(msgspec.Struct):
    data: dict[str, msgspec.Raw]
    meta: _Meta | None = None
    time: t.Any = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_events = msgspec.json.Decoder(list[SegmentEvent] | None).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode


def _read(text: bytes | msgspec.Raw, line: int) -> Message | Garbage:
    try:
        envelope = _decode_envelope(text)
        if "segment_events" not in envelope.data:
            return Garbage(line, NOT_A_MESSAGE)
        events = _decode_events(envelope.data["segment_events"])
    except msgspec.ValidationError:
        return Garbage(line, NOT_A_MESSAGE)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Garbage(line, NOT_JSON)
    stamped = None if envelope.meta is None else envelope.meta.timestamp
    return Message(line, envelope.data, events or [], stamped or envelope.time)


def _whole_line(line: bytes, number: int) -> list[Message | Garbage] | None:
    """The messages of a line that is one message or one array of them, as most are; None for any other."""
    text = line.strip(_BETWEEN)
    if text.startswith(b"{"):
        found = _read(text, number)
        return [found] if isinstance(found, Message) else None
    if text.startswith(b"["):
        try:
            return [_read(item, number) for item in _decode_array(text)]
        except (msgspec.DecodeError, UnicodeError, RecursionError):
            return None
    return None
