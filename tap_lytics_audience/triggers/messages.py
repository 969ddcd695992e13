"""Trigger messages as Lytics writes them (Lytics docs: audience triggers), found in a file however it is laid out.

A message is a JSON object. Between messages stand only white space, commas and the brackets of arrays. So JSON lines, arrays,
pretty-printed JSON, and messages strung together without line ends all follow one rule.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import typing as t
import zlib
from dataclasses import dataclass

import msgspec

MAX_FILE_BYTES = 64 * 1024 * 1024
"""Of a file, unpacked. Files are read whole."""

NOT_JSON = "is not JSON"
NOT_A_MESSAGE = "is not a trigger message of Lytics"
CUT = "is cut"
BROKEN = "begins a file that is corrupt or cut"
TOO_LARGE = f"begins a file of more than {MAX_FILE_BYTES >> 20} MB, which is not read: land smaller files"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_CONTROL = re.compile(rb"[\x00-\x08\x0e-\x1f]")
_HEAD_BYTES = 1024
_NOT_BETWEEN = re.compile(r"[^ \t\r\n,\[\]]")
_WINDOW_CHARACTERS = 16 * 1024
"""The decoder is shown so much text first: its errors count all lines before them."""


class SegmentEvent(msgspec.Struct):
    """What a message says of one audience; `event` alone decides, as an older shape has both times."""

    id: str | None = None
    slug: str | None = None
    event: str | None = None
    enter: t.Any = None
    exit: t.Any = None


@dataclass(frozen=True)
class Message:
    """A trigger message.

    Attributes:
        line: The line that it begins in.
        fields: The profile's fields, not decoded yet.
        events: What happened.
        time: When the message was made, as Lytics wrote it.
    """

    line: int
    fields: dict[str, msgspec.Raw]
    events: list[SegmentEvent]
    time: t.Any


@dataclass(frozen=True)
class Garbage:
    """Something that stands in place of a message: the line that it begins in, and what is wrong with it."""

    line: int
    reason: str


class _Meta(msgspec.Struct):
    timestamp: t.Any = None


class _Envelope(msgspec.Struct):
    data: dict[str, msgspec.Raw]
    meta: _Meta | None = None
    time: t.Any = None


_decode_envelope = msgspec.json.Decoder(_Envelope).decode
_decode_events = msgspec.json.Decoder(list[SegmentEvent] | None).decode
_decode_array = msgspec.json.Decoder(list[msgspec.Raw]).decode
# It finds the end of an object, no more. Numbers as text can have any length.
_decode_first = json.JSONDecoder(parse_int=str, parse_float=str).raw_decode


def messages(content: bytes) -> t.Iterator[Message | Garbage]:
    """Yield the messages in a file, plain or gzip, and the garbage among them.

    Garbage costs no message on another line. Its reason is `CUT` if the file ends within it, and `BROKEN` if the file cannot be
    unpacked: such a file may still be being written.
    """
    try:
        text = _unpacked(content)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        yield Garbage(1, BROKEN)
        return
    if len(text) > MAX_FILE_BYTES:
        yield Garbage(1, TOO_LARGE)
        return
    if _CONTROL.search(text[:_HEAD_BYTES].partition(b"\n")[0]):
        yield Garbage(1, BROKEN)
        return
    # 1. Most lines are a message, or an array of messages.
    # 2. Lines between them that are not are put together, and objects are looked for in all of them.
    begin, begin_line, end = 0, 1, 0
    for line_number, line in enumerate(io.BytesIO(text), 1):
        found = _in_line(line, line_number)
        # Inside a pretty-printed message, a line can be JSON of its own, but not a message.
        if found is not None and (begin == end or any(isinstance(item, Message) for item in found)):
            yield from _in_lines(text[begin:end], begin_line)
            yield from found
            begin, begin_line = end + len(line), line_number + 1
        end += len(line)
    yield from _in_lines(text[begin:], begin_line, can_be_cut=not text.endswith(b"\n"))


def _unpacked(content: bytes) -> bytes:
    # Some stores unpack what they serve, so a name that ends in .gz proves nothing.
    if content.startswith(_GZIP):
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    return content.removeprefix(_BYTE_ORDER_MARK)


def _in_line(line: bytes, line_number: int) -> list[Message | Garbage] | None:
    """What a line holds that is one object, one array or blank; None for any other line."""
    text = line.strip(b" \t\r\n,")
    if text.startswith(b"["):
        try:
            return [_read(item, line_number) for item in _decode_array(text)]
        except RecursionError:
            return [Garbage(line_number, NOT_JSON)]
        except (msgspec.DecodeError, UnicodeError):
            return None
    found = _read(text, line_number) if text else None
    return None if found == Garbage(line_number, NOT_JSON) else [found] if found else []


def _in_lines(block: bytes, line_number: int, *, can_be_cut: bool = False) -> t.Iterator[Message | Garbage]:
    """Yield messages that stand on several lines, or several on one line.

    Args:
        block: Some lines.
        line_number: The number of the first.
        can_be_cut: Whether the file ends here, without the end of a line.
    """
    text = block.decode("utf-8", "surrogateescape")
    end = 0
    while something := _NOT_BETWEEN.search(text, end):
        begin = something.start()
        line_number += text.count("\n", end, begin)
        is_object, end = _object_end(text, begin)
        if is_object:
            yield _read(text[begin:end].encode("utf-8", "surrogateescape"), line_number)
        else:
            end = _garbage_end(text, begin, end)
            yield Garbage(line_number, CUT if can_be_cut and end == len(text) else NOT_JSON)
        line_number += text.count("\n", begin, end)


def _object_end(text: str, begin: int) -> tuple[bool, int]:
    """Whether an object begins at a place, and where it ends, or where the decoder stopped if it is none."""
    if not text.startswith("{", begin):
        return False, begin
    size = _WINDOW_CHARACTERS
    while True:
        window = text[begin : begin + size]
        try:
            return True, begin + _decode_first(window)[1]
        except RecursionError:
            return False, len(text)
        except json.JSONDecodeError as error:
            # No word of JSON holds the end of a line, so the end of the window can only spoil its last line.
            if begin + size >= len(text) or "\n" in window[error.pos :]:
                return False, begin + error.pos
        size *= 2


def _garbage_end(text: str, begin: int, stopped: int) -> int:
    """Where garbage ends: where the decoder met another object, or with the line that it did not understand."""
    if text.startswith("{", stopped) and "\n" in text[begin:stopped]:
        return stopped
    line_end = text.find("\n", stopped)
    return len(text) if line_end < 0 else line_end


def _read(text: bytes | msgspec.Raw, line_number: int) -> Message | Garbage:
    try:
        envelope = _decode_envelope(text)
        if "segment_events" not in envelope.data:
            return Garbage(line_number, NOT_A_MESSAGE)
        events = _decode_events(envelope.data["segment_events"])
    except msgspec.ValidationError:
        return Garbage(line_number, NOT_A_MESSAGE)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        return Garbage(line_number, NOT_JSON)
    timestamp = None if envelope.meta is None else envelope.meta.timestamp
    return Message(line_number, envelope.data, events or [], timestamp or envelope.time)
