"""Members of an audience become contacts on a list: the whole way, with real processes and servers."""

from __future__ import annotations

import re

from sandbox import AudienceSpec
from tests.end_to_end.pipeline import Pipeline

LIST = "Lytics_VIP_Customers"

RIGHTS = {
    ("GET", "/v2/accountcontactattributes"),
    ("GET", "/v2/accountlists"),
    ("POST", "/v2/accountlists"),
    ("GET", "/v2/accountlists/{id}/count"),
    ("POST", "/v2/contactimports"),
    ("GET", "/v2/jobs"),
    ("GET", "/v2/jobs/{id}"),
}


def calls(box, server):
    """Method and path of all calls to a service."""
    return {
        (request.method, re.sub(r"/(\d+|[0-9a-f]{24})(?=/|$)", "/{id}", request.path))
        for request in box.requests
        if request.server == server
    }


def writes(box):
    return [request for request in box.requests if request.server == "cordial" and request.method != "GET"]


def test_the_list_equals_the_audience_member_by_member_and_attribute_by_attribute(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 3000)])
    run = Pipeline(box, tmp_path, target={"batch_size_rows": 1000}).run()
    assert run.is_clean, run.log
    proof = box.verify("vip_customers", LIST)
    assert proof.ok, proof
    assert proof.contacts > 2500
    assert [job["result"]["totalRecords"] for job in box.jobs()] == [1000, 1000, proof.contacts - 2000]
    assert not any(job["result"]["rejected"] for job in box.jobs())
    assert not list((box.folder / "rejects").glob("*"))


def test_the_documented_audience_of_thirteen(make_box, tmp_path):
    box = make_box([AudienceSpec("Lytics Test Segment", 13)], shape="recorded")
    run = Pipeline(box, tmp_path).run()
    assert run.is_clean, run.log
    members = {f"email{number}@email.com" for number in range(1, 14)}
    assert box.list_members("Lytics_Lytics_Test_Segment") == members


def test_two_audiences_fill_two_lists_in_one_run(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 40), AudienceSpec("Lapsed", 30)])
    run = Pipeline(box, tmp_path).run()
    assert run.is_clean, run.log
    assert box.verify("vip_customers", LIST).ok
    assert box.verify("lapsed", "Lytics_Lapsed").ok


def test_later_runs_send_the_differences_alone(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 200)])
    pipeline = Pipeline(box, tmp_path)
    assert pipeline.run().is_clean
    box.world.advance("vip_customers", enter=3, leave=4, change=5, readdress=2, merge=2)
    run = pipeline.run()
    assert run.is_clean, run.log
    assert box.verify("vip_customers", LIST).ok
    assert len(run.changes) < 30
    assert run.changes == sorted(run.changes, key=lambda change: change == "exit"), "all exits come last"
    assert calls(box, "cordial") <= RIGHTS, "what README tells to tick on the key is enough"
    assert {method for method, path in calls(box, "lytics") if not path.endswith("/scan")} == {"GET"}, (
        "nothing is written to Lytics"
    )


def test_a_run_without_changes_sends_nothing_and_writes_nothing(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 60)])
    pipeline = Pipeline(box, tmp_path)
    assert pipeline.run().is_clean
    before = sorted(path for path in (box.folder / "ledger").rglob("*") if path.is_file())
    box.clear_requests()
    run = pipeline.run()
    assert run.is_clean, run.log
    assert run.changes == []
    assert writes(box) == []
    assert sorted(path for path in (box.folder / "ledger").rglob("*") if path.is_file()) == before


def test_a_full_refresh_sends_everybody_also_who_was_taken_off_by_hand(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 60)])
    pipeline = Pipeline(box, tmp_path)
    assert pipeline.run().is_clean
    box.world.advance("vip_customers", enter=2, leave=3)
    by_hand = min(set(box.world.keys("vip_customers")) & box.list_members(LIST))
    box.account.leave(box.account.list_id(LIST), by_hand)
    pipeline.state = None
    run = pipeline.run()
    assert run.is_clean, run.log
    assert run.changes.count("exit") == 3
    assert box.verify("vip_customers", LIST).ok
