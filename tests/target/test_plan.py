"""A plan says what a run would do and changes nothing; the run right after does exactly that."""

from __future__ import annotations

import re

import pytest

from target_cordial.delivery.plan import masked
from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, exit_, quick_config, run, state

ADA, BOB, CYD = "ada@example.com", "bob@example.com", "cyd@example.com"
OTHER = "Lytics_Lapsed"


def told(result):
    """The lines of the plan, or of the summary of a run."""
    return [line.partition(" | target-cordial")[2].lstrip(" |") for line in result.log.splitlines()]


def numbers(lines, words):
    """The numbers in the line that begins with some words."""
    [line] = [line for line in lines if line.startswith(words)]
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", line.removeprefix(words))]


def folder_contents(box):
    return sorted(str(path) for path in box.folder.rglob("*") if "sqlite" not in path.name)


MESSAGES = [
    state({"at": 0}),
    AUDIENCE_SCHEMA,
    *[enter(f"p{number}@example.com", first_name="Grace") for number in range(23)],
    *[enter(f"q{number}@example.com", change="update") for number in range(5)],
    *[enter(f"p{number}@example.com", audience="Lapsed") for number in range(7)],
    enter("nobody"),
    enter("d@example.com", birthday="yesterday"),
    exit_(ADA),
    exit_(BOB),
    state({"at": 1}),
]


def test_a_run_right_after_does_exactly_what_the_plan_says(box):
    before = run(
        quick_config(box), [AUDIENCE_SCHEMA, *map(enter, (ADA, BOB, CYD)), *map(enter, ("p1@example.com",))]
    )
    assert before.code == 0, before.log
    contents, lists, contacts = folder_contents(box), box.account.lists(), box.contacts()
    box.clear_requests()
    config = quick_config(box, batch_size_rows=10, invalid_values="reject")
    plan = run({**config, "plan_only": True}, MESSAGES)
    assert plan.code == 0, plan.log
    assert plan.states == [], "nothing is acknowledged"
    assert {call.method for call in box.requests if call.server == "cordial"} == {"GET"}
    new = set(folder_contents(box)) - set(contents)
    assert all("/rejects" in path for path in new), "the reject report alone"
    assert (box.account.lists(), box.contacts()) == (lists, contacts)

    real = run(config, MESSAGES)
    assert real.code == 0, real.log
    assert real.states[-1] == {"at": 1}
    planned, done = told(plan), told(real)
    for name, size, expected in ((LIST, 4, [28, 5, 2, 28, 2, 4]), (OTHER, 0, [7, 0, 7, 0, 1])):
        size_now, *counts = numbers(planned, f"Plan: list {name} (")
        assert size_now == size
        assert counts[: len(expected)] == expected, "enters, updates and exits; rows of both, and files"
        assert numbers(done, f"List {name}:")[: len(expected)] == expected
    assert "Plan: 39 records read; 37 rows for 30 contacts in 5 files." in planned
    assert numbers(planned, "Plan: 39 records read") == [37, 30, 5]
    assert "37 rows in 5 imports" in real.log
    rejected = "1 email: the identifier is not an e-mail address"
    assert rejected in next(line for line in planned if "would be rejected" in line)
    assert rejected in next(line for line in done if line.startswith("Run done"))
    assert len(box.list_members(LIST)) == 4 + 23 + 5 - 2 - 1
    assert "2 of 4 contacts (50.0 %) would be removed, max_removal_percent is 20" in plan.log
    assert f"4 contacts before, {len(box.list_members(LIST))} after" in real.log


def test_a_plan_estimates_time_by_the_imports_that_cordial_lists_as_done(box):
    messages = [AUDIENCE_SCHEMA, *[enter(f"p{number}@example.com") for number in range(30)]]
    first = run(quick_config(box, plan_only=True), messages)
    assert "no estimate of time, as Cordial lists no import that is done" in first.log
    assert run(quick_config(box), messages).code == 0
    second = run(quick_config(box, plan_only=True), messages)
    assert re.search(
        r"about \d+\.\d s for the imports, at \d+ rows a second as in the 1 that Cordial lists", second.log
    )
    assert re.search(r"about \d+ calls to Cordial", second.log)


def test_the_sample_rows_of_a_plan_hold_nothing_of_a_person(box):
    secrets = {
        "email": "ada.lovelace@secret-domain.org",
        "first_name": "Augusta",
        "last_name": "King-Noel",
        "birthday": "1815-12-10",
        "lifetime_value": 1234.5,
        "interests": ["Poetry", "Engines"],
    }
    values = {name: value for name, value in secrets.items() if name != "email"}
    result = run(quick_config(box, plan_only=True), [AUDIENCE_SCHEMA, enter(secrets["email"], **values)])
    assert result.code == 0, result.log
    assert re.search(r"Plan: +channels.email.address +x\.x@x-x\.x", result.log)
    assert re.search(r"Plan: +birthday +9-9-9", result.log)
    assert re.search(r'Plan: +interests +\["x","x"\]', result.log), "the value, not its quotes in the file"
    assert re.search(r"Plan: +home.city +\(left as it is\)", result.log)
    for value in ("lovelace", "secret", "Augusta", "King", "Noel", "1815", "1234", "Poetry", "Engines"):
        assert value.lower() not in result.log.lower(), value


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("true", "x"),
        ("false", "x"),
        ("7", "9"),
        ("-1234567.25", "-9.9"),
        ("Zoë van Dijk", "x x x"),
        ("張偉", "x"),
        ("", "(emptied)"),
        ("null-0", "(left as it is)"),
        ('["a","a","a","a","a","a","a"]', '["x","x","x","x",...'),
    ],
)
def test_a_masked_cell_shows_its_shape_and_neither_characters_nor_length(cell, shown):
    assert masked(cell, "null-0") == shown
