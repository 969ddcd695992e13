"""The account's lists, found by name or by the id in list_name, or created."""

from __future__ import annotations

import logging
import typing as t
from dataclasses import dataclass

from lytics_to_cordial.errors import UserError
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.attributes import Attribute
from target_cordial.cordial.errors import ListNameError, UnansweredError
from target_cordial.cordial.lists import ContactList
from target_cordial.intake.cells import RejectedError
from target_cordial.intake.list_names import ListTemplate, cordial_name, is_changed_by_rules

logger = logging.getLogger("target-cordial")


@dataclass(frozen=True)
class AccountLists:
    """Finds or creates lists by what list_name gives.

    Attributes:
        cordial: The account.
        template: The setting list_name.
        attributes: The account's attributes; a list cannot have the name of one.
        may_create: False makes lists up instead of creating them, for a plan; such a list has a negative id.
    """

    cordial: Cordial
    template: ListTemplate
    attributes: t.Mapping[str, Attribute]
    may_create: bool = True

    def check(self) -> str:
        """Look whether a list of a fixed name exists or can be created, and say so in one line.

        Raises:
            UserError: If neither.
        """
        if self.template.fields:
            return f"{self.template.text}: named by each record, and created where there is none of the name"
        rendered = self.template.render({})
        existing = self.find(rendered)
        if existing is not None:
            line = f"{existing.name}: found, {self.size(existing):,} contacts"
        else:
            name = cordial_name(rendered)
            self._refuse_attribute(name)
            others = self._other_cases(name)
            line = f"{name}: will be created{f', beside {others}' if others else ''}"
        if self.template.list_id is None and is_changed_by_rules(rendered):
            line += f" (Cordial does not take {rendered!r} as a name)"
        return line

    def find(self, rendered: str) -> ContactList | None:
        """The list of a name that the template gave; None if there is none.

        Raises:
            UserError: If list_name is an id, and there is no such list.
        """
        list_id = self.template.list_id
        if list_id is None:
            return self.cordial.lists.find(cordial_name(rendered))
        existing = self.cordial.lists.by_id(list_id)
        if existing is None:
            raise UserError(
                f"Cordial has no list with id {list_id}: check list_name; a list that is given by its id is never created."
            )
        return existing

    def find_or_create(self, rendered: str, made_up_id: int, *, is_filled: bool) -> ContactList | None:
        """The list of a name that the template gave.

        Args:
            rendered: The name, before Cordial's rules of names.
            made_up_id: A negative id for a list that is made up.
            is_filled: Whether anybody goes on it or leaves it; if not, none is created.

        Raises:
            RejectedError: If the fields of records gave the name, and no list can have it, or it is the id of another.
            UserError: If there is no such list and there cannot be.
        """
        name = cordial_name(rendered)
        if self.template.list_id is None and name.isdecimal() and self._is_other_id(name):
            raise RejectedError("the list's name is the id of another list")
        try:
            return self._find_or_create(rendered, name, made_up_id, is_filled=is_filled)
        except ListNameError as error:
            if not self.template.fields:
                raise
            # The names of others may be right.
            raise RejectedError("no list in Cordial can have the name that its fields give") from error

    def _find_or_create(
        self, rendered: str, name: str, made_up_id: int, *, is_filled: bool
    ) -> ContactList | None:
        if self.template.list_id is None and is_changed_by_rules(rendered):
            logger.warning(
                "Cordial does not take %r as the name of a list, so the list is %s.", rendered, name
            )
        existing = self.find(rendered)
        if existing is not None or not is_filled:
            return existing
        self._refuse_attribute(name)
        others = self._other_cases(name)
        if others:
            logger.warning("The list %s is another one than %s: upper and lower case count.", name, others)
        if not self.may_create:
            logger.info("Plan: list %s would be created.", name)
            return ContactList(made_up_id, name)
        created = self._create(name) or self.cordial.lists.find(name)
        if created is None:
            raise ListNameError(
                f"Cordial says that the name {name!r} is taken, yet has no list of it (an attribute may have it): set list_name to another."
            )
        logger.info("Created list %s in Cordial.", name)
        return created

    def size(self, target_list: ContactList) -> int:
        """How many contacts are on a list now; raises `CordialError` if Cordial does not say."""
        return 0 if target_list.id < 0 else self.cordial.lists.size(target_list.id)

    def _create(self, name: str) -> ContactList | None:
        try:
            return self.cordial.lists.create(name)
        except UnansweredError:
            # It may have been created all the same.
            created = self.cordial.lists.find(name)
            if created is None:
                raise
            return created

    def _other_cases(self, name: str) -> str:
        """The lists whose names differ from one in upper and lower case alone."""
        names = [
            known for known in self.cordial.lists.names() if known.lower() == name.lower() and known != name
        ]
        return ", ".join(sorted(names))

    def _is_other_id(self, name: str) -> bool:
        other = self.cordial.lists.by_id(int(name))
        return other is not None and other.name != name

    def _refuse_attribute(self, name: str) -> None:
        if name in self.attributes:
            raise ListNameError(
                f"Cordial has an attribute named {name!r}, so a list cannot have this name: set list_name to another."
            )
