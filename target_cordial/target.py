"""target-cordial: any Singer stream into Cordial contacts and a Cordial list, by bulk import."""

from __future__ import annotations

import functools
import gc
import logging
import typing as t

import click
from singer_sdk import Target
from singer_sdk.exceptions import (
    InvalidJSONSchema,
    MapExpressionError,
    MappingError,
    MissingKeyPropertiesError,
    RecordsWithoutSchemaException,
)
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.plugin_base import BaseSingerReader, _ConfigInput
from typing_extensions import override

from lytics_to_cordial.checklist import Checklist, print_line
from lytics_to_cordial.errors import UserError
from lytics_to_cordial.plugin import ConfiguredPlugin
from lytics_to_cordial.process import run_command
from lytics_to_cordial.signals import StopSignal
from target_cordial.check import selected_streams
from target_cordial.history.page import write_page
from target_cordial.intake.chunks import ChunkReader
from target_cordial.intake.mapping import DELETED_FIELD
from target_cordial.intake.reader import InputError, MessageReader
from target_cordial.run import Lifecycle, Run
from target_cordial.settings import CONFIG_JSONSCHEMA, Settings, journal_url
from target_cordial.sink import CordialSink

if t.TYPE_CHECKING:
    from types import FrameType

    from singer_sdk.mapper import StreamMap

GARBAGE_THRESHOLD = 100_000
TEST_STREAM = "meltano_test_stream"
"""The made-up stream that `meltano config test` sends (Meltano: plugin test service)."""

logger = logging.getLogger("target-cordial")


class RecordBeforeSchemaError(InputError, RecordsWithoutSchemaException):
    """A record came before its stream's schema."""


class MissingKeyError(UserError, MissingKeyPropertiesError):
    """Records lack a property of their stream's key."""


class TargetCordial(ConfiguredPlugin, Target):
    """Bulk-imports any Singer stream into Cordial contacts and a Cordial list."""

    name = "target-cordial"
    package_name = "lytics-to-cordial"
    config_jsonschema = CONFIG_JSONSCHEMA
    default_sink_class = CordialSink
    message_reader_class = MessageReader
    message_reader: MessageReader

    def __init__(self, **options: t.Any) -> None:
        # The SDK's constructor already sets the handlers that use it.
        self._signal = StopSignal()
        super().__init__(**options)
        self.message_reader.interruptible = self._signal.interruptible
        self.settings = Settings.from_config(self._config)
        self.lifecycle = Lifecycle(self.name, self.settings, self._signal)
        self.delivery = self.lifecycle.delivery
        self._run: Run | None = None
        self._routes: dict[str, list[tuple[StreamMap, CordialSink]]] = {}
        self._skipped: set[str] = set()
        self._keyless: set[str] = set()
        self._last_stream: str | None = None

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, t.Any]) -> None:
        super().append_builtin_config(config_jsonschema)
        # It means nothing here.
        config_jsonschema["properties"].pop("load_method", None)

    @property
    def run(self) -> Run:
        """What records need; checked and prepared at the first one.

        Raises:
            UserError: If something that the run needs does not work.
        """
        if self._run is None:
            self._run = self.lifecycle.prepare()
        return self._run

    def _process_schema_message(self, message_dict: dict[str, t.Any]) -> None:
        stream, schema = message_dict.get("stream"), message_dict.get("schema")
        if (
            not isinstance(stream, str)
            or not isinstance(schema, dict)
            or not isinstance(schema.get("properties"), dict)
        ):
            msg = f"The SCHEMA message in line {self.message_reader.line} of the input lacks its stream or its properties: correct the tap."
            raise InputError(msg)
        if stream == TEST_STREAM:
            self._routes[stream] = []
            return
        try:
            super()._process_schema_message(message_dict)
        except (MappingError, NotImplementedError) as error:
            msg = f"The setting stream_maps does not fit the stream {stream!r}: {error}"
            raise UserError(msg) from error
        except (AttributeError, KeyError, TypeError, ValueError, InvalidJSONSchema) as error:
            msg = f"The SCHEMA message in line {self.message_reader.line} of the input is not a JSON schema: correct the tap."
            raise InputError(msg) from error
        self._drop_replaced_sinks()
        self._take_one_by_one()
        self._routes[stream] = []
        for stream_map in self.mapper.stream_maps[stream]:
            sink = t.cast("CordialSink", self.get_sink(stream_map.stream_alias))
            if sink.mapping.has_identifier:
                self._routes[stream].append((stream_map, sink))
        if any(self._routes.values()):
            self.delivery.release()
        else:
            self.delivery.hold()
        if not self._routes[stream] and stream not in self._skipped:
            self._skipped.add(stream)
            logger.warning(
                "The stream %s has no field %s, so it is skipped.", stream, self.settings.identifier_field
            )

    def _drop_replaced_sinks(self) -> None:
        """The SDK keeps the sinks of former schemas until the end, but no record of theirs is left."""
        for sink in self._sinks_to_clear:
            if t.cast("CordialSink", sink).lacks_key_property:
                self._keyless.add(sink.stream_name)
            sink.clean_up()
        self._sinks_to_clear.clear()

    def _process_record_message(self, message_dict: dict[str, t.Any]) -> None:
        stream, record = message_dict.get("stream"), message_dict.get("record")
        if not isinstance(stream, str) or not isinstance(record, dict):
            msg = f"The RECORD message in line {self.message_reader.line} of the input lacks its stream or its record: correct the tap."
            raise InputError(msg)
        routes = self._routes.get(stream)
        if routes is None:
            msg = f"Line {self.message_reader.line} of the input is a record of stream {stream!r} before its schema: correct the tap."
            raise RecordBeforeSchemaError(msg)
        if stream == TEST_STREAM:
            _ = self.run
            return
        is_deleted = record.get(DELETED_FIELD)
        position = self.delivery.records + 1
        self.delivery.records = position
        for stream_map, sink in routes:
            transformed = self._transformed(stream_map, record)
            if transformed is not None:
                if sink.include_sdc_metadata_properties:
                    sink._add_sdc_metadata_to_record(transformed, message_dict, {})  # noqa: SLF001 - as the SDK's own does
                sink.take(self.run, [transformed], deleted=[is_deleted], position=position)
        self.delivery.tick()
        if stream != self._last_stream:
            self._last_stream = stream
            self.message_reader.take_chunk = self._chunk_reader(stream)

    def _take_one_by_one(self) -> None:
        self._last_stream = None
        self.message_reader.take_chunk = None

    def _chunk_reader(self, stream: str) -> t.Callable[[t.Sequence[bytes]], int | None] | None:
        """How to decode many lines at once; None if stream maps or checks need each record whole."""
        if len(self._routes[stream]) != 1 or self._run is None:
            return None
        [(stream_map, sink)] = self._routes[stream]
        if sink.include_sdc_metadata_properties:
            return None
        is_same = type(stream_map) is SameRecordTransform and not stream_map.flattening_enabled
        needs_all = sink.validate_schema or not is_same
        transform = functools.partial(self._transformed, stream_map) if needs_all else None
        return ChunkReader(stream, sink, self._run, transform).take

    def _transformed(self, stream_map: StreamMap, record: dict[str, t.Any]) -> dict[str, t.Any] | None:
        try:
            return t.cast("dict[str, t.Any] | None", stream_map.transform(record.copy()))
        except MapExpressionError as error:
            msg = f"A stream map of {stream_map.stream_alias!r} cannot be computed for a record: correct stream_maps."
            raise UserError(msg) from error

    def _process_state_message(self, message_dict: dict[str, t.Any]) -> None:
        if "value" not in message_dict:
            msg = f"The STATE message in line {self.message_reader.line} of the input lacks its value: correct the tap."
            raise InputError(msg)
        self.delivery.state(message_dict["value"])
        self.delivery.tick()

    def _process_activate_version_message(self, message_dict: dict[str, t.Any]) -> None:
        logger.info(
            "ACTIVATE_VERSION of stream %s is passed over: contacts have no versions.",
            message_dict.get("stream"),
        )

    def _process_batch_message(self, message_dict: dict[str, t.Any]) -> None:
        msg = f"The stream {message_dict.get('stream')!r} comes as BATCH files, which target-cordial does not read: unset batch_config in the tap."
        raise InputError(msg)

    @override
    def process_endofpipe(self) -> None:
        self.lifecycle.finish()
        for sink in self._sinks_active.values():
            sink.clean_up()
        if self._skipped and not any(self._routes.values()):
            msg = (
                f"None of the streams ({', '.join(sorted(self._skipped))}) has the field {self.settings.identifier_field!r}, so nothing "
                "could be sent and no state is acknowledged: correct identifier_field, or select the field in the tap."
            )
            raise UserError(msg)
        self._raise_missing_keys()

    def _raise_missing_keys(self) -> None:
        self._keyless |= {
            sink.stream_name
            for sink in self._sinks_active.values()
            if t.cast("CordialSink", sink).lacks_key_property
        }
        if self._keyless:
            msg = (
                f"Records of {', '.join(sorted(self._keyless))} lack a property of their key and are in the reject report: correct "
                "the tap."
            )
            raise MissingKeyError(msg)

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        self._signal.handle(signum)

    @classmethod
    def invoke(  # type: ignore[override]
        cls,
        *,
        check: bool = False,
        report: str | None = None,
        fetch: bool = False,
        catalog: t.IO[str] | None = None,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        file_input: t.IO[str] | None = None,
    ) -> None:
        """Run the target.

        Args:
            check: Try everything that a run needs, then end.
            report: Write a page of the journal's runs to this file, then end.
            fetch: With `check`: let Cordial fetch a file that holds a header alone, too.
            catalog: With `check`: a tap's catalog, whose fields are held against the attributes.
            about: As in the SDK, like the rest.
            about_format: As in the SDK.
            config: As in the SDK.
            file_input: As in the SDK.
        """
        super(BaseSingerReader, cls).invoke(about=about, about_format=about_format)
        if report is not None:
            click.echo(write_page(journal_url(cls.setting("journal_url", config)), report))
            return
        cls.print_version(print_fn=logger.info)
        target = cls(
            config=config.config if config else None,
            parse_env_config=bool(config and config.parse_env),
        )
        if check:
            checklist = Checklist(print_line)
            streams = None if catalog is None else selected_streams(catalog)
            target.lifecycle.check(checklist, streams, fetch=fetch)
            target.lifecycle.close()
            if checklist.failures:
                raise SystemExit(1)
            return
        with target.lifecycle.ending_well():
            target.listen(file_input)

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        command.params += [
            click.Option(
                ["--check"], is_flag=True, help="Try everything that a run needs, and change nothing."
            ),
            click.Option(
                ["--report"],
                metavar="FILE",
                help="Write a page of the runs in journal_url; needs no other setting.",
            ),
            click.Option(
                ["--fetch"],
                is_flag=True,
                help="With --check: let Cordial fetch a file with a header alone, too.",
            ),
            click.Option(
                ["--catalog"],
                type=click.File(),
                help="With --check: a tap's catalog, whose fields are held against the attributes.",
            ),
        ]
        return command


def main() -> None:
    """Run the command line; a failure is one sentence and a non-zero exit code."""
    # Rows are many and in no cycles: looking for some takes a fifth of the time.
    gc.freeze()
    gc.set_threshold(GARBAGE_THRESHOLD)
    run_command(TargetCordial.cli, logger)
