"""The proof: an audience and a list, compared member by member and attribute by attribute.

It has an idea of its own of how Cordial should hold each value, and shares no code with the plugins.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass, field
from decimal import Decimal

from sandbox.account import Account
from sandbox.people import ATTRIBUTES, FIELD_MAPPING, Profile
from sandbox.world import World

EXAMPLES = 5

_FINER = re.compile(r"(\.\d{6})\d+")


@dataclass
class Verification:
    """What a comparison found.

    Attributes:
        members: People in the audience who have an address.
        contacts: Contacts on the list.
        without_address: Profiles in the audience that have none.
        missing: Members who are not on the list.
        extra: Contacts on the list who are not members.
        different: Members with other attributes than their profile has.
        values: How many attribute values were compared.
        examples: Some masked addresses, each with what is wrong.
        sample: Some contacts that are on the list, masked.
    """

    members: int
    contacts: int
    without_address: int
    missing: int = 0
    extra: int = 0
    different: int = 0
    values: int = 0
    examples: list[str] = field(default_factory=list)
    sample: list[dict[str, str]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether list and audience are equal."""
        return not (self.missing or self.extra or self.different)


def verify(world: World, account: Account, audience: str, list_name: str) -> Verification:
    """Compare an audience with a list."""
    keys = world.keys(audience)
    profiles = len(world.audience(audience).members)
    found = Verification(len(keys), 0, profiles - sum(map(len, keys.values())))
    for address, attributes in account.attributes_on_list(list_name):
        found.contacts += 1
        if len(found.sample) < EXAMPLES:
            found.sample.append(_masked_contact(address, attributes))
        ids = keys.pop(address, None)
        if ids is None:
            found.extra += 1
            _example(found, address, "is on the list but not a member")
            continue
        found.values += len(FIELD_MAPPING)
        # Of several profiles with one address any may speak for it, but one has to speak for all attributes.
        differences = [_differences(attributes, world.profile(id_)) for id_ in ids]
        if all(differences):
            found.different += 1
            _example(found, address, f"has other values: {', '.join(differences[0])}")
    found.missing = len(keys)
    for address in keys:
        _example(found, address, "is not on the list")
    return found


def masked(address: str) -> str:
    """An address that names nobody."""
    name, _, domain = address.partition("@")
    return f"{name[:1]}***@{domain}"


def _example(found: Verification, address: str, what: str) -> None:
    if len(found.examples) < EXAMPLES:
        found.examples.append(f"{masked(address)} {what}")


def _masked_contact(address: str, attributes: dict[str, t.Any]) -> dict[str, str]:
    values = {name: _held(attributes, name) for name in FIELD_MAPPING.values()}
    return {"contact": masked(address)} | {
        name: "" if value is None else f"{str(value)[:1]}***" for name, value in values.items()
    }


def _differences(attributes: dict[str, t.Any], profile: Profile) -> list[str]:
    return [
        attribute
        for name, attribute in FIELD_MAPPING.items()
        if not _equal(attribute, _held(attributes, attribute), profile.get(name))
    ]


def _held(attributes: dict[str, t.Any], attribute: str) -> t.Any:
    key, _, part = attribute.partition(".")
    value = attributes.get(key)
    return value.get(part) if part and isinstance(value, dict) else value


def _equal(attribute: str, held: t.Any, value: t.Any) -> bool:
    if value is None or held is None:
        return value is held
    kind = ATTRIBUTES[attribute.partition(".")[0]]
    if kind == "number":
        return Decimal(str(held)) == Decimal(str(value))
    if isinstance(value, bool):
        return bool(held == ("true" if value else "false"))
    if kind == "array":
        # Lytics keeps a list of this kind as a set.
        return sorted(held) == sorted(value)
    if kind == "date":
        # Cordial keeps no more than microseconds.
        held, value = (_FINER.sub(r"\1", str(date)) for date in (held, value))
    return bool(held == value)
