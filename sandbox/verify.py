"""The proof: an audience and a list, compared member by member and attribute by attribute.

It has an idea of its own of how Cordial should hold each value, and shares no code with the plugins.
"""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from decimal import Decimal

from sandbox.people import ATTRIBUTES, FIELD_MAPPING

if t.TYPE_CHECKING:
    from sandbox.account import Account, Contact
    from sandbox.people import Profile
    from sandbox.world import World

EXAMPLES = 5


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
        examples: Some masked addresses, each with what is wrong.
    """

    members: int
    contacts: int
    without_address: int
    missing: int = 0
    extra: int = 0
    different: int = 0
    examples: list[str] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether list and audience are equal."""
        return not (self.missing or self.extra or self.different)


def verify(world: World, account: Account, audience: str, list_name: str) -> Verification:
    """Compare an audience with a list.

    Args:
        world: The account at Lytics.
        account: The account at Cordial.
        audience: The audience.
        list_name: The list.

    Returns:
        What is equal and what is not.
    """
    members = world.members(audience)
    contacts = account.contacts()
    on_list = account.list_members(list_name)
    found = Verification(len(members), len(on_list), world.profiles_without_identifier(audience))
    for address, profiles in members.items():
        contact = contacts.get(address)
        if address not in on_list or contact is None:
            found.missing += 1
            _example(found, address, "is not on the list")
            continue
        # Of several profiles with one address any may speak for it, but one has to speak for all attributes.
        if not any(_holds(contact, profile) for profile in profiles):
            found.different += 1
            _example(found, address, f"has other values: {', '.join(_differences(contact, profiles[0]))}")
    for address in on_list - set(members):
        found.extra += 1
        _example(found, address, "is on the list but not a member")
    return found


def masked(address: str) -> str:
    """An address that names nobody.

    Args:
        address: The address.

    Returns:
        Its first letter and its domain.
    """
    name, _, domain = address.partition("@")
    return f"{name[:1]}***@{domain}"


def _example(found: Verification, address: str, what: str) -> None:
    if len(found.examples) < EXAMPLES:
        found.examples.append(f"{masked(address)} {what}")


def _holds(contact: Contact, profile: Profile) -> bool:
    return not _differences(contact, profile)


def _differences(contact: Contact, profile: Profile) -> list[str]:
    return [
        attribute
        for name, attribute in FIELD_MAPPING.items()
        if not _equal(attribute, _held(contact, attribute), profile.get(name))
    ]


def _held(contact: Contact, attribute: str) -> t.Any:
    key, _, part = attribute.partition(".")
    value = contact.attributes.get(key)
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
    return bool(held == value)
