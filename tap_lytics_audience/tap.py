"""tap-lytics-audience: members of Lytics audiences, and who entered, changed or left."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import typing as t

from singer_sdk import Tap
from singer_sdk.exceptions import MappingError
from singer_sdk.helpers.capabilities import PluginCapabilities, TapCapabilities

from singer_process.errors import UserError, described
from singer_process.plugin import ConfiguredPlugin
from singer_process.signals import StopSignal, Terminated
from singer_process.workspace import is_full, no_room
from tap_lytics_audience import bookmark
from tap_lytics_audience.client import Lytics
from tap_lytics_audience.messages import MessageWriter
from tap_lytics_audience.settings import CONFIG_JSONSCHEMA, Settings
from tap_lytics_audience.streams import AudienceMembersStream, AudiencesStream

if t.TYPE_CHECKING:
    from types import FrameType

    from singer_sdk import Stream
    from singer_sdk.helpers.capabilities import CapabilitiesEnum

    from tap_lytics_audience.client import Audience

logger = logging.getLogger("tap-lytics-audience")


class TapLyticsAudience(ConfiguredPlugin, Tap):
    """Reads the members of Lytics audiences, and who entered, changed or left since the last run."""

    name = "tap-lytics-audience"
    package_name = "lytics-to-cordial"
    config_jsonschema = CONFIG_JSONSCHEMA
    dynamic_catalog = True
    message_writer_class = MessageWriter
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
        """The settings.

        Raises:
            UserError: If one is missing or cannot work.
        """
        return Settings.from_config(self._config)

    @functools.cached_property
    def lytics(self) -> Lytics:
        """The account."""
        return Lytics(self.settings)

    def audiences(self, *, check_slugs: bool = False) -> list[Audience]:
        """The audiences that are followed, each once.

        Args:
            check_slugs: Refuse a slug that meant another audience in the last run.

        Raises:
            UserError: If one is not there, or is no longer the one it was.
        """
        found: dict[str, Audience] = {}
        for name in self.settings.audiences:
            audience = self.lytics.audience(name)
            if check_slugs and name != audience.id:
                bookmark.check_slug(self._members_state, name, audience.id)
            found.setdefault(audience.id, audience)
        return list(found.values())

    def discover_streams(self) -> list[Stream]:
        """The streams, with the account's own fields.

        Raises:
            UserError: If Lytics does not give them.
        """
        with self.signal.interruptible():
            streams: list[Stream] = [AudienceMembersStream(self, self.lytics.fields()), AudiencesStream(self)]
        for stream in streams:
            stream.logger.addFilter(_is_not_told_twice)
        return streams

    def load_state(self, state: dict[str, t.Any]) -> None:
        """Take the state of the last run, or begin one: the first message names the ledger.

        Args:
            state: The state.
        """
        super().load_state(state)
        identifier = str(self.config.get("identifier_field") or "email")
        bookmark.begin(self._members_state, identifier)

    @property
    def _members_state(self) -> dict[str, t.Any]:
        return self.state.setdefault("bookmarks", {}).setdefault(AudienceMembersStream.name, {})

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:  # noqa: ARG002 - the SDK's signature
        self.signal.handle(signum)


def _is_not_told_twice(record: logging.LogRecord) -> bool:
    """The SDK calls each failure an unhandled error; what it is stands in the one sentence that `main` writes."""
    return not record.msg.startswith("An unhandled error occurred")


def main() -> None:
    """Run the command line; a failure is one sentence and a non-zero exit code."""
    try:
        TapLyticsAudience.cli()
    except Terminated as signal:
        logger.warning("Stopping (signal %d): what was not sent goes with the next run.", signal.number)
        code = 128 + signal.number
    except UserError as error:
        logger.critical("%s", error)
        code = 1
    except MappingError as error:
        logger.critical("The setting stream_maps cannot be used: %s", error)
        code = 1
    except Exception as error:  # noqa: BLE001 - its message may hold personal data
        logger.critical("%s", no_room() if is_full(error) else described(error))
        code = 1
    else:
        code = 0
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    sys.stderr.flush()
    # Scan threads may wait on the network for a minute; nothing that they still read is needed.
    os._exit(code)
