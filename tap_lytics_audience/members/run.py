"""The beginning of a run over the followed audiences: which they are, and the run's place in the pipeline's ledger."""

from __future__ import annotations

from collections.abc import Mapping

from lytics_to_cordial.errors import UserError, collected, joined
from lytics_to_cordial.files import Folder
from tap_lytics_audience import bookmark
from tap_lytics_audience.lytics.api import Lytics
from tap_lytics_audience.lytics.audiences import Audience
from tap_lytics_audience.members.pipeline import begin_run, begin_snapshot
from tap_lytics_audience.settings import Settings

NO_LEDGER = bookmark.LedgerRun(ledger="", generation="", number=1)
"""How the state names a snapshot without a ledger."""


def followed_audiences(lytics: Lytics, settings: Settings, errors: list[UserError]) -> dict[str, Audience]:
    """The audiences that are followed, by the names in the settings.

    Args:
        lytics: The account.
        settings: Name them.
        errors: Get one for each that is not there.

    Raises:
        UserError: If none is there.
    """
    audiences: dict[str, Audience] = {}
    for name in settings.audiences:
        with collected(errors):
            audiences[name] = lytics.audience(name)
    if errors and not audiences:
        raise joined(errors)
    return audiences


def begin(
    settings: Settings,
    followed: Mapping[str, Audience],
    state: bookmark.StreamState,
    errors: list[UserError],
) -> list[Audience]:
    """Begin a run in the pipeline's ledger, and name it in the state.

    Args:
        settings: How the audiences are read.
        followed: The audiences, by their names in the settings.
        state: The stream's state.
        errors: Get one for each audience that is no longer the one that the state knows by its slug.

    Returns:
        The audiences to read, each once.

    Raises:
        UserError: If ledger, state and settings do not belong together, or no audience is left.
    """
    bookmark.check_form(state)
    bookmark.check_identifier(state, settings.identifier_field)
    audiences: dict[str, Audience] = {}
    for name, audience in followed.items():
        with collected(errors):
            if name != audience.id:
                bookmark.check_slug(state, name, audience.id)
            audiences[audience.id] = audience
    if errors and not audiences:
        raise joined(errors)
    pipeline = None if settings.ledger_url is None else Folder(settings.ledger_url, setting="ledger_url")
    if settings.snapshot:
        taken = NO_LEDGER if pipeline is None else begin_snapshot(pipeline, state.get("ledger"))
        bookmark.begin_snapshot(state, taken, list(audiences))
    elif pipeline is not None:
        positions = bookmark.read_positions(state)
        run = begin_run(pipeline, state.get("ledger"), state.get("generation"), positions)
        bookmark.begin(state, run, settings.identifier_field, list(audiences))
    return list(audiences.values())
