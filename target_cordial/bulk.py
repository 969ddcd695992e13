"""The quick way in: many lines at once, for records that need nothing but their cells written.

Record by record, Python itself takes most of the time. Here whole chunks are decoded into just the fields that are needed
and go on column by column. A record that is not plain goes record by record in its place, so that `sink` alone decides what
is rejected, and `cells` what becomes of a value that is out of the ordinary.
"""

from __future__ import annotations

import decimal
import itertools
import typing as t
from dataclasses import dataclass

import msgspec

from target_cordial.mapping import CHANGE_FIELD, DELETED_FIELD

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target_cordial.batch import Cells
    from target_cordial.bulk_cells import Found
    from target_cordial.cordial import ContactList
    from target_cordial.sink import CordialSink
    from target_cordial.target import Run


class _State(msgspec.Struct, tag_field="type", tag="STATE"):
    value: dict[str, t.Any]


@dataclass(frozen=True)
class _Way:
    """Where a plain record goes.

    Attributes:
        is_exit: Whether the contact leaves.
        target_list: The list to join or leave; None for the contact alone.
    """

    is_exit: bool
    target_list: ContactList | None


class BulkPath:
    """Takes chunks of one stream's messages.

    Args:
        stream: The stream's name.
        sink: Its sink.
        run: Where rows and exits go.
        is_synced: Whether contacts leave lists.
        take_line: Takes a line by itself, as if there were no quick way; the number is its place in the chunk.
    """

    def __init__(
        self,
        stream: str,
        sink: CordialSink,
        run: Run,
        *,
        is_synced: bool,
        take_line: Callable[[bytes, int], None],
    ) -> None:
        self._sink = sink
        self._run = run
        self._is_synced = is_synced
        self._take_line = take_line
        self._columns = run.rows.bulk_columns()
        self._mapped = [column.field for column in run.rows.columns]
        self._keys = [name for name in sink.key_properties if name not in sink.mapping.fields]
        self._kind_fields = [] if run.lists is None else [*run.lists.fields, "audience_id"]
        needed = [
            *sink.mapping.fields,
            *self._keys,
            *self._kind_fields,
            *self._mapped,
            DELETED_FIELD,
            CHANGE_FIELD,
        ]
        self._fields = list(dict.fromkeys(needed))
        self._decode = _decoder(stream, self._fields)

    @staticmethod
    def suits(sink: CordialSink, run: Run) -> bool:
        """Whether a stream's records, which no stream map changes, need nothing but their cells written.

        Args:
            sink: The stream's sink.
            run: Where its rows and exits go.
        """
        return (
            not sink.validate_schema
            and not sink.include_sdc_metadata_properties
            and not any("." in column.field for column in run.rows.columns)
        )

    def take(self, lines: Sequence[bytes]) -> int | None:
        """Take a chunk of messages.

        Args:
            lines: Whole lines.

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
        start = 0
        for end in [*states, len(messages)]:
            if start < end:
                self._take_records([message.record for message in messages[start:end]], lines, start)
            if end < len(messages):
                self._run.delivery.state(messages[end].value)
            self._run.delivery.tick()
            start = end + 1
        return len(messages) - len(states)

    def _take_records(self, records: list[t.Any], lines: Sequence[bytes], first: int) -> None:
        values = dict(
            zip(self._fields, zip(*map(msgspec.structs.astuple, records), strict=True), strict=True)
        )
        keys = self._sink.mapping.keys(values)
        columns = [
            column.cells(values[field]) for column, field in zip(self._columns, self._mapped, strict=True)
        ]
        ways = self._ways(values, keys, columns)
        # Where one is None the record goes by itself, and neither its key nor its row is used.
        contacts = t.cast("list[str]", keys.found)
        rows = self._run.rows.bulk_rows(keys.found, [cells.found for cells in columns])
        for way, start, end in _stretches(ways):
            if way is None:
                for number in range(first + start, first + end):
                    self._take_line(lines[number], number)
            else:
                self._sink.record_counter_metric.increment(end - start)
                updates = values[CHANGE_FIELD][start:end].count("update")
                self._send(way, contacts[start:end], rows[start:end], updates)

    def _send(self, way: _Way, contacts: list[str], rows: list[Cells], updates: int) -> None:
        delivery = self._run.delivery
        if not way.is_exit:
            delivery.enter_all(way.target_list, contacts, rows, updates=updates)
        elif way.target_list is None or not self._is_synced:
            delivery.records += len(contacts)
            delivery.totals.ignored_exits += len(contacts)
        else:
            for contact in contacts:
                delivery.records += 1
                delivery.exit(way.target_list, contact)

    def _ways(
        self, values: dict[str, tuple[object, ...]], keys: Found, columns: list[Found]
    ) -> list[_Way | None]:
        """Where each record goes; None for one that is not plain."""
        exits = self._sink.mapping.exits(values)
        told = [exits, *(values[name] for name in self._kind_fields)]
        try:
            if all(column.count(column[0]) == len(column) for column in told):
                # Alike, as most chunks are: to count takes a fifth of the time of telling kinds apart.
                ways = [self._way(exits[0], *(column[0] for column in told[1:]))] * len(keys.found)
            else:
                # Records differ, but there are few kinds of them.
                kinds = list(zip(*told, strict=True))
                found = {kind: self._way(*kind) for kind in set(kinds)}
                ways = list(map(found.__getitem__, kinds))
        except TypeError:
            # A list is named by a list or an object.
            return [None] * len(keys.found)
        lacking = [
            number
            for name in self._keys
            if msgspec.UNSET in values[name]
            for number, value in enumerate(values[name])
            if value is msgspec.UNSET
        ]
        for number in (*keys.odd, *lacking):
            ways[number] = None
        for cells in columns:
            for number in cells.odd:
                way = ways[number]
                if way is not None and not way.is_exit:
                    ways[number] = None
        return ways

    def _way(self, is_exit: bool | None, *values: object) -> _Way | None:  # noqa: FBT001 - part of a record's kind
        if is_exit is None:
            return None
        if self._run.lists is None:
            return _Way(is_exit, None)
        *names, audience = values
        target_list = self._run.lists.known(names, audience)
        return None if target_list is None else _Way(is_exit, target_list)


def _stretches(ways: list[_Way | None]) -> t.Iterator[tuple[_Way | None, int, int]]:
    """Records in a row that go the same way: the way, the first one and the one after the last."""
    if ways.count(ways[0]) == len(ways):
        yield ways[0], 0, len(ways)
        return
    for way, group in itertools.groupby(range(len(ways)), key=ways.__getitem__):
        found = list(group)
        yield way, found[0], found[-1] + 1


def _decoder(stream: str, fields: Sequence[str]) -> Callable[[bytes], t.Any]:
    """Decodes records of a stream, and states; whatever else a line is, it is an error."""
    # Field names are anything, those of Python are not.
    names = {f"field_{number}": field for number, field in enumerate(fields)}
    record = msgspec.defstruct(
        "Record", [(name, t.Any, msgspec.UNSET) for name in names], rename=names, gc=False
    )
    message = msgspec.defstruct(
        "Message",
        [("stream", t.Literal[stream]), ("record", record)],
        tag_field="type",
        tag="RECORD",
        gc=False,
    )
    return msgspec.json.Decoder(message | _State, float_hook=decimal.Decimal).decode
