"""target-cordial: any Singer stream into Cordial contacts and a Cordial list, by bulk import."""

from __future__ import annotations

import datetime as dt
import gc
import logging
import math
import sys
import typing as t
from types import FrameType

import click
from singer_sdk import Target
from singer_sdk.exceptions import (
    InvalidJSONSchema,
    MappingError,
)
from singer_sdk.plugin_base import BaseSingerReader, _ConfigInput
from typing_extensions import override

from lytics_to_cordial.checklist import Checklist, print_line
from lytics_to_cordial.errors import UserError, joined
from lytics_to_cordial.folder_urls import checked_folder_url
from lytics_to_cordial.foreign_text import quote_foreign
from lytics_to_cordial.plugin import ConfiguredPlugin
from lytics_to_cordial.process import run_command
from lytics_to_cordial.signals import StopSignal
from target_cordial.check import CheckOptions
from target_cordial.history.page import write_page
from target_cordial.history.status import MAX_AGE_HOURS, pipeline_statuses
from target_cordial.intake.catalog import selected_streams
from target_cordial.intake.chunks import TEST_STREAM, Intake
from target_cordial.intake.head import Head
from target_cordial.intake.messages import InputError
from target_cordial.intake.reader import MessageReader
from target_cordial.intake.schema import checked_schema_message
from target_cordial.run import Run
from target_cordial.settings import CONFIG_JSONSCHEMA, Settings
from target_cordial.sink import CordialSink
from target_cordial.storage.location import Location

GARBAGE_THRESHOLD = 100_000
_COMMANDS = frozenset({"--check", "--report", "--status", "--about", "--version", "--help"})
"""What reads no messages."""

logger = logging.getLogger("target-cordial")


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
        self.run = Run(self.name, self.settings, self._signal, self._config)
        self.intake = Intake(self.settings, self.run.receiver, self.run.prepare, self.run.bookmarks)
        self.message_reader.intake = self.intake
        self.message_reader.head = Head(
            self.run.bookmarks,
            max_records=self.settings.batch_size_rows,
            max_seconds=self.settings.batch_wait_seconds,
        )

    @classmethod
    @override
    def append_builtin_config(cls, config_jsonschema: dict[str, t.Any]) -> None:
        super().append_builtin_config(config_jsonschema)
        # It means nothing here.
        config_jsonschema["properties"].pop("load_method", None)

    def _process_schema_message(self, message_dict: dict[str, t.Any]) -> None:
        line = self.message_reader.line
        try:
            message = checked_schema_message(message_dict, line)
        except RecursionError as error:
            raise InputError(
                f"The SCHEMA message in line {line} of the input is nested too deeply: correct the tap."
            ) from error
        stream, schema = message["stream"], message["schema"]
        self.intake.marks.schemas[stream] = line
        known = self.mapper.stream_maps.get(stream)
        if known and (known[0].raw_schema, known[0].raw_key_properties) == (
            schema,
            message.get("key_properties"),
        ):
            # The same again: what decodes its records need not be built anew.
            return
        if stream == TEST_STREAM:
            self.intake.open(stream, [])
            return
        try:
            super()._process_schema_message(message)
        except (MappingError, NotImplementedError) as error:
            raise UserError(
                f"The setting stream_maps does not fit the stream {stream!r}: {quote_foreign(error)}."
            ) from error
        except (AttributeError, KeyError, TypeError, ValueError, InvalidJSONSchema) as error:
            raise InputError(
                f"The SCHEMA message in line {line} of the input {self._schema_fault(error)}."
            ) from error
        # The SDK keeps the sinks of former schemas until the end, but no record of theirs is left.
        for sink in self._sinks_to_clear:
            sink.clean_up()
        self._sinks_to_clear.clear()
        routes = []
        for stream_map in self.mapper.stream_maps[stream]:
            sink = t.cast("CordialSink", self.get_sink(stream_map.stream_alias))
            routes.append(sink.route(stream_map, line))
        self.intake.open(stream, routes, schema["properties"])

    def _schema_fault(self, error: Exception) -> str:
        """What is wrong with a schema that the SDK does not take, and what to do."""
        _, _, name = str(error).partition("Duplicate column name produced in schema: ")
        if name:
            return f"has two fields that flattening makes into {name}: change flattening_separator, or flatten less"
        path = getattr(error.__cause__, "path", None)
        if path is not None:
            place = ".".join(map(str, path))
            return f"has a word that JSON Schema 2020-12 takes otherwise, at {place}: correct the tap, or switch validate_records off"
        if self.config.get("flattening_enabled"):
            return "cannot be flattened: correct the tap, or switch flattening_enabled off"
        return "is not a JSON schema: correct the tap"

    def _process_activate_version_message(self, message_dict: dict[str, t.Any]) -> None:
        stream = str(message_dict.get("stream"))
        self.intake.marks.versions[stream] = self.message_reader.line
        if self.settings.mode == "changes":
            logger.info("ACTIVATE_VERSION of stream %s is passed over: contacts have no versions.", stream)

    def _process_batch_message(self, message_dict: dict[str, t.Any]) -> None:
        raise InputError(
            f"The stream {message_dict.get('stream')!r} comes as BATCH files, which target-cordial does not read: unset batch_config in the tap."
        )

    @override
    def process_endofpipe(self) -> None:
        self.run.finish(self.intake.marks)
        for sink in self._sinks_active.values():
            sink.clean_up()
        self.intake.finish()

    @override
    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        self._signal.handle(signum, frame)

    @classmethod
    def invoke(  # type: ignore[override]  # noqa: PLR0913 - each option of the command line
        cls,
        *,
        check: bool = False,
        report: str | None = None,
        status: bool = False,
        max_age_hours: float = MAX_AGE_HOURS,
        fetch: bool = False,
        trial: str | None = None,
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
            status: Say whether the last good run is young enough, by the exit code too, then end.
            max_age_hours: How many hours that are.
            fetch: With `check`: let Cordial fetch a file that holds a header alone, too.
            trial: With `check`: import the contact of this address, and show what the account makes of it.
            catalog: With `check`: a tap's catalog, whose fields are held against the attributes.
            about: As in the SDK, like the rest.
            about_format: As in the SDK.
            config: As in the SDK.
            file_input: As in the SDK.
        """
        super(BaseSingerReader, cls).invoke(about=about, about_format=about_format)
        if (fetch or catalog is not None) and not check:
            raise UserError("--fetch and --catalog belong to --check: add it, or leave them out.")
        if report is not None:
            click.echo(write_page(_journal_url(cls.setting("journal_url", config)), report))
            return
        if status:
            cls._show_status(config, max_age_hours)
            return
        if trial is not None and not check:
            raise UserError("--trial is a part of the check: run target-cordial --check --trial ADDRESS.")
        cls.print_version(print_fn=logger.info)
        target = cls(
            config=config.config if config else None,
            parse_env_config=bool(config and config.parse_env),
        )
        if check:
            checklist = Checklist(print_line)
            streams = None if catalog is None else selected_streams(catalog)
            target.run.check(checklist, CheckOptions(streams, fetch, trial))
            target.run.close()
            if checklist.failures:
                raise SystemExit(joined(checklist.failures).exit_code)
            return
        for warning in target.settings.warnings:
            logger.warning("%s", warning)
        with target.run.ending_well():
            # Before the tap has scanned for nothing.
            target.run.begin()
            target.listen(file_input)

    @classmethod
    def _show_status(cls, config: _ConfigInput | None, max_age_hours: float) -> None:
        if not math.isfinite(max_age_hours):
            raise UserError("--max-age-hours must be a number of hours.")
        storage_url = cls.setting("storage_url", config)
        statuses = pipeline_statuses(
            _journal_url(cls.setting("journal_url", config)),
            dt.timedelta(hours=max_age_hours),
            dt.datetime.now(dt.timezone.utc),
            storage_url and Location.parse(storage_url, "storage_url").url(),
        )
        for status in statuses:
            click.echo(status.text)
        if not all(status.is_good for status in statuses):
            raise SystemExit(1)

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
                ["--status"],
                is_flag=True,
                help="Say how the last run ended; exit code 1 if the last good one is too old. Needs journal_url.",
            ),
            click.Option(
                ["--max-age-hours"],
                type=click.FloatRange(min=0, max=24 * 3660, min_open=True),
                default=MAX_AGE_HOURS,
                show_default=True,
                help="With --status: how old the last good run may be.",
            ),
            click.Option(
                ["--fetch"],
                is_flag=True,
                help="With --check: let Cordial fetch a file with a header alone, too.",
            ),
            click.Option(
                ["--trial"],
                metavar="ADDRESS",
                help="With --check: import the contact of this address of your own, and show what Cordial makes of it. Overwrites its mapped attributes for a while; the contact stays in Cordial.",
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
    is_sync = not any(argument.partition("=")[0] in _COMMANDS for argument in sys.argv[1:])
    run_command(TargetCordial.cli, logger, reads_input=is_sync)


def _journal_url(given: str | None) -> str:
    """The journal's URL, for what reads it without a run."""
    if given is None:
        raise UserError(
            "The setting journal_url is missing: set it to the file in which runs keep their journal, in meltano.yml or as TARGET_CORDIAL_JOURNAL_URL."
        )
    return checked_folder_url("journal_url", given)
