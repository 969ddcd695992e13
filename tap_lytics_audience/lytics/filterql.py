"""Filters in FilterQL, as Lytics' own parser reads it (github.com/lytics/qlbridge)."""

from __future__ import annotations

import typing as t

from lytics_to_cordial.errors import UserError


def can_be_written(value: str) -> bool:
    """Whether a text has a spelling.

    A quote is written twice. A backslash is an ordinary letter, but it hides the next quote, so that a text that ends in one
    never ends. A text with a quote loses its backslashes, and letters beyond ASCII break.
    """
    if "\x00" in value or value.endswith("\\"):
        return False
    return '"' not in value or (value.isascii() and "\\" not in value)


def members_with(audience_id: str, field: str, values: t.Iterable[str]) -> str:
    """A filter for members of an audience by their identifiers. Each of these must be one that can be written."""
    texts = ", ".join('"' + value.replace('"', '""') + '"' for value in values)
    return f"FILTER AND (INCLUDE {_name(audience_id)}, {_name(field)} IN ({texts})) FROM user"


def _name(name: str) -> str:
    """The name of a field or an audience. In backticks, digits, dashes and reserved words are names too."""
    if "`" in name:
        raise UserError(
            f"The name {name!r} holds a backtick, which no filter of Lytics can hold: choose another identifier_field."
        )
    return f"`{name}`"
