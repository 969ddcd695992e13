"""A second worker takes over from one that was killed, or that stood still and wakes: the list equals the audience."""

import json
import os
import random
import signal
import threading

import pytest

from lytics_to_cordial.lease import BEAT_VARIABLE
from sandbox import AudienceSpec
from tests.end_to_end.pipeline import Kill, Pipeline
from tests.tap.running import run_process as run_tap
from tests.target.running import run as run_target

LIST = "Lytics_VIP_Customers"
VIP = "vip_customers"
HISTORIES = int(os.environ.get("TAKEOVER_HISTORIES", "4"))
"""Each is so many takeovers; `TAKEOVER_HISTORIES=50` makes two hundred of them."""
TAKEOVERS = 4
MESSAGES = 25


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setenv(BEAT_VARIABLE, "0.3")


def pipeline_of(box, folder, state=None):
    folder.mkdir(exist_ok=True)
    tap = {"page_size": 20, "max_exit_percent": 100}
    target = {"batch_size_rows": 10, "max_removal_percent": 100, "null_values": "clear"}
    return Pipeline(box, folder, tap=tap, target=target, state=state)


def test_what_one_worker_read_before_another_ran_whole_never_arrives(box, tmp_path):
    """One reads and stalls, its retry runs whole elsewhere, the first then delivers late and its state is thrown away."""
    box.world.advance(VIP, enter=300)
    pipeline = pipeline_of(box, tmp_path / "b")
    assert pipeline.run().is_clean
    box.world.advance(VIP, enter=30)
    read_before = run_tap(box.tap_config(**pipeline.tap), pipeline.state)
    assert read_before.code == 0, read_before.log
    box.world.advance(VIP, leave=150)
    assert pipeline.run().is_clean
    late = run_target(box.target_config(**pipeline.target), read_before.output.splitlines(keepends=True))
    assert late.code == 2
    assert "was delivered" in late.message
    for _ in range(2):
        assert pipeline.run().is_clean
    proof = box.verify(VIP, LIST)
    assert (proof.missing, proof.different, proof.extra) == (0, 0, 0), proof


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_after_any_takeovers_one_clean_run_makes_the_list_equal_the_audience(make_box, tmp_path, seed):
    chance = random.Random(seed)
    box = make_box([AudienceSpec("VIP Customers", 60)], seed=seed)
    box.fault("slow_jobs", 0.1)
    state = None
    for number in range(TAKEOVERS):
        first = pipeline_of(box, tmp_path / f"first-{number}", state)
        second = pipeline_of(box, tmp_path / f"second-{number}", state)
        after = chance.choice([0, None, chance.randrange(1, MESSAGES), chance.randrange(1, MESSAGES)])
        kill = Kill(
            victim="both",
            number=chance.choice([signal.SIGSTOP, signal.SIGSTOP, signal.SIGKILL]),
            after_messages=after,
            seconds=chance.random() * (1.2 if after == 0 else 0.3),
        )
        runs = []
        worker = threading.Thread(target=lambda: runs.append(first.run(kill)))  # noqa: B023 - it ends within
        worker.start()
        while worker.is_alive() and not kill.struck.wait(0.05):
            pass
        box.world.advance(VIP, enter=5, leave=8, change=10)
        told = (seed, number, kill.number, after)
        retry = second.run()
        assert retry.is_clean, (told, retry.log)
        # It loses the state of the one that wakes.
        kill.wake.set()
        worker.join(60)
        assert not worker.is_alive(), told
        assert "Unexpected" not in runs[0].log, runs[0].log
        state = second.state
        box.world.advance(VIP, enter=3, leave=3, change=3)
    last = pipeline_of(box, tmp_path / "last", state)
    run = last.run()
    assert run.is_clean, run.log
    box.wait_idle()
    proof = box.verify(VIP, LIST)
    assert (proof.missing, proof.different, proof.extra) == (0, 0, 0), proof
    assert json.loads((box.folder / "sftp" / "import" / "runs.json").read_bytes())
    assert last.run().changes == []
