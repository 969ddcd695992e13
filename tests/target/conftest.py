"""Every request that the target makes in these tests is held against Cordial's Swagger."""

from __future__ import annotations

import pytest

from tests.target import swagger


@pytest.fixture
def make_box(make_box):
    """Makes sandboxes that end with the test, and then looks at what they were asked."""
    made = []

    def make(*args, **options):
        box = make_box(*args, **options)
        made.append(box)
        return box

    yield make
    swagger.assert_by_the_book(made)
