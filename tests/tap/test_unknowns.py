"""Whatever Lytics does where nobody knows what it does: the runs are right, or no exit goes and a sentence says why."""

from __future__ import annotations

from pathlib import Path

import pytest

from sandbox import AudienceSpec
from sandbox.fault_kinds import KINDS
from tests.tap.running import AUDIENCE, STREAM, run, somebody

RIGHT = [
    [("status_text", True)],
    [("null_data", True)],
    [("empty_last_page", True)],
    [("empty_last_page", True), ("null_data", True)],
    [("total_capped", 5)],
    [("total_capped", 0)],
    [("limit_over_100", "refused")],
    [("limit_over_100", "served")],
    [("system_fields", "unasked")],
    [("system_fields", "absent")],
    [("segments_absent", True)],
    [("segs_shown", True)],
    [("old_style_values", True)],
    [("filter_ignores_case", True)],
    [("leaving_modifies", True)],
    [("old_schema_only", True)],
    [("old_schema_only", True), ("old_schema_fields", True)],
    [("sizes_missing", True)],
    [("audiences_bare", True)],
    [
        ("audiences_bare", True),
        ("old_style_values", True),
        ("old_schema_only", True),
        ("system_fields", "absent"),
    ],
    [("rows_repeated", 3)],
    [("rows_reordered", True)],
    [("splits_ignored", True)],
    [("splits_overlap", True)],
]
"""Faults that are on all the time."""
ONCE = [
    ("lytics_rate_limit", 0.1),
    ("lytics_rate_limit", True),
    ("lytics_status", 503),
    ("lytics_cut", True),
    ("lytics_garbage", True),
    ("lytics_timed_out", "Timed out"),
    ("lytics_slow", 0.1),
    ("lytics_drip", 0.001),
]
"""Faults of one call."""
NO_EXITS = [
    ([("filter_blind", True)], "it cannot confirm who left"),
    ([("field_unindexed", "email")], "it cannot confirm who left"),
    ([("short_scan", 0.5)], "fewer than scan_shortfall_percent"),
    ([("short_scan", 0.5), ("total_capped", 5)], "fewer than scan_shortfall_percent"),
    ([("lytics_garbage", True)], "is not what Lytics' API answers"),
    ([("lytics_timed_out", "Timed out")], "holds no data"),
    ([("lytics_timed_out", "Not Found")], "holds no data"),
    ([("cursor_expires", 1)], "broke off 5 times"),
    ([("audience_id_path", "../../../escaped")], "holds no id of an audience"),
]


@pytest.fixture
def box(make_box, monkeypatch):
    monkeypatch.setattr("tap_lytics_audience.lytics.scan.PLAIN_SCAN_BELOW", 20)
    return make_box([AudienceSpec("VIP Customers", 40)])


def move(box):
    """Somebody enters, somebody leaves, somebody changes: what a run has to say."""
    ids = [somebody(box, number=number) for number in range(2)]
    box.world.leave(AUDIENCE, ids[0])
    box.world.change(ids[1], city="Elsewhere")
    box.world.enter(AUDIENCE)


def test_each_fault_of_lytics_has_a_test():
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    names = [kind.name for kind in KINDS.values() if kind.server == "lytics"]
    assert [name for name in names if f'"{name}"' not in tests] == []


@pytest.mark.parametrize("concurrency", [1, 3])
@pytest.mark.parametrize("faults", RIGHT, ids=str)
def test_what_nobody_knows_of_lytics_changes_no_run(box, faults, concurrency):
    for name, value in faults:
        box.fault(name, value)
    config = box.tap_config(page_size=7, scan_concurrency=concurrency)
    first = run(config)
    assert first.error == ""
    assert sorted(first.of("backfill")) == sorted(box.world.keys(AUDIENCE))
    assert run(config, first.state).records == []
    move(box)
    second = run(config, first.state)
    assert second.error == ""
    assert second.counts == {"enter": 1, "exit": 1, "update": 1}
    for id_ in list(box.world.audience(AUDIENCE).members):
        box.world.leave(AUDIENCE, id_)
    emptied = run({**config, "max_exit_percent": 100}, second.state)
    assert emptied.error == ""
    assert set(emptied.counts) == {"exit"}
    assert run(config, emptied.state).records == []


@pytest.mark.parametrize("path", ["GET /v2/schema", "GET /api/segment/", "POST /api/segment/scan"])
@pytest.mark.parametrize("fault", ONCE, ids=str)
def test_a_call_that_fails_once_changes_no_run(box, fault, path):
    state = run(box.tap_config()).state
    move(box)
    box.fault(*fault, path=path, once=True)
    result = run(box.tap_config(), state)
    assert result.error == ""
    assert result.counts == {"enter": 1, "exit": 1, "update": 1}


@pytest.mark.parametrize("reply", KINDS["expired_cursor"].choices)
@pytest.mark.parametrize("concurrency", [1, 3])
def test_a_cursor_that_expires_once_costs_a_new_start_alone(box, reply, concurrency):
    box.fault("expired_cursor", reply)
    box.fault("cursor_expires", 1, once=True)
    result = run(box.tap_config(page_size=7, scan_concurrency=concurrency))
    assert result.error == ""
    assert sorted(result.of("backfill")) == sorted(box.world.keys(AUDIENCE))


@pytest.mark.parametrize("reply", KINDS["expired_cursor"].choices)
def test_a_cursor_that_always_expires_yields_no_exits(box, reply):
    state = run(box.tap_config()).state
    move(box)
    box.fault("expired_cursor", reply)
    box.fault("cursor_expires", 1)
    result = run(box.tap_config(page_size=7, scan_concurrency=1), state)
    assert "exit" not in result.counts
    assert result.error


@pytest.mark.parametrize(("faults", "sentence"), NO_EXITS, ids=str)
def test_where_lytics_cannot_be_right_no_exit_goes_and_the_next_run_mends_it(box, faults, sentence):
    state = run(box.tap_config()).state
    move(box)
    for name, value in faults:
        box.fault(name, value, path="/api/segment")
    broken = run(box.tap_config(page_size=7, scan_concurrency=1), state)
    assert "exit" not in broken.counts
    assert sentence in broken.error
    box.clear_faults()
    mended = run(box.tap_config(), broken.state if broken.states else state)
    assert mended.error == ""
    assert mended.counts["exit"] == 1


def test_a_total_that_may_be_capped_says_nothing_without_a_size(box, monkeypatch):
    monkeypatch.setattr("tap_lytics_audience.members.limits.CAPPED_TOTAL", 5)
    state = run(box.tap_config()).state
    move(box)
    box.fault("sizes_missing")
    box.fault("total_capped", 5)
    result = run(box.tap_config(), state)
    assert "exit" not in result.counts
    assert "nobody can tell whether its scan was whole" in result.error


def test_without_the_audiences_of_a_profile_who_must_be_asked_for_alone_is_held(box, caplog):
    id_ = box.world.enter(AUDIENCE, {"email": "ab\\"})
    state = run(box.tap_config()).state
    box.world.leave(AUDIENCE, id_)
    box.fault("segments_absent")
    result = run(box.tap_config(), state)
    # Lytics says "Not Found" of nobody: this profile is there, in which audiences is not said.
    assert result.error == ""
    assert result.records == []
    assert "cannot be asked about 1 member" in caplog.text
    assert STREAM in result.state["bookmarks"]
