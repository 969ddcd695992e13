"""Where the streams of a run read from."""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.files import Folder
from lytics_to_cordial.lease import Lease
from lytics_to_cordial.signals import StopSignal
from tap_lytics_audience.lytics.api import Lytics
from tap_lytics_audience.lytics.audiences import Audience
from tap_lytics_audience.members.run import followed_audiences
from tap_lytics_audience.settings import Settings


@dataclass(frozen=True)
class Source:
    """Where streams read from.

    Attributes:
        lytics: The account.
        settings: How to read it.
        signal: Tells when a wait may be broken off.
        errors: What kept the run from doing all of its work. They end it once everything else is done.
    """

    lytics: Lytics
    settings: Settings
    signal: StopSignal
    errors: list[UserError] = dataclasses.field(default_factory=list)

    @functools.cached_property
    def lease(self) -> Lease | None:
        """The ledger's lease; None without a ledger."""
        url = self.settings.ledger_url
        return None if url is None else Lease(Folder(url, setting="ledger_url"))

    @functools.cached_property
    def followed(self) -> dict[str, Audience]:
        """The audiences that are followed, by their names in the settings. They are looked up once, so that a name means one audience.

        Raises:
            UserError: If none is there.
        """
        return followed_audiences(self.lytics, self.settings, self.errors)

    @property
    def audiences(self) -> list[Audience]:
        """The audiences that are followed, each once, however often the settings name it."""
        return list({audience.id: audience for audience in self.followed.values()}.values())
