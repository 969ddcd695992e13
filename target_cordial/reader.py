"""Singer messages from stdin, line by line."""

from __future__ import annotations

import decimal
import json
import sys
import typing as t

import msgspec
from singer_sdk.exceptions import InvalidInputLine
from singer_sdk.singerlib.encoding import GenericSingerReader

from singer_process.errors import UserError

if t.TYPE_CHECKING:
    from contextlib import AbstractContextManager


class InputError(UserError, InvalidInputLine):
    """The input is not what a Singer tap writes; the sentence says which line, never what is in it."""


class MessageReader(GenericSingerReader[bytes]):
    """Decodes messages from bytes, with numbers as exact as their text.

    Attributes:
        line: The number of the line at hand, from 1.
        interruptible: Makes a context in which waiting for input may be broken off.
    """

    interruptible: t.Callable[[], AbstractContextManager[None]]

    def __init__(self) -> None:
        super().__init__()
        self.line = 0
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
        for line in self._lines(file_input or self.default_input):
            self.line += 1
            if not line.strip():
                continue
            message = self.deserialize_json(line)
            kind = message.get("type") if isinstance(message, dict) else None
            callback = callbacks.get(kind) if isinstance(kind, str) else None
            if callback is None:
                msg = f"Line {self.line} of the input is not a Singer message: check that the tap writes nothing else to its standard output."
                raise InputError(msg)
            callback(message)
            counts[str(kind)] += 1
        return counts

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
            ends = line[-1:] in {b"\n", "\n"}
            what = "is not valid JSON" if ends else "breaks off: the tap was probably stopped"
            msg = f"Line {self.line} of the input {what}; what came before it is delivered. Look at the tap's log and run again."
            raise InputError(msg) from error

    def _decoded(self, line: bytes | str) -> dict[str, t.Any]:
        try:
            return t.cast("dict[str, t.Any]", self._decoder.decode(line))
        except msgspec.DecodeError:
            # Taps in Python may write NaN, and half of a character: such a record is rejected, and the rest goes on.
            return t.cast("dict[str, t.Any]", json.loads(line, parse_float=decimal.Decimal))

    def _lines(self, file: t.IO[bytes] | t.IO[str]) -> t.Iterator[bytes | str]:
        while True:
            with self.interruptible():
                line = file.readline()
            if not line:
                return
            yield line
