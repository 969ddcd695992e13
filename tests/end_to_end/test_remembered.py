"""What was delivered, and how, goes through the tap and back: changes outside a run are seen by the next one, and full refresh is the cure."""

from __future__ import annotations

import pytest

from sandbox import AudienceSpec
from tests.end_to_end.pipeline import Pipeline

LIST = "Lytics_VIP_Customers"


@pytest.fixture
def pipeline(make_box, tmp_path):
    pipeline = Pipeline(make_box([AudienceSpec("VIP Customers", 60)]), tmp_path)
    run = pipeline.run()
    assert run.is_clean, run.log
    return pipeline


def entry(states):
    return states["bookmarks"]["audience_members"].get("target_cordial")


def assert_a_full_refresh_is_the_cure(pipeline, name=LIST):
    pipeline.state = None
    run = pipeline.run()
    assert run.is_clean, run.log
    assert pipeline.box.verify("vip_customers", name).ok
    run = pipeline.run()
    assert run.is_clean, run.log
    assert run.changes == []


def test_the_tap_hands_the_entry_back_before_its_first_record(pipeline):
    acknowledged = entry(pipeline.state)
    assert acknowledged["settings"]["list_name"] == '"Lytics_{audience_name}"'
    pipeline.box.world.advance("vip_customers", enter=2)
    run = pipeline.run()
    assert run.is_clean, run.log
    kinds = [message["type"] for message in run.messages]
    assert kinds.index("STATE") < kinds.index("RECORD")
    states = [message["value"] for message in run.messages if message["type"] == "STATE"]
    assert all(entry(state) == acknowledged for state in states), "the tap keeps what it was given"
    assert all(entry(state) for state in run.states)


@pytest.mark.parametrize("enters", [0, 1])
def test_a_deleted_list_is_seen_and_filled_anew_by_a_full_refresh(pipeline, enters):
    pipeline.box.account.remove_list(pipeline.box.account.list_id(LIST))
    pipeline.box.world.advance("vip_customers", enter=enters)
    run = pipeline.run()
    assert run.target_code != 0
    assert "is gone from Cordial" in run.log
    assert "--full-refresh" in run.log
    assert_a_full_refresh_is_the_cure(pipeline)


def test_a_renamed_list_is_filled_under_its_new_name(pipeline):
    box = pipeline.box
    box.account.change_list(box.account.list_id(LIST), "Renamed", enhanced=True)
    box.world.advance("vip_customers", enter=2, leave=2)
    run = pipeline.run()
    assert run.is_clean, run.log
    assert box.verify("vip_customers", "Renamed").ok
    assert list(box.account.lists().values()) == ["Renamed"]


def test_an_emptied_list_is_seen_without_changes_and_filled_by_a_full_refresh(pipeline):
    pipeline.box.account.clear_list(pipeline.box.account.list_id(LIST))
    run = pipeline.run()
    assert run.target_code != 0
    assert "members are missing" in run.log
    assert_a_full_refresh_is_the_cure(pipeline)


def test_another_list_name_is_refused_and_nobody_leaves_the_wrong_list(pipeline):
    pipeline.box.world.advance("vip_customers", leave=2)
    before = pipeline.box.list_members(LIST)
    pipeline.target = {"list_name": "Brand_New"}
    assert pipeline.run().target_code != 0
    assert pipeline.box.list_members(LIST) == before
    assert_a_full_refresh_is_the_cure(pipeline, "Brand_New")


def test_a_field_added_to_the_mapping_is_refused_and_sent_by_a_full_refresh(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 60)])
    whole = box.target_config()["field_mapping"]
    pipeline = Pipeline(box, tmp_path, target={"field_mapping": dict(list(whole.items())[1:])})
    assert pipeline.run().is_clean
    pipeline.target = {}
    run = pipeline.run()
    assert run.target_code != 0
    assert f"field_mapping (new: {next(iter(whole))})" in run.log
    assert_a_full_refresh_is_the_cure(pipeline)


def test_members_who_were_passed_over_come_with_a_full_refresh(make_box, tmp_path):
    pipeline = Pipeline(
        make_box([AudienceSpec("VIP Customers", 60)]), tmp_path, target={"import_strategy": "updateOnly"}
    )
    run = pipeline.run()
    assert run.is_clean, run.log
    assert "passed over by Cordial" in run.log
    pipeline.target = {}
    assert pipeline.run().target_code != 0
    assert_a_full_refresh_is_the_cure(pipeline)


def test_exits_that_were_passed_over_come_with_a_full_refresh(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 60)])
    pipeline = Pipeline(box, tmp_path, target={"list_action": "add"})
    assert pipeline.run().is_clean
    box.world.advance("vip_customers", leave=2)
    assert pipeline.run().is_clean
    box.world.advance("vip_customers", enter=1)
    assert pipeline.run().is_clean
    pipeline.target = {}
    assert pipeline.run().target_code != 0
    assert_a_full_refresh_is_the_cure(pipeline)


def test_a_list_of_two_audiences_is_refused_though_the_first_is_quiet(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 30), AudienceSpec("Lapsed", 30)])
    pipeline = Pipeline(box, tmp_path, tap={"audiences": ["vip_customers"]}, target={"list_name": "Both"})
    assert pipeline.run().is_clean
    before = box.list_members("Both")
    pipeline.tap = {"audiences": ["vip_customers", "lapsed"]}
    for _ in range(2):
        run = pipeline.run()
        assert run.target_code != 0
        assert "both go to list 'Both'" in run.log
    assert box.list_members("Both") == before


def test_a_list_that_holds_more_than_the_audience_after_a_lost_ledger_is_told(pipeline):
    box = pipeline.box
    for path in (box.folder / "ledger").rglob("*"):
        if path.is_file():
            path.unlink()
    box.world.advance("vip_customers", leave=3)
    run = pipeline.run()
    assert run.tap_code != 0
    assert "Run done" not in run.log
    pipeline.state = None
    run = pipeline.run()
    assert run.is_clean, run.log
    assert "3 contacts more than members" in run.log
    assert "audit" in run.log
