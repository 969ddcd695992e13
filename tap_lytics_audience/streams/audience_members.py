"""The stream of audience members: who enters, changed and leaves, or all of them in a snapshot."""

from __future__ import annotations

import contextlib
import logging
import time
import typing as t
from collections.abc import Generator, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
from singer_sdk import Tap
from singer_sdk.helpers.types import Context
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform
from singer_sdk.metrics import Counter
from singer_sdk.singerlib import Catalog, MetadataMapping
from singer_sdk.singerlib.catalog import Metadata
from typing_extensions import override

from lytics_to_cordial.errors import TransientError, UserError
from lytics_to_cordial.progress import Progress
from lytics_to_cordial.workspace import workspace
from tap_lytics_audience import bookmark, messages
from tap_lytics_audience.lytics.audiences import Audience
from tap_lytics_audience.lytics.identifier import check_identifier_field
from tap_lytics_audience.lytics.schema import Field, as_columns, json_schema, type_name
from tap_lytics_audience.members.audience import AudiencePass
from tap_lytics_audience.members.delivery import Delivery, Record
from tap_lytics_audience.members.kinds import Change
from tap_lytics_audience.members.ledger import timestamp
from tap_lytics_audience.members.opening import open_passes, open_sample, open_snapshots
from tap_lytics_audience.members.reading import Account, Reading
from tap_lytics_audience.members.run import begin
from tap_lytics_audience.members.snapshot import SnapshotPass
from tap_lytics_audience.messages import RecordFormat
from tap_lytics_audience.stream_maps import StreamMapError, check_exits_pass, fingerprint, made_by
from tap_lytics_audience.streams.mapped import MappedStream
from tap_lytics_audience.streams.source import Source

Passes: t.TypeAlias = Sequence[AudiencePass | SnapshotPass]

logger = logging.getLogger("tap-lytics-audience")


class AudienceMembersStream(MappedStream):
    """Who enters, changed and leaves.

    Args:
        tap: The tap.
        source: Where to read from.
        fields: The account's profile fields.

    Raises:
        UserError: If the identifier cannot be one.
    """

    name = "audience_members"

    def __init__(self, tap: Tap, source: Source, fields: list[Field]) -> None:
        self._source = source
        self._identifier = source.settings.identifier_field
        self._kinds = {field.name: field.type for field in fields}
        check_identifier_field(self._identifier, self._kinds.get(self._identifier), taken=messages.COLUMNS)
        others = [field for field in fields if field.name != self._identifier]
        self._columns = as_columns(others, messages.COLUMNS)
        properties = {
            **messages.COLUMNS,
            self._identifier: {"type": ["string"], "description": "Identifies the member."},
        }
        for field in others:
            properties[self._columns[field.name]] = {
                **json_schema(field.type),
                "description": field.description or f"Profile field {field.name}.",
            }
        super().__init__(tap, schema={"type": "object", "properties": properties})
        self._set_replication()
        self._audiences: list[Audience] = []
        self._at_work: Reading | None = None
        self.primary_keys = ["audience_id", self._identifier]
        for name, column in self._columns.items():
            if name != column:
                self.logger.warning("The profile field %s is sent as %s, as its name is taken.", name, column)

    @property
    @override
    def metadata(self) -> MetadataMapping:
        """The columns that say what a record is about are always selected."""
        metadata = super().metadata
        for column in (*messages.COLUMNS, self._identifier):
            entry = metadata.setdefault(("properties", column), Metadata())
            entry.inclusion = Metadata.InclusionType.AUTOMATIC
        return metadata

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        own = list(self.primary_keys)
        super().apply_catalog(catalog)
        if sorted(self.primary_keys) not in ([], sorted(own)):
            raise UserError(
                f"The catalog is older than identifier_field {self._identifier!r}, as its key is {', '.join(self.primary_keys)}: make it anew with "
                "--discover; with Meltano, run with --refresh-catalog."
            )
        self.primary_keys = own
        # The catalog may have been made while `snapshot` was another.
        self._set_replication()

    def field_lines(self) -> list[str]:
        """The fields that are sent, for people: name and type in Lytics, name and type in records, as stream maps leave them."""
        names = {column: name for name, column in [(self._identifier, self._identifier), *self._selected()]}
        rows: dict[tuple[str, str, str, str], None] = {}
        for stream_map in () if self._drops_all else self.stream_maps:
            made = made_by(self, stream_map)
            properties = stream_map.transformed_schema["properties"]
            # Those of Lytics in their order, then those that stream maps add.
            for column in [name for name in {**names, **dict.fromkeys(made)} if name in properties]:
                source = (
                    ("(stream_maps)", "") if column in made else (names[column], self._kinds[names[column]])
                )
                row = (*source, column, type_name(properties[column]))
                rows[row] = None
        widths = [max((len(row[place]) for row in rows), default=0) for place in range(3)]
        return [
            f"{name:<{widths[0]}}  {kind:<{widths[1]}}  ->  {column:<{widths[2]}}  {type_}"
            for name, kind, column, type_ in rows
        ]

    def begin(self) -> None:
        """Begin the run, before its first message: it names the run. A run that fails here leaves the state as it was.

        Raises:
            UserError: If an audience or the ledger cannot be read, or the settings cannot work.
        """
        if self._drops_all or self.ABORT_AT_RECORD_COUNT is not None:
            return
        source = self._source
        with source.signal.interruptible():
            if not source.settings.snapshot:
                self._check_exits_pass()
            if source.lease is not None:
                source.lease.take()
            self._audiences = begin(source.settings, source.followed, self.stream_state, source.errors)
        if not source.settings.snapshot:
            self._compare_stream_maps()

    @override
    def get_records(self, context: Context | None) -> Iterable[dict[str, t.Any]]:
        """A few members of each audience, for a look at the tap's output. The ledger is left alone."""
        limit = self.ABORT_AT_RECORD_COUNT or 1
        with workspace(self.tap_name) as folder:
            for audience in self._source.audiences:
                with open_sample(self._account(), audience, folder) as sample:
                    for record in sample.sample(limit):
                        yield self._as_dict(sample, record, timestamp())

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Keep the SDK's own bookmark out of the state: the ledger is the bookmark."""

    @override
    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, t.Any], t.Any, t.Any]:
        """Write all records and states. A state points past what was written, never further.

        The SDK's own way yields record by record; the blocks of an audience do not fit through there.
        """
        if self.ABORT_AT_RECORD_COUNT is not None:
            yield from super()._sync_records(context, write_messages=write_messages)
            return
        if self._drops_all:
            # What nobody gets must not be in the ledger as sent.
            self.logger.info("Stream maps take away all of %s, so that nothing is read.", self.name)
            return
        with (
            contextlib.ExitStack() as stack,
            Progress(self._where_it_is, logger),
            self.get_record_counter() as counter,
            self.get_sync_timer(),
        ):
            stack.callback(self._source.lytics.metrics.log_sum, "Lytics", logger)
            folder = stack.enter_context(workspace(self.tap_name))
            with self._source.signal.interruptible():
                passes = stack.enter_context(self._open(folder))
            self._source.errors.extend(self._deliver_all(passes, counter))
        self._end(passes)

    def _open(self, folder: Path) -> contextlib.AbstractContextManager[Passes]:
        opened = (self._account(), self._audiences, self.stream_state, folder, self._source.errors)
        return open_snapshots(*opened) if self._source.settings.snapshot else open_passes(*opened)

    def _end(self, passes: Passes) -> None:
        """Mark the end of a run that did all of its work."""
        errors = self._source.errors
        if errors:
            if self._source.settings.snapshot:
                errors.append(TransientError("So this is no whole snapshot, and nothing marks its end."))
            return
        snapshots = {one.reading.audience.id: one.bookmark for one in passes if isinstance(one, SnapshotPass)}
        bookmark.end(self.stream_state, snapshots)
        self._tap.state_writer.write_state(self.tap_state)
        if self._stream_version is not None:
            # By this any target knows that it has all members.
            self._write_activate_version_message(self._stream_version)

    def _deliver_all(self, passes: Passes, counter: Counter) -> list[UserError]:
        """Write what the passes deliver, and return the errors that kept some of them from being complete.

        Enters of all audiences go first, and exits last: whoever moves from one audience to another is never on no list.
        """
        errors: dict[str, UserError] = {}
        for phases in zip(*(audience_pass.phases for audience_pass in passes), strict=True):
            for audience_pass, phase in zip(passes, phases, strict=True):
                reading = audience_pass.reading
                if reading.audience.id not in errors:
                    error = self._deliver(reading, phase(), counter)
                    if error is not None:
                        errors[reading.audience.id] = error
        for audience_pass in passes:
            audience_pass.log_summary()
        return list(errors.values())

    def _compare_stream_maps(self) -> None:
        if bookmark.stream_maps_changed(self.stream_state, fingerprint(self.config)):
            self.logger.warning(
                "stream_maps (or what else makes other records) changed since members were sent: whoever does not change keeps what they got by "
                "the earlier ones; run once with --full-refresh to send everybody."
            )

    def _check_exits_pass(self) -> None:
        exits = [
            RecordFormat(self.name, self._identifier, audience.id, audience.slug, audience.name).columns(
                Change.EXIT, "somebody@example.com", "2024-01-01T00:00:00.000000Z"
            )
            for audience in self._source.audiences
        ]
        check_exits_pass(self, exits, {"audience_id", "audience_slug", "audience_name", self._identifier})

    def _set_replication(self) -> None:
        if self._source.settings.snapshot:
            self.replication_key, self.forced_replication_method = None, "FULL_TABLE"
            self._stream_version = self._initialized_at // 1000
        else:
            self.replication_key, self.forced_replication_method = "audience_changed_at", "INCREMENTAL"

    @property
    def _drops_all(self) -> bool:
        return all(isinstance(stream_map, RemoveRecordTransform) for stream_map in self.stream_maps)

    def _account(self) -> Account:
        return Account(self._source.lytics, self._source.settings, self._kinds, self._selected())

    def _deliver(
        self, reading: Reading, deliveries: Iterator[Delivery], counter: Counter
    ) -> UserError | None:
        """Write the records of each delivery, then the state that points past them. Return the error that ended the phase, if one did."""
        signal = self._source.signal
        self._at_work = reading
        while True:
            try:
                with signal.interruptible():
                    delivery = next(deliveries, None)
                    if self._source.lease is not None:
                        self._source.lease.check()
            except UserError as error:
                return error
            if delivery is None:
                return None
            try:
                for count in self._write_records(reading, delivery):
                    counter.increment(count)
                    signal.check()
            except StreamMapError as error:
                return error
            if delivery.bookmark is not None:
                bookmark.write_bookmark(self.stream_state, reading.audience.id, delivery.bookmark)
                self._tap.state_writer.write_state(self.tap_state)

    def _where_it_is(self) -> str | None:
        at_work = self._at_work
        if at_work is None or not at_work.work.what:
            return None
        return f"Audience {at_work.slug}: {at_work.work.describe(time.monotonic())}."

    def _write_records(self, reading: Reading, delivery: Delivery) -> Iterator[int]:
        """Write a delivery's records, and yield how many at a time."""
        if all(
            type(stream_map) is SameRecordTransform and not stream_map.flattening_enabled
            for stream_map in self.stream_maps
        ):
            # The SDK writes and flushes each record by itself, and copies it; that takes many times as long.
            for lines, count in self._format(reading).lines(delivery.records, delivery.seen_at):
                messages.write(lines)
                yield count
            return
        for record in delivery.records:
            self._write_record_message(self._as_dict(reading, record, delivery.seen_at))
            yield 1

    def _selected(self) -> list[tuple[str, str]]:
        """Name in Lytics and in records of each selected profile field."""
        return [
            (name, column)
            for name, column in self._columns.items()
            if self.mask[("properties", column)] and column in self.effective_schema["properties"]
        ]

    def _format(self, reading: Reading) -> RecordFormat:
        return RecordFormat(
            self.name, self._identifier, reading.audience.id, reading.slug, reading.name, self._stream_version
        )

    def _as_dict(self, reading: Reading, record: Record, seen_at: str) -> dict[str, t.Any]:
        change, key, fields = record
        columns = self._format(reading).columns(change, key, seen_at)
        return {**columns, **msgspec.json.decode(b"{" + fields + b"}")}
