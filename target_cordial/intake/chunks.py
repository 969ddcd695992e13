"""Whole chunks of lines decoded into just the fields that are needed: decoding all of each record takes most of the time."""

from __future__ import annotations

import decimal
import typing as t

import msgspec

from target_cordial.intake.mapping import DELETED_FIELD

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target_cordial.run import Run
    from target_cordial.sink import CordialSink


class _State(msgspec.Struct, tag_field="type", tag="STATE"):
    value: dict[str, t.Any]


class ChunkReader:
    """Takes chunks of one stream's messages.

    Args:
        stream: The stream's name.
        sink: Its sink.
        run: Where rows and exits go.
        transform: What stream maps make of a record; None if they change nothing, so that only some fields are needed.
    """

    def __init__(
        self,
        stream: str,
        sink: CordialSink,
        run: Run,
        transform: Callable[[dict[str, t.Any]], dict[str, t.Any] | None] | None = None,
    ) -> None:
        self._sink = sink
        self._run = run
        self._transform = transform
        self._fields = sink.fields(run)
        self._decode = _decoder(stream, None if transform else self._fields)

    def take(self, lines: Sequence[bytes]) -> int | None:
        """Take a chunk of messages.

        Returns:
            How many of them were records; None if nothing was done, as they are not all states and records of the stream.

        Raises:
            UserError: If the run cannot go on.
        """
        try:
            messages = list(map(self._decode, lines))
        except (ValueError, decimal.InvalidOperation, RecursionError):
            return None
        states = [at for at, message in enumerate(messages) if type(message) is _State]
        delivery = self._run.delivery
        start = 0
        for end in [*states, len(messages)]:
            if start < end:
                after = delivery.records + end - start
                self._take([message.record for message in messages[start:end]], lines[start:end])
                delivery.records = after
            if end < len(messages):
                delivery.state(messages[end].value)
            delivery.tick()
            start = end + 1
        return len(messages) - len(states)

    def _take(self, records: list[t.Any], lines: Sequence[bytes]) -> None:
        position = self._run.delivery.records + 1
        if self._transform is None:
            columns = zip(*map(msgspec.structs.astuple, records), strict=True)
            self._sink.take_values(
                self._run,
                dict(zip(self._fields, columns, strict=True)),
                lambda number: _whole(lines[number]),
                position=position,
                rejects={},
            )
            return
        deleted = [record.get(DELETED_FIELD) for record in records]
        kept = [
            (transformed, mark)
            for record, mark in zip(records, deleted, strict=True)
            if (transformed := self._transform(record)) is not None
        ]
        if kept:
            # What a filter drops makes later positions too early, which only delays a state.
            records, deleted = map(list, zip(*kept, strict=True))
            self._sink.take(self._run, records, deleted=deleted, position=position)


_decode_whole = msgspec.json.Decoder(float_hook=decimal.Decimal).decode


def _whole(line: bytes) -> dict[str, t.Any]:
    return t.cast("dict[str, t.Any]", _decode_whole(line)["record"])


def _decoder(stream: str, fields: Sequence[str] | None) -> Callable[[bytes], t.Any]:
    """Decodes records of a stream, and states; whatever else a line is, it is an error."""
    # Field names are anything, those of Python are not.
    names = {f"field_{number}": field for number, field in enumerate(fields or ())}
    record: t.Any = (
        dict[str, t.Any]
        if fields is None
        else msgspec.defstruct(
            "Record", [(name, t.Any, msgspec.UNSET) for name in names], rename=names, gc=False
        )
    )
    message = msgspec.defstruct(
        "Message",
        [("stream", t.Literal[stream]), ("record", record)],
        tag_field="type",
        tag="RECORD",
        gc=False,
    )
    return msgspec.json.Decoder(message | _State, float_hook=decimal.Decimal).decode
