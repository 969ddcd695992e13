"""Identifiers of members: one key for all spellings of an address."""

from __future__ import annotations

import unicodedata


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
