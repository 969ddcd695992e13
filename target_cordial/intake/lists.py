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
from target_cordial.cordial.errors import CordialError, UnansweredError
from target_cordial.cordial.lists import ContactList, Sizes
from target_cordial.intake.cells import RejectedError, is_unicode

if t.TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from target_cordial.cordial.api import Cordial
    from target_cordial.cordial.attributes import Attribute

MAX_LISTS = 50
MAX_NAME_CHARACTERS = 128

logger = logging.getLogger("target-cordial")


def template_fields(template: str) -> list[str]:
    """The record fields in a list name such as `Lytics_{audience_name}`, in order; empty for a fixed name.

    Raises:
        UserError: If it is not a template.
    """
    try:
        parts = list(string.Formatter().parse(template))
    except ValueError as error:
        raise UserError(
            f"The setting list_name ({template!r}) is not a template: put field names in braces, such as Lytics_{{audience_name}}."
        ) from error
    fields = [name for _, name, _, _ in parts if name is not None]
    if any(not name or style or conversion for _, name, style, conversion in parts if name is not None):
        raise UserError(
            f"The setting list_name ({template!r}) may hold field names in braces alone, such as Lytics_{{audience_name}}."
        )
    return fields


def cordial_name(rendered: str) -> str:
    """A list's name in Cordial's alphabet.

    Spaces become `_`. Where another character has to go, or the length, a short hash keeps two names apart (Cordial
    Swagger v2: letters, numbers and dashes, at most 128; underscores are in use all the same).
    """
    spaced = re.sub(r"\s", "_", rendered.strip())
    name = re.sub(r"[^A-Za-z0-9_-]", "", spaced)
    if name == spaced and len(name) <= MAX_NAME_CHARACTERS:
        return name
    mark = hashlib.sha256(rendered.strip().encode()).hexdigest()[:8]
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
    _lists: dict[tuple[str, ...], ContactList] = field(default_factory=dict)
    _audiences: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """The template is parsed once."""
        self.fields = template_fields(self.template)

    def lists_for(
        self, values: t.Mapping[str, t.Sequence[object]], rejects: dict[int, RejectedError]
    ) -> list[ContactList | None]:
        """The lists of records, created if need be; None for each record of `rejects`.

        Raises:
            UserError: If there is no such list and there cannot be.
        """
        columns = [values[name] for name in (*self.fields, "audience_id")]
        if all(column.count(column[0]) == len(column) for column in columns):
            # Alike, as most are: to count takes a fifth of the time of telling them apart.
            alike: list[tuple[tuple[object, ...], t.Sequence[int]]] = [
                (tuple(column[0] for column in columns), range(len(columns[0])))
            ]
        else:
            grouped = itertools.groupby(enumerate(zip(*columns, strict=True)), key=lambda item: item[1])
            alike = [(names, [number for number, _ in group]) for names, group in grouped]
        lists: list[ContactList | None] = []
        for (*names, audience), numbers in alike:
            target_list = None
            if not rejects or not rejects.keys() >= set(numbers):
                try:
                    target_list = self._list_for(names, audience)
                except RejectedError as error:
                    for number in numbers:
                        rejects.setdefault(number, error)
            lists += [target_list] * len(numbers)
        return lists

    def _list_for(self, names: t.Sequence[object], audience: object) -> ContactList:
        texts = tuple(map(_text, self.fields, names))
        place = (*texts, audience) if isinstance(audience, str) else texts
        known = self._lists.get(place)
        if known is None:
            with self.interruptible():
                known = self._resolve(dict(zip(self.fields, texts, strict=True)))
                if known.name not in self.sizes:
                    self.sizes[known.name] = Sizes(self._size_if_known(known))
            self._claim(known, audience)
            self._lists[place] = known
        return known

    def size(self, target_list: ContactList) -> int:
        """How many contacts are on a list now.

        Raises:
            CordialError: If Cordial does not say.
        """
        return 0 if target_list.id < 0 else self.cordial.lists.size(target_list.id)

    def measure(self) -> None:
        """Note the size of each list after the run."""
        with self.interruptible():
            for target_list in set(self._lists.values()):
                sizes = self.sizes[target_list.name]
                if sizes.size_before is not None:
                    sizes.size_after = self._size_if_known(target_list)

    def check(self) -> str:
        """Look whether a list of a fixed name exists or can be created, and say so in one line.

        Raises:
            UserError: If neither.
        """
        if self.fields:
            return f"{self.template}: named by each record, and created where there is none of the name"
        name = self.template if self.template.isdigit() else cordial_name(self.template)
        existing = self._find(name)
        if existing is not None:
            return f"{existing.name}: found, {self.size(existing):,} contacts"
        self._refuse_attribute(name)
        return f"{name}: will be created"

    def _size_if_known(self, target_list: ContactList) -> int | None:
        """A size that is only reported must not fail the run."""
        try:
            return self.size(target_list)
        except CordialError as error:
            logger.warning("The size of list %s is not known: %s", target_list.name, error)
            return None

    def _claim(self, target_list: ContactList, audience: object) -> None:
        if not isinstance(audience, str):
            return
        owner = self._audiences.setdefault(target_list.id, audience)
        if owner != audience:
            raise UserError(
                f"The audiences {owner} and {audience} both go to list {target_list.name!r}, and leaving one would remove members of the "
                "other: put {audience_name} or {audience_id} in list_name, or give each audience a pipeline of its own."
            )

    def _resolve(self, texts: dict[str, str]) -> ContactList:
        rendered = self.template.format_map(texts)
        name = rendered.strip() if rendered.strip().isdigit() else cordial_name(rendered)
        if not name:
            raise UserError(f"The setting list_name ({self.template!r}) gives an empty name: name a list.")
        if len({known.id for known in self._lists.values()}) >= MAX_LISTS:
            raise UserError(
                f"The records name more than {MAX_LISTS} lists: check the fields in list_name ({self.template!r})."
            )
        existing = self._find(name)
        if existing is not None:
            return existing
        self._refuse_attribute(name)
        if not self.may_create:
            logger.info("Plan: list %s would be created.", name)
            return ContactList(-1 - len(self._lists), name)
        created = self._create(name) or self.cordial.lists.find(name)
        if created is None:
            raise CordialError(
                f"Cordial says that the name {name!r} is taken, yet has no list of it (an attribute may have it): set list_name to another."
            )
        logger.info("Created list %s in Cordial.", name)
        return created

    def _create(self, name: str) -> ContactList | None:
        try:
            return self.cordial.lists.create(name)
        except UnansweredError:
            # It may have been created all the same.
            created = self.cordial.lists.find(name)
            if created is None:
                raise
            return created

    def _find(self, name: str) -> ContactList | None:
        if not name.isdigit():
            return self.cordial.lists.find(name)
        existing = self.cordial.lists.by_id(int(name))
        if existing is None:
            raise UserError(
                f"Cordial has no list with id {name}: check list_name; a list that is given by its id is never created."
            )
        return existing

    def _refuse_attribute(self, name: str) -> None:
        if name in self.attributes:
            raise UserError(
                f"Cordial has an attribute named {name!r}, so a list cannot have this name: set list_name to another."
            )


def _text(name: str, value: object) -> str:
    if isinstance(value, str) and value.strip() and is_unicode(value):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RejectedError(f"the list's name needs {name}, which is missing")
