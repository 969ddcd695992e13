"""What Cordial holds is held against what a row says, by the type of the attribute, in whichever way Cordial writes it."""

import pytest

from target_cordial.cordial.contacts import Contact
from target_cordial.readback.values import differing

SAME = [
    ("string", "Ada", "Ada"),
    ("string", "", None),
    ("string", "", ""),
    ("string", "214", 214),
    ("string", "true", True),
    ("number", "214", 214),
    ("number", "1.50", 1.5),
    ("number", "1.50", "1.5"),
    ("number", "1e3", 1000),
    ("number", "123456789012345678901234567890.5", 1.2345678901234568e29),
    ("date", "2024-01-02", "2024-01-02T00:00:00Z"),
    ("date", "2024-01-02T03:04:05.123456Z", "2024-01-02T03:04:05+00:00"),
    ("date", "2024-01-02T03:04:05.123456Z", "2024-01-02T03:04:05.123Z"),
    ("date", "2024-01-02T03:04:05+02:00", "2024-01-02 01:04:05Z"),
    ("array", "", []),
    ("array", "", "[]"),
    ("array", '["jazz","café, bars"]', ["jazz", "café, bars"]),
    ("array", '["1","2"]', [1, 2]),
    ("array", '["jazz","bars"]', "jazz, bars"),
]
DIFFERENT = [
    ("string", "Ada", "Eve"),
    ("string", "Ada", None),
    ("string", "", "Ada"),
    ("string", "1.0", "1"),
    ("string", "2024-01-02", "2024-01-02T00:00:00Z"),
    ("string", "Ada", ["Ada"]),
    ("number", "214", 215),
    ("number", "214", None),
    ("number", "1.50", "1.51"),
    ("number", "NaN", "nan?"),
    ("date", "2024-01-02", "2024-01-03T00:00:00Z"),
    ("date", "2024-01-02T03:04:05.123456Z", "2024-01-02T03:04:05.124Z"),
    ("date", "2024-01-02", "soon"),
    ("array", '["jazz"]', ["jazz", "bars"]),
    ("array", '["jazz"]', []),
    ("array", '["ab","c"]', ["a", "bc"]),
    ("array", '["jazz","café, bars"]', ['["jazz"', '"café', ' bars"]']),
]
GEO = {"home.city": "string", "home.country": "string", "home.loc.lat": "number", "home.street": "string"}


def found(held, row, kinds):
    return differing([(Contact(held, frozenset()), row)], kinds)


@pytest.mark.parametrize(("kind", "cell", "value"), SAME)
def test_what_is_the_same(kind, cell, value):
    assert found({"key": value}, {"key": cell}, {"key": kind}) == set()


@pytest.mark.parametrize(("kind", "cell", "value"), DIFFERENT)
def test_what_differs(kind, cell, value):
    assert found({"key": value}, {"key": cell}, {"key": kind}) == {0}


def test_of_many_contacts_those_that_differ_are_named():
    rows = [
        (Contact({"a": number, "b": "x"}, frozenset()), {"a": str(number % 5), "b": "x"})
        for number in range(7)
    ]
    assert differing(rows, {"a": "number", "b": "string"}) == {5, 6}
    assert differing([(Contact({}, frozenset()), {})], {}) == set()


@pytest.mark.parametrize(
    "home", [{"city": "Zürich", "loc.lat": "47.40"}, {"city": "Zürich", "loc": {"lat": 47.4, "lon": 8}}]
)
def test_a_part_of_a_geo_attribute_may_be_nested_once_or_twice(home):
    held = {"home": home, "home.street": "dotted itself"}
    row = {"home.city": "Zürich", "home.loc.lat": "47.4", "home.street": "dotted itself"}
    assert found(held, row, GEO) == set()
    assert found(held, {"home.city": "Bern"}, GEO) == {0}
    assert found(held, {"home.country": "CH"}, GEO) == {0}
