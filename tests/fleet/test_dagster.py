"""Dagster runs twelve audiences, four at a time, while workers are killed: each list equals its audience."""

from __future__ import annotations

from tests.fleet.fleet import AT_ONCE, ROOT

DEFINITIONS = ROOT / "orchestrate" / "dagster" / "definitions.py"


def test_all_lists_equal_their_audiences_though_workers_are_killed(fleet):
    dagster = fleet.environment("dagster") / "dagster"
    home = fleet.folder / "home"
    home.mkdir()
    fleet.variables["DAGSTER_HOME"] = str(home)
    fleet.command(dagster, "instance", "concurrency", "set", "cordial_imports", str(AT_ONCE))
    for seed in range(2):
        with fleet.killer(seed):
            fleet.command(dagster, "job", "execute", "-f", DEFINITIONS, "-j", "lytics_to_cordial")
        assert fleet.unequal() == []
        assert fleet.most_at_once == AT_ONCE
        for slug in fleet.audiences:
            fleet.box.world.advance(slug, enter=9, leave=7, change=20)
    assert len(fleet.killed) > AT_ONCE, fleet.killed
