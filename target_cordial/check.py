"""The check before the first record, and by `--check`: everything that a run needs is tried before anything is changed."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import secrets
import typing as t
from array import array
from dataclasses import dataclass
from pathlib import Path

from lytics_to_cordial.checklist import Checklist
from lytics_to_cordial.errors import UserError
from lytics_to_cordial.files import Folder
from target_cordial.consent import known_contacts, new_contacts
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.attributes import Attribute
from target_cordial.cordial.errors import CordialError
from target_cordial.delivery.importfile import write_csv
from target_cordial.delivery.imports import Importer
from target_cordial.delivery.jobs import ImportFailedError
from target_cordial.delivery.order import ImportFile
from target_cordial.intake.account_lists import AccountLists
from target_cordial.intake.catalog import Streams
from target_cordial.intake.cells import MAX_STRING_CHARACTERS
from target_cordial.intake.columns import Column, columns_of
from target_cordial.intake.fields import field_schema
from target_cordial.intake.fit import types_of
from target_cordial.intake.list_names import ListTemplate
from target_cordial.intake.mapping import Mapping
from target_cordial.readback.single_contacts import MOST, NOBODY
from target_cordial.settings import Settings
from target_cordial.storage.storage import Storage, folder_beside
from target_cordial.trial.trial import Trial

NO_LIST_OF_THIS_NAME = "target-cordial-check"
FETCH_TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class CheckOptions:
    """What the command line asks of a check.

    Attributes:
        streams: The schemas of the streams that will come, where they are known.
        fetch: Let Cordial fetch a file that holds a header alone, too.
        trial: Import the contact of this address, and show what the account answers to the open questions.
    """

    streams: Streams | None = None
    fetch: bool = False
    trial: str | None = None


def check_by_command(
    settings: Settings,
    cordial: Cordial,
    open_storage: t.Callable[[], Storage],
    folder: Path,
    journal: Folder | None,
    checklist: Checklist,
    options: CheckOptions,
) -> None:
    """Check, see what a run can do without, and do what the options ask for."""
    columns, attributes = check(settings, cordial, open_storage, checklist, options.streams)
    if not checklist.failures:
        _check_reading(settings, cordial, checklist)
        if settings.plan_only:
            checklist.untried("lease", "a plan takes none, as it changes nothing")
        else:
            with checklist.trying("lease"):
                open_storage().lease.show(checklist)
    _check_places(settings, journal, checklist)
    if settings.mode != "changes":
        _check_export(settings, open_storage, checklist)
    elif not settings.plan_only and not checklist.failures:
        _check_naming(open_storage, checklist)
    if not options.fetch:
        checklist.untried(
            "fetch", "starting an import, and Cordial's way to the storage: --check --fetch tries both"
        )
    elif checklist.failures:
        checklist.untried("fetch", "needs all else to work first")
    else:
        _check_fetch(settings, cordial, open_storage(), folder, checklist)
    if options.trial is None:
        checklist.untried(
            "trial",
            "what Cordial does not document: --check --trial me@my.domain asks this account, with a contact of your own",
        )
    elif checklist.failures or settings.plan_only:
        checklist.untried("trial", "needs all else to work first, and plan_only to be off")
    else:
        with checklist.trying("trial"), open_storage().lease:
            Trial(settings, cordial, open_storage(), folder, checklist, columns, attributes).run(
                options.trial
            )


def check(
    settings: Settings,
    cordial: Cordial,
    open_storage: t.Callable[[], Storage],
    checklist: Checklist,
    streams: Streams | None = None,
) -> tuple[list[Column], dict[str, Attribute]]:
    """Try everything that a run needs, and change nothing.

    Where the streams are known, their fields are held against the attributes.

    Returns:
        The mapped columns, and all attributes of the account by key.
    """
    columns: list[Column] = []
    attributes: dict[str, Attribute] = {}
    for warning in settings.warnings:
        checklist.note("settings", warning)
    with checklist.trying("key"):
        keys = {header.partition(".")[0] for header in settings.field_mapping.values()}
        attributes.update(cordial.attributes.all(sorted(keys)))
        checklist.ok("key", f"Cordial at {settings.api_url} takes the API key")
    if checklist.failures:
        for topic in ("permissions", "fields", "list"):
            checklist.untried(topic, "needs the API key to work first")
    else:
        _check_permissions(settings, cordial, checklist)
        columns = _check_fields(settings, attributes, checklist, streams or {})
        if settings.list_action != "none":
            with checklist.trying("list"):
                checklist.ok(
                    "list", AccountLists(cordial, ListTemplate(settings.list_name), attributes).check()
                )
    if settings.plan_only:
        checklist.untried("storage", "a plan (plan_only) leaves it alone")
    else:
        with checklist.trying("storage"):
            storage = open_storage()
            storage.check()
            checklist.ok("storage", f"{storage}: written, read back and deleted")
    checklist.note("consent", f"{known_contacts(settings)}; {new_contacts(settings)}")
    return columns, attributes


def _check_reading(settings: Settings, cordial: Cordial, checklist: Checklist) -> None:
    """See whether single contacts may be read, which a run can do without."""
    try:
        cordial.contacts.find(settings.channel, NOBODY)
    except CordialError as error:
        checklist.note(
            "contacts",
            f"rows that Cordial rejects can be counted, but not named in the reject file: {error}",
        )
    else:
        checklist.ok(
            "contacts", "the key may read single contacts, so that rows that Cordial rejects are named"
        )


def _check_naming(open_storage: t.Callable[[], Storage], checklist: Checklist) -> None:
    """See whether Cordial can be asked for an export, which a run can do without."""
    try:
        open_storage().destination()
    except UserError as error:
        checklist.note(
            "contacts",
            f"rows of files with more than {MOST} rows can be counted, but not named in the reject file: {error}",
        )
    else:
        checklist.untried(
            "contacts",
            f"naming rows also of files with more than {MOST} rows, if the key may use contactexports (POST): it takes an export",
        )


def _check_places(settings: Settings, journal: Folder | None, checklist: Checklist) -> None:
    """Try the folders that a run writes to besides the storage."""
    with checklist.trying("rejects"):
        folder_beside(settings, settings.rejects_url, "rejects_url").check()
        checklist.ok("rejects", f"{settings.rejects_url}: written, read back and deleted")
    if journal is None:
        checklist.note("journal", "none: set journal_url to look back at runs")
    else:
        with checklist.trying("journal"):
            journal.check()
            checklist.ok(
                "journal", f"{settings.journal_url}: its folder was written, read back and deleted from"
            )
    if settings.notify_url is not None:
        checklist.untried("notify", "a post to notify_url, which people would read")


def _check_export(settings: Settings, open_storage: t.Callable[[], Storage], checklist: Checklist) -> None:
    """See what an audit or a mirror needs, but for the export itself."""
    with checklist.trying("export"):
        open_storage().destination()
        checklist.ok(
            "export", f"Cordial is told all that it needs to write exports into {settings.storage_url}"
        )
    checklist.untried("export", "asking for one: Cordial would write the contacts of the whole account")
    if settings.account_id is None:
        checklist.note(
            "export", "account_id is not set: Cordial's documentation calls it required for exports"
        )
    if settings.audits_url is None:
        checklist.note("audits", "none: set audits_url to have differences row by row, and receipts")
        return
    with checklist.trying("audits"):
        folder_beside(settings, settings.audits_url, "audits_url").check()
        checklist.ok("audits", f"{settings.audits_url}: written, read back and deleted")


def _check_fetch(
    settings: Settings, cordial: Cordial, storage: Storage, folder: Path, checklist: Checklist
) -> None:
    """Let Cordial fetch and import a file that holds a header and no contact."""
    importer = Importer(
        cordial=cordial,
        storage=storage,
        settings=dataclasses.replace(
            settings,
            keep_files=False,
            import_timeout_seconds=min(settings.import_timeout_seconds, FETCH_TIMEOUT_SECONDS),
        ),
        null_marker=f"null-{secrets.token_hex(8)}",
        run_name=f"{storage.folder_tag}-check-{secrets.token_hex(4)}",
        run_started_at=dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=1),
    )
    path = folder / "check.csv"
    # As exits: only known contacts are touched, and no list is joined.
    file = ImportFile(1, None, is_exits=True, rows=0, position=0, contacts=array("q"), path=path)
    with checklist.trying("fetch"), storage.lease:
        write_csv(path, [settings.identifier_column], [])
        try:
            result = importer.deliver(file)
        except ImportFailedError as error:
            raise ImportFailedError(
                f"{error} The file held a header alone: where the job blames that, Cordial could fetch it."
            ) from error
        finally:
            with contextlib.suppress(UserError):
                storage.delete(f"{importer.run_name}-{file.number:04d}.csv")
        checklist.ok(
            "fetch",
            f"Cordial fetched and read a file with a header alone ({result.seconds:.1f} s, job {result.job_id})",
        )


def _check_permissions(settings: Settings, cordial: Cordial, checklist: Checklist) -> None:
    has_lists = settings.list_action != "none"
    with checklist.trying("permissions"):
        next(cordial.jobs.imports("Processing"), None)
        if has_lists:
            cordial.lists.find(NO_LIST_OF_THIS_NAME)
        checklist.ok(
            "permissions", f"the key may read attributes, {'lists and jobs' if has_lists else 'jobs'}"
        )
    if has_lists:
        checklist.untried("permissions", "creating a list, which would change something")


def _check_fields(
    settings: Settings, attributes: t.Mapping[str, Attribute], checklist: Checklist, streams: Streams
) -> list[Column]:
    columns: list[Column] = []
    mapping: dict[str, str] = {}
    for field, header in settings.field_mapping.items():
        with checklist.trying("field"):
            columns = columns_of({**mapping, field: header}, attributes)
            mapping[field] = header
            if not streams:
                checklist.ok("field", _field_line(settings, columns[-1]))
    for stream, schema in streams.items():
        _check_stream(settings, stream, schema, columns, checklist)
    if columns and not streams:
        checklist.untried(
            "field",
            "whether the stream has these fields, of types that fit: seen when it comes, or now with --catalog",
        )
    with checklist.trying("fields"):
        _check_required(settings, attributes)
    return columns


def _check_stream(
    settings: Settings,
    stream: str,
    schema: t.Mapping[str, t.Any],
    columns: list[Column],
    checklist: Checklist,
) -> None:
    """Hold a stream's fields against their attributes, as its first record will."""
    mapping = Mapping(stream, schema, settings)
    if not mapping.has_identifier:
        checklist.note("stream", f"{stream} has no field {settings.identifier_field}, so it will be skipped")
        return
    failures = len(checklist.failures)
    with checklist.trying("stream"):
        mapping.check([], ListTemplate(settings.list_name).fields if settings.list_action != "none" else [])
        checklist.ok("stream", f"{stream}: contacts by {settings.identifier_field}")
    if len(checklist.failures) > failures:
        checklist.untried("fields", f"the stream {stream} has to be right first")
        return
    for column in columns:
        with checklist.trying("field"):
            mapping.check([column])
            rule = field_schema(schema, column.field) or {}
            checklist.ok("field", _field_line(settings, column, types_of(rule) or "any type"))
            if column.attribute.type == "number" and "string" in types_of(rule):
                checklist.note(
                    "field",
                    f"{column.field} holds text: of it, only what is a number goes into {column.header}",
                )


def _field_line(settings: Settings, column: Column, types: str = "") -> str:
    field_width = max(map(len, settings.field_mapping))
    header_width = max(map(len, settings.field_mapping.values()))
    field = f"{column.field:<{field_width}}" + (f"  {types:<20}" if types else "")
    return f"{field}  ->  {column.header:<{header_width}}  {_kind(column.attribute)}"


def _kind(attribute: Attribute) -> str:
    """An attribute's type, and what it asks of values."""
    limits = []
    if attribute.type == "string":
        limits.append(f"at most {attribute.max or MAX_STRING_CHARACTERS} characters")
    elif attribute.type == "array":
        limits.append(f"at most {attribute.max_items} items")
    if attribute.required:
        limits.append("required")
    return f"{attribute.type} ({', '.join(limits)})" if limits else attribute.type


def _check_required(settings: Settings, attributes: t.Mapping[str, Attribute]) -> None:
    headers = settings.field_mapping.values()
    mapped = {*headers, *(header.partition(".")[0] for header in headers)}
    missing = sorted(key for key, attribute in attributes.items() if attribute.required and key not in mapped)
    if missing and settings.import_strategy == "upsert":
        raise UserError(
            f"Cordial requires the attribute {', '.join(missing)} of each contact: map a field to it in field_mapping, make it optional "
            "in Cordial, or set import_strategy to updateOnly."
        )
