"""The Cordial lists that a run fills: named by a template, found or created once."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import logging
import re
import string
import typing as t
from dataclasses import dataclass, field

from lytics_to_cordial.errors import UserError
from target_cordial.cordial.api import ContactList, CordialError, Sizes, UnansweredError
from target_cordial.intake.cells import RejectedError

if t.TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from target_cordial.cordial.api import Attribute, Cordial

MAX_LISTS = 50
MAX_NAME_CHARACTERS = 128

logger = logging.getLogger("target-cordial")


def template_fields(template: str) -> list[str]:
    """The record fields in a list name.

    Args:
        template: Such as `Lytics_{audience_name}`.

    Returns:
        Field names, in order; empty for a fixed name.

    Raises:
        UserError: If it is not a template.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        msg = f"The setting list_name ({template!r}) is not a template: put field names in braces, such as Lytics_{{audience_name}}."
        raise UserError(msg) from error
    fields = [name for _, name, _, _ in parts if name is not None]
    if any(not name or style or conversion for _, name, style, conversion in parts if name is not None):
        msg = f"The setting list_name ({template!r}) may hold field names in braces alone, such as Lytics_{{audience_name}}."
        raise UserError(msg)
    return fields


def cordial_name(raw: str) -> str:
    """A list's name in Cordial's alphabet.

    Spaces become `_`. Where another character has to go, or the length, a short hash of the raw name keeps two names
    apart (Cordial Swagger v2: letters, numbers and dashes, at most 128; underscores are in use all the same).

    Args:
        raw: The name as rendered.

    Returns:
        The name to use.
    """
    name = re.sub(r"[^A-Za-z0-9_-]", "", re.sub(r"\s", "_", raw.strip()))
    if name == re.sub(r"\s", "_", raw.strip()) and len(name) <= MAX_NAME_CHARACTERS:
        return name
    mark = hashlib.sha256(raw.strip().encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME_CHARACTERS - 9]}_{mark}".lstrip("_")


@dataclass
class Lists:
    """Finds the list of each record.

    Attributes:
        cordial: The account.
        template: The setting list_name.
        attributes: The account's attributes; a list cannot have the name of one.
        may_create: False makes lists up instead of creating them, for a plan; such a list has a negative id.
        interruptible: Makes a context in which waiting for Cordial may be broken off.
        sizes: Of each list that the run met, by its name.
        fields: The record fields in the template.
    """

    cordial: Cordial
    template: str
    attributes: t.Mapping[str, Attribute]
    may_create: bool = True
    interruptible: t.Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    sizes: dict[str, Sizes] = field(default_factory=dict)
    fields: list[str] = field(init=False)
    _found: dict[tuple[str, ...], ContactList] = field(default_factory=dict)
    _audiences: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The template is parsed once."""
        self.fields = template_fields(self.template)

    def lists_for(
        self, values: t.Mapping[str, t.Sequence[object]], rejects: dict[int, RejectedError]
    ) -> list[ContactList | None]:
        """The lists of many records, created if need be; None for those of `rejects`.

        Raises:
            UserError: If there is no such list and there cannot be.
        """
        told = [values[name] for name in (*self.fields, "audience_id")]
        if all(column.count(column[0]) == len(column) for column in told):
            # Alike, as most are: to count takes a fifth of the time of telling kinds apart.
            kinds: list[tuple[tuple[object, ...], t.Sequence[int]]] = [
                (tuple(column[0] for column in told), range(len(told[0])))
            ]
        else:
            grouped = itertools.groupby(enumerate(zip(*told, strict=True)), key=lambda item: item[1])
            kinds = [(kind, [number for number, _ in group]) for kind, group in grouped]
        found: list[ContactList | None] = []
        for (*names, audience), numbers in kinds:
            some = None
            if not rejects or not rejects.keys() >= set(numbers):
                try:
                    some = self._list_for(names, audience)
                except RejectedError as error:
                    for number in numbers:
                        rejects.setdefault(number, error)
            found += [some] * len(numbers)
        return found

    def _list_for(self, names: t.Sequence[object], audience: object) -> ContactList:
        values = tuple(map(_text, self.fields, names))
        place = (*values, audience) if isinstance(audience, str) else values
        found = self._found.get(place)
        if found is None:
            with self.interruptible():
                found = self._resolve(dict(zip(self.fields, values, strict=True)))
                if found.name not in self.sizes:
                    self.sizes[found.name] = Sizes(self._size_if_told(found))
            self._claim(found, audience)
            self._found[place] = found
        return found

    def size(self, target_list: ContactList) -> int:
        """How many contacts are on a list now.

        Args:
            target_list: The list, as `list_for` gave it.

        Raises:
            CordialError: If Cordial does not say.
        """
        return 0 if target_list.id < 0 else self.cordial.list_size(target_list.id)

    def measure(self) -> None:
        """Note the size of each list after the run."""
        with self.interruptible():
            for target_list in set(self._found.values()):
                sizes = self.sizes[target_list.name]
                if sizes.size_before is not None:
                    sizes.size_after = self._size_if_told(target_list)

    def check(self) -> str:
        """Look whether a list of a fixed name exists or can be created.

        Returns:
            One line on it, with its size.

        Raises:
            UserError: If neither.
        """
        if self.fields:
            return f"{self.template}: named by each record, and created where there is none of the name"
        name = self.template if self.template.isdigit() else cordial_name(self.template)
        found = self._find(name)
        if found is not None:
            return f"{found.name}: found, {self.size(found):,} contacts"
        self._refuse_attribute(name)
        return f"{name}: will be created"

    def _size_if_told(self, target_list: ContactList) -> int | None:
        """A size that is only reported must not fail the run."""
        try:
            return self.size(target_list)
        except CordialError as error:
            logger.warning("The size of list %s is not known: %s", target_list.name, error)
            return None

    def _claim(self, found: ContactList, audience: object) -> None:
        if not isinstance(audience, str):
            return
        owner = self._audiences.setdefault(found.id, audience)
        if owner != audience:
            msg = (
                f"The audiences {owner} and {audience} both go to list {found.name!r}, and leaving one would remove members of the "
                "other: put {audience_name} or {audience_id} in list_name, or give each audience a pipeline of its own."
            )
            raise UserError(msg)

    def _resolve(self, values: dict[str, str]) -> ContactList:
        raw = self.template.format_map(values)
        name = raw.strip() if raw.strip().isdigit() else cordial_name(raw)
        if not name:
            msg = f"The setting list_name ({self.template!r}) gives an empty name: name a list."
            raise UserError(msg)
        if len({found.id for found in self._found.values()}) >= MAX_LISTS:
            msg = f"The records name more than {MAX_LISTS} lists: check the fields in list_name ({self.template!r})."
            raise UserError(msg)
        found = self._find(name)
        if found is not None:
            return found
        self._refuse_attribute(name)
        if not self.may_create:
            logger.info("Plan: list %s would be created.", name)
            return ContactList(-1 - len(self._found), name)
        created = self._create(name) or self.cordial.find_list(name)
        if created is None:
            msg = f"Cordial says that the name {name!r} is taken, yet has no list of it (an attribute may have it): set list_name to another."
            raise CordialError(msg)
        logger.info("Created list %s in Cordial.", name)
        return created

    def _create(self, name: str) -> ContactList | None:
        try:
            return self.cordial.create_list(name)
        except UnansweredError:
            # It may have been created all the same.
            found = self.cordial.find_list(name)
            if found is None:
                raise
            return found

    def _find(self, name: str) -> ContactList | None:
        if not name.isdigit():
            return self.cordial.find_list(name)
        found = self.cordial.list_by_id(int(name))
        if found is None:
            msg = f"Cordial has no list with id {name}: check list_name; a list that is given by its id is never created."
            raise UserError(msg)
        return found

    def _refuse_attribute(self, name: str) -> None:
        if name in self.attributes:
            msg = f"Cordial has an attribute named {name!r}, so a list cannot have this name: set list_name to another."
            raise UserError(msg)


def _text(name: str, value: object) -> str:
    if isinstance(value, str) and value.strip():
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    reason = f"the list's name needs {name}, which is missing"
    raise RejectedError(reason)
