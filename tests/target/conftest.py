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
    for box in made:
        wrong = [
            problem
            for call in box.requests
            if call.server == "cordial" and not call.path.startswith("/sandbox/")
            for problem in swagger.problems(call.method, call.path, call.query, call.body)
        ]
        assert not wrong, f"not as Cordial's Swagger has it: {wrong[:3]}"
