"""A value that does not fit its attribute is left out, and its contact goes all the same; `reject` rejects the whole record."""

import json
from pathlib import Path

import pytest

from tests.target.running import quick_config, record, run, schema, state

MAPPING = {"born": "birthday", "name": "first_name", "spent": "lifetime_value", "tags": "interests"}
GOOD = {"born": "2024-02-29", "name": "Ada", "spent": "12.50", "tags": ["a"]}
BAD = {"born": "2024-02-30", "name": "x" * 129, "spent": "1,234.50", "tags": ["a", None]}


def config_for(box, **overrides):
    return quick_config(box, **{"field_mapping": MAPPING, "list_name": "all", **overrides})


def people(*values):
    yield schema({"email": "string", **{name: {} for name in MAPPING}})
    for number, own in enumerate(values):
        yield record({"email": f"p{number}@example.com", **own})
    yield state({"at": len(values)})


def report(box):
    return [
        json.loads(line)
        for path in sorted(Path(box.folder, "rejects").glob("*"))
        for line in path.read_text(encoding="utf-8").splitlines()
    ]


@pytest.mark.parametrize("null_values", ["keep", "clear"])
@pytest.mark.parametrize("name", MAPPING)
def test_a_member_goes_without_the_value_that_does_not_fit(box, name, null_values):
    config = config_for(box, null_values=null_values)
    assert run(config, people(GOOD)).code == 0
    before = box.contacts()["p0@example.com"].attributes
    result = run(config, people({**GOOD, name: BAD[name]}))
    assert result.code == 0, result.log
    assert result.states == [{"at": 1}]
    assert box.list_members("all") == {"p0@example.com"}
    # As if the field were absent: a typo empties nothing.
    assert box.contacts()["p0@example.com"].attributes == before
    (line,) = report(box)
    assert (line["field"], line["sent_without"]) == (name, MAPPING[name])
    assert line["record"]["email"] == "p0@example.com"
    assert line["reason"]
    assert f"1 value of {MAPPING[name]} left out" in result.log
    assert "0 rejected here" in result.log
    assert " WARNING " in next(line for line in result.log.splitlines() if "Run done" in line)


def test_with_reject_the_whole_record_stays_away(box):
    result = run(config_for(box, invalid_values="reject"), people(GOOD, {**GOOD, "spent": "many"}))
    assert result.code == 0, result.log
    assert box.list_members("all") == {"p0@example.com"}
    (line,) = report(box)
    assert "sent_without" not in line
    assert "1 rejected here (1 spent: not a number" in result.log


def test_a_value_that_does_not_fit_is_none_where_one_has_to_be(box):
    result = run(config_for(box, require_all_fields=True), people(GOOD, {**GOOD, "spent": "many"}))
    assert result.code == 0, result.log
    assert box.list_members("all") == {"p0@example.com"}
    box.account.remove_attribute("lifetime_value")
    box.account.add_attribute("lifetime_value", "number", validators={"required": True})
    result = run(config_for(box), people(GOOD, {}, {**GOOD, "spent": "many"}))
    assert box.list_members("all") == {"p0@example.com"}
    assert sorted(line["reason"] for line in report(box)) == [
        "no value for the required attribute lifetime_value",
        "not a number",
        "not a number",
    ]


def test_of_a_required_geo_attribute_a_part_that_fits_will_do(box):
    box.account.remove_attribute("home")
    box.account.add_attribute("home", "geo", validators={"required": True})
    config = config_for(box, field_mapping={"city": "home.city", "lat": "home.loc.lat"})
    messages = [
        schema({"email": "string", "city": {}, "lat": {}}),
        record({"email": "part@example.com", "city": "Oslo", "lat": "north"}),
        record({"email": "none@example.com", "lat": "north"}),
    ]
    result = run(config, messages)
    assert result.code == 0, result.log
    assert box.list_members("all") == {"part@example.com"}
    assert [("sent_without" in line, line["record"]["email"]) for line in report(box)] == [
        (True, "part@example.com"),
        (False, "none@example.com"),
    ]


@pytest.mark.parametrize(
    ("bad", "good", "absent", "is_too_many"),
    [
        (10, 0, 0, False),
        (11, 0, 0, True),
        (11, 208, 0, True),
        (11, 209, 0, False),
        (11, 0, 300, True),
    ],
)
def test_a_column_that_does_not_fit_fails_the_run_after_all_is_delivered(box, bad, good, absent, is_too_many):
    values = [{"spent": "many"}] * bad + [{"spent": 1}] * good + [{"spent": None}, {"name": "A"}] * absent
    result = run(config_for(box), people(*values))
    assert result.states == [{"at": len(values)}]
    assert len(box.list_members("all")) == len(values)
    assert (result.code != 0) is is_too_many, result.log
    if is_too_many:
        assert f"{bad} of {bad + good} values of lifetime_value do not fit" in result.message
        assert "--full-refresh, which sends the values" in result.message
    again = run(config_for(box, max_reject_percent=100), people(*values))
    assert again.code == 0, again.log


def test_exits_and_rejected_records_have_no_values_that_could_not_fit(box):
    messages = [
        schema({"email": "string", "audience_state": "string", **{name: {} for name in MAPPING}}),
        *[record({"email": f"p{n}@example.com", "audience_state": "exit", **BAD}) for n in range(20)],
        record({"email": "nobody", "audience_state": "enter", **BAD}),
    ]
    result = run(config_for(box), messages)
    assert "left out" not in result.log
    assert [line["reason"] for line in report(box) if "sent_without" in line] == []


def test_only_values_that_were_to_be_sent_make_few_of_those_that_do_not_fit(box):
    box.account.add_list("all")
    gone = [record({"email": f"g{n}@example.com", "audience_state": "exit", **GOOD}) for n in range(300)]
    messages = [
        schema({"email": "string", "audience_state": "string", **{name: {} for name in MAPPING}}),
        *gone,
        *[
            record({"email": f"p{n}@example.com", "audience_state": "enter", "born": "soon"})
            for n in range(12)
        ],
        state({"at": 1}),
    ]
    result = run(config_for(box, max_removal_percent=100), messages)
    assert "12 of 12 values of birthday do not fit" in result.message


def test_the_journal_has_the_count_of_each_column(box, tmp_path):
    journal = tmp_path / "journal.jsonl"
    result = run(
        config_for(box, journal_url=str(journal)), people({"spent": "many"}, {"spent": "few", "born": 5})
    )
    assert result.code == 0, result.log
    entry = json.loads(journal.read_text().splitlines()[-1])
    assert entry["values_skipped"] == {"lifetime_value": 2, "birthday": 1}


def test_a_plan_says_what_would_be_left_out(box):
    result = run(config_for(box, plan_only=True), people({"spent": "many"}, {"spent": "few", "born": 5}))
    assert result.code == 0, result.log
    assert "Plan: 1 value of birthday and 2 values of lifetime_value would be left out." in result.log


def test_dates_finer_than_microseconds_are_cut_and_told_once(box):
    fine = [
        "2024-01-02T03:04:05.123456789Z",
        "2024-01-02T03:04:05.999999999+02:00",
        "2024-01-02T03:04:05Z",
        None,
    ]
    messages = list(people(*({"born": value} for value in fine)))
    result = run(config_for(box, keep_files=True), [*messages, *messages])
    assert result.code == 0, result.log
    held = {who: contact.attributes.get("birthday") for who, contact in box.contacts().items()}
    assert held == {
        "p0@example.com": "2024-01-02T03:04:05.123456Z",
        "p1@example.com": "2024-01-02T03:04:05.999999+02:00",
        "p2@example.com": "2024-01-02T03:04:05Z",
        "p3@example.com": None,
    }
    assert result.log.count("are finer than microseconds") == 1
    assert "finer than microseconds" not in run(config_for(box), people({"born": fine[2]})).log


@pytest.mark.parametrize("value", ['a "b\\', "line\nbreak\\", 'say \\"hi', "a, b\\"])
def test_no_cell_takes_in_the_next_row_where_a_backslash_hides_a_quote(box, value):
    box.fault("csv_backslash")
    people_of = people({"name": value}, {"name": "Bob"}, {"tags": ['say "hi"', "C:\\"]}, {"name": "C:\\dir"})
    result = run(config_for(box), people_of)
    assert result.code == 0, result.log
    held = {who: contact.attributes for who, contact in box.contacts().items()}
    assert held == {
        "p0@example.com": {},
        "p1@example.com": {"first_name": "Bob"},
        "p2@example.com": {"interests": ['say "hi"', "C:\\"]},
        "p3@example.com": {"first_name": "C:\\dir"},
    }
    assert [line["sent_without"] for line in report(box)] == ["first_name"]
