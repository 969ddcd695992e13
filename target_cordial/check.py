"""The check before the first record, and by `--check`: everything that a run needs, tried before anything is changed."""

from __future__ import annotations

import typing as t

from lytics_to_cordial.errors import UserError
from target_cordial.intake.cells import MAX_STRING_CHARACTERS
from target_cordial.intake.columns import Column, columns_of
from target_cordial.intake.fit import field_schema, types_of
from target_cordial.intake.lists import Lists
from target_cordial.intake.mapping import Mapping

if t.TYPE_CHECKING:
    from lytics_to_cordial.checklist import Checklist
    from target_cordial.cordial.api import Attribute, Cordial
    from target_cordial.settings import Settings
    from target_cordial.storage.storage import Storage

    Streams: t.TypeAlias = t.Mapping[str, t.Mapping[str, t.Any]]

NO_LIST_OF_THIS_NAME = "target-cordial-check"


def check(
    settings: Settings,
    cordial: Cordial,
    open_storage: t.Callable[[], Storage],
    checklist: Checklist,
    streams: Streams | None = None,
) -> tuple[list[Column], dict[str, Attribute]]:
    """Try everything that a run needs, and change nothing.

    Args:
        settings: The settings.
        cordial: The account.
        open_storage: Opens the storage.
        checklist: Takes a line for each thing.
        streams: The schemas of streams that will come, by name, where they are known; their fields are held against the attributes.

    Returns:
        The mapped columns, and all attributes of the account by key.
    """
    columns: list[Column] = []
    attributes: dict[str, Attribute] = {}
    with checklist.trying("key"):
        attributes.update(cordial.attributes())
        checklist.ok("key", f"Cordial at {settings.api_url} takes the API key")
    if checklist.failures:
        for what in ("permissions", "fields", "list"):
            checklist.untried(what, "needs the API key to work first")
    else:
        _check_permissions(settings, cordial, checklist)
        columns = _check_fields(settings, attributes, checklist, streams)
        if settings.list_action != "none":
            with checklist.trying("list"):
                checklist.ok("list", Lists(cordial, settings.list_name, attributes).check())
    if settings.plan_only:
        checklist.untried("storage", "a plan (plan_only) leaves it alone")
    else:
        with checklist.trying("storage"):
            storage = open_storage()
            storage.check()
            checklist.ok("storage", f"{storage}: written, read back and deleted")
    if settings.import_strategy == "upsert" and settings.subscribe_status is None:
        checklist.note(
            "consent", "no subscribe status is sent; Cordial itself makes a new contact `subscribed`"
        )
    return columns, attributes


def _check_permissions(settings: Settings, cordial: Cordial, checklist: Checklist) -> None:
    has_lists = settings.list_action != "none"
    with checklist.trying("permissions"):
        next(cordial.import_jobs("Processing"), None)
        if has_lists:
            cordial.find_list(NO_LIST_OF_THIS_NAME)
        checklist.ok(
            "permissions", f"the key may read attributes, {'lists and jobs' if has_lists else 'jobs'}"
        )
    if has_lists:
        checklist.untried("permissions", "creating a list, which would change something")


def _check_fields(
    settings: Settings, attributes: t.Mapping[str, Attribute], checklist: Checklist, streams: Streams | None
) -> list[Column]:
    columns: list[Column] = []
    mapping: dict[str, str] = {}
    for field, header in settings.field_mapping.items():
        with checklist.trying("field"):
            columns = columns_of({**mapping, field: header}, attributes)
            mapping[field] = header
            if not streams:
                checklist.ok("field", _fields_line(settings, columns[-1], ""))
    for stream, schema in (streams or {}).items():
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
        mapping.check([])
        checklist.ok("stream", f"{stream}: contacts by {settings.identifier_field}")
    if len(checklist.failures) > failures:
        checklist.untried("fields", f"the stream {stream} has to be right first")
        return
    for column in columns:
        with checklist.trying("field"):
            mapping.check([column])
            rule = field_schema(schema["properties"], column.field) or {}
            checklist.ok("field", _fields_line(settings, column, types_of(rule) or "any type"))


def _fields_line(settings: Settings, column: Column, types: str) -> str:
    field_width = max(map(len, settings.field_mapping))
    header_width = max(map(len, settings.field_mapping.values()))
    shown = f"{column.field:<{field_width}}  {types:<20}" if types else f"{column.field:<{field_width}}"
    return f"{shown}  ->  {column.header:<{header_width}}  {_kind(column.attribute)}"


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
    mapped = {header.partition(".")[0] for header in settings.field_mapping.values()} | set(
        settings.field_mapping.values()
    )
    missing = sorted(key for key, attribute in attributes.items() if attribute.required and key not in mapped)
    if missing and settings.import_strategy == "upsert":
        msg = (
            f"Cordial requires the attribute {', '.join(missing)} of each contact: map a field to it in field_mapping, make it optional "
            "in Cordial, or set import_strategy to updateOnly."
        )
        raise UserError(msg)
