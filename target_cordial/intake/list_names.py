"""The names of lists: a template over a record's fields, and what Cordial allows in a name."""

from __future__ import annotations

import hashlib
import re
import string
import typing as t
from dataclasses import dataclass, field

from lytics_to_cordial.errors import UserError
from target_cordial.intake.cells import RejectedError, is_unicode

MAX_NAME_CHARACTERS = 128


@dataclass(frozen=True)
class ListTemplate:
    """The setting list_name: a name, an id, or a template such as `Lytics_{audience_name}`.

    Attributes:
        text: The setting.
        fields: The record fields in it, in order; empty for a name or an id.

    Raises:
        UserError: If it is not a template.
    """

    text: str
    fields: list[str] = field(init=False)

    def __post_init__(self) -> None:
        """The template is parsed once."""
        object.__setattr__(self, "fields", _fields(self.text))

    @property
    def list_id(self) -> int | None:
        """The id, if the setting itself is one; what a record's fields give is always a name."""
        text = self.text.strip()
        return int(text) if not self.fields and text.isascii() and text.isdecimal() else None

    def render(self, texts: t.Mapping[str, str]) -> str:
        """The name that the template gives, before Cordial's rules of names.

        Raises:
            UserError: If nothing of it is left by these rules.
        """
        rendered = self.text.format_map(texts).strip()
        if not cordial_name(rendered):
            raise UserError(f"The setting list_name ({self.text!r}) gives an empty name: name a list.")
        return rendered


def cordial_name(rendered: str) -> str:
    """A list's name in Cordial's alphabet.

    Spaces become `_`. Where another character has to go, or the length, a short hash keeps two names apart (Cordial
    Swagger v2: letters, numbers and dashes, at most 128; underscores are in use all the same).
    """
    spaced = _spaced(rendered)
    name = re.sub(r"[^A-Za-z0-9_-]", "", spaced)
    if name == spaced and len(name) <= MAX_NAME_CHARACTERS:
        return name
    mark = hashlib.sha256(rendered.strip().encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME_CHARACTERS - 9]}_{mark}".lstrip("_")


def is_changed_by_rules(rendered: str) -> bool:
    """Whether Cordial's rules change more of a name than its spaces."""
    return cordial_name(rendered) != _spaced(rendered)


def field_text(name: str, value: object) -> str:
    """The text that a record's field puts into a list's name.

    Raises:
        RejectedError: If the record has none.
    """
    if isinstance(value, str) and value.strip() and is_unicode(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RejectedError(f"the list's name needs {name}, which is missing")


def _spaced(rendered: str) -> str:
    return re.sub(r"\s", "_", rendered.strip())


def _fields(template: str) -> list[str]:
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(
            f"The setting list_name ({template!r}) is not a template: put field names in braces, such as Lytics_{{audience_name}}."
        ) from error
    fields = [name for _, name, _, _ in parts if name is not None]
    if any(
        not re.fullmatch(r"[^.\[\]]*[^.\[\]0-9][^.\[\]]*", name) or style or conversion
        for _, name, style, conversion in parts
        if name is not None
    ):
        raise UserError(
            f"The setting list_name ({template!r}) may hold field names in braces alone, such as Lytics_{{audience_name}}."
        )
    return fields
