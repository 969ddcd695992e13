"""Singer messages from stdin, line by line."""

from __future__ import annotations

import decimal
import json
import sys
import typing as t

import msgspec
from singer_sdk.exceptions import InvalidInputLine
from singer_sdk.singerlib.encoding import GenericSingerReader

from lytics_to_cordial.errors import UserError

if t.TYPE_CHECKING:
    from contextlib import AbstractContextManager


CHUNK_BYTES = 1 << 18


class InputError(UserError, InvalidInputLine):
    """The input is not what a Singer tap writes; the sentence says which line, never what is in it."""


class MessageReader(GenericSingerReader[bytes]):
    """Decodes messages from bytes, with numbers as exact as their text.

    Attributes:
        line: The number of the line at hand, from 1.
        interruptible: Makes a context in which waiting for input may be broken off.
        take_chunk: Takes several lines at once and says how many of them were records, the others being states; None if it
            would rather have none of them. Unset, or with that answer, lines go one by one.
    """

    interruptible: t.Callable[[], AbstractContextManager[None]]
    take_chunk: t.Callable[[t.Sequence[bytes]], int | None] | None = None

    def __init__(self) -> None:
        super().__init__()
        self.line = 0
        self._is_cut = False
        # Longer than a float can say: a Cordial number attribute gets the source's own digits.
        self._decoder = msgspec.json.Decoder(float_hook=decimal.Decimal)

    @property
    def default_input(self) -> t.IO[bytes]:
        """Standard input, as bytes."""
        return sys.stdin.buffer

    def process_lines(
        self,
        file_input: t.IO[bytes] | t.IO[str] | None,
        callbacks: dict[str, t.Callable[[dict[str, t.Any]], None]],
    ) -> t.Counter[str]:
        """Read all messages and hand each to the callback of its type.

        Args:
            file_input: Where to read from; standard input by default.
            callbacks: Callback by message type.

        Returns:
            How many messages of each type there were.

        Raises:
            InputError: If a line is not a message.
        """
        counts = t.Counter[str]()
        for chunk in self._chunks(file_input or self.default_input):
            lines = chunk
            while lines:
                take_chunk = self.take_chunk
                records = None if take_chunk is None else take_chunk(lines)
                if records is not None:
                    self.line += len(lines)
                    counts.update({"RECORD": records, "STATE": len(lines) - records})
                    break
                taken = 0
                # One by one, unless another quick way is found for the rest.
                while taken < len(lines) and self.take_chunk in {None, take_chunk}:
                    counts.update(self._take(lines[taken], callbacks))
                    taken += 1
                lines = lines[taken:]
        return counts

    def _take(
        self, line: bytes | str, callbacks: dict[str, t.Callable[[dict[str, t.Any]], None]]
    ) -> tuple[str, ...]:
        """Hand a message to the callback of its type, and tell the type; blank lines have none."""
        self.line += 1
        if not line.strip():
            return ()
        message = self.deserialize_json(line)
        kind = message.get("type") if isinstance(message, dict) else None
        callback = callbacks.get(kind) if isinstance(kind, str) else None
        if callback is None:
            msg = f"Line {self.line} of the input is not a Singer message: check that the tap writes nothing else to its standard output."
            raise InputError(msg)
        callback(message)
        return (str(kind),)

    def deserialize_json(self, line: bytes | str) -> dict[str, t.Any]:
        """Decode a line.

        Args:
            line: The line.

        Returns:
            The message.

        Raises:
            InputError: If it is not JSON.
        """
        try:
            return self._decoded(line)
        except (ValueError, decimal.InvalidOperation, RecursionError) as error:
            what = "is not valid JSON" if not self._is_cut else "breaks off: the tap was probably stopped"
            msg = f"Line {self.line} of the input {what}; what came before it is delivered. Look at the tap's log and run again."
            raise InputError(msg) from error

    def _decoded(self, line: bytes | str) -> dict[str, t.Any]:
        try:
            return t.cast("dict[str, t.Any]", self._decoder.decode(line))
        except msgspec.DecodeError:
            # Taps in Python may write NaN, and half of a character: such a record is rejected, and the rest goes on.
            return t.cast("dict[str, t.Any]", json.loads(line, parse_float=decimal.Decimal))

    def _chunks(self, file: t.IO[bytes] | t.IO[str]) -> t.Iterator[t.Sequence[t.Any]]:
        """Lines as they come, without their ends: many when many are there, and none is waited for while one is there."""
        read = getattr(getattr(file, "buffer", file), "read1", None)
        if read is None:
            # Text without bytes behind it.
            yield from ([line] for line in file)
            return
        parts: list[bytes] = []
        while True:
            with self.interruptible():
                data = read(CHUNK_BYTES)
            if not data:
                break
            before, end, after = data.rpartition(b"\n")
            if not end:
                parts.append(after)
                continue
            yield b"".join([*parts, before]).split(b"\n")
            parts = [after]
        if rest := b"".join(parts):
            self._is_cut = True
            yield [rest]
