"""Random histories of an audience, with faults, kills and lost states: after one clean run the consumer knows the truth.

The consumer gets a prefix of each run's messages and acknowledges a state somewhere in it; the rest is delivered but in
doubt. It keeps the latest record of each member. Histories follow upon one another, so that each begins with what the
ones before it left: ledgers, states old and lost, people who moved. HISTORIES sets how many there are:
`.ci/run` asks for 2,000.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import os
import shutil
import types

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from lytics_to_cordial.errors import UserError
from sandbox import AudienceSpec, Sandbox
from tap_lytics_audience.lytics import scan
from tap_lytics_audience.members import audience, changes, ledger, opening, snapshot
from tap_lytics_audience.tap import TapLyticsAudience
from tests.tap.running import STREAM, select

HISTORIES = int(os.environ.get("HISTORIES", "240"))
IN_A_ROW = 8
PARTS = 10
"""So that processes can share them."""
FIELDS = ("first_name", "last_name", "city", "visit_count", "interests")
FAULTS = [
    None,
    None,
    ("filter_blind", True),
    ("short_scan", 0.5),
    ("rows_missed", 3),
    ("rows_repeated", 2),
    ("splits_ignored", True),
    ("splits_overlap", True),
    ("old_style_values", True),
]

PLAIN = {
    "delivered": 1.0,
    "acknowledged": 1.0,
    "fault": None,
    "profile_updates": True,
    "existing_users": True,
    "fields": None,
    "concurrency": 1,
    "mode": "scan",
}

MIRROR = {"mirror": "all", "fault": None, "state": "last", "profile_updates": True, "mode": "scan"}

moves = st.tuples(
    st.sampled_from(
        [
            "enter",
            "leave",
            "return",
            "change",
            "revert",
            "readdress",
            "spell",
            "share",
            "merge",
            "land",
            "rename",
        ]
    ),
    st.integers(0, 50),
)
runs = st.tuples(
    st.just("run"),
    st.fixed_dictionaries(
        {
            "delivered": st.sampled_from([1.0, 1.0, 0.9, 0.6, 0.3]),
            "acknowledged": st.sampled_from([1.0, 1.0, 0.7, 0.4, 0.0]),
            "fault": st.sampled_from(FAULTS),
            "state": st.sampled_from(["last", "last", "last", "last", "lost", "old"]),
            "profile_updates": st.sampled_from([True, True, True, False]),
            "existing_users": st.sampled_from([True, True, True, False]),
            "fields": st.sampled_from([None, None, None, FIELDS[:1], FIELDS[2:]]),
            "concurrency": st.sampled_from([1, 3]),
            "mode": st.sampled_from(["scan", "scan", "triggers"]),
        }
    ),
)
snapshots = st.tuples(
    st.just("snapshot"),
    st.fixed_dictionaries(
        {
            "mirror": st.sampled_from(["nothing", "adds", "all"]),
            "fault": st.sampled_from(FAULTS),
            "state": st.sampled_from(["last", "lost", "old"]),
            "profile_updates": st.sampled_from([True, True, False]),
            "mode": st.sampled_from(["scan", "triggers"]),
        }
    ),
)
"""A snapshot, and what a mirror makes of it: nothing, only whom it adds and changes, or all, removals too."""
troubles = st.one_of(
    st.tuples(st.just("lose the ledger"), st.none()),
    st.tuples(st.just("set the clock"), st.sampled_from([-400, -1, 0, 40, 4000])),
)
histories = st.lists(
    st.tuples(
        st.lists(
            st.one_of(moves, moves, moves, moves, runs, runs, snapshots, troubles), min_size=1, max_size=5
        ),
        st.fixed_dictionaries(
            {
                "page_size": st.sampled_from([2, 50]),
                "block_rows": st.sampled_from([3, 50]),
                "is_repeated": st.sampled_from([False, False, False, False, True]),
            }
        ),
    ),
    min_size=IN_A_ROW,
    max_size=IN_A_ROW,
)


class Consumer:
    """What a target makes of the tap's messages."""

    def __init__(self, box: Sandbox) -> None:
        self.box = box
        self.audience = box.world.audience("vip_customers").id
        self.view: dict[str, dict[str, object]] = {}
        self.states: list[dict[str, object] | None] = [None]
        self.needs_mirror = False
        self.has_old_state = False

    def take(self, messages: list[dict[str, object]], *, delivered: float, acknowledged: float) -> None:
        members = self.box.world.members(self.audience)
        taken = messages[: round(len(messages) * delivered)]
        for message in taken:
            if message["type"] != "RECORD":
                continue
            record = message["record"]
            if record["audience_state"] == "exit":
                assert record["email"] not in members, "an exit of somebody who is a member"
                self.view.pop(record["email"], None)
            else:
                self.view[record["email"]] = record
        states = [
            message["value"]
            for message in taken[: round(len(taken) * acknowledged)]
            if message["type"] == "STATE"
        ]
        self.states += states

    def mirror(self, messages: list[dict[str, object]], what: str) -> None:
        """Make the view what a snapshot says, if it is whole."""
        records = [message["record"] for message in messages if message["type"] == "RECORD"]
        if not any(message["type"] == "ACTIVATE_VERSION" for message in messages):
            return
        taken = {record["email"]: record for record in records}
        assert len(taken) == len(records), "a member twice"
        assert set(taken) == set(self.box.world.members(self.audience)), "marked as whole, and is not"
        if what == "adds":
            self.view |= taken
        elif what == "all":
            self.view = taken
            self.needs_mirror = False

    def check_all(self) -> None:
        """What the consumer knows is what is true."""
        members = self.box.world.members(self.audience)
        assert set(self.view) == set(members)
        for key, profiles in members.items():
            record = self.view[key]
            assert any(
                all(record.get(name) == profile.get(name) for name in FIELDS) for profile in profiles
            ), "other values than any profile of the member"


def run_tap(box, state, fields=None, **config):
    """All messages of a run, and the sentence that it ended with; blank if it ended well."""
    output = io.StringIO()
    catalog_of = TapLyticsAudience(config=box.tap_config(**config), state=json.loads(json.dumps(state)))
    for stream in catalog_of.streams.values():
        stream.selected = stream.name == STREAM
    if fields is not None:
        select(catalog_of.streams[STREAM], fields)
    error = ""
    with contextlib.redirect_stdout(output):
        try:
            catalog_of.sync_all()
        except UserError as user_error:
            error = str(user_error)
    return [json.loads(line) for line in output.getvalue().splitlines()], error


def run_clean(box, consumer, options):
    """A run in which nothing goes wrong, with the state that was acknowledged last. Its cure, where it names one, is tried."""
    messages, error = run_tap(box, consumer.states[-1], **options)
    lost = "is gone" in error or "belongs to ledger" in error
    # A state that somebody restored may be older than the days for which files are kept.
    too_old = consumer.has_old_state and "is missing: restore it, or run once with --full-refresh" in error
    consumer.has_old_state = False
    consumer.needs_mirror |= too_old
    if lost or too_old or "Two pipelines take turns" in error:
        messages, error = run_tap(box, None, **options)
    assert error == ""
    return messages


def take_snapshot(box, consumer, what, options):
    """A snapshot in which something may go wrong, and a mirror of it."""
    if what["fault"] is not None:
        box.fault(*what["fault"])
    messages, _ = run_tap(
        box,
        earlier_state(consumer, what["state"]),
        snapshot=True,
        profile_updates=what["profile_updates"],
        change_detection=what["mode"],
        **options,
    )
    box.clear_faults()
    consumer.mirror(messages, what["mirror"])


def make_trouble(box, consumer, kind, what, clock):
    """What happens to the machine."""
    if kind == "set the clock":
        clock.shift = dt.timedelta(days=what)
        return
    shutil.rmtree(box.folder / "ledger", ignore_errors=True)
    # Nobody knows who left since the last run, until a mirror says whom to remove.
    consumer.needs_mirror = True


def earlier_state(consumer, which):
    return {
        "last": consumer.states[-1],
        "lost": None,
        "old": consumer.states[len(consumer.states) // 2],
    }[which]


def stumble(box, consumer, what, options):
    """A run in which something may go wrong."""
    state = earlier_state(consumer, what["state"])
    consumer.has_old_state |= what["state"] == "old"
    if what["fault"] is not None:
        box.fault(*what["fault"])
    messages, _ = run_tap(
        box,
        state,
        what["fields"],
        scan_concurrency=what["concurrency"],
        profile_updates=what["profile_updates"],
        existing_users=what["existing_users"],
        change_detection=what["mode"],
        **options,
    )
    box.clear_faults()
    consumer.take(messages, delivered=what["delivered"], acknowledged=what["acknowledged"])


def move(box, name, kind, number):
    world = box.world
    if kind == "land":
        box.land_triggers(batch=1 + number % 3)
        return
    if kind == "rename":
        world.rename_audience(name, new_name=f"Name {number}", new_slug=f"slug_{number}")
        return
    audience = world.audience(name)
    ids = list(audience.members)
    if kind == "enter" or not ids:
        world.enter(name)
        return
    id_ = ids[number % len(ids)]
    if kind == "leave":
        world.leave(name, id_)
    elif kind == "return":
        gone = list(audience.left)
        if gone:
            world.reenter(name, gone[number % len(gone)])
    elif kind == "change":
        world.change(id_, first_name=f"New {number}", visit_count=number)
    elif kind == "revert":
        world.change(id_, first_name="Old", visit_count=1)
    elif kind == "readdress":
        world.change(id_, email=f"moved.{number}@example.com")
    elif kind == "spell":
        world.change(id_, email=f" Moved.{number}@EXAMPLE.com")
    elif kind == "share" and len(ids) > 1:
        other = ids[(number + 1) % len(ids)]
        world.change(id_, email=world.profile(other).get("email"))
    elif kind == "merge" and len(ids) > 1:
        world.merge(id_, ids[(number + 1) % len(ids)])


class Clock:
    """The clock of the machine that runs the tap."""

    def __init__(self, monkeypatch):
        self.shift = dt.timedelta(0)

        class Shifted(dt.datetime):
            @classmethod
            def now(_, zone=None):  # noqa: N804 - the clock is self
                return dt.datetime.now(zone) + self.shift

        shifted = types.SimpleNamespace(datetime=Shifted, timedelta=dt.timedelta, timezone=dt.timezone)
        for module in (audience, ledger, opening, snapshot):
            monkeypatch.setattr(module, "dt", shifted)


@pytest.fixture(autouse=True)
def _few_slices(monkeypatch):
    monkeypatch.setattr(scan, "PLAIN_SCAN_BELOW", 4)
    monkeypatch.setattr(scan, "SLICES", 4)


@pytest.mark.timeout(1800)  # 200 histories are minutes, and a failure is made small for as long again
@pytest.mark.parametrize("part", range(PARTS))
@settings(
    max_examples=max(1, HISTORIES // IN_A_ROW // PARTS),
    # Where a CI is known, Hypothesis would draw the same histories each time, and for each part.
    derandomize=False,
    print_blob=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(histories=histories)
@example(
    # A full refresh that let somebody go, and was then forgotten.
    histories=[
        (
            [
                ("run", {**PLAIN, "state": "last"}),
                ("leave", 0),
                ("run", {**PLAIN, "state": "lost", "acknowledged": 0.0}),
                ("return", 0),
            ],
            {"page_size": 2, "block_rows": 3, "is_repeated": True},
        )
    ]
)
def test_after_any_history_one_clean_run_tells_the_truth(
    tmp_path_factory,
    monkeypatch,
    part,  # noqa: ARG001 - each part draws its own
    histories,
):
    folder = tmp_path_factory.mktemp("history")
    clock = Clock(monkeypatch)
    with Sandbox(folder / "box", [AudienceSpec("VIP Customers", 8)], triggers_url=folder / "landed") as box:
        consumer = Consumer(box)
        for history, end in histories:
            monkeypatch.setattr(changes, "BLOCK_ROWS", end["block_rows"])
            options = {
                "page_size": end["page_size"],
                "max_exit_percent": 100,
                "triggers_url": str(folder / "landed"),
            }
            for kind, what in history:
                if kind == "run":
                    stumble(box, consumer, what, options)
                elif kind == "snapshot":
                    take_snapshot(box, consumer, what, options)
                elif kind in {"lose the ledger", "set the clock"}:
                    make_trouble(box, consumer, kind, what, clock)
                else:
                    move(box, consumer.audience, kind, what)
            consumer.take(run_clean(box, consumer, options), delivered=1, acknowledged=1)
            if consumer.needs_mirror:
                take_snapshot(box, consumer, MIRROR, options)
            consumer.check_all()
            if end["is_repeated"]:
                quiet = run_clean(box, consumer, options)
                assert not [message for message in quiet if message["type"] == "RECORD"], (
                    "nothing is left to say"
                )
