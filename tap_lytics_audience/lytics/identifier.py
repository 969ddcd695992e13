"""Identifiers of members: which field can be one, and one key for all spellings of an address."""

from __future__ import annotations

import typing as t
import unicodedata

from lytics_to_cordial.errors import UserError

_SEVERAL_VALUES = ("[", "ts[", "map[", "membership", "embedding", "geolocation", "flows")
"""How the Lytics types begin that hold more than one value."""
_NOT_IDENTIFYING = ("number", "float", "bool", "boolean", "date", "time", "datetime")
"""The Lytics types of single values that many people share, or that can be written in several ways."""


def member_key(identifier: object) -> str | None:
    """The key under which a profile with such an identifier is a member; None if it has none.

    The key is the identifier without white space around it. An address is in NFC and lower case.
    """
    if isinstance(identifier, int) and not isinstance(identifier, bool):
        identifier = str(identifier)
    key = identifier.strip() if isinstance(identifier, str) else ""
    if "@" in key:
        if key.isascii():
            return key.lower()
        # Lower case can take a letter apart again.
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).lower())
    return key or None


def check_identifier_field(name: str, kind: str | None, *, taken: t.Container[str]) -> None:
    """See that a profile field can identify members.

    Args:
        name: The field.
        kind: Its Lytics type; None if the account has no such field.
        taken: Columns that records have beside the profile's fields.

    Raises:
        UserError: If it cannot.
    """
    if name in taken:
        raise UserError(
            f"The profile field {name!r} cannot be identifier_field, as records have a column of this name: choose another."
        )
    if kind is None:
        raise UserError(f"The account has no profile field {name!r}: correct identifier_field.")
    if kind.startswith(_SEVERAL_VALUES):
        raise UserError(
            f"The profile field {name!r} holds several values ({kind}): set identifier_field to one that holds one."
        )
    if kind in _NOT_IDENTIFYING:
        raise UserError(
            f"The profile field {name!r} is of type {kind}, which cannot identify a person: set identifier_field to a field of type string "
            "or int."
        )
    if "`" in name:
        raise UserError(
            f"The profile field {name!r} holds a backtick, which no filter of Lytics can hold: choose another identifier_field."
        )
