"""The audiences of a run that has begun, opened to be read: what the ledger holds of each, and whom trigger messages name."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
from collections.abc import Iterator
from pathlib import Path

from lytics_to_cordial.database import Database, Tables
from lytics_to_cordial.errors import UserError, collected
from lytics_to_cordial.files import Folder
from tap_lytics_audience import bookmark
from tap_lytics_audience.bookmark import Bookmark
from tap_lytics_audience.lytics.audiences import Audience
from tap_lytics_audience.members.audience import AudiencePass
from tap_lytics_audience.members.block import Block
from tap_lytics_audience.members.changes import Changes, Rules, older_selections
from tap_lytics_audience.members.exits import Exits
from tap_lytics_audience.members.known import Known
from tap_lytics_audience.members.ledger import Ledger
from tap_lytics_audience.members.manifest import Manifest
from tap_lytics_audience.members.pipeline import acknowledged_manifests
from tap_lytics_audience.members.reading import Account, Reading
from tap_lytics_audience.members.selection import Selection, digest_fields
from tap_lytics_audience.members.snapshot import SnapshotPass
from tap_lytics_audience.members.touched import Touched
from tap_lytics_audience.settings import Settings
from tap_lytics_audience.triggers.events import TriggerFiles

LOOK_BACK = dt.timedelta(hours=1)
"""Trigger messages can land in another order than their events happened."""

logger = logging.getLogger("tap-lytics-audience")


@contextlib.contextmanager
def open_passes(
    account: Account,
    audiences: list[Audience],
    state: bookmark.StreamState,
    folder: Path,
    errors: list[UserError],
) -> Iterator[list[AudiencePass]]:
    """Open a pass over each audience of a run that has begun.

    Args:
        account: What is read, and how.
        audiences: The audiences.
        state: The stream's state.
        folder: The run's folder on this machine.
        errors: Get one for each audience whose ledger or messages cannot be read.
    """
    pipeline = _pipeline(account.settings, folder)
    passes: list[AudiencePass] = []
    acknowledged = acknowledged_manifests(pipeline)
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(contextlib.closing(Database(folder)))
        for audience in audiences:
            opened = _open_pass(
                account,
                audience,
                Ledger(pipeline, audience.id, folder),
                database.tables(),
                bookmark.read_bookmark(state, audience.id),
                folder,
                generation=state["generation"],
                acknowledged=acknowledged.get(audience.id),
            )
            with collected(errors):
                passes.append(stack.enter_context(opened))
        try:
            _read_triggers(account.settings, passes)
        except UserError as error:
            errors.append(error)
            # A full scan needs no messages.
            passes = [audience_pass for audience_pass in passes if audience_pass.triggers_since is None]
        yield passes


@contextlib.contextmanager
def open_snapshots(
    account: Account,
    audiences: list[Audience],
    state: bookmark.StreamState,
    folder: Path,
    errors: list[UserError],
) -> Iterator[list[SnapshotPass]]:
    """Open a snapshot of each audience of a run that has begun; as `open_passes`."""
    pipeline = _pipeline(account.settings, folder)
    passes: list[SnapshotPass] = []
    with contextlib.ExitStack() as stack:
        database = stack.enter_context(contextlib.closing(Database(folder)))
        for audience in audiences:
            ledger = Ledger(pipeline, audience.id, folder)
            kept = bookmark.read_bookmark(state, audience.id)
            opened = _open_snapshot(account, audience, ledger, database.tables(), kept, folder)
            with collected(errors):
                passes.append(stack.enter_context(opened))
        yield passes


@contextlib.contextmanager
def open_sample(account: Account, audience: Audience, folder: Path) -> Iterator[Reading]:
    """Open an audience of which a few members are read. The ledger is left alone."""
    rules = Rules(existing_users=True, profile_updates=False, is_first_pass=True, is_scanned=False)
    with contextlib.closing(Database(folder)) as database:
        ledger = Ledger(_pipeline(account.settings, folder), audience.id, folder)
        with _open_reading(account, audience, ledger, database.tables(), folder, rules) as (_, reading):
            yield reading


@contextlib.contextmanager
def _open_pass(
    account: Account,
    audience: Audience,
    ledger: Ledger,
    tables: Tables,
    bookmark: Bookmark | None,
    folder: Path,
    *,
    generation: str,
    acknowledged: str | None,
) -> Iterator[AudiencePass]:
    """Open a pass.

    Args:
        account: What is read, and how.
        audience: The audience.
        ledger: Its ledger.
        tables: Empty tables for it.
        bookmark: How far it was sent; None if the state does not say.
        folder: The run's folder on this machine.
        generation: The ledger's generation.
        acknowledged: The newest manifest of it that any run's state named.

    Raises:
        UserError: If the ledger cannot be read.
    """
    settings = account.settings
    ledger.open(
        None if bookmark is None else bookmark.manifest(generation),
        identifier_field=settings.identifier_field,
        slug=audience.slug,
        acknowledged=acknowledged,
    )
    ledger.delete_dropped(settings.ledger_keep_days)
    slug, name = _kept_names(audience, bookmark, ledger.manifest)
    ledger.update(slug=slug, audience_name=name)
    rules = Rules(
        existing_users=settings.existing_users,
        profile_updates=settings.profile_updates,
        is_first_pass=not ledger.manifest.is_complete,
        is_scanned=ledger.manifest.is_scanned,
    )
    with _open_reading(account, audience, ledger, tables, folder, rules) as (known, reading):
        yield AudiencePass(
            reading=reading,
            ledger=ledger,
            generation=generation,
            bookmark=bookmark,
            known=known,
        )


@contextlib.contextmanager
def _open_snapshot(
    account: Account,
    audience: Audience,
    ledger: Ledger,
    tables: Tables,
    bookmark: Bookmark | None,
    folder: Path,
) -> Iterator[SnapshotPass]:
    """Open a snapshot. Its state can be that of another loader, or none: so it goes by the last that the ledger knows."""
    settings = account.settings
    position = ledger.newest_position()
    ledger.open(position, identifier_field=settings.identifier_field, slug=audience.slug)
    slug, name = _kept_names(audience, bookmark, ledger.manifest)
    ledger.update(slug=slug, audience_name=name)
    rules = Rules(
        existing_users=settings.existing_users,
        profile_updates=settings.profile_updates,
        is_first_pass=False,
        is_scanned=ledger.manifest.is_scanned,
        is_snapshot=True,
    )
    with _open_reading(account, audience, ledger, tables, folder, rules) as (_, reading):
        yield SnapshotPass(reading, ledger)


@contextlib.contextmanager
def _open_reading(
    account: Account, audience: Audience, ledger: Ledger, tables: Tables, folder: Path, rules: Rules
) -> Iterator[tuple[Known, Reading]]:
    """What the ledger holds of an audience, and the audience to be read."""
    own_folder = folder / audience.id
    own_folder.mkdir(mode=0o700)
    settings = account.settings
    fields = digest_fields((name for name, _ in account.sent), settings.identifier_field)
    known = Known(tables)
    known.load(ledger)
    selection = Selection(
        identifier=settings.identifier_field,
        account=account.kinds,
        sent=account.sent,
        fields=fields,
        compared=older_selections(known.selections, fields),
    )
    block = Block(own_folder, selection)
    try:
        reading = Reading(
            account=account,
            audience=audience,
            slug=ledger.manifest.slug or audience.slug,
            name=ledger.manifest.audience_name or audience.name,
            changes=Changes(tables, known, fields, rules),
            leaving=Exits(tables),
            touched=Touched(tables, own_folder),
            selection=selection,
            block=block,
        )
        yield known, reading
    finally:
        block.close()
        tables.close()


def _kept_names(audience: Audience, bookmark: Bookmark | None, manifest: Manifest) -> tuple[str, str]:
    """Slug and name at the first run: a renamed audience must not start a second list."""
    slug, name = manifest.slug, manifest.audience_name
    if bookmark is not None:
        slug, name = bookmark.slug or slug, bookmark.name or name
    if slug and (slug, name) != (audience.slug, audience.name):
        logger.warning(
            "The audience %s (%s) was renamed to %s (%s) in Lytics: records keep the old names, so that no second list begins.",
            slug,
            name,
            audience.slug,
            audience.name,
        )
    return slug or audience.slug, name or audience.name


def _pipeline(settings: Settings, folder: Path) -> Folder:
    """The folder of the ledger. Without one, a snapshot has a ledger that goes with the run."""
    return Folder(settings.ledger_url or str(folder / "ledger"), setting="ledger_url")


def _read_triggers(settings: Settings, passes: list[AudiencePass]) -> None:
    """Give each pass the trigger messages that concern its audience."""
    if settings.change_detection == "scan" or settings.triggers_url is None:
        return
    since = {audience_pass.reading.audience.id: audience_pass.triggers_since for audience_pass in passes}
    starts = [start for start in since.values() if start is not None]
    names = {
        name: reading.audience.id
        for reading in (audience_pass.reading for audience_pass in passes)
        for name in (reading.audience.id, reading.audience.slug, reading.slug)
    }
    files = TriggerFiles(settings.triggers_url, audiences=names, identifier_field=settings.identifier_field)
    by_id = {audience_pass.reading.audience.id: audience_pass for audience_pass in passes}
    # Also where all audiences are scanned this time: a folder that is missing should be known before it is needed.
    first = min(starts, default=dt.datetime.now(dt.timezone.utc))
    for event in files.events(first - LOOK_BACK):
        start = since[event.audience_id]
        if start is not None and event.landed_at >= start - LOOK_BACK:
            by_id[event.audience_id].reading.touched.add(event)
    for audience_pass in passes:
        audience_pass.messages_wait_since = files.unfinished_since
    if files.without_identifier:
        logger.warning(
            "%d trigger messages have no %s: the next full scan looks at the people they mean.",
            files.without_identifier,
            settings.identifier_field,
        )
