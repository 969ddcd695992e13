"""Faults are switched on by name, also while the sandbox runs: always, on the n-th call of a path, once, or by chance."""

import re
from pathlib import Path

import pytest

from sandbox.fault_kinds import KINDS
from sandbox.faults import Faults
from tests.sandbox.calls import control, cordial, imported, lytics

TESTS = Path(__file__).parent
README = TESTS.parents[1] / "README.md"


def statuses(box, path, count, method="GET"):
    return [cordial(box, method, path).status_code for _ in range(count)]


@pytest.mark.parametrize("name", KINDS)
def test_every_fault_is_acted_out_in_a_test(name):
    others = [path for path in TESTS.glob("test_*.py") if path != Path(__file__)]
    assert any(f'"{name}"' in path.read_text(encoding="utf-8") for path in others)


def test_the_readme_names_each_open_question_by_its_switch():
    section = README.read_text(encoding="utf-8").partition("## What nobody knows")[2].partition("\n## ")[0]
    rows = [line.split(" | ")[1] for line in section.splitlines() if line.startswith("| ")]
    switches = [name for row in rows for name in re.findall("`([a-z0-9_]+)`", row)]
    assert sorted(switches) == sorted(kind.name for kind in KINDS.values() if "(unknown)" in kind.description)


@pytest.mark.parametrize("name", KINDS)
def test_every_fault_can_be_switched_on_with_the_value_that_it_has_by_itself(box, name):
    box.fault(name)
    (active,) = control(box, "GET", "faults").json()["faults"]
    assert active["name"] == name
    assert active["value"] == KINDS[name].value


def test_a_fault_acts_until_it_is_cleared(box):
    box.fault("cordial_status", 503)
    assert statuses(box, "/jobs", 3) == [503] * 3
    box.clear_faults()
    assert statuses(box, "/jobs", 1) == [404]


def test_a_fault_acts_only_on_calls_with_this_path(box):
    box.fault("cordial_status", 503, path="/accountlists")
    assert statuses(box, "/jobs", 1) == [404]
    assert statuses(box, "/accountlists", 1) == [503]


def test_a_path_can_begin_with_the_method(box):
    box.fault("cordial_status", 503, path="PUT /v2/accountlists")
    assert statuses(box, "/accountlists/1", 1) == [404]
    assert statuses(box, "/accountlists/1", 1, "PUT") == [503]


def test_a_fault_acts_on_the_nth_call_of_a_path_alone(box):
    box.fault("cordial_status", 503, path="/accountlists", nth=2)
    assert statuses(box, "/jobs", 2) == [404, 404]
    assert statuses(box, "/accountlists", 4) == [404, 503, 404, 404]


def test_a_fault_acts_once(box):
    box.fault("cordial_status", 503, path="/jobs", once=True)
    assert statuses(box, "/accountlists", 1) == [404]
    assert statuses(box, "/jobs", 3) == [503, 404, 404]


def test_a_fault_that_is_set_again_starts_anew(box):
    box.fault("cordial_status", 503, once=True)
    assert statuses(box, "/jobs", 2) == [503, 404]
    box.fault("cordial_status", 502, once=True)
    assert statuses(box, "/jobs", 2) == [502, 404]


@pytest.mark.parametrize(
    ("fault", "value"),
    [("rows_missed", 1), ("short_scan", 0), ("system_fields", "absent"), ("old_style_values", True)],
)
def test_a_fault_within_a_scan_knows_the_path_and_counts_calls_not_rows(box, fault, value):
    def rows(path):
        return lytics(box, path, limit=13, fields="_id,visit_count").json()["data"]

    path = "/api/segment/vip_customers/scan"
    usual = rows(path)
    box.fault(fault, value, path="scan", nth=2)
    lytics(box, "/api/segment/vip_customers")
    assert rows(path) == usual
    assert rows(path) != usual
    assert rows(path) == usual


def test_a_fault_within_a_job_knows_which_call_made_it(box):
    people = "channels.email.address\r\nada@example.com\r\n"
    box.fault("job_fails", path="contactimports", nth=2)
    cordial(box, "GET", "/jobs")
    assert [imported(box, people)["status"] for _ in range(3)] == ["Done", "Failed", "Done"]
    box.fault("job_rejects", 1, path="/nowhere")
    assert imported(box, people)["result"]["rejected"] == 0


def test_a_fault_strikes_by_chance_and_the_seed_decides_when(make_box):
    def struck(seed):
        box = make_box(seed=seed)
        box.fault("cordial_status", 503, chance=0.5)
        return statuses(box, "/jobs", 40)

    assert struck(1) == struck(1)
    assert struck(1) != struck(2)
    assert 5 < struck(1).count(503) < 35


def test_a_chance_of_one_is_always_and_of_none_never(box):
    box.fault("cordial_status", 503, chance=1)
    assert statuses(box, "/jobs", 3) == [503] * 3
    box.fault("cordial_status", 503, chance=0)
    assert statuses(box, "/jobs", 3) == [404] * 3


def test_faults_are_switched_over_http(box):
    body = {"name": "cordial_status", "value": 502, "path": "/jobs", "nth": 1}
    (active,) = control(box, "POST", "faults", body).json()["faults"]
    assert {name: active[name] for name in body} == body
    assert statuses(box, "/jobs", 2) == [502, 404]
    assert control(box, "GET", "faults").json()["faults"][0]["strikes"] == 1
    control(box, "POST", "faults", {"name": "rate_limit"})
    assert len(control(box, "DELETE", "faults", {"name": "rate_limit"}).json()["faults"]) == 1
    assert control(box, "DELETE", "faults").json() == {"faults": []}


def test_the_sandboxs_own_calls_are_not_among_the_services(box):
    box.fault("cordial_status", 503)
    assert control(box, "GET", "faults").status_code == 200
    assert box.requests == []
    assert control(box, "GET", "nothing").status_code == 404


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ({"name": "jobs_fail"}, "There is no fault 'jobs_fail'; did you mean job_fails"),
        ({}, "There is no fault ''."),
        ({"name": "slow_jobs", "value": "long"}, "The fault slow_jobs takes seconds, not 'long'."),
        ({"name": "slow_jobs", "value": -1}, "The fault slow_jobs takes seconds, not -1."),
        ({"name": "short_scan", "value": 2}, "The fault short_scan takes share, not 2."),
        ({"name": "cordial_status", "value": 7}, "The fault cordial_status takes HTTP status, not 7."),
        ({"name": "rows_missed", "value": 1.5}, "The fault rows_missed takes rows, not 1.5."),
        ({"name": "counters_missing", "value": "x"}, "The fault counters_missing takes no value, not 'x'."),
        ({"name": "jobid_error", "value": 5}, "The fault jobid_error takes text, not 5."),
        (
            {"name": "empty_cells", "value": "x"},
            "The fault empty_cells takes clears|ignored|rejected, not 'x'.",
        ),
        ({"name": "job_fails", "nth": 0}, "nth counts from 1, so it cannot be 0."),
        ({"name": "job_fails", "chance": 2}, "chance is from 0 to 1, so it cannot be 2."),
    ],
)
def test_a_fault_that_cannot_be_is_refused_in_one_sentence(box, fault, words):
    reply = control(box, "POST", "faults", fault)
    assert reply.status_code == 400
    assert reply.json()["error"].startswith(words)
    assert control(box, "GET", "faults").json() == {"faults": []}


def test_what_is_no_call_counts_each_time_it_is_asked():
    faults = Faults()
    faults.set("storage_full", path="a.csv", nth=2)
    asked = [("/b.csv", None), ("/a.csv", None), ("/a.csv", True), ("/a.csv", None)]
    assert [faults.get("storage_full", path) for path, _ in asked] == [answer for _, answer in asked]
