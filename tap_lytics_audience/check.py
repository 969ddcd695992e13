"""The check by `--test`: everything that a run needs, tried before anything is sent or remembered."""

from __future__ import annotations

import datetime as dt
import typing as t

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.files import Folder
from tap_lytics_audience.lytics.filterql import can_be_written, members_with
from tap_lytics_audience.lytics.identifier import member_key
from tap_lytics_audience.lytics.profiles import Profiles
from tap_lytics_audience.triggers.files import LandedFiles

if t.TYPE_CHECKING:
    from lytics_to_cordial.checklist import Checklist
    from tap_lytics_audience.lytics.api import Audience, Lytics
    from tap_lytics_audience.settings import Settings

CONTROLS = 5


def check_token(settings: Settings, lytics: Lytics, checklist: Checklist) -> bool:
    """Whether the token works."""
    for warning in settings.warnings:
        checklist.note("settings", warning)
    with checklist.trying("token"):
        count = len(lytics.fields())
        checklist.ok("token", f"Lytics at {settings.api_url} takes the API token; {count} profile fields")
        return True
    return False


def check_audiences(settings: Settings, lytics: Lytics, checklist: Checklist) -> None:
    """Try all calls that a run makes about audiences: what they are, who is in them, who left."""
    for name in settings.audiences:
        with checklist.trying("audience"):
            audience = lytics.audience(name)
            size = "of unknown size" if audience.size is None else f"{audience.size:,} profiles"
            checklist.ok("audience", f"{audience.slug}: found as {audience.name!r}, {size}")
            _check_members(settings, lytics, audience, checklist)


def check_places(settings: Settings, checklist: Checklist) -> None:
    """Try the folders that a run uses."""
    if settings.ledger_url is not None:
        with checklist.trying("ledger"):
            Folder(settings.ledger_url, setting="ledger_url").check()
            checklist.ok("ledger", f"{settings.ledger_url}: written, read back and deleted")
    if settings.change_detection == "triggers" and settings.triggers_url is not None:
        with checklist.trying("triggers"):
            files = LandedFiles(settings.triggers_url).since(dt.datetime.min.replace(tzinfo=dt.timezone.utc))
            checklist.ok("triggers", f"{settings.triggers_url}: listed, {len(files):,} files of messages")


def _check_members(settings: Settings, lytics: Lytics, audience: Audience, checklist: Checklist) -> None:
    identifier = settings.identifier_field
    profiles = Profiles({identifier: ""})
    identifier_of = profiles.getter(identifier)
    page = next(lytics.scan(audience.id, profiles), None)
    values = [] if page is None else [identifier_of(profile) for profile in page.profiles]
    members = [str(value) for value in values if member_key(value) is not None]
    checklist.ok(
        "members",
        f"{audience.slug}: read a page; {len(members)} of its {len(values)} profiles have {identifier}",
    )
    if not members:
        checklist.untried("exits", f"{audience.slug}: nobody with {identifier} to look up")
        return
    with checklist.trying("exits"):
        # One may have left a moment ago; not all of several.
        controls = list(filter(can_be_written, members))[:CONTROLS]
        pages = lytics.find(members_with(audience.id, identifier, controls), profiles)
        keys = {member_key(identifier_of(profile)) for page in pages for profile in page.profiles}
        if keys.isdisjoint(map(member_key, controls)):
            raise UserError(
                f"Members of audience {audience.slug!r} whom Lytics just showed are not found by an ad hoc scan, so no exit could be "
                "confirmed: give the API token the right to it, or ask Lytics' support."
            )
        checklist.ok(
            "exits", f"{audience.slug}: members are found again when looked up, so exits can be confirmed"
        )
