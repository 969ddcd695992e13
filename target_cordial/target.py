"""target-cordial: any Singer stream into Cordial contacts and a Cordial list, by bulk import."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import gc
import logging
import os
import secrets
import sys
import time
import typing as t
import weakref

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

from lytics_to_cordial.checklist import Checklist, print_line
from lytics_to_cordial.errors import UserError, told
from lytics_to_cordial.plugin import ConfiguredPlugin
from lytics_to_cordial.progress import Progress
from lytics_to_cordial.signals import StopSignal, Terminated
from lytics_to_cordial.workspace import open_workspace
from target_cordial.check import check, check_fetch, selected_streams
from target_cordial.cordial.api import Cordial
from target_cordial.delivery.delivery import Delivery
from target_cordial.delivery.earlier_runs import clear_earlier_runs
from target_cordial.delivery.exits import HeldExits
from target_cordial.delivery.imports import Importer
from target_cordial.delivery.outbox import Outbox
from target_cordial.delivery.plan import Plan
from target_cordial.delivery.progress import where_it_is
from target_cordial.delivery.rejects import Rejects
from target_cordial.history.journal import Journal, timestamp
from target_cordial.history.page import write_page
from target_cordial.intake.chunks import ChunkReader
from target_cordial.intake.lists import Lists
from target_cordial.intake.mapping import DELETED_FIELD
from target_cordial.intake.reader import InputError, MessageReader
from target_cordial.intake.rows import RowWriter
from target_cordial.run import Run
from target_cordial.run_name import RUN_TIME_FORMAT
from target_cordial.settings import CONFIG_JSONSCHEMA, Settings, journal_url
from target_cordial.sink import CordialSink
from target_cordial.storage.storage import Storage

if t.TYPE_CHECKING:
    from types import FrameType

    from singer_sdk.mapper import StreamMap

    from target_cordial.check import Streams

SIGNAL_WAIT_SECONDS = 10
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
        self._routes: dict[str, list[tuple[StreamMap, CordialSink]]] = {}
        self._skipped: set[str] = set()
        self._keyless: set[str] = set()
        self._last_stream: str | None = None
        self._run: Run | None = None
        self._started = timestamp()
        self._started_at = time.monotonic()
        self._run_name = dt.datetime.now(dt.timezone.utc).strftime(RUN_TIME_FORMAT) + secrets.token_hex(2)
        self.null_marker = f"null-{secrets.token_hex(8)}"
        folder = open_workspace(self.name)
        self.delivery = Delivery(
            outbox=Outbox(null_marker=self.null_marker, held_exits=HeldExits(folder / "exits.sqlite")),
            rejects=Rejects(self.settings, f"{self.name}-{self._run_name}"),
            journal=Journal(self.settings.journal_url, self._run_name),
            settings=self.settings,
            folder=folder,
            signal=self._signal,
            plan=Plan(self.settings, self.null_marker) if self.settings.plan_only else None,
        )
        self.close = weakref.finalize(self, self.delivery.close)

    @classmethod
    def append_builtin_config(cls, config_jsonschema: dict[str, t.Any]) -> None:
        """Add the SDK's settings, without those that mean nothing here.

        Args:
            config_jsonschema: The settings' schema, changed in place.
        """
        super().append_builtin_config(config_jsonschema)
        config_jsonschema["properties"].pop("load_method", None)

    @functools.cached_property
    def _cordial(self) -> Cordial:
        return Cordial(self.settings.api_url, self.settings.api_key)

    @functools.cached_property
    def _storage(self) -> Storage:
        return Storage(self.settings)

    @property
    def run(self) -> Run:
        """What the run needs; checked and prepared at the first record.

        Raises:
            UserError: If something that the run needs does not work.
        """
        if self._run is None:
            with self._signal.interruptible():
                self._run = self._prepare()
        return self._run

    def check(self, checklist: Checklist, streams: Streams | None = None, *, fetch: bool = False) -> None:
        """Try everything that a run needs, and change nothing.

        Args:
            checklist: Takes a line for each thing.
            streams: The schemas of streams that will come, by name, where they are known.
            fetch: Let Cordial fetch a file that holds a header alone, too.
        """
        with self._signal.interruptible():
            check(self.settings, self._cordial, lambda: self._storage, checklist, streams)
            if not fetch:
                checklist.untried(
                    "fetch",
                    "starting an import, and Cordial's way to the storage: --check --fetch tries both",
                )
            elif checklist.failures:
                checklist.untried("fetch", "needs all else to work first")
            else:
                check_fetch(self.settings, self._cordial, self._storage, self.delivery.folder, checklist)

    def _prepare(self) -> Run:
        settings = self.settings
        checklist = Checklist(lambda *line: logger.debug("%s %s: %s", *line))
        columns, attributes = check(settings, self._cordial, lambda: self._storage, checklist)
        checklist.raise_failures()
        logger.info(
            "Checked: the API key works, %d fields have their attributes%s.",
            len(columns),
            "" if settings.plan_only else ", the storage was written, read back and deleted",
        )
        rows = RowWriter(columns, settings, self.null_marker)
        lists = (
            None
            if settings.list_action == "none"
            else Lists(
                self._cordial,
                settings.list_name,
                attributes,
                may_create=not settings.plan_only,
                interruptible=self._signal.interruptible,
            )
        )
        if not settings.plan_only:
            pipeline = self._storage.folder_tag
            importer = Importer(
                cordial=self._cordial,
                storage=self._storage,
                settings=settings,
                null_marker=self.null_marker,
                run_name=f"{pipeline}-{self._run_name}",
                run_started_at=dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=1),
            )
            clear_earlier_runs(importer, pipeline)
            self.delivery.start(importer)
        self.delivery.header = rows.header
        return Run(self.delivery, rows, lists)

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

    def process_endofpipe(self) -> None:
        """Deliver what is left: all enters, then all exits.

        Raises:
            UserError: If not all of it could be delivered.
        """
        self.delivery.is_all_read = True
        if self._run is not None:
            self.delivery.finish_enters()
            self.delivery.finish_rejects()
            if self.delivery.plan is not None:
                with self._signal.interruptible():
                    self.delivery.plan.pace = self._cordial.pace()
            if self._run.lists is not None:
                self.delivery.finish_exits(self._run.lists.size)
                if not self.settings.plan_only:
                    self._run.lists.measure()
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

    @contextlib.contextmanager
    def _ending_well(self) -> t.Iterator[None]:
        """However a run ends: deliver what was good, acknowledge what is done, leave nothing behind."""
        outcome = "failed"
        failure: str | None = None
        try:
            with Progress(lambda: where_it_is(self.delivery), logger), self._delivering():
                yield
            outcome = "done"
        except Terminated as signal:
            outcome = "stopped"
            logger.warning(
                "Stopping (signal %d): what is not imported yet goes again with the next run.", signal.number
            )
            self.delivery.stop(SIGNAL_WAIT_SECONDS)
            raise
        except Exception as error:
            failure = told(error)
            raise
        finally:
            self.close()
            sizes = self._run.lists.sizes if self._run is not None and self._run.lists is not None else {}
            self._cordial.metrics.log()
            seconds = time.monotonic() - self._started_at
            self.delivery.summarize(outcome, self._started, sizes, seconds, failure)

    @contextlib.contextmanager
    def _delivering(self) -> t.Iterator[None]:
        """When the run fails, what was good before still goes, or at least comes to its end."""
        try:
            try:
                yield
            except InputError:
                if self._run is not None:
                    self.delivery.finish_enters()
                raise
        except UserError:
            self.delivery.drain()
            raise

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the SDK's signature
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
            about: Print what the plugin is and its settings, then end.
            about_format: Format of that.
            config: The configuration.
            file_input: Input to read instead of standard input.
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
            target.check(checklist, None if catalog is None else selected_streams(catalog), fetch=fetch)
            target.close()
            if checklist.failures:
                raise SystemExit(1)
            return
        with target._ending_well():
            target.listen(file_input)

    @classmethod
    def get_singer_command(cls) -> click.Command:
        """The command line: the SDK's, `--check` with what belongs to it, and `--report`.

        Returns:
            The command.
        """
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
    try:
        TargetCordial.cli()
    except Terminated as signal:
        code = 128 + signal.number
    except Exception as error:  # noqa: BLE001 - its message may hold personal data
        logger.critical("%s", told(error))
        code = 1
    else:
        code = 0
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    # Import threads may wait on the network for minutes; nothing that they still do is lost or acknowledged.
    sys.stderr.flush()
    os._exit(code)
