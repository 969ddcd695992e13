"""The check before the first record: everything that a run needs, tried before anything is changed."""

from __future__ import annotations

import typing as t

from target_cordial.errors import UserError
from target_cordial.lists import Lists
from target_cordial.mapping import Column, columns_of

if t.TYPE_CHECKING:
    from target_cordial.cells import Attribute
    from target_cordial.cordial import Cordial
    from target_cordial.settings import Settings
    from target_cordial.storage import Storage


def check(
    settings: Settings, cordial: Cordial, storage: Storage, say: t.Callable[[str], None]
) -> tuple[list[Column], dict[str, Attribute]]:
    """Try everything that a run needs.

    Args:
        settings: The settings.
        cordial: The account.
        storage: The storage.
        say: Takes one line for each thing that works.

    Returns:
        The mapped columns, and all attributes of the account by key.

    Raises:
        UserError: At the first thing that does not work; the sentence says what to change.
    """
    attributes = cordial.attributes()
    say(f"Cordial at {settings.api_url}: the API key works")
    columns = columns_of(settings.field_mapping, attributes)
    for column in columns:
        say(f"field {column.field}: goes to attribute {column.header} ({column.attribute.type})")
    _check_required(settings, attributes)
    if settings.list_action != "none":
        say(Lists(cordial, settings.list_name, attributes).check())
    if not settings.plan_only:
        storage.check()
        say("storage: written, read back and deleted")
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
