"""The check before the first record: everything that a run needs, tried before anything is changed."""

from __future__ import annotations

import typing as t

from singer_process.errors import UserError
from target_cordial.lists import Lists
from target_cordial.rows import Column, columns_of

if t.TYPE_CHECKING:
    from target_cordial.cells import Attribute
    from target_cordial.cordial import Cordial
    from target_cordial.settings import Settings
    from target_cordial.storage import Storage


def check(
    settings: Settings, cordial: Cordial, open_storage: t.Callable[[], Storage], say: t.Callable[[str], None]
) -> tuple[list[Column], dict[str, Attribute]]:
    """Try everything that a run needs, and tell all that does not work at once.

    Args:
        settings: The settings.
        cordial: The account.
        open_storage: Opens the storage.
        say: Takes one line for each thing that works.

    Returns:
        The mapped columns, and all attributes of the account by key.

    Raises:
        UserError: If something does not work; one sentence for each thing, which says what to change.
    """
    failures: list[str] = []
    columns: list[Column] = []
    attributes: dict[str, Attribute] = {}

    def check_account() -> None:
        attributes.update(cordial.attributes())
        next(cordial.import_jobs("Processing"), None)
        say(f"Cordial at {settings.api_url}: the API key works")

    def check_attributes() -> None:
        columns.extend(columns_of(settings.field_mapping, attributes))
        for column in columns:
            say(f"field {column.field}: goes to attribute {column.header} ({column.attribute.type})")
        _check_required(settings, attributes)

    def check_list() -> None:
        if settings.list_action != "none":
            say(Lists(cordial, settings.list_name, attributes).check())

    def check_storage() -> None:
        if not settings.plan_only:
            open_storage().check()
            say("storage: written, read back and deleted")

    def works(what: t.Callable[[], None]) -> bool:
        try:
            what()
        except UserError as error:
            failures.append(str(error))
            return False
        return True

    if works(check_account):
        works(check_attributes)
        works(check_list)
    works(check_storage)
    if failures:
        raise UserError(" ".join(failures))
    if settings.import_strategy == "upsert" and settings.subscribe_status is None:
        say("consent: no subscribe status is sent; Cordial itself makes a new contact `subscribed`")
    return columns, attributes


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
