"""The comparison of an audience with a list tells every difference, and shows nobody."""

import json

import pytest

from sandbox import AudienceSpec
from sandbox.people import ATTRIBUTES, FIELD_MAPPING
from tests.sandbox.calls import LIST, control


def held(profile):
    """A profile's attributes as they should be at Cordial."""
    found = {}
    for name, attribute in FIELD_MAPPING.items():
        value = profile.get(name)
        key, _, part = attribute.partition(".")
        if value is None:
            continue
        if isinstance(value, bool):
            value = "true" if value else "false"
        if part:
            found.setdefault(key, {})[part] = value
        else:
            found[key] = str(value) if ATTRIBUTES[key] == "number" else value
    return found


@pytest.fixture
def box(make_box):
    """A sandbox whose list equals its audience of 200."""
    box = make_box([AudienceSpec("VIP Customers", 200)])
    list_id = box.account.add_list(LIST)
    for key, profiles in box.world.members("vip_customers").items():
        box.account.put_contact(key, held(profiles[0]), "subscribed")
        box.account.join(list_id, key)
    return box


def verify(box):
    return box.verify("vip_customers", LIST)


def test_a_list_that_equals_its_audience(box):
    found = verify(box)
    assert found.ok
    assert found.members == found.contacts == len(box.world.keys("vip_customers"))
    assert found.without_address == box.world.profiles_without_identifier("vip_customers") == 4
    assert found.values == found.members * len(FIELD_MAPPING)
    assert (found.missing, found.extra, found.different, found.examples) == (0, 0, 0, [])


def test_a_member_who_is_not_on_the_list_is_missing(box):
    box.account.leave(1, "person.3@example.com")
    box.account.remove_contact("person.4@example.com")
    assert (verify(box).ok, verify(box).missing) == (False, 2)
    assert verify(box).examples == ["p***@example.com is not on the list"] * 2


def test_a_contact_who_is_no_member_is_extra(box):
    box.account.put_contact("ada@example.org", {}, "subscribed")
    assert verify(box).ok, "a contact who is not on the list does not matter"
    box.account.join(1, "ada@example.org")
    assert (verify(box).ok, verify(box).extra) == (False, 1)
    assert verify(box).examples == ["a***@example.org is on the list but not a member"]


@pytest.mark.parametrize(
    "attribute", ["first_name", "home", "birthday", "lifetime_value", "is_customer", "interests"]
)
def test_an_attribute_with_another_value_or_none_or_one_too_many_is_a_difference(box, attribute):
    for address, contact in box.contacts().items():
        values = dict(contact.attributes)
        other = {"home": {"city": "Atlantis"}, "interests": ["nothing"], "lifetime_value": "-1"}
        if attribute in values:
            del values[attribute]
        else:
            values[attribute] = other.get(attribute, "x")
        box.account.put_contact(address, values, "subscribed")
    found = verify(box)
    assert found.different == found.members
    assert attribute in found.examples[0]


def test_a_list_that_is_not_there_has_nobody(box):
    found = box.verify("vip_customers", "Nobody")
    assert (found.contacts, found.missing) == (0, found.members)


def test_of_two_profiles_with_one_address_one_speaks_for_it(box):
    shared = next(profiles for profiles in box.world.members("vip_customers").values() if len(profiles) > 1)
    key = next(key for key, ids in box.world.keys("vip_customers").items() if len(ids) > 1)
    box.account.put_contact(key, held(shared[1]), "subscribed")
    assert verify(box).ok
    mixed = {**held(shared[0]), "first_name": "Neither"}
    box.account.put_contact(key, mixed, "subscribed")
    assert verify(box).different == 1


def test_nobody_is_shown(box):
    box.account.leave(1, "person.3@example.com")
    body = {"audience": "vip_customers", "list": LIST}
    text = control(box, "POST", "verify", body).text
    assert len(json.loads(text)["sample"]) == 5
    assert "person." not in text
    for profile in box.world.members("vip_customers")["person.0@example.com"]:
        assert str(profile["first_name"]) not in text
