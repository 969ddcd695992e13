"""A filter that Lytics refuses for an identifier stops nobody else's change, and none of its words reach a log, a metric or a message."""

from __future__ import annotations

import math

import pytest

from sandbox import AudienceSpec
from tap_lytics_audience.lytics.lookup import VALUES
from tests.tap.running import AUDIENCE, run_process

REFUSED = "zzcanary"
LOUD = {"TAP_LYTICS_AUDIENCE_LOGLEVEL": "DEBUG"}


@pytest.fixture
def box(make_box):
    return make_box([AudienceSpec("VIP Customers", 12)])


def left(box, refused, plain):
    """Members who have left since a first run, some with identifiers that Lytics refuses; their identifiers, and the run's state."""
    people = [f"{REFUSED}{number}@example.com" for number in range(refused)]
    people += [f"person{number}@example.com" for number in range(plain)]
    ids = [box.world.enter(AUDIENCE, {"email": person}) for person in people]
    state = run_process(box.tap_config()).result.state
    for id_ in ids:
        box.world.leave(AUDIENCE, id_)
    box.clear_requests()
    return people, state


def assert_says_nothing(ended):
    assert "DEBUG" in ended.log
    said = ended.log.lower()
    assert not [word for word in (REFUSED, "person1", "near:") if word in said]


@pytest.mark.parametrize(("refused", "plain"), [(1, 0), (1, 300), (7, 300), (120, 0)])
def test_it_is_halved_until_those_who_are_refused_are_asked_for_alone(box, refused, plain):
    people, state = left(box, refused, plain)
    box.fault("filter_refused", REFUSED)
    ended = run_process(box.tap_config(max_exit_percent=100), state, env=LOUD)
    assert ended.code == 0, ended.log
    assert sorted(ended.result.of("exit")) == sorted(people)
    queries = [call for call in box.requests if call.path == "/api/segment/scan"]
    alone = [call for call in box.requests if call.path.startswith("/api/entity/")]
    chunks = math.ceil(len(people) / VALUES)
    # For each that is refused two halves a level, and for each query that is one of the control alone.
    assert len(queries) <= 2 * chunks + 2 * refused * math.ceil(math.log2(VALUES))
    assert len(alone) == refused
    assert_says_nothing(ended)


def test_who_is_refused_and_not_told_of_is_held_alone(box):
    people, state = left(box, 3, 40)
    box.fault("filter_refused", REFUSED)
    box.fault("entity_times_out")
    ended = run_process(box.tap_config(max_exit_percent=100), state, env=LOUD)
    assert ended.code == 0, ended.log
    assert sorted(ended.result.of("exit")) == sorted(people[3:])
    assert "cannot be asked about 3 members" in ended.log
    assert_says_nothing(ended)


def test_where_each_filter_is_refused_no_exit_goes_and_few_calls_are_made(box):
    _, state = left(box, 3, 200)
    box.fault("filter_refused", "")
    ended = run_process(box.tap_config(max_exit_percent=100), state, env=LOUD)
    assert ended.code != 0
    assert "exit" not in ended.result.counts
    assert len([call for call in box.requests if call.path == "/api/segment/scan"]) < 20
    assert not [call for call in box.requests if call.path.startswith("/api/entity/")]
    assert_says_nothing(ended)


@pytest.mark.parametrize(
    ("fault", "value", "path"),
    [
        ("lytics_status", 400, "/api/entity"),
        ("lytics_status", 404, "/api/entity"),
        ("lytics_status", 422, "/api/entity"),
        ("lytics_garbage", True, "/api/entity"),
        ("lytics_cut", True, "/api/entity"),
        ("lytics_status", 422, "POST /api/segment/scan"),
    ],
)
def test_however_a_look_up_fails_nobody_is_named(box, fault, value, path):
    people, state = left(box, 2, 5)
    box.fault("filter_refused", REFUSED)
    box.fault(fault, value, path=path)
    ended = run_process(box.tap_config(max_exit_percent=100), state, env=LOUD)
    assert set(ended.result.of("exit")) <= set(people)
    assert_says_nothing(ended)
