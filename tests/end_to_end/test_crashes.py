"""Kills at random moments: whatever was lost, one clean run makes the list equal to the audience again."""

from __future__ import annotations

import random
import signal

import pytest

from sandbox import AudienceSpec
from tests.end_to_end.pipeline import Kill, Pipeline

LIST = "Lytics_VIP_Customers"
FOREIGN = "not.a.member@example.org"
HISTORIES = 10
KILLS = 5
"""In each history: fifty kills in all."""
MESSAGES = 25
"""Each run sends at least about so many."""


def kill_somewhere(chance: random.Random) -> Kill:
    after = chance.choice([0, None, chance.randrange(1, MESSAGES), chance.randrange(1, MESSAGES)])
    return Kill(
        victim=chance.choice(["tap", "target", "target"]),
        number=chance.choice([signal.SIGKILL, signal.SIGTERM]),
        after_messages=after,
        # A process that has just started, and imports that are under way, take moments that no message marks.
        seconds=chance.random() * (1.2 if after == 0 else 0.3),
    )


@pytest.mark.parametrize("seed", range(HISTORIES))
def test_after_any_kills_one_clean_run_makes_the_list_equal_the_audience(make_box, tmp_path, seed):
    chance = random.Random(seed)
    box = make_box([AudienceSpec("VIP Customers", 60)], seed=seed)
    box.account.add_list(LIST)
    box.account.put_contact(FOREIGN, {"first_name": "Foreign"}, "unsubscribed")
    box.account.join(box.account.list_id(LIST), FOREIGN)
    box.fault("slow_jobs", 0.1)
    pipeline = Pipeline(
        box,
        tmp_path,
        tap={"page_size": 20, "max_exit_percent": 100},
        # With `keep`, what the profile that spoke before had and the next one lacks would stay.
        target={"batch_size_rows": 10, "max_removal_percent": 100, "null_values": "clear"},
    )
    for _ in range(KILLS):
        run = pipeline.run(kill_somewhere(chance))
        assert "Traceback" not in run.log
        assert "Unexpected" not in run.log, run.log
        box.world.advance(
            "vip_customers",
            enter=5 + chance.randrange(4),
            leave=5 + chance.randrange(4),
            change=10 + chance.randrange(4),
            readdress=chance.randrange(2),
            merge=chance.randrange(2),
        )
        if chance.random() < 0.15:
            pipeline.state = None
    run = pipeline.run()
    assert run.is_clean, run.log
    box.wait_idle()
    proof = box.verify("vip_customers", LIST)
    assert (proof.missing, proof.different, proof.extra) == (0, 0, 1), proof
    foreign = box.contacts()[FOREIGN]
    assert foreign.lists == {LIST}
    assert foreign.attributes == {"first_name": "Foreign"}
    assert foreign.subscribe_status == "unsubscribed"
    # What the last run acknowledged is all there is: nothing is left to do.
    assert pipeline.run().changes == []
