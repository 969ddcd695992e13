"""The tap's two streams: audiences, and their members."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import re
import time
import typing as t

import msgspec
from singer_sdk import Stream
from singer_sdk import typing as th
from singer_sdk.mapper import RemoveRecordTransform, SameRecordTransform
from singer_sdk.singerlib.catalog import Metadata

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.progress import Progress
from lytics_to_cordial.workspace import workspace
from tap_lytics_audience import bookmark, messages
from tap_lytics_audience.lytics.schema import as_columns, json_schema, type_name
from tap_lytics_audience.members.audience import AudiencePass
from tap_lytics_audience.members.ledger import Ledger
from tap_lytics_audience.messages import RecordFormat
from tap_lytics_audience.triggers.events import TriggerFiles

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator
    from pathlib import Path

    from singer_sdk.helpers.types import Context
    from singer_sdk.metrics import Counter
    from singer_sdk.singerlib import MetadataMapping

    from tap_lytics_audience.lytics.api import Audience
    from tap_lytics_audience.lytics.schema import Field
    from tap_lytics_audience.members.audience import Delivery
    from tap_lytics_audience.tap import TapLyticsAudience

LOOK_BACK = dt.timedelta(hours=1)
"""Trigger messages can land in another order than they happened."""
_WORD = re.compile(r"\w+")
logger = logging.getLogger("tap-lytics-audience")
_LISTS = ("[", "ts[", "map[", "membership", "embedding", "geolocation", "flows")


class AudiencesStream(Stream):
    """The audiences that are followed."""

    name = "audiences"
    primary_keys: t.ClassVar[list[str]] = ["id"]
    schema = th.PropertiesList(
        th.Property("id", th.StringType, required=True, description="The audience's id in Lytics."),
        th.Property("slug", th.StringType, description="Its slug."),
        th.Property("name", th.StringType, description="Its name."),
        th.Property("description", th.StringType, description="Its description."),
        th.Property(
            "size", th.IntegerType, description="How many profiles it has now, as Lytics counts them."
        ),
        th.Property("created", th.DateTimeType, description="When it was created."),
        th.Property("updated", th.DateTimeType, description="When its definition last changed."),
    ).to_dict()

    def __init__(self, tap: TapLyticsAudience) -> None:
        super().__init__(tap)
        self._lytics_tap = tap

    def get_records(self, context: Context | None) -> Iterator[dict[str, t.Any]]:  # noqa: ARG002 - the SDK's signature
        """Read the audiences.

        Args:
            context: Not used.

        Yields:
            One record an audience.
        """
        for audience in self._lytics_tap.audiences():
            yield {
                "id": audience.id,
                "slug": audience.slug,
                "name": audience.name,
                "description": audience.description,
                "size": audience.size,
                "created": audience.created,
                "updated": audience.updated,
            }


class AudienceMembersStream(Stream):
    """Who enters, changed and leaves.

    Args:
        tap: The tap.
        fields: The account's profile fields.

    Raises:
        UserError: If the identifier cannot be one.
    """

    name = "audience_members"
    replication_key = "audience_changed_at"

    def __init__(self, tap: TapLyticsAudience, fields: list[Field]) -> None:
        self._identifier = tap.settings.identifier_field
        self._kinds = {field.name: field.type for field in fields}
        self._columns = as_columns(
            [field for field in fields if field.name != self._identifier], messages.COLUMNS
        )
        self._check_identifier()
        properties = {
            **messages.COLUMNS,
            self._identifier: {"type": ["string"], "description": "Identifies the member."},
        }
        for field in fields:
            if field.name in self._columns:
                properties[self._columns[field.name]] = {
                    **json_schema(field.type),
                    "description": field.description or f"Profile field {field.name}.",
                }
        super().__init__(tap, schema={"type": "object", "properties": properties})
        self._lytics_tap = tap
        self._at_work: AudiencePass | None = None
        self.primary_keys = ["audience_id", self._identifier]
        for name, column in self._columns.items():
            if name != column:
                self.logger.warning("The profile field %s is sent as %s, as its name is taken.", name, column)

    @property
    def metadata(self) -> MetadataMapping:
        """What is selected: the columns that say what a record is about always are."""
        metadata = super().metadata
        for column in (*messages.COLUMNS, self._identifier):
            entry = metadata.setdefault(("properties", column), Metadata())
            entry.inclusion = Metadata.InclusionType.AUTOMATIC
        return metadata

    def field_lines(self) -> list[str]:
        """The fields that are sent, for people: name and type in Lytics, name and type in records."""
        names = [(self._identifier, self._identifier), *self._selected()]
        name_width = max(len(name) for name, _ in names)
        kind_width = max(len(self._kinds[name]) for name, _ in names)
        column_width = max(len(column) for _, column in names)
        properties = self.schema["properties"]
        return [
            f"{name:<{name_width}}  {self._kinds[name]:<{kind_width}}  ->  {column:<{column_width}}  {type_name(properties[column])}"
            for name, column in names
        ]

    def get_records(self, context: Context | None) -> Iterable[dict[str, t.Any]]:  # noqa: ARG002 - the SDK's signature
        """A few members of each audience, for a look at the tap's output; the ledger is left alone.

        Args:
            context: Not used.

        Yields:
            Records.
        """
        limit = self.ABORT_AT_RECORD_COUNT or 1
        with workspace(self.tap_name) as folder:
            for audience in self._lytics_tap.audiences():
                with self._begin(audience, folder / audience.id, "") as one:
                    for change, key, fields in one.sample(limit):
                        yield self._as_dict(self._format(one), change, key, fields, one.seen_at)

    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """Keep the SDK's own bookmark out of the state: the ledger is the bookmark.

        Args:
            context: Not used.
        """

    def _sync_records(
        self,
        context: Context | None = None,
        *,
        write_messages: bool = True,
    ) -> Generator[dict[str, t.Any], t.Any, t.Any]:
        """Write all records and states; a state points past what was written, never further.

        Args:
            context: Not used.
            write_messages: Not used.

        Yields:
            Nothing: blocks of an audience do not fit through here one by one.

        Raises:
            UserError: If an audience could not be sent completely.
        """
        if self.ABORT_AT_RECORD_COUNT is not None:
            yield from super()._sync_records(context, write_messages=write_messages)
            return
        if all(isinstance(stream_map, RemoveRecordTransform) for stream_map in self.stream_maps):
            # What nobody gets must not be in the ledger as sent.
            self.logger.info("Stream maps take away all of %s, so that nothing is read.", self.name)
            return
        with (
            contextlib.ExitStack() as stack,
            Progress(self._where_it_is, logger),
            self.get_record_counter() as counter,
            self.get_sync_timer(),
        ):
            stack.callback(self._lytics_tap.lytics.metrics.log)
            with self._lytics_tap.signal.interruptible():
                passes = self._begin_all(stack)
            for one in passes:
                self._deliver(one, one.enters(), counter)
            for one in passes:
                self._deliver(one, one.late_enters(), counter)
            for one in passes:
                self._deliver(one, one.exits(), counter)
                one.log_summary()
            problems = [one.problem for one in passes if one.problem]
            if problems:
                raise UserError(" ".join(problems))

    def _begin_all(self, stack: contextlib.ExitStack) -> list[AudiencePass]:
        """Begin a pass over each audience; nothing is sent before all have begun."""
        bookmark.check_identifier(self.stream_state, self._identifier)
        audiences = self._lytics_tap.audiences(check_slugs=True)
        self._check_maps(audiences)
        folder = stack.enter_context(workspace(self.tap_name))
        passes = [
            stack.enter_context(self._begin(audience, folder / audience.id, str(self.stream_state["ledger"])))
            for audience in audiences
        ]
        self._read_triggers(passes)
        return passes

    def _begin(self, audience: Audience, folder: Path, ledger_id: str) -> AudiencePass:
        settings = self._lytics_tap.settings
        known = bookmark.read_bookmark(self.stream_state, audience.id) if ledger_id else None
        return AudiencePass(
            lytics=self._lytics_tap.lytics,
            audience=audience,
            settings=settings,
            ledger=Ledger(settings.ledger_url, ledger_id or "sample", audience.id, folder),
            ledger_id=ledger_id,
            bookmark=known,
            kinds=self._kinds,
            sent=self._selected(),
            folder=folder,
        )

    def _read_triggers(self, passes: list[AudiencePass]) -> None:
        settings = self._lytics_tap.settings
        if settings.change_detection == "scan" or settings.triggers_url is None:
            return
        since = {one.audience.id: one.triggers_since for one in passes}
        starts = [start for start in since.values() if start is not None]
        # Also where all audiences are scanned this time: a folder that is not there should be known before it is needed.
        now = dt.datetime.now(dt.timezone.utc)
        names = {
            name: one.audience.id for one in passes for name in (one.audience.id, one.audience.slug, one.slug)
        }
        files = TriggerFiles(settings.triggers_url, audiences=names, identifier_field=self._identifier)
        by_id = {one.audience.id: one for one in passes}
        for event in files.events(min(starts, default=now) - LOOK_BACK):
            start = since[event.audience_id]
            if start is not None and event.landed_at >= start - LOOK_BACK:
                by_id[event.audience_id].add_event(event)
        for one in passes:
            one.leave_unfinished(files.unfinished_since)
        if files.without_identifier:
            self.logger.warning(
                "%d trigger messages have no %s: the next full scan looks at whom they mean.",
                files.without_identifier,
                self._identifier,
            )

    def _deliver(self, one: AudiencePass, deliveries: Iterator[Delivery], counter: Counter) -> None:
        """Write deliveries: the records of each, then the state that points past them."""
        signal = self._lytics_tap.signal
        self._at_work = one
        while True:
            with signal.interruptible():
                delivery = next(deliveries, None)
            if delivery is None:
                return
            for count in self._write_records(one, delivery):
                counter.increment(count)
                signal.check()
            bookmark.write_bookmark(self.stream_state, one.audience.id, delivery.bookmark)
            self._tap.state_writer.write_state(self.tap_state)

    def _where_it_is(self) -> str | None:
        one = self._at_work
        if one is None or not one.work.what:
            return None
        return f"Audience {one.slug}: {one.work.describe(time.monotonic())}."

    def _write_records(self, one: AudiencePass, delivery: Delivery) -> Iterator[int]:
        """Write a delivery's records, and say how many at a time."""
        style = self._format(one)
        if all(type(stream_map) is SameRecordTransform for stream_map in self.stream_maps) and not any(
            stream_map.flattening_enabled for stream_map in self.stream_maps
        ):
            # The SDK's way of a record, with its copies and its flush, takes many times as long.
            for lines, count in style.lines(delivery.records, delivery.seen_at):
                messages.write(lines)
                yield count
            return
        for change, key, fields in delivery.records:
            self._write_record_message(self._as_dict(style, change, key, fields, delivery.seen_at))
            yield 1

    def _selected(self) -> list[tuple[str, str]]:
        """Name in Lytics and in records of each selected profile field."""
        return [
            (name, column)
            for name, column in self._columns.items()
            if self.mask[("properties", column)] and column in self.effective_schema["properties"]
        ]

    def _format(self, one: AudiencePass) -> RecordFormat:
        return RecordFormat(self.name, self._identifier, one.audience.id, one.slug, one.name)

    @staticmethod
    def _as_dict(style: RecordFormat, change: str, key: str, fields: bytes, seen_at: str) -> dict[str, t.Any]:
        return {**style.columns(change, key, seen_at), **msgspec.json.decode(b"{" + fields + b"}")}

    def _check_identifier(self) -> None:
        kind = self._kinds.get(self._identifier)
        if self._identifier in messages.COLUMNS:
            msg = f"The profile field {self._identifier!r} cannot be identifier_field, as records have a column of this name: choose another."
            raise UserError(msg)
        if kind is None:
            msg = f"The account has no profile field {self._identifier!r}: correct identifier_field."
            raise UserError(msg)
        if kind.startswith(_LISTS):
            msg = f"The profile field {self._identifier!r} holds several values ({kind}): set identifier_field to one that holds one."
            raise UserError(msg)

    def _check_maps(self, audiences: list[Audience]) -> None:
        """Stream maps meet exits, which have no profile fields: see that they pass."""
        for stream_map in self.stream_maps:
            if isinstance(stream_map, RemoveRecordTransform):
                continue
            for audience in audiences:
                style = RecordFormat(self.name, self._identifier, audience.id, audience.slug, audience.name)
                exit_ = style.columns("exit", "somebody@example.com", "2024-01-01T00:00:00.000000Z")
                try:
                    left = stream_map.transform(exit_)
                except Exception as error:
                    msg = (
                        f"The stream map of {stream_map.stream_alias!r} cannot be computed for an exit, which has no profile fields: in "
                        'stream_maps write record.get("field") in place of field.'
                    )
                    raise UserError(msg) from error
                if left is not None:
                    keys = stream_map.transformed_key_properties or ()
                    lost = [key for key in keys if left.get(key) is None]
                    if lost or left.get("audience_state", "exit") != "exit":
                        msg = (
                            f"The stream map of {stream_map.stream_alias!r} changes {lost[0] if lost else 'audience_state'} of exits, so that "
                            "nobody would ever leave: in stream_maps keep it as it is for exits."
                        )
                        raise UserError(msg)
                elif self._names_profile_fields(stream_map.stream_alias):
                    msg = (
                        f"The stream map of {stream_map.stream_alias!r} drops exits, so that nobody would ever leave: in stream_maps add "
                        "`or audience_state == 'exit'` to __filter__."
                    )
                    raise UserError(msg)

    def _names_profile_fields(self, alias: str) -> bool:
        """Whether a filter looks at more than which audience and whom a record is for."""
        rules = (self.config.get("stream_maps") or {}).get(alias) or (
            self.config.get("stream_maps") or {}
        ).get(self.name)
        text = str((rules or {}).get("__filter__", ""))
        words = set(_WORD.findall(text)) - {"audience_id", "audience_slug", "audience_name", self._identifier}
        return bool(words & set(self.schema["properties"]))
