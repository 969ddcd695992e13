"""Singer messages from the input, as many at a time as there are complete lines available."""

from __future__ import annotations

import contextlib
import re
import select
import sys
import typing as t
from contextlib import AbstractContextManager

import msgspec
from singer_sdk.singerlib.encoding import GenericSingerReader
from typing_extensions import override

from target_cordial.intake.chunks import Intake
from target_cordial.intake.head import Head
from target_cordial.intake.messages import (
    MAX_DEPTH,
    CutOffError,
    InputError,
    Message,
    decode_whole,
    read_message,
)

Callbacks: t.TypeAlias = dict[str, t.Callable[[dict[str, t.Any]], None]]

CHUNK_BYTES = 1 << 18
SIGNAL_SECONDS = 1
_NOT_LINES = {
    b"\x1f\x8b": ("gzip", "unpack it first, such as with gzip -dc"),
    b"BZh": ("bzip2", "unpack it first, such as with bzip2 -dc"),
    b"\xfd7zXZ": ("xz", "unpack it first, such as with xz -dc"),
    b"\x28\xb5\x2f\xfd": ("zstd", "unpack it first, such as with zstd -dc"),
    b"PK\x03\x04": ("zip", "unpack it first, such as with unzip -p"),
    b"\xff\xfe\x00\x00": ("UTF-32", "write it as UTF-8"),
    b"\xff\xfe": ("UTF-16", "write it as UTF-8"),
    b"\xfe\xff": ("UTF-16", "write it as UTF-8"),
    b"\x00\x00\xfe\xff": ("UTF-32", "write it as UTF-8"),
    b"{\x00": ("UTF-16", "write it as UTF-8"),
    b"\x00{": ("UTF-16", "write it as UTF-8"),
}
"""What inputs that are no lines of JSON begin with, and what to do about each."""
_TYPE = re.compile(r"\w{1,40}")


class MessageReader(GenericSingerReader[bytes]):
    """Hands records and states to the intake, many at once, and other messages to the target's callbacks.

    Attributes:
        line: The number of the last line that was taken, from 1.
        intake: Takes records and states.
        head: Holds the first lines.
        interruptible: Makes a context in which waiting for input may be broken off.
    """

    intake: Intake
    head: Head
    interruptible: t.Callable[[], AbstractContextManager[None]]

    def __init__(self) -> None:
        super().__init__()
        self.line = 0
        self._broken_off = 0
        self._messages: list[Message] = []

    @property
    @override
    def default_input(self) -> t.IO[bytes]:
        # Python has no standard input if it was closed from the start.
        if sys.stdin is None or sys.stdin.closed:
            raise InputError("The standard input is closed, so no message can come: let a tap write to it.")
        return sys.stdin.buffer

    @override
    def process_lines(
        self, file_input: t.IO[bytes] | t.IO[str] | None, callbacks: Callbacks
    ) -> t.Counter[str]:
        counts = t.Counter[str]()
        for lines in self.head.hold(self._chunks(file_input or self.default_input)):
            for line in lines:
                message = read_message(line)
                if message.type == "RECORD" or (
                    message.type == "STATE" and message.value is not msgspec.UNSET
                ):
                    self._messages.append(message)
                else:
                    self._take_other(line, message, callbacks, counts)
            self._send(counts)
        return counts

    def _send(self, counts: t.Counter[str]) -> None:
        """Hand over the records and states since the last other line."""
        messages, self._messages = self._messages, []
        if messages:
            first = self.line + 1
            self.line += len(messages)
            counts.update([message.type for message in messages])
            self.intake.take(messages, first)

    def _take_other(
        self, line: bytes, message: Message, callbacks: Callbacks, counts: t.Counter[str]
    ) -> None:
        self._send(counts)
        self.line += 1
        if not line.strip():
            return
        whole = self.deserialize_json(line)
        if message.is_cut:
            raise self._too_deep()
        if not isinstance(whole, dict):
            raise InputError(
                f"Line {self.line} of the input is JSON, but no object, so it is not a Singer message: check that the tap writes "
                "nothing else to its standard output."
            )
        if message.type == "STATE":
            raise InputError(
                f"The STATE message in line {self.line} of the input lacks its value: correct the tap."
            )
        if message.type not in callbacks:
            given = message.type
            kind = f"is of type {given!r}" if _TYPE.fullmatch(given) else "has no type of Singer's"
            raise InputError(
                f"Line {self.line} of the input {kind}, so it is not a Singer message that target-cordial knows: check that the tap "
                "writes nothing else to its standard output."
            )
        counts[message.type] += 1
        callbacks[message.type](whole)

    @override
    def deserialize_json(self, line: bytes) -> dict[str, t.Any]:
        try:
            return t.cast("dict[str, t.Any]", decode_whole(line))
        except RecursionError as error:
            raise self._too_deep() from error
        except ValueError as error:
            if self.line == 1:
                for start, (name, cure) in _NOT_LINES.items():
                    if line.startswith(start):
                        raise InputError(f"The input is {name}, not lines of JSON: {cure}.") from error
            is_cut_off = self.line == self._broken_off
            what = "breaks off: the tap was probably stopped" if is_cut_off else "is not valid JSON"
            kind = CutOffError if is_cut_off else InputError
            raise kind(
                f"Line {self.line} of the input {what}; what came before it is delivered. Look at the tap's log and run again."
            ) from error

    def _too_deep(self) -> InputError:
        return InputError(
            f"Line {self.line} of the input is nested deeper than {MAX_DEPTH} levels, which only a RECORD may be; what came before it "
            "is delivered. Correct the tap."
        )

    def _chunks(self, file: t.IO[bytes] | t.IO[str]) -> t.Iterator[t.Sequence[bytes]]:
        """Yield all complete lines that are available, without their ends; block only when there is none."""
        read = getattr(getattr(file, "buffer", file), "read1", None)
        if read is None:
            # Text without bytes behind it.
            yield from ([str(line).encode("utf-8", "surrogateescape")] for line in file)
            return
        parts: list[bytes] = []
        lines = 0
        while True:
            try:
                with self.interruptible():
                    _wait_for(file)
                    data = read(CHUNK_BYTES)
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else "it is closed"
                raise InputError(
                    f"The input cannot be read after line {self.line} ({why}): give target-cordial a tap's output, and run again."
                ) from error
            if not data:
                break
            before, end, after = data.rpartition(b"\n")
            if not end:
                parts.append(after)
                continue
            whole = b"".join([*parts, before]).split(b"\n")
            lines += len(whole)
            yield whole
            parts = [after]
        if rest := b"".join(parts):
            # The head may look ahead, so lines before it may still have to be judged.
            self._broken_off = lines + 1
            yield [rest]


def _wait_for(file: t.IO[bytes] | t.IO[str]) -> None:
    """Wait until there is input. A signal that comes right before a read would not be seen until the read ends."""
    # What is no file of the system's is there at once.
    with contextlib.suppress(OSError, ValueError, TypeError):
        while not select.select([file], [], [], SIGNAL_SECONDS)[0]:
            pass
