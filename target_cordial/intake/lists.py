"""The Cordial lists that a run fills: those that earlier runs filled by their ids, others by the names that list_name gives."""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
import typing as t
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

from lytics_to_cordial.errors import UserError
from target_cordial.bookmark.bookmarks import Bookmarks
from target_cordial.bookmark.entry import Place
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.attributes import Attribute
from target_cordial.cordial.errors import CordialError
from target_cordial.cordial.lists import ContactList, Sizes
from target_cordial.intake.account_lists import AccountLists
from target_cordial.intake.cells import RejectedError
from target_cordial.intake.list_names import ListTemplate, cordial_name, field_text
from target_cordial.settings import Settings

MAX_LISTS = 50

logger = logging.getLogger("target-cordial")


@dataclass
class Lists:
    """Finds the list of each record.

    Attributes:
        account: The account's lists.
        bookmarks: Which lists earlier runs filled.
        is_shareable: Whether two audiences may go to one list, as nobody leaves it.
        interruptible: Makes a context in which waiting for Cordial may be broken off.
        sizes: Of each list that the run met, by its name.
    """

    account: AccountLists
    bookmarks: Bookmarks
    is_shareable: bool = False
    interruptible: t.Callable[[], AbstractContextManager[None]] = contextlib.nullcontext
    sizes: dict[str, Sizes] = field(default_factory=dict)
    _lists: dict[tuple[str, ...], ContactList] = field(default_factory=dict)
    _met: dict[Place, ContactList] = field(default_factory=dict)
    _owners: dict[int | str, str] = field(default_factory=dict)
    _missing: set[Place] = field(default_factory=set)
    _refused: dict[Place, RejectedError] = field(default_factory=dict)

    @property
    def fields(self) -> list[str]:
        """The record fields that lists are named by."""
        return self.account.template.fields

    def look_up(self) -> None:
        """Find the lists of this run that earlier runs filled, and those of audiences that send nothing.

        Raises:
            UserError: If one is gone, or two audiences go to one.
        """
        with self.interruptible():
            for place, known in self.bookmarks.lists.items():
                self._look_up(place, known)
            for place in self._places_of_audiences():
                existing = None if place in self._met else self.account.find(place[1])
                if existing is not None:
                    self.bookmarks.remember(place, existing)
                    self._meet(place, existing)

    def lists_for(
        self, stream: str, values: t.Mapping[str, t.Sequence[object]], rejects: dict[int, RejectedError]
    ) -> list[ContactList | None]:
        """The lists of a stream's records, created if need be; where all are `rejects`, the list if there is one.

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
            try:
                # How many are on a list says whether its rejects are many, so it is looked for, too, where all are rejected.
                is_filled = not rejects or not rejects.keys() >= set(numbers)
                target_list = self._list_for(stream, names, audience, is_filled=is_filled)
            except RejectedError as error:
                for number in numbers:
                    rejects.setdefault(number, error)
            lists += [target_list] * len(numbers)
        return lists

    @property
    def named(self) -> list[ContactList]:
        """The lists that records named, also such as cannot be sent."""
        return list(dict.fromkeys(self._lists.values()))

    def measure(self, pause: float) -> dict[str, Sizes]:
        """Wait so many seconds, then note and give the size of each list after the run.

        Raises:
            UserError: If one is gone, or two audiences go to one.
        """
        self.look_up()
        gone = []
        with self.interruptible():
            time.sleep(pause)
            for target_list in set(self._met.values()):
                sizes = self.sizes[target_list.name]
                if sizes.size_before is not None:
                    sizes.size_after = self._size_if_known(target_list)
                    if sizes.size_after is None and self._is_gone(target_list):
                        gone.append(target_list)
        if gone:
            raise _gone(gone[0])
        return self.sizes

    def problems(self) -> list[str]:
        """What a person has to settle about names that no list can have, in sentences."""
        causes = [error.__cause__ for error in self._refused.values() if error.__cause__ is not None]
        return [
            f"{cause} Then run once with --full-refresh, which sends who was rejected." for cause in causes
        ]

    def contacts(self) -> int:
        """How many contacts were on the lists before the run; any thread may ask."""
        return sum(sizes.size_before or 0 for sizes in list(self.sizes.values()))

    def _list_for(
        self, stream: str, names: t.Sequence[object], audience: object, *, is_filled: bool
    ) -> ContactList | None:
        texts = tuple(map(field_text, self.fields, names))
        owner = audience if isinstance(audience, str) else stream
        key = (owner, *texts)
        known = self._lists.get(key)
        if known is None:
            with self.interruptible():
                named = dict(zip(self.fields, texts, strict=True))
                known = self._resolve(stream, owner, named, is_filled=is_filled)
            if known is not None:
                self._lists[key] = known
        return known

    def _resolve(
        self, stream: str, owner: str, texts: dict[str, str], *, is_filled: bool
    ) -> ContactList | None:
        place = owner, self.account.template.render(texts)
        if place in self._met:
            return self._met[place]
        known = self.bookmarks.lists.get(place)
        if known is not None:
            return self._look_up(place, known)
        if len({known.id for known in self._lists.values()}) >= MAX_LISTS:
            raise UserError(
                f"The records name more than {MAX_LISTS} lists: check the fields in list_name ({self.account.template.text!r})."
            )
        if not is_filled and place in self._missing:
            return None
        if place in self._refused:
            raise self._refused[place]
        try:
            target_list = self.account.find_or_create(
                place[1], made_up_id=-1 - len(self._lists), is_filled=is_filled
            )
        except RejectedError as error:
            self._refused[place] = error
            raise
        if target_list is None:
            self._missing.add(place)
            return None
        self._meet(place, target_list)
        self.bookmarks.remember(place, target_list, stream)
        return target_list

    def _look_up(self, place: Place, known: ContactList) -> ContactList:
        """A list that earlier runs filled; it is its id, whatever its name is now."""
        if place not in self._met:
            current = self.account.cordial.lists.by_id(known.id)
            if current is None:
                raise _gone(known)
            if current.name != known.name:
                if self.bookmarks.is_other_key:
                    raise UserError(
                        f"The API key is another one, and for it list {known.id} is {current.name!r}, not {known.name!r}, to which members "
                        "were sent: set api_key back if it is of another account, or run once with --full-refresh, which sends everybody."
                    )
                logger.warning(
                    "The list %s (id %d) was renamed to %s in Cordial: the run goes on with it.",
                    known.name,
                    known.id,
                    current.name,
                )
                self.bookmarks.remember(place, current)
            self._meet(place, current)
        return self._met[place]

    def _meet(self, place: Place, target_list: ContactList) -> None:
        self._met[place] = target_list
        if target_list.name not in self.sizes:
            self.sizes[target_list.name] = Sizes(self._size_if_known(target_list))
        if place[0] not in self.bookmarks.streams:
            self._claim(target_list.id, place[0], target_list.name)

    def _places_of_audiences(self) -> list[Place]:
        """Where the audiences of the tap's run go, as far as their names are known.

        Raises:
            UserError: If two of them go to one list.
        """
        run, template = self.bookmarks.tap_run, self.account.template
        audiences = {} if run is None else run.audiences
        places = [
            (id_, template.render(dict(audience.values)))
            for id_, audience in audiences.items()
            if all(name in audience.values for name in template.fields)
        ]
        for owner, rendered in places:
            self._claim(cordial_name(rendered), owner, cordial_name(rendered))
        return places

    def _claim(self, key: int | str, audience: str, name: str) -> None:
        """See that no other audience goes to a list, given by its id or its name."""
        owner = self._owners.setdefault(key, audience)
        # A list that no record names is nobody's.
        if audience and owner != audience and not self.is_shareable:
            raise UserError(
                f"The audiences {owner} and {audience} both go to list {name!r}, and leaving one would remove members of the "
                "other: put {audience_name} or {audience_id} in list_name, or give each audience a pipeline of its own."
            )

    def _is_gone(self, target_list: ContactList) -> bool:
        with contextlib.suppress(CordialError):
            return self.account.cordial.lists.by_id(target_list.id) is None
        return False

    def _size_if_known(self, target_list: ContactList) -> int | None:
        """A size that is only reported must not fail the run."""
        try:
            return self.account.size(target_list)
        except CordialError as error:
            logger.warning("The size of list %s is not known: %s", target_list.name, error)
            return None


def open_lists(
    cordial: Cordial,
    settings: Settings,
    attributes: t.Mapping[str, Attribute],
    bookmarks: Bookmarks,
    interruptible: t.Callable[[], AbstractContextManager[None]],
    *,
    may_create: bool,
) -> Lists | None:
    """The lists of a run, those that earlier runs filled looked up; None if contacts go on none.

    Raises:
        UserError: If one is gone, or two audiences go to one.
    """
    if settings.list_action == "none":
        return None
    account = AccountLists(cordial, ListTemplate(settings.list_name), attributes, may_create=may_create)
    lists = Lists(account, bookmarks, is_shareable=settings.list_action == "add", interruptible=interruptible)
    lists.look_up()
    return lists


def _gone(known: ContactList) -> UserError:
    return UserError(
        f"The list {known.name} (id {known.id}), to which members were sent, is gone from Cordial: run once with --full-refresh, "
        "which sends everybody to a new one."
    )
