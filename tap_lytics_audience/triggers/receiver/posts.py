"""What a post holds: its messages, unpacked, a line each; and how much all posts may hold together."""

from __future__ import annotations

import contextlib
import gzip
import io
import zlib
from collections.abc import Callable, Iterator

import msgspec

MAX_POST_BYTES = 1 << 30
"""Unpacked: Lytics posts at most 1,000 messages, none of a profile over 1 MB (Lytics docs: audience triggers, profile health)."""
PIECE_BYTES = 1 << 20

_GZIP = b"\x1f\x8b"
_decode_items = msgspec.json.Decoder(list[msgspec.Raw]).decode


class NoMessagesError(Exception):
    """Nobody can read the post, now or later."""


class TooLargeError(Exception):
    """The post is larger than any of Lytics'."""


class NoRoomError(Exception):
    """There is no room for the post beside those that are under way."""


class Room:
    """What all posts under way may hold together, in bytes. A post that is alone always finds room.

    Attributes:
        held: What they hold.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self.held = 0

    @contextlib.contextmanager
    def of_post(self) -> Iterator[Callable[[int], None]]:
        """Give the function that takes more bytes for a post, until the block ends; it raises `NoRoomError` or `TooLargeError`."""
        own = 0

        def take(size: int) -> None:
            nonlocal own
            if own + size > MAX_POST_BYTES:
                raise TooLargeError
            if self.held > own and self.held + size > self._most:
                raise NoRoomError
            self.held += size
            own += size

        try:
            yield take
        finally:
            self.held -= own


def messages_in(body: bytes, take: Callable[[int], None]) -> list[bytes]:
    """The messages of a post, which holds one or an array of them, plain or gzip; each as one line without its end.

    What the messages say is for the tap to judge.

    Raises:
        NoMessagesError: If it is damaged, or no JSON object or array.
    """
    content = _unpacked(body, take).strip()
    try:
        items = _decode_items(content) if content.startswith(b"[") else [content]
        if not content.startswith((b"[", b"{")):
            raise NoMessagesError
        return [msgspec.json.format(item, indent=-1) for item in items]
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise NoMessagesError from error


def _unpacked(body: bytes, take: Callable[[int], None]) -> bytes:
    if not body.startswith(_GZIP):
        return body
    content = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            while piece := file.read(PIECE_BYTES):
                take(len(piece))
                content += piece
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise NoMessagesError from error
    return bytes(content)
