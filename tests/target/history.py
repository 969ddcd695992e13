"""A made-up source of records whose truth is known at every position: people who enter, change, leave and come back.

It is what a Singer tap with state is to the target: its log of records only grows, and each run sends what comes after
the last acknowledged position, once more if need be.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.people import FIELD_MAPPING
from tests.target.running import AUDIENCE_SCHEMA, enter, exit_, state

LISTS = {"VIP Customers": "Lytics_VIP_Customers", "Night Owls": "Lytics_Night_Owls"}
"""Each audience, and the list that it goes to."""
PEOPLE = 80
BUSY = 8
DELETED = "deleted@example.com"
"""Somebody whose contact was deleted in Cordial, and who leaves again and again."""
STATE_EVERY = 7
SCHEMA_AGAIN_EVERY = 90
REJECT_EVERY = 150

Membership = tuple[str, str]
"""An audience and an address."""


@dataclass(frozen=True)
class Event:
    """One record of the source.

    Attributes:
        audience: Which audience it is about.
        address: Whom it is about.
        version: How often the person's fields had changed by then; None for an exit.
    """

    audience: str
    address: str
    version: int | None

    @property
    def membership(self) -> Membership:
        return self.audience, self.address


def fields(address: str, version: int, *, has_nulls: bool) -> dict[str, Any]:
    """What a person's fields are, version by version; the version itself is one of them."""
    draw = random.Random(f"{address}/{version}")
    values = {
        "first_name": f"Ada {version}",
        "last_name": draw.choice(["Plain", 'Smith "Smitty"', "Line\nBreak", "Comma, Comma", "李"]),
        "city": draw.choice(["Zürich", "Ulm"]),
        "birthday": f"19{draw.randrange(50, 99)}-0{draw.randrange(1, 9)}-11",
        "lifetime_value": draw.randrange(10_000) / 100,
        "is_customer": draw.random() < 0.5,
    }
    if has_nulls:
        values = {name: None if draw.random() < 0.3 else value for name, value in values.items()}
    return {**values, "visit_count": version}


def attributes(address: str, version: int, *, has_nulls: bool) -> dict[str, Any]:
    """What Cordial has of a person then, in the sandbox's words."""
    values = fields(address, version, has_nulls=has_nulls)
    found: dict[str, Any] = {}
    for name, value in values.items():
        key, _, part = FIELD_MAPPING[name].partition(".")
        if value is not None:
            cell = str(value).lower() if isinstance(value, bool) else str(value)
            if part:
                found[key] = {part: cell}
            else:
                found[key] = cell
    return found


class History:
    """The source.

    Attributes:
        events: Its log, None for a record that cannot be sent; a position is how many of them came before.

    Args:
        draw: Decides what happens.
        has_nulls: Whether fields are null at times.
    """

    def __init__(self, draw: random.Random, *, has_nulls: bool) -> None:
        self.events: list[Event | None] = []
        self._draw = draw
        self._has_nulls = has_nulls
        self._versions: dict[str, int] = {}
        self._members: set[Membership] = set()
        self._addresses = [f"person{number}@example.com" for number in range(PEOPLE)]

    def go_on(self, moves: int, exits: Literal["none", "last", "mixed"]) -> None:
        """Let time pass.

        Args:
            moves: How much happens.
            exits: Whether people leave, and whether their exits follow all enters, as tap-lytics-audience has it.
        """
        leaves = 0 if exits == "none" else 0.4
        at_the_end = [] if exits == "none" else [Event(self._draw.choice(list(LISTS)), DELETED, None)]
        for _ in range(moves):
            audience = self._draw.choice(list(LISTS))
            # Some change all the time, so that files that follow one another share contacts.
            address = self._draw.choice(self._addresses[: BUSY if self._draw.random() < 0.6 else PEOPLE])
            if (audience, address) in self._members and self._draw.random() < leaves:
                left = Event(audience, address, None)
                self._members.discard(left.membership)
                (at_the_end if exits == "last" else self.events).append(left)
                continue
            if self._draw.random() < 0.5 or address not in self._versions:
                self._versions[address] = self._versions.get(address, 0) + 1
            # Who left and came back before anybody looked, never left.
            at_the_end = [gone for gone in at_the_end if gone.membership != (audience, address)]
            self._members.add((audience, address))
            # Everybody who reads of a person reads of the same one.
            for other in LISTS:
                if (other, address) in self._members:
                    self.events.append(Event(other, address, self._versions[address]))
            if len(self.events) % REJECT_EVERY == 0:
                self.events.append(None)
        self.events += at_the_end

    def messages(self, position: int) -> list[Any]:
        """What a tap writes that starts at a position."""
        found: list[Any] = [state({"position": position}), AUDIENCE_SCHEMA]
        for number, event in enumerate(self.events[position:], start=position + 1):
            if event is None:
                found.append(enter("nobody"))
            elif event.version is None:
                found.append(exit_(event.address, event.audience))
            else:
                values = fields(event.address, event.version, has_nulls=self._has_nulls)
                address = event.address.upper() if event.version % 5 == 0 else event.address
                found.append(enter(address, event.audience, **values))
            if number % STATE_EVERY == 0 or number == len(self.events):
                found.append(state({"position": number}))
            if number % SCHEMA_AGAIN_EVERY == 0:
                found.append(AUDIENCE_SCHEMA)
        return found

    def members(self) -> dict[str, set[str]]:
        """Who is on each list in the end."""
        return {
            name: {address for audience, address in self._members if audience == of}
            for of, name in LISTS.items()
        }

    def contacts(self) -> dict[str, dict[str, Any]]:
        """The attributes of everybody who is on a list in the end."""
        return {
            address: attributes(address, self._versions[address], has_nulls=self._has_nulls)
            for _, address in self._members
        }

    def attributes_of(self, address: str, version: int) -> dict[str, Any]:
        """What Cordial has of a person at a version."""
        return attributes(address, version, has_nulls=self._has_nulls)
