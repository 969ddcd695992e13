"""The log, the journal and the page say the same of a run, in the same words and sums."""

import re
from datetime import datetime, timezone

import pytest

from target_cordial.history.journal import read_history
from target_cordial.history.page import render
from tests.target.pages import Page
from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, exit_, quick_config, run, state

RUN = re.compile(
    r"Run (?P<outcome>[a-z ]+): (?P<records>[\d,]+) records? read.*, (?P<here>[\d,]+) rejected here.* and (?P<there>[\d,]+) by Cordial; "
    r"(?P<rows>[\d,]+) rows? in (?P<imports>[\d,]+) imports?; "
)
OF_LIST = re.compile(
    r"List (?P<name>\S+): (?:read .*; imported (?P<enters>[\d,]+) enters? and (?P<exits>[\d,]+) exits? in .*|nothing changed); "
    r"(?P<before>[\d,]+) contacts? before(?:, (?P<after>[\d,]+) after)?"
)
PEOPLE = [enter(f"p{number}@example.com") for number in range(30)]
GONE = [exit_(f"p{number}@example.com") for number in range(3)]
RUNS = {
    "enters and rejects": ([AUDIENCE_SCHEMA, *PEOPLE, enter("nobody"), state({"at": 1})], None),
    "an import that fails": ([AUDIENCE_SCHEMA, enter("new@example.com"), state({"at": 2})], "job_fails"),
    "a row that Cordial rejects": (
        [AUDIENCE_SCHEMA, *PEOPLE, enter("new@example.com"), state({"at": 3})],
        "job_rejects",
    ),
    "exits": ([AUDIENCE_SCHEMA, *GONE, state({"at": 4})], None),
    "no change": ([AUDIENCE_SCHEMA, state({"at": 5})], None),
    "nothing": ([], None),
}


def number(text):
    return None if text in {None, "\u2013"} else int(text.replace(",", ""))


@pytest.fixture
def told(box, tmp_path):
    """What each of these runs is told to be: by its log, by the journal and by a page of it."""
    url = str(tmp_path / "journal.jsonl")
    logs = []
    for messages, fault in RUNS.values():
        if fault:
            box.fault(fault, 1 if fault == "job_rejects" else True)
        logs.append(run(quick_config(box, journal_url=url), messages).log)
        box.clear_faults()
    history = read_history(url)
    page = Page(render(history, datetime.now(timezone.utc)))
    head, *rows = page.tables["All runs"]
    assert len(logs) == len(history.runs) == len(rows) == len(RUNS)
    return list(
        zip(logs, history.runs, (dict(zip(head, row, strict=True)) for row in rows[::-1]), strict=True)
    )


def test_a_run_has_one_outcome_one_set_of_sums_and_one_of_each_list(told):
    says_the_same_of_runs(told)
    says_the_same_of_lists(told)


def says_the_same_of_runs(told):
    outcomes = []
    for log, line, row in told:
        [found] = RUN.finditer(log)
        outcomes.append(line.outcome)
        assert found["outcome"] == line.outcome
        assert line.outcome in row["Outcome"]
        assert number(found["records"]) == line.records == number(row["Records"])
        assert (
            number(found["rows"]) == line.enters + line.exits == number(row["Enters"]) + number(row["Exits"])
        )
        assert number(found["imports"]) == line.imports == number(row["Imports"])
        assert number(found["here"]) == sum(line.rejects.values())
        assert number(found["there"]) == line.rejected_by_cordial
        assert number(found["here"]) + number(found["there"]) == line.rejected == number(row["Rejected"])
    assert set(outcomes) == {"done", "failed", "nothing came"}
    assert sum(line.rejected_by_cordial for _, line, _ in told) == 1
    assert sum(line.exits for _, line, _ in told) == len(GONE)


def says_the_same_of_lists(told):
    seen = 0
    for log, line, _ in told:
        for found in OF_LIST.finditer(log):
            seen += 1
            counts = line.lists[found["name"]]
            assert (number(found["enters"]) or 0, number(found["exits"]) or 0) == (
                counts.enters,
                counts.exits,
            )
            assert (number(found["before"]), number(found["after"])) == (
                counts.size_before,
                counts.size_after,
            )
        assert set(line.lists) == set(re.findall(r"List (\S+): ", log))
    assert seen >= len(RUNS) - 2
    assert {name for _, line, _ in told for name in line.lists} == {LIST}
