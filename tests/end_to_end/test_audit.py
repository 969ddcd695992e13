"""Both plugins: an audience against its list, whatever was done to the list outside."""

from __future__ import annotations

import csv
import json

import pytest

from tests.end_to_end.pipeline import Pipeline

LIST = "Lytics_VIP_Customers"
ZOE = "zoe@example.org"


@pytest.fixture
def pipelines(box, tmp_path):
    """A pipeline of changes that ran, an audit and a mirror."""
    made = []
    for mode in ("changes", "audit", "mirror"):
        folder = tmp_path / mode
        folder.mkdir()
        target = {"null_values": "clear", "mode": mode}
        if mode != "changes":
            target |= {"audits_url": str(tmp_path / "audits"), "storage_url": f"{box.storage_url}/audit"}
        made.append(Pipeline(box, folder, tap={"snapshot": mode != "changes"}, target=target))
    run = made[0].run()
    assert run.is_clean, run.log
    return made


def differences(folder):
    receipt = json.loads(max(folder.glob("audits/*.json")).read_bytes())
    with (folder / "audits" / receipt["differences"]).open(newline="", encoding="utf-8") as file:
        return {(row["kind"], row["identifier"], row["attribute"]) for row in csv.DictReader(file)}


def tamper(box):
    """Put somebody on the list, and take off, delete and rename one each."""
    off, gone, renamed, *_ = sorted(box.list_members(LIST))
    box.account.leave(1, off)
    box.account.remove_contact(gone)
    held = box.account.contact(renamed).attributes
    box.account.put_contact(renamed, {**held, "visit_count": "123456"}, "unsubscribed")
    box.account.put_contact(ZOE, {}, "none")
    box.account.join(1, ZOE)
    return {
        ("missing", off, ""),
        ("missing", gone, ""),
        ("different", renamed, "visit_count"),
        ("extra", ZOE, ""),
    }


def test_an_audit_proves_what_the_changes_did(pipelines):
    _, audit, _ = pipelines
    run = audit.run()
    assert run.is_clean, run.log
    assert f"Audit of list {LIST}: EQUAL" in run.log
    assert run.states == []


def test_an_audit_names_what_was_done_outside_and_a_mirror_mends_it(box, pipelines, tmp_path):
    changes, audit, mirror = pipelines
    members = box.list_members(LIST)
    expected = tamper(box)
    assert audit.run().target_code == 2
    assert differences(tmp_path) == expected
    run = mirror.run()
    assert run.is_clean, run.log
    assert box.list_members(LIST) == members
    assert audit.run().is_clean
    assert changes.run().is_clean
    assert box.list_members(LIST) == members


def test_after_a_lost_ledger_a_mirror_is_the_cure(box, tmp_path, pipelines):
    _, audit, mirror = pipelines
    box.advance("vip_customers", leave=2)
    for path in sorted((box.folder / "ledger").rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    fresh = Pipeline(box, tmp_path / "changes", target={"null_values": "clear"})
    assert fresh.run().is_clean
    assert audit.run().target_code == 2
    run = mirror.run()
    assert run.is_clean, run.log
    assert audit.run().is_clean


def test_whoever_a_mirror_added_leaves_with_a_later_exit(box, pipelines):
    changes, _, mirror = pipelines
    box.advance("vip_customers", enter=3)
    before = box.list_members(LIST)
    assert mirror.run().is_clean
    added = set(box.world.keys("vip_customers")) - before
    assert added
    assert box.list_members(LIST) == before | added
    box.advance("vip_customers", leave=500)
    run = changes.run()
    # All of them left: the limits ask, and are told.
    assert "more than max_exit_percent" in run.log
    assert box.list_members(LIST) == before | added
    changes.tap["max_exit_percent"] = changes.target["max_removal_percent"] = 100
    assert changes.run().is_clean
    assert box.list_members(LIST) == set()
