"""The check by `--test`: everything that a run needs, tried before anything is sent or remembered."""

from __future__ import annotations

import datetime as dt

from lytics_to_cordial.checklist import Checklist
from lytics_to_cordial.errors import UserError
from lytics_to_cordial.files import Folder
from lytics_to_cordial.lease import Lease
from tap_lytics_audience.lytics.api import Lytics
from tap_lytics_audience.lytics.audiences import Audience
from tap_lytics_audience.lytics.filterql import can_be_written, members_with
from tap_lytics_audience.lytics.identifier import member_key
from tap_lytics_audience.lytics.lookup import CONTROLS
from tap_lytics_audience.lytics.profiles import Profiles
from tap_lytics_audience.settings import Settings
from tap_lytics_audience.triggers.files import LandedFiles

SHOWN_FIELDS = 50


def check_token(settings: Settings, lytics: Lytics, checklist: Checklist) -> bool:
    """Whether the token works."""
    for warning in settings.warnings:
        checklist.note("settings", warning)
    with checklist.trying("token"):
        count = len(lytics.fields())
        checklist.ok("token", f"Lytics at {settings.api_url} takes the API token; {count} profile fields")
        return True
    return False


def check_audiences(
    settings: Settings, lytics: Lytics, checklist: Checklist, *, has_identifier: bool
) -> None:
    """Try all calls that a run makes about audiences: what they are, who is in them, who left.

    Args:
        settings: How to read them.
        lytics: The account.
        checklist: Where to show what works.
        has_identifier: Whether the account has the identifier's field.
    """
    for name in settings.audiences:
        with checklist.trying("audience"):
            audience = lytics.audience(name)
            size = "of unknown size" if audience.size is None else f"{audience.size:,} profiles"
            checklist.ok("audience", f"{audience.slug}: found as {audience.name!r}, {size}")
            if has_identifier:
                _check_members(settings, lytics, audience, checklist)
            else:
                checklist.untried("members", f"{audience.slug}: needs identifier_field to be right first")
            if settings.change_detection == "triggers":
                _check_triggers(lytics, audience, checklist)


def check_places(settings: Settings, checklist: Checklist) -> None:
    """Try the folders that a run uses."""
    if settings.ledger_url is not None:
        with checklist.trying("ledger"):
            ledger = Folder(settings.ledger_url, setting="ledger_url")
            ledger.check()
            checklist.ok("ledger", f"{settings.ledger_url}: written, read back and deleted")
            Lease(ledger).show(checklist)
    if settings.change_detection == "triggers" and settings.triggers_url is not None:
        with checklist.trying("triggers"):
            files = LandedFiles(settings.triggers_url).since(dt.datetime.min.replace(tzinfo=dt.timezone.utc))
            checklist.ok("triggers", f"{settings.triggers_url}: listed, {len(files):,} files of messages")


def check_fields(lines: list[str], *, is_selection: bool, checklist: Checklist) -> None:
    """Show the fields that are sent.

    Args:
        lines: One for each.
        is_selection: Whether a catalog selected them.
        checklist: Where to show them.
    """
    for line in lines[:SHOWN_FIELDS]:
        checklist.ok("field", line)
    if len(lines) > SHOWN_FIELDS:
        checklist.note("fields", f"and {len(lines) - SHOWN_FIELDS:,} more")
    if not is_selection:
        checklist.note(
            "fields",
            "without a catalog all of them are sent: select those that you need, with Meltano by `select` of the extractor",
        )


def list_audiences(lytics: Lytics) -> list[str]:
    """A line for each audience of people in the account: its slug, its size and its name."""
    audiences = sorted(lytics.audiences(), key=lambda audience: audience.slug)
    sizes = lytics.sizes([audience.id for audience in audiences])
    rows = [
        (audience.slug, f"{sizes[audience.id]:,}" if audience.id in sizes else "unknown", audience.name)
        for audience in audiences
    ]
    widths = [max((len(row[place]) for row in rows), default=0) for place in range(2)]
    return [f"{slug:<{widths[0]}}  {size:>{widths[1]}}  {name}" for slug, size, name in rows]


def _check_triggers(lytics: Lytics, audience: Audience, checklist: Checklist) -> None:
    """Show what an audience sends trigger messages of (Lytics docs: segment v2)."""
    try:
        emits, schedules = lytics.triggers(audience.id)
    except UserError as error:
        checklist.untried("triggers", f"{audience.slug}: whether it sends trigger messages: {error}")
        return
    if emits is False:
        checklist.note(
            "triggers",
            f"{audience.slug}: emit_trigger is off in Lytics, so it sends no trigger messages, and changes are seen every rescan_days alone: "
            "switch it on there",
        )
    if not schedules:
        checklist.note(
            "triggers",
            f"{audience.slug}: schedule_exit is not on in Lytics, so who leaves because time passes may send no message, and is seen every "
            "rescan_days alone: switch it on there",
        )
    if emits and schedules:
        checklist.ok("triggers", f"{audience.slug}: sends messages of each enter and exit")


def _check_members(settings: Settings, lytics: Lytics, audience: Audience, checklist: Checklist) -> None:
    identifier = settings.identifier_field
    profiles = Profiles({identifier: ""})
    identifier_of = profiles.getter(identifier)
    page = next(lytics.scan(audience.id, profiles), None)
    values = [] if page is None else [identifier_of(profile) for profile in page.profiles]
    members = [str(value) for value in values if member_key(value) is not None]
    with checklist.trying("members"):
        if values and not members:
            raise UserError(
                f"{audience.slug}: none of the {len(values)} profiles on the first page has {identifier}, so nobody of them can be sent: "
                "correct identifier_field or audiences."
            )
        line = f"{audience.slug}: read a page; {len(members)} of its {len(values)} profiles have {identifier}"
        if 2 * len(members) < len(values):
            checklist.note("members", f"{line}, the others are never sent")
        else:
            checklist.ok("members", line)
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
