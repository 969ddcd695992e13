"""What came last wins, although Cordial keeps no order of rows or imports."""

import csv
import io

import pytest

from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    exit_,
    import_calls,
    kept_files,
    quick_config,
    record,
    run,
    schema,
    started,
    state,
    wait_until,
)

PEOPLE = [f"p{number}@example.com" for number in range(6)]


def rows(text):
    header, *found = csv.reader(io.StringIO(text, newline=""))
    return [dict(zip(header, cells, strict=True)) for cells in found]


def visits(box):
    return {address: contact.attributes.get("visit_count") for address, contact in box.contacts().items()}


def test_the_newest_record_of_a_contact_wins_in_whichever_file_it_is(box):
    box.fault("slow_jobs", 0.04)
    history = [enter(PEOPLE[number % 5], visit_count=number) for number in range(60)]
    result = run(quick_config(box, batch_size_rows=3), [AUDIENCE_SCHEMA, *history, state({"at": 60})])
    assert result.code == 0, result.log
    assert result.states[-1] == {"at": 60}
    assert visits(box) == {PEOPLE[number % 5]: str(number) for number in range(55, 60)}
    assert len(import_calls(box)) > 10


def test_a_contact_has_one_row_in_a_file_and_later_records_merge_into_it(box):
    messages = [
        AUDIENCE_SCHEMA,
        enter(PEOPLE[0], first_name="Ada", last_name="Lovelace", visit_count=1),
        enter(PEOPLE[0], first_name=None, visit_count=2),
    ]
    result = run(quick_config(box, keep_files=True), messages)
    assert result.code == 0, result.log
    [file] = kept_files(box).values()
    [row] = rows(file)
    assert (row["first_name"], row["last_name"], row["visit_count"]) == ("Ada", "Lovelace", "2")


def test_with_clear_a_later_null_wipes_an_earlier_value(box):
    messages = [AUDIENCE_SCHEMA, enter(PEOPLE[0], first_name="Ada"), enter(PEOPLE[0], first_name=None)]
    result = run(quick_config(box, keep_files=True, null_values="clear"), messages)
    assert result.code == 0, result.log
    [file] = kept_files(box).values()
    assert [row["first_name"] for row in rows(file)] == [""]


def test_order_survives_a_schema_that_changes_in_mid_stream(box):
    old = schema({"email": "string", "visits": "integer"}, "people")
    new = schema({"email": "string", "visits": "integer", "more": "string"}, "people")
    history = []
    for number in range(40):
        history.append([old, new][number % 2])
        history.append(record({"email": PEOPLE[number % 3], "visits": number, "more": "x"}, "people"))
    config = quick_config(box, field_mapping={"visits": "visit_count"}, list_name="People", batch_size_rows=2)
    result = run(config, [*history, state({"at": 40})])
    assert result.code == 0, result.log
    assert result.states[-1] == {"at": 40}
    assert visits(box) == {PEOPLE[number % 3]: str(number) for number in range(37, 40)}


def test_order_survives_several_streams_into_one_list(box):
    streams = [schema({"email": "string", "visits": "integer"}, name) for name in ("one", "two")]
    history = [
        record({"email": PEOPLE[number % 3], "visits": number}, ["one", "two"][number % 2])
        for number in range(30)
    ]
    config = quick_config(box, field_mapping={"visits": "visit_count"}, list_name="People", batch_size_rows=2)
    result = run(config, [*streams, *history])
    assert result.code == 0, result.log
    assert visits(box) == {PEOPLE[number % 3]: str(number) for number in range(27, 30)}


def test_a_contact_on_several_lists_ends_with_its_newest_attributes(box):
    audiences = ["One", "Two", "Three"]
    history = [
        enter(PEOPLE[number % 4], audience=audiences[number % 3], visit_count=number) for number in range(48)
    ]
    result = run(quick_config(box, batch_size_rows=3), [AUDIENCE_SCHEMA, *history])
    assert result.code == 0, result.log
    assert visits(box) == {PEOPLE[number % 4]: str(number) for number in range(44, 48)}
    for audience in audiences:
        assert box.list_members(f"Lytics_{audience}") == set(PEOPLE[:4])


def test_an_older_row_of_another_list_takes_on_a_contacts_newer_attributes(box):
    messages = [
        AUDIENCE_SCHEMA,
        enter(PEOPLE[0], audience="One", visit_count=1),
        enter(PEOPLE[0], audience="Two", visit_count=2),
    ]
    result = run(quick_config(box, keep_files=True), messages)
    assert result.code == 0, result.log
    assert [row["visit_count"] for file in kept_files(box).values() for row in rows(file)] == ["2", "2"]


def test_an_exit_replaces_the_enter_before_it_and_an_enter_the_exit(box):
    messages = [
        AUDIENCE_SCHEMA,
        enter(PEOPLE[0]),
        exit_(PEOPLE[0]),
        exit_(PEOPLE[1]),
        enter(PEOPLE[1]),
        state({"at": 4}),
    ]
    result = run(quick_config(box), messages)
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {PEOPLE[1]}
    assert [list(call["lists"]) for call in import_calls(box)] == [["addTo"], ["removeFrom"]]
    assert result.states == [{"at": 4}]


def test_exits_go_after_the_input_has_ended_in_files_of_their_own_that_only_update(box):
    box.account.put_contact(PEOPLE[0], {"first_name": "Ada"}, "subscribed")
    box.account.join(box.account.add_list(LIST), PEOPLE[0])
    messages = [AUDIENCE_SCHEMA, exit_(PEOPLE[0]), enter(PEOPLE[1]), enter(PEOPLE[2])]
    config = quick_config(box, keep_files=True, batch_size_rows=1, subscribe_status="subscribed")
    with started(config) as running:
        running.write(messages)
        wait_until(lambda: box.list_members(LIST) == set(PEOPLE[:3]))
        assert all("removeFrom" not in call["lists"] for call in import_calls(box))
        running.end_input()
        assert running.result().code == 0
    assert box.list_members(LIST) == set(PEOPLE[1:3])
    *_, last = import_calls(box)
    assert last["lists"] == {"removeFrom": [LIST]}
    assert last["strategy"] == "updateOnly"
    *_, file = kept_files(box).values()
    assert file == f"channels.email.address\r\n{PEOPLE[0]}\r\n"


def test_all_enters_are_done_before_the_first_exit_is_registered(box):
    box.fault("job_never_ends")
    messages = [AUDIENCE_SCHEMA, *[exit_(address) for address in PEOPLE[:2]], enter(PEOPLE[2])]
    with started(quick_config(box)) as running:
        running.write(messages)
        running.end_input()
        # They share no contact, and the input has ended: nothing else keeps the exits.
        wait_until(lambda: sum(call.path.startswith("/v2/jobs/") for call in box.requests) > 20)
        assert [list(call["lists"]) for call in import_calls(box)] == [["addTo"]]
        box.clear_faults()
        assert running.result().code == 0
    assert [list(call["lists"]) for call in import_calls(box)] == [["addTo"], ["removeFrom"]]


def test_files_that_share_no_contact_go_side_by_side_up_to_the_limit(box):
    box.fault("job_never_ends")
    messages = [AUDIENCE_SCHEMA, *[enter(address) for address in PEOPLE]]
    with started(quick_config(box, batch_size_rows=1, max_concurrent_imports=2)) as running:
        running.write(messages)
        running.end_input()
        wait_until(lambda: len(import_calls(box)) == 2)
        # Each was looked at several times since, while four more wait.
        wait_until(lambda: sum(call.path.startswith("/v2/jobs/") for call in box.requests) > 20)
        assert len(import_calls(box)) == 2
        box.clear_faults()
        assert running.result().code == 0
    assert box.list_members(LIST) == set(PEOPLE)


def test_files_that_share_a_contact_go_one_after_the_other(box):
    box.fault("job_never_ends")
    messages = [AUDIENCE_SCHEMA, enter(PEOPLE[0]), enter(PEOPLE[1]), enter(PEOPLE[0]), enter(PEOPLE[2])]
    with started(quick_config(box, batch_size_rows=1)) as running:
        running.write(messages)
        running.end_input()
        # The third waits for the first; the fourth overtakes it.
        wait_until(lambda: len(import_calls(box)) == 3)
        wait_until(lambda: sum(call.path.startswith("/v2/jobs/") for call in box.requests) > 20)
        assert sorted(call["importName"][-4:] for call in import_calls(box)) == ["0001", "0002", "0004"]
        box.clear_faults()
        assert running.result().code == 0
    assert len(import_calls(box)) == 4


def test_reading_stops_when_too_many_files_wait(box):
    box.fault("job_never_ends")
    with started(quick_config(box, batch_size_rows=1, max_concurrent_imports=1)) as running:
        running.write([AUDIENCE_SCHEMA, *[enter(f"q{number}@example.com") for number in range(5)]])
        running.write([state({"at": 5})])
        wait_until(lambda: sum(call.path.startswith("/v2/jobs/") for call in box.requests) > 20)
        # One under way and one more than may wait: what is on the disk of this machine does not grow.
        assert (
            len([path for path in running.temporary.rglob("*.csv") if path.parent != running.temporary]) == 3
        )
        box.clear_faults()
        running.end_input()
        result = running.result()
    assert result.code == 0, result.log
    assert result.states == [{"at": 5}]


@pytest.mark.parametrize("lists", [50, 51])
def test_a_run_fills_at_most_fifty_lists(box, lists):
    messages = [AUDIENCE_SCHEMA, *[enter(PEOPLE[0], audience=f"Number {number}") for number in range(lists)]]
    result = run(quick_config(box, max_concurrent_imports=32), [*messages, state({"at": lists})])
    if lists == 50:
        assert result.code == 0, result.log
        assert len(box.contacts()[PEOPLE[0]].lists) == 50
    else:
        assert result.code == 2
        assert "more than 50 lists" in result.message
        assert result.states == []


def test_open_rows_are_bounded_over_all_lists_together(box):
    audiences = [f"Number {number}" for number in range(10)]
    messages = [
        AUDIENCE_SCHEMA,
        *[
            enter(f"a{number}-{row}@example.com", audience=audience)
            for row in range(5)
            for number, audience in enumerate(audiences)
        ],
    ]
    with started(quick_config(box, batch_size_rows=6)) as running:
        running.write(messages)
        # No batch is full and the input is open, yet the fullest ones go: four files' rows are enough to keep open.
        wait_until(lambda: len(box.contacts()) >= 50 - 4 * 6)
        running.end_input()
        assert running.result().code == 0
    assert len(box.contacts()) == 50
