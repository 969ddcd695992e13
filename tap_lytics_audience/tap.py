"""tap-lytics-audience: members of Lytics audiences, and who entered, changed or left."""

from __future__ import annotations

import functools
import logging
import sys
import typing as t
from types import FrameType

import click
from singer_sdk import Stream, Tap
from singer_sdk.exceptions import MappingError
from singer_sdk.helpers.capabilities import CapabilitiesEnum, PluginCapabilities, TapCapabilities
from singer_sdk.plugin_base import _ConfigInput
from singer_sdk.tap_base import CliTestOptionValue
from typing_extensions import override

from lytics_to_cordial.checklist import Checklist, print_line
from lytics_to_cordial.errors import UserError, joined
from lytics_to_cordial.foreign_text import cleaned, quote_foreign
from lytics_to_cordial.plugin import ConfiguredPlugin
from lytics_to_cordial.process import run_command
from lytics_to_cordial.signals import StopSignal, Terminated
from tap_lytics_audience.check import (
    check_audiences,
    check_fields,
    check_places,
    check_token,
    list_audiences,
)
from tap_lytics_audience.input_files import read_catalog, read_state
from tap_lytics_audience.lytics.api import Lytics
from tap_lytics_audience.settings import CONFIG_JSONSCHEMA, Settings
from tap_lytics_audience.stream_maps import StreamMapError
from tap_lytics_audience.streams.audience_members import AudienceMembersStream
from tap_lytics_audience.streams.audiences import AudiencesStream
from tap_lytics_audience.streams.source import Source

SWITCH_SECONDS = 0.001
logger = logging.getLogger("tap-lytics-audience")


class TapLyticsAudience(ConfiguredPlugin, Tap):
    """Reads the members of Lytics audiences, and who entered, changed or left since the last run."""

    name = "tap-lytics-audience"
    package_name = "lytics-to-cordial"
    config_jsonschema = CONFIG_JSONSCHEMA
    dynamic_catalog = True
    capabilities: t.ClassVar[list[CapabilitiesEnum]] = [
        TapCapabilities.CATALOG,
        TapCapabilities.STATE,
        TapCapabilities.DISCOVER,
        PluginCapabilities.ABOUT,
        PluginCapabilities.STREAM_MAPS,
        PluginCapabilities.FLATTENING,
        PluginCapabilities.STRUCTURED_LOGGING,
    ]

    def __init__(self, **options: t.Any) -> None:
        # The SDK's constructor already sets the handlers that use it.
        self.signal = StopSignal()
        super().__init__(**options)

    @functools.cached_property
    def settings(self) -> Settings:
        """What users set; raises a `UserError` if something is missing or cannot work."""
        return Settings.from_config(self._config)

    @functools.cached_property
    def lytics(self) -> Lytics:
        """The account."""
        return Lytics(self.settings)

    @override
    def discover_streams(self) -> list[Stream]:
        with self.signal.interruptible():
            self._source = source = Source(self.lytics, self.settings, self.signal)
            streams: list[Stream] = [
                AudienceMembersStream(self, source, self.lytics.fields()),
                AudiencesStream(self, source),
            ]
        for stream in streams:
            stream.logger.addFilter(_is_no_noise)
        return streams

    def check(self, checklist: Checklist) -> None:
        """Try everything that a run needs. Nothing is sent or remembered."""
        self.lytics = Lytics(self.settings, is_patient=False)
        with self.signal.interruptible():
            if check_token(self.settings, self.lytics, checklist):
                has_identifier = False
                with checklist.trying("fields"):
                    self.setup_mapper()
                    members = t.cast("AudienceMembersStream", self.streams[AudienceMembersStream.name])
                    lines, is_selection = members.field_lines(), self.input_catalog is not None
                    check_fields(lines, is_selection=is_selection, checklist=checklist)
                    has_identifier = True
                check_audiences(self.settings, self.lytics, checklist, has_identifier=has_identifier)
            else:
                for what in ("audience", "fields"):
                    checklist.untried(what, "needs the API token to work first")
            check_places(self.settings, checklist)

    def print_audiences(self) -> None:
        """Print slug, size and name of each audience. Of the settings, `api_token` is enough."""
        unneeded = {"audiences": ["-"], "ledger_url": "-", "change_detection": "scan"}
        settings = Settings.from_config({**self._config, **unneeded})
        with self.signal.interruptible():
            for line in list_audiences(Lytics(settings, is_patient=False)):
                click.echo(cleaned(line))

    @classmethod
    def invoke(  # type: ignore[override]
        cls,
        *,
        test: str = CliTestOptionValue.Disabled.value,
        audiences_are_listed: bool = False,
        about: bool = False,
        about_format: str | None = None,
        config: _ConfigInput | None = None,
        state: t.IO[bytes] | None = None,
        catalog: t.IO[bytes] | None = None,
    ) -> None:
        """Run the tap.

        `--test` tries everything that a run needs, `--test=schema` writes the schemas, `--list-audiences` prints what may stand in
        `audiences`; then they end.
        """
        super(Tap, cls).invoke(about=about, about_format=about_format)
        cls.print_version(print_fn=cls.logger.info)
        is_run = test == CliTestOptionValue.Disabled.value and not audiences_are_listed
        tap = cls(
            config=config.config if config else None,
            state=read_state(state) if is_run else None,
            catalog=read_catalog(catalog, (AudienceMembersStream.name, AudiencesStream.name)),
            parse_env_config=bool(config and config.parse_env),
            # Without streams: the token need not work before something can be said of it.
            setup_mapper=is_run,
        )
        if is_run:
            tap.sync_all()
            return
        if audiences_are_listed:
            tap.print_audiences()
            return
        if test == CliTestOptionValue.Schema.value:
            tap.setup_mapper()
            tap.write_schemas()
            return
        checklist = Checklist(print_line)
        tap.check(checklist)
        if checklist.failures:
            raise SystemExit(joined(checklist.failures).exit_code)

    @classmethod
    @override
    def get_singer_command(cls) -> click.Command:
        command = super().get_singer_command()
        options = {option.name: option for option in command.params}
        # As bytes: the text in them is UTF-8 whatever the machine's own is.
        options["state"].type = options["catalog"].type = click.File("rb")
        command.params.append(
            click.Option(
                ["--list-audiences", "audiences_are_listed"],
                is_flag=True,
                help="Print the slug, size and name of each audience in the account.",
            )
        )
        test = options["test"]
        # The SDK's own runs it before it knows the catalog.
        test.callback, test.expose_value = None, True
        test.help = (
            "Try everything that a run needs, and send nothing; --test=schema writes the schemas alone."
        )
        return command

    @override
    def _reset_state_progress_markers(self) -> None:
        # The SDK calls this as the first thing of a sync, right before it writes the first STATE, which has to name the run.
        super()._reset_state_progress_markers()
        for warning in self.settings.warnings:
            logger.warning("%s", warning)
        members = t.cast("AudienceMembersStream", self.streams[AudienceMembersStream.name])
        if members.selected:
            members.begin()
        elif not any(stream.selected for stream in self.streams.values()):
            logger.warning("The catalog selects no stream, so nothing is read: select audience_members.")

    @override  # type: ignore[misc] # final, but nothing else comes after all streams
    def sync_all(self) -> None:
        try:
            super().sync_all()
        except StreamMapError as error:
            self._source.errors.append(error)
        finally:
            if self._source.lease is not None:
                self._source.lease.release()
        if self._source.errors:
            raise joined(list({str(error): error for error in self._source.errors}.values()))

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        self.signal.handle(signum, frame)


def _is_no_noise(record: logging.LogRecord) -> bool:
    """The SDK calls each failure an unhandled error, and speaks of bookmarks of its own. `main` logs a failure in one sentence."""
    return not str(record.msg).startswith(
        ("An unhandled error occurred", "Beginning sync of", "Beginning %s sync of")
    )


def main() -> None:
    """Run the command line; a failure is one sentence and a non-zero exit code."""
    # A thread that gets an answer waits less for its turn: a scan of one slice takes a tenth less time.
    sys.setswitchinterval(SWITCH_SECONDS)
    run_command(_cli, logger)


def _cli() -> None:
    try:
        TapLyticsAudience.cli()
    except Terminated as signal:
        logger.warning("Stopping (signal %d): what was not sent goes with the next run.", signal.number)
        raise
    except MappingError as error:
        raise UserError(f"The setting stream_maps cannot be used: {quote_foreign(error)}.") from error
