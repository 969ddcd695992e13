"""What a contact holds is held against what a row says, in whichever way Cordial writes it."""

import pytest

from target_cordial.cordial.contacts import Contact
from target_cordial.readback.values import holds

SAME = [
    ("Ada", "Ada"),
    ("", None),
    ("", ""),
    ("[]", []),
    ("214", 214),
    ("1.50", 1.5),
    ("1.50", "1.5"),
    ("1e3", 1000),
    ("123456789012345678901234567890.5", 1.2345678901234568e29),
    ("2024-01-02", "2024-01-02T00:00:00Z"),
    ("2024-01-02T03:04:05.123456789Z", "2024-01-02T03:04:05+00:00"),
    ("2024-01-02T03:04:05+02:00", "2024-01-02 01:04:05Z"),
    ('["jazz","café, bars"]', ["jazz", "café, bars"]),
    ('["jazz","café, bars"]', ['["jazz"', '"café', ' bars"]']),
    ("jazz", ["jazz"]),
]
DIFFERENT = [
    ("Ada", "Eve"),
    ("Ada", None),
    ("", "Ada"),
    ("214", 215),
    ("214", None),
    ("1.50", "1.51"),
    ("2024-01-02", "2024-01-03T00:00:00Z"),
    ('["jazz"]', ["jazz", "bars"]),
    ('["jazz"]', []),
    ("NaN", "nan?"),
]


@pytest.mark.parametrize(("cell", "value"), SAME)
def test_what_is_the_same(cell, value):
    assert holds(Contact({"key": value}, frozenset()), {"key": cell})


@pytest.mark.parametrize(("cell", "value"), DIFFERENT)
def test_what_differs(cell, value):
    assert not holds(Contact({"key": value}, frozenset()), {"key": cell})


@pytest.mark.parametrize(
    "home", [{"city": "Zürich", "loc.lat": "47.4"}, {"city": "Zürich", "loc": {"lat": 47.4, "lon": 8}}]
)
def test_a_part_of_a_geo_attribute_may_be_nested_once_or_twice(home):
    contact = Contact({"home": home, "home.street": "dotted itself"}, frozenset())
    assert holds(contact, {"home.city": "Zürich", "home.loc.lat": "47.4", "home.street": "dotted itself"})
    assert not holds(contact, {"home.city": "Bern"})
    assert not holds(contact, {"home.country": "CH"})
