"""Landed trigger messages: every documented shape, however it is batched and compressed, and what is no message."""

from __future__ import annotations

import base64
import collections
import datetime as dt
import gzip
import importlib
import itertools
import json
import logging
import os
import sys
import time
from pathlib import Path

import boto3
import fsspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lytics_to_cordial.errors import UserError
from tap_lytics_audience.triggers import events as trigger_events
from tap_lytics_audience.triggers import files as landed_files
from tap_lytics_audience.triggers import messages as trigger_messages
from tap_lytics_audience.triggers.events import TriggerFiles

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.timezone.utc)
ENTERED = "2026-05-25T23:09:59.872199615Z"
WRITTEN = "2026-05-25T23:10:04.651979584Z"
ENTERED_AT = dt.datetime(2026, 5, 25, 23, 9, 59, 872200, dt.timezone.utc)
WRITTEN_AT = dt.datetime(2026, 5, 25, 23, 10, 4, 651980, dt.timezone.utc)
VIPS = "efdcc4da20554be02e90c563f69bc0ec"
LAPSED = "b41d1a7e0c9443b2a5a1c1d0b3c7e9aa"
AUDIENCES = {VIPS: VIPS, "vip_customers": VIPS, LAPSED: LAPSED, "lapsed": LAPSED}


def item(kind="enter", audience=VIPS, slug="vip_customers", at=ENTERED):
    """What a message says of one audience."""
    happened = {} if kind == "change" else {kind: at}
    return {"id": audience, "event": kind, "slug": slug, **happened}


def default(data, written=WRITTEN):
    meta = {"object": "user", "subscription_id": "f825f096718d07c65b9d6a94a4cc0c35", "timestamp": written}
    return {"id": "15761203643149024539", "data": data, "meta": meta}


def cloud_event(data, written=WRITTEN):
    return {
        "specversion": "1.0",
        "id": "15761203643149024539",
        "source": "lytics",
        "type": "com.lytics.audience.user.event",
        "time": written,
        "data": data,
    }


def older(data, written=WRITTEN):
    """No id at the top, and both times in each event."""
    events = [{"enter": ENTERED, "exit": "2099-01-01T00:00:00Z", **event} for event in data["segment_events"]]
    message = default({**data, "segment_events": events}, written)
    del message["id"]
    return message


def message(email="joe@example.com", *items, shape=default, **data):
    return shape({"email": email, "first_name": "Joe", **data, "segment_events": list(items) or [item()]})


def as_lines(*messages):
    return b"".join(json.dumps(one).encode() + b"\n" for one in messages)


def land(folder, name, content, *, age=0):
    """Put a file into the folder that landed so many seconds ago."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    landed = time.time() - age
    os.utime(path, (landed, landed))
    return path


def reader(folder, field="email"):
    return TriggerFiles(str(folder), audiences=AUDIENCES, identifier_field=field)


def read(folder, field="email"):
    return list(reader(folder, field).events(LONG_AGO))


def people(events):
    return [event.identifier for event in events]


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "triggers"
    path.mkdir()
    return path


@pytest.fixture
def bucket(s3):
    """An empty bucket, by the environment that fsspec reads."""
    s3.create_bucket(Bucket="triggers")
    return boto3.resource("s3").Bucket("triggers")


# What a message says


@pytest.mark.parametrize("shape", [default, cloud_event, older])
def test_an_event_says_who_which_audience_what_and_when(folder, shape):
    land(folder, "one.json", as_lines(message("Joe@Example.com", item("enter"), shape=shape)))
    [event] = read(folder)
    assert (event.audience_id, event.identifier, event.kind) == (VIPS, "Joe@Example.com", "enter")
    assert event.happened_at == ENTERED_AT


@pytest.mark.parametrize("shape", [default, cloud_event])
def test_an_exit_has_its_own_time(folder, shape):
    land(
        folder,
        "one.json",
        as_lines(message("joe", item("exit", at="2026-06-01T00:00:00+02:00"), shape=shape)),
    )
    [event] = read(folder)
    assert event.kind == "exit"
    assert event.happened_at == dt.datetime(2026, 5, 31, 22, tzinfo=dt.timezone.utc)
    assert event.happened_at.tzinfo == dt.timezone.utc


def test_the_event_alone_decides_where_both_times_are_given(folder):
    left = {"exit": "2026-06-01T00:00:00Z"}
    land(
        folder,
        "one.json",
        as_lines(message("a", {**item("exit"), **left}, shape=older), message("b", shape=older)),
    )
    assert [(event.identifier, event.kind) for event in read(folder)] == [("a", "exit"), ("b", "enter")]


@pytest.mark.parametrize("shape", [default, cloud_event])
def test_a_change_has_the_time_of_its_message(folder, shape):
    land(folder, "one.json", as_lines(message("joe", item("change"), shape=shape)))
    [event] = read(folder)
    assert (event.kind, event.happened_at) == ("change", WRITTEN_AT)


@pytest.mark.parametrize(
    "never",
    ["2099-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+02:00", "soon", 5, None, {}],
)
def test_a_time_that_is_none_gives_way_to_the_next_best(folder, never):
    land(folder, "one.json", as_lines(default({"segment_events": [item("enter", at=never)]})))
    land(
        folder,
        "two.json",
        as_lines(default({"segment_events": [item("enter", at=never)]}, written=never)),
        age=50,
    )
    by_landing, by_message = read(folder)
    assert by_landing.happened_at == by_landing.landed_at
    assert by_message.happened_at == WRITTEN_AT


def test_a_time_without_a_zone_is_utc(folder):
    land(folder, "one.json", as_lines(message("joe", item("enter", at="2026-05-25T23:09:59.8722"))))
    assert read(folder)[0].happened_at == ENTERED_AT


def test_one_message_can_speak_of_several_audiences(folder):
    both = message("joe", item("enter"), item("exit", LAPSED, "lapsed"))
    land(folder, "one.json", as_lines(both))
    assert [(event.audience_id, event.kind) for event in read(folder)] == [(VIPS, "enter"), (LAPSED, "exit")]


def test_an_audience_is_known_by_id_or_by_slug(folder):
    by_id, by_slug = {**item(), "slug": "renamed"}, {**item(), "id": None}
    land(folder, "one.json", as_lines(message("a", by_id), message("b", by_slug)))
    assert [(event.audience_id, event.identifier) for event in read(folder)] == [(VIPS, "a"), (VIPS, "b")]


def test_events_of_other_audiences_are_ignored(folder):
    other = item("enter", "0" * 32, "others")
    odd = {**item("merge", "0" * 32, "others")}
    land(
        folder,
        "one.json",
        as_lines(message("a", other), message("b", other, item(), odd), message(None, other)),
    )
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["b"]
    assert (triggers.unread, triggers.without_identifier) == (0, 0)


def test_a_message_without_events_says_nothing_and_is_no_garbage(folder):
    land(folder, "one.json", as_lines(default({"segment_events": []}), default({"segment_events": None})))
    triggers = reader(folder)
    assert list(triggers.events(LONG_AGO)) == []
    assert triggers.unread == 0


@pytest.mark.parametrize(
    ("written", "identifier"),
    [
        ('" Joe@X.example "', " Joe@X.example "),
        ('"Zo\\u00eb\\n"', "Zoë\n"),
        ("214", "214"),
        ("18446744073709551616000", "18446744073709551616000"),
        ("-0.10", "-0.10"),
        ("1e999", "1e999"),
        ('""', None),
        ('"  "', None),
        ("null", None),
        ("true", None),
        ('["a"]', None),
        ('{"a":1}', None),
    ],
)
def test_the_identifier_is_taken_as_it_stands_and_numbers_as_text(folder, written, identifier):
    text = as_lines(default({"user_id": "@", "segment_events": [item()]})).replace(b'"@"', written.encode())
    land(folder, "one.json", text)
    triggers = reader(folder, "user_id")
    assert people(triggers.events(LONG_AGO)) == [identifier]
    assert triggers.without_identifier == (identifier is None)
    assert triggers.unread == 0


def test_messages_without_identifier_are_counted_once_each(folder):
    nobody = default({"segment_events": [item("exit"), item("enter", LAPSED, "lapsed")]})
    land(folder, "one.json", as_lines(nobody, message("joe")))
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == [None, None, "joe"]
    assert triggers.without_identifier == 1


def test_an_unknown_kind_is_garbage_and_the_rest_of_its_message_counts(folder, caplog):
    land(folder, "one.json", as_lines(message("joe", item("merge"), item("exit", LAPSED, "lapsed"))))
    triggers = reader(folder)
    assert [(event.audience_id, event.kind) for event in triggers.events(LONG_AGO)] == [(LAPSED, "exit")]
    assert triggers.unread == 1
    assert "one.json, line 1 is not a trigger message" in caplog.text


# However it is batched


def with_events_apart(one, write):
    """A message over several lines, some of which are JSON of their own."""
    mark = "the events go here"
    text = json.dumps({**one, "data": {**one["data"], "segment_events": mark}})
    return text.replace(json.dumps(mark), f"\n{write(one['data']['segment_events'])}\n").encode()


def an_event_a_line(events):
    return "[\n" + ",\n".join(map(json.dumps, events)) + "\n]"


LAYOUTS = {
    "JSON lines": as_lines,
    "JSON lines with CRLF, blank lines and no end": lambda *found: (
        as_lines(*found).replace(b"\n", b"\r\n\r\n  \r\n").rstrip()
    ),
    "one array": lambda *found: json.dumps(found).encode(),
    "an array a line": lambda *found: b"".join(
        json.dumps(found[i : i + 2]).encode() + b"\n" for i in range(0, len(found), 2)
    ),
    "an array with a message a line": lambda *found: (
        b"[\n" + b",\n".join(json.dumps(one).encode() for one in found) + b"\n]\n"
    ),
    "an array with commas first": lambda *found: (
        b"[" + b"\n,".join(json.dumps(one).encode() for one in found) + b"]"
    ),
    "a pretty array": lambda *found: json.dumps(found, indent=2).encode(),
    "pretty objects": lambda *found: b"\r\n".join(json.dumps(one, indent="\t").encode() for one in found),
    "objects with an event a line": lambda *found: b"\n".join(
        with_events_apart(one, an_event_a_line) for one in found
    ),
    "objects with a line of events": lambda *found: b"\n".join(
        with_events_apart(one, json.dumps) for one in found
    ),
    "everything on a line of its own": lambda *found: json.dumps(
        found, indent=0, ensure_ascii=False
    ).encode(),
    "strung together": lambda *found: b"".join(
        json.dumps(one, separators=(",", ":")).encode() for one in found
    ),
    "with a byte order mark": lambda *found: b"\xef\xbb\xbf" + as_lines(*found),
    "a pretty array with a byte order mark": lambda *found: (
        b"\xef\xbb\xbf" + json.dumps(found, indent=1).encode()
    ),
}
PACKINGS = {
    "plain": lambda text: (".json", text),
    "gzip": lambda text: (".json.gz", gzip.compress(text)),
    "gzip in members": lambda text: (
        ".gz",
        gzip.compress(text[: len(text) // 2]) + gzip.compress(text[len(text) // 2 :]),
    ),
    "gzip that its name does not tell": lambda text: ("", gzip.compress(text)),
    "a name that tells of gzip that the store has unpacked": lambda text: (".json.gz", text),
}


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_and_packing_reads_the_same(folder, layout, packing):
    found = [
        message(f'{number}"}}]{{[\\@é', shape=shape)
        for number, shape in enumerate([default, cloud_event, older, default, older])
    ]
    suffix, content = PACKINGS[packing](LAYOUTS[layout](*found))
    land(folder, f"batch{suffix}", content)
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == [one["data"]["email"] for one in found]
    assert (triggers.unread, triggers.unfinished_since) == (0, None)


KINDS = st.sampled_from(["enter", "exit", "change"])
TIMES = st.integers(0, 4_000_000_000_000_000).map(lambda micros: EPOCH + dt.timedelta(microseconds=micros))
PERSONS = st.text(min_size=1).filter(str.strip) | st.integers(-(2**70), 2**70) | st.none()
ITEMS = st.tuples(KINDS, st.sampled_from([VIPS, LAPSED, "0" * 32]), TIMES)
MESSAGES = st.tuples(
    PERSONS,
    st.lists(ITEMS, min_size=1, max_size=3),
    st.sampled_from([default, cloud_event, older]),
    TIMES,
    st.dictionaries(
        st.text(),
        st.text() | st.floats(allow_nan=False, allow_infinity=False) | st.lists(st.text()),
        max_size=3,
    ),
)


def written_and_meant(drawn):
    """A drawn message as Lytics would write it, and what it says of the followed audiences."""
    person, items, shape, written, extra = drawn
    stamp = written.isoformat()
    events = [item(kind, audience, "", at.isoformat()) for kind, audience, at in items]
    text = shape({**extra, "email": person, "segment_events": events}, stamp)
    identifier = None if person is None else str(person)
    meant = [
        (audience, identifier, kind, written if kind == "change" else at)
        for kind, audience, at in items
        if audience in AUDIENCES
    ]
    return text, meant


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    drawn=st.lists(st.lists(MESSAGES, min_size=1, max_size=5), max_size=6),
    layouts=st.lists(st.sampled_from(sorted(LAYOUTS)), min_size=6, max_size=6),
    packings=st.lists(st.sampled_from(sorted(PACKINGS)), min_size=6, max_size=6),
    fetch_files=st.integers(1, 4),
)
def test_any_mix_of_shapes_batching_and_compression_yields_the_same_events(
    tmp_path_factory, drawn, layouts, packings, fetch_files
):
    folder = tmp_path_factory.mktemp("mix")
    expected = collections.Counter()
    for number, (batch, layout, packing) in enumerate(zip(drawn, layouts, packings, strict=False)):
        texts, meanings = zip(*map(written_and_meant, batch), strict=True)
        expected.update(itertools.chain.from_iterable(meanings))
        suffix, content = PACKINGS[packing](LAYOUTS[layout](*texts))
        land(folder, f"{number % 2}/{number}{suffix}", content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(landed_files, "FETCH_FILES", fetch_files)
        triggers = reader(folder)
        found = collections.Counter(
            (event.audience_id, event.identifier, event.kind, event.happened_at)
            for event in triggers.events(LONG_AGO)
        )
    assert found == expected
    assert (triggers.unread, triggers.unfinished_since) == (0, None)


# Which files


def test_files_are_read_oldest_first_in_all_sub_folders(folder):
    land(folder, "2026/05/26/b.json", as_lines(message("second")), age=20)
    land(folder, "2026/05/25/z.json", as_lines(message("first")), age=30)
    land(folder, "a.json", as_lines(message("third")), age=10)
    assert people(read(folder)) == ["first", "second", "third"]


def test_only_files_that_landed_since_are_read(folder):
    for age in (300, 200, 100):
        land(folder, f"{age}.json", as_lines(message(f"{age}")), age=age)
    middle = read(folder)[1]
    assert people(reader(folder).events(middle.landed_at)) == ["200", "100"]
    assert people(reader(folder).events(middle.landed_at + dt.timedelta(microseconds=1))) == ["100"]


def test_landed_at_is_the_time_of_the_last_change(folder):
    path = land(folder, "one.json", as_lines(message()))
    os.utime(path, (0, 1_780_000_000.25))
    [event] = read(folder)
    assert event.landed_at == dt.datetime(2026, 5, 28, 20, 26, 40, 250_000, dt.timezone.utc)


@pytest.mark.parametrize("name", [".hidden.json", "_SUCCESS", "a.json.part", "a.json.tmp", "deep/.a.json"])
def test_files_that_are_not_meant_for_readers_are_passed_over(folder, name):
    land(folder, name, as_lines(message("secret")) + b"{")
    land(folder, "good.json", as_lines(message("good")))
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["good"]
    assert (triggers.unread, triggers.unfinished_since) == (0, None)


def test_links_are_followed_to_files_and_pipes_are_not_waited_for(folder, tmp_path):
    land(tmp_path, "elsewhere.json", as_lines(message("linked")))
    (folder / "link.json").symlink_to(tmp_path / "elsewhere.json")
    (folder / "dangling.json").symlink_to(tmp_path / "nowhere.json")
    os.mkfifo(folder / "pipe.json")
    assert people(read(folder)) == ["linked"]


def test_empty_files_and_an_empty_folder_say_nothing(folder):
    assert read(folder) == []
    land(folder, "empty.json", b"")
    land(folder, "empty.json.gz", b"")
    land(folder, "nothing.json.gz", gzip.compress(b""))
    land(folder, "blank.json", b"\r\n \n")
    triggers = reader(folder)
    assert list(triggers.events(LONG_AGO)) == []
    assert (triggers.unread, triggers.unfinished_since) == (0, None)


@pytest.mark.parametrize("prefix", ["", "file://"])
def test_a_missing_folder_is_an_error_that_names_the_cure(tmp_path, prefix):
    with pytest.raises(UserError, match="nowhere is missing: create it, or correct triggers_url"):
        read(f"{prefix}{tmp_path}/nowhere")


def test_a_file_in_place_of_the_folder_is_an_error(folder):
    with pytest.raises(UserError, match=r"one\.json is not a folder"):
        read(land(folder, "one.json", b"{}"))


@pytest.mark.parametrize("name", ["deep", "deep/one.json"])
def test_what_may_not_be_read_is_an_error(folder, name):
    land(folder, "deep/one.json", as_lines(message()))
    (folder / name).chmod(0)
    if os.access(folder / name, os.R_OK):
        pytest.skip("root may read everything")
    try:
        with pytest.raises(UserError, match=r"does not let the plugin (list|read) .*: give it the rights"):
            read(folder)
    finally:
        (folder / name).chmod(0o700)


def test_a_file_that_vanishes_meanwhile_is_unfinished(folder, monkeypatch):
    monkeypatch.setattr(landed_files, "FETCH_FILES", 1)
    land(folder, "first.json", as_lines(message("first")), age=20)
    second = land(folder, "second.json", as_lines(message("second")), age=10)
    landed = second.stat().st_mtime
    triggers = reader(folder)
    events = triggers.events(LONG_AGO)
    assert next(events).identifier == "first"
    second.unlink()
    assert list(events) == []
    assert triggers.unread == 0
    assert triggers.unfinished_since == dt.datetime.fromtimestamp(landed, dt.timezone.utc)


def test_what_a_file_grows_by_while_it_is_read_waits_for_the_next_run(folder, monkeypatch):
    monkeypatch.setattr(landed_files, "FETCH_FILES", 1)
    land(folder, "first.json", as_lines(message("first")), age=20)
    second = land(folder, "second.json", as_lines(message("second")), age=10)
    triggers = reader(folder)
    events = triggers.events(LONG_AGO)
    assert next(events).identifier == "first"
    with second.open("ab") as file:
        file.write(as_lines(message("third")))
    assert people(events) == ["second"]
    assert triggers.unread == 0


# What is no message


def test_garbage_is_a_warning_with_file_and_line_and_costs_no_neighbour(folder, caplog):
    good = as_lines(message("good"))
    bad = [
        b'{"data": {"email": "torn\n',
        b"<html>\n",
        b'{"a": 1}\n',
        b"[1, null]\n",
        b'"text"\n',
        b'{"data": {"segment_events": 5}}\n',
    ]
    land(folder, "mixed.json", good + good.join(bad) + good)
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["good"] * 7
    assert triggers.unread == 7
    lines = [record.getMessage().partition("mixed.json, line ")[2].split()[0] for record in caplog.records]
    assert lines == ["2", "4", "6", "8", "8", "10", "12"]
    assert {record.levelno for record in caplog.records} == {logging.WARNING}
    assert {record.name for record in caplog.records} == {"tap-lytics-audience"}


@settings(max_examples=200, deadline=None)
@given(
    garbage=st.lists(
        st.binary(max_size=40).map(lambda junk: junk.replace(b"\n", b" "))
        | st.integers(1, 150).map(lambda length: as_lines(message("torn"))[:length])
        | st.text('{}[]",:\\ a1').map(str.encode),
        max_size=8,
    )
)
def test_no_line_of_garbage_costs_a_good_one(tmp_path_factory, garbage):
    folder = tmp_path_factory.mktemp("garbage")
    lines = [as_lines(message("first"))]
    for number, junk in enumerate(garbage):
        lines += [junk + b"\n", as_lines(message(f"good {number}"))]
    land(folder, "mixed.json", b"".join(lines))
    triggers = reader(folder)
    found = [event.identifier for event in triggers.events(LONG_AGO) if event.identifier != "torn"]
    assert found == ["first", *(f"good {number}" for number in range(len(garbage)))]
    assert triggers.unread <= len(b"".join(garbage)) + 1


@pytest.mark.parametrize(
    "deep", [b"[" * 100_000, b'{"data":' * 100_000, b'{"data":{"email":' + b"[" * 100_000]
)
def test_brackets_without_end_are_garbage(folder, deep):
    land(folder, "deep.json", as_lines(message("a")) + deep + b"\n" + as_lines(message("b")))
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["a", "b"]
    assert triggers.unread == 1


@pytest.mark.parametrize(
    ("where", "identifiers", "unread"),
    [
        ("vip_customers", [], 1),
        ("Joe", ["joe"], 0),
        ("joe", [None], 0),
        ("meta", ["joe"], 0),
        ("first_name", [], 1),
    ],
)
def test_bytes_that_are_not_utf8_spoil_no_more_than_they_must(folder, where, identifiers, unread):
    text = as_lines(message("joe")).replace(f'"{where}"'.encode(), b'"\xff\xfe"')
    land(folder, "latin.json", text)
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == identifiers
    assert triggers.unread == unread


def test_at_most_twenty_warnings_then_one_count(folder, caplog):
    land(folder, "mixed.json", b"garbage\n" * 30 + as_lines(message()) * 100)
    triggers = reader(folder)
    assert len(list(triggers.events(LONG_AGO))) == 100
    assert triggers.unread == 30
    messages = [record.getMessage() for record in caplog.records]
    assert len(messages) == 21
    assert messages[-1] == (
        f"30 of 130 trigger messages cannot be read, 30 of them in {folder}/mixed.json: move what Lytics did not write out of the "
        "folder, or set triggers_url to where its messages land."
    )


@pytest.mark.parametrize("good", [0, 1, 10])
def test_garbage_never_ends_a_run_and_the_worst_file_is_named(folder, caplog, good):
    land(folder, "good.json", as_lines(message()) * good, age=20)
    land(folder, "bad.json", b"garbage\n" * 1_500, age=10)
    land(folder, "last.json", b"garbage\n" + as_lines(message("last")), age=5)
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["joe@example.com"] * good + ["last"]
    assert triggers.unread == 1_501
    total = f"{1_502 + good:,}"
    assert (
        f"1,501 of {total} trigger messages cannot be read, 1,500 of them in {folder}/bad.json" in caplog.text
    )


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_that_is_too_large_is_named_and_the_others_are_read(folder, monkeypatch, pack, caplog):
    monkeypatch.setattr(trigger_messages, "MAX_FILE_BYTES", 1_000)
    monkeypatch.setattr(trigger_events, "MAX_FILE_BYTES", 1_000)
    land(folder, "large.json", pack(as_lines(message()) * 1_000), age=20)
    land(folder, "next.json", as_lines(message("next")))
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["next"]
    assert (triggers.unread, triggers.unfinished_since) == (1, None)
    assert "large.json, line 1 begins a file of more than 64 MB, which is not read" in caplog.text


@pytest.mark.parametrize("line", [b"garbage\n", b"{'email': 'joe'}\n", b"]{[\n"])
def test_a_large_file_of_garbage_is_read_in_a_moment(folder, line):
    land(folder, "bad.json", line * 100_000 + as_lines(message()))
    triggers = reader(folder)
    started = time.process_time()
    assert people(triggers.events(LONG_AGO)) == ["joe@example.com"]
    assert triggers.unread > 0
    assert time.process_time() - started < 10


@pytest.mark.parametrize(
    "content",
    [b"PAR1\x15\x04\x15\n\x00\n" * 500, "{}\n".encode("utf-16") * 500, b"\x28\xb5\x2f\xfd\x00\n" * 500],
)
def test_a_file_that_is_not_text_is_garbage_once(folder, content):
    land(folder, "binary", content, age=100)
    triggers = reader(folder)
    assert list(triggers.events(LONG_AGO)) == []
    assert triggers.unread == 1


# What is not finished


def test_a_cut_last_line_waits_for_the_next_run(folder, caplog):
    text = as_lines(message("a"), message("b"))
    path = land(folder, "growing.json", text[:-30], age=3_000)
    land(folder, "later.json", as_lines(message("c")) + b"{", age=2_000)
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["a", "c"]
    assert triggers.unread == 0
    assert triggers.unfinished_since == dt.datetime.fromtimestamp(path.stat().st_mtime, dt.timezone.utc)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    land(folder, "growing.json", text, age=3_000)
    (folder / "later.json").unlink()
    assert people(triggers.events(triggers.unfinished_since)) == ["a", "b"]
    assert triggers.unfinished_since is None


def test_a_last_line_without_an_end_that_is_json_is_finished(folder):
    land(folder, "good.json", as_lines(message("a"), message("b")).rstrip())
    land(folder, "wrong.json", b'{"hello": "world"}')
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["a", "b"]
    assert (triggers.unread, triggers.unfinished_since) == (1, None)


def test_a_broken_last_line_with_an_end_is_garbage(folder):
    land(folder, "bad.json", as_lines(message("a")) + as_lines(message("b"))[:-30] + b"\n")
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["a"]
    assert (triggers.unread, triggers.unfinished_since) == (1, None)


def test_a_last_line_that_is_only_begun_waits_whatever_it_holds(folder):
    land(folder, "growing.json", as_lines(message("a")) + b"\xef\xbb")
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["a"]
    assert triggers.unread == 0
    assert triggers.unfinished_since is not None


def test_a_cut_file_that_rested_for_a_day_waits_no_longer(folder):
    text = as_lines(message("a"), message("b"))
    land(folder, "left.json", text[:-30], age=25 * 3600)
    triggers = reader(folder)
    assert people(triggers.events(LONG_AGO)) == ["a"]
    assert (triggers.unread, triggers.unfinished_since) == (1, None)


@settings(max_examples=200, deadline=None)
@given(layout=st.sampled_from(sorted(LAYOUTS)), data=st.data())
def test_a_file_cut_anywhere_gives_what_is_whole_and_waits_for_the_rest(tmp_path_factory, layout, data):
    folder = tmp_path_factory.mktemp("cut")
    found = [message(f"{number}", shape=shape) for number, shape in enumerate([default, cloud_event, older])]
    text = LAYOUTS[layout](*found)
    cut = data.draw(st.integers(0, len(text)))
    path = land(folder, "cut.json", text[:cut])
    triggers = reader(folder)
    read_now = people(triggers.events(LONG_AGO))
    assert read_now == ["0", "1", "2"][: len(read_now)]
    is_whole_message_missing = len(read_now) < text[:cut].count(b"first_name")
    # A cut right behind an end of line cannot be told from an end; such a file lands anew when it grows.
    if is_whole_message_missing and not text[:cut].endswith(b"\n"):
        assert triggers.unread == 0
        assert triggers.unfinished_since == dt.datetime.fromtimestamp(path.stat().st_mtime, dt.timezone.utc)


@pytest.mark.parametrize("age", [0, 100])
@pytest.mark.parametrize(
    "spoil",
    [
        lambda packed: packed[:-5],
        lambda packed: packed[:5],
        lambda packed: packed[:20] + bytes(20) + packed[40:],
        lambda packed: packed + b"more",
        lambda packed: b"no gzip at all of " + packed[20:],
    ],
    ids=["cut", "cut in its header", "corrupt", "with more behind", "another thing"],
)
def test_a_broken_gzip_file_is_unfinished_for_a_minute_then_garbage(folder, spoil, age):
    path = land(folder, "lines.json.gz", spoil(gzip.compress(as_lines(message()))), age=age)
    triggers = reader(folder)
    list(triggers.events(LONG_AGO))
    landed = dt.datetime.fromtimestamp(path.stat().st_mtime, dt.timezone.utc)
    assert (triggers.unread, triggers.unfinished_since) == ((1, None) if age else (0, landed))


def test_counts_start_anew_with_each_reading(folder):
    land(folder, "mixed.json", b"garbage\n" + as_lines(default({"segment_events": [item()]})) + b"{")
    triggers = reader(folder)
    for _ in range(2):
        list(triggers.events(LONG_AGO))
        assert (triggers.unread, triggers.without_identifier) == (1, 1)
    (folder / "mixed.json").unlink()
    assert list(triggers.events(LONG_AGO)) == []
    assert (triggers.unread, triggers.without_identifier, triggers.unfinished_since) == (0, 0, None)


# Personal data


def test_no_identifier_is_ever_logged_or_in_an_error(folder, caplog):
    caplog.set_level(logging.DEBUG, "tap-lytics-audience")
    canary = "canary.7f3a"
    address = f"{canary}@example.com"
    good = as_lines(message(address), message(address, item("merge")))
    for name, content in {
        "torn.json": good[:-40] + b"\n" + good,
        "cut.json": good[:-40],
        "shape.json": json.dumps({address: address}).encode(),
        "text.json": address.encode() + b"\n",
        "list.json": json.dumps([address, {address: 1}]).encode(),
        "types.json": json.dumps({"data": {"segment_events": [{"id": VIPS, "event": address}]}}).encode(),
        "bytes.json": b'{"data": {"segment_events": "\xff' + address.encode() + b'"}}\n',
        "short.json.gz": gzip.compress(good)[:-9],
        f"{address}.json": b"garbage\n",
        f"{canary}%40example.com/a.json": b"garbage\n",
    }.items():
        land(folder, name, content, age=100)
    triggers = reader(folder)
    list(triggers.events(LONG_AGO))
    assert triggers.unread > 5
    land(folder, f"{address}.json", b"garbage\n" * 1_001)
    list(triggers.events(LONG_AGO))
    assert "1,001 of them in" in caplog.text
    assert canary not in caplog.text


# Object stores and others


def test_messages_are_read_from_s3_in_all_sub_folders(bucket):
    found = {
        "triggers/2026/05/25/a.json": as_lines(message("a")),
        "triggers/2026/05/25/b.json.gz": gzip.compress(json.dumps([message("b"), message("c")]).encode()),
        "triggers//odd//d.json": as_lines(message("d")),
        "triggers/folder/": b"",
        "triggers/e.json": json.dumps(message("e"), indent=2).encode(),
        "triggers/_SUCCESS": b"{",
        "triggers/f.json.tmp": b"{",
        "triggers-of-others/g.json": as_lines(message("g")),
    }
    for key, content in found.items():
        bucket.put_object(Key=key, Body=content)
    triggers = reader(f"s3://{bucket.name}/triggers")
    events = list(triggers.events(LONG_AGO))
    assert sorted(people(events)) == ["a", "b", "c", "d", "e"]
    assert (triggers.unread, triggers.unfinished_since) == (0, None)
    landed = {item.key: item.last_modified for item in bucket.objects.all()}
    assert {event.landed_at for event in events if event.identifier == "e"} == {landed["triggers/e.json"]}
    assert all(event.landed_at.tzinfo == dt.timezone.utc for event in events)


def test_the_gateway_in_the_docs_lands_what_the_tap_reads(bucket, monkeypatch):
    docs = Path(__file__).parents[2] / "docs" / "triggers.md"
    monkeypatch.setenv("TRIGGERS_SECRET", "open sesame")
    monkeypatch.setenv("BUCKET", bucket.name)
    gateway = {}
    exec(docs.read_text(encoding="utf-8").partition("```python\n")[2].partition("```")[0], gateway)
    batch = json.dumps([message("a"), message("Zoë")], ensure_ascii=False)
    packed = base64.b64encode(json.dumps(message("c")).encode()).decode()
    right = {"x-triggers-secret": "open sesame"}
    answers = [
        gateway["handler"](request, None)
        for request in (
            {"headers": right, "body": batch, "isBase64Encoded": False},
            {"headers": right, "body": packed, "isBase64Encoded": True},
            {"headers": {"x-triggers-secret": "open"}, "body": batch},
            {"headers": {}, "body": batch},
        )
    ]
    assert [answer["statusCode"] for answer in answers] == [200, 200, 401, 401]
    assert sorted(people(read(f"s3://{bucket.name}/triggers"))) == ["Zoë", "a", "c"]


def test_s3_is_asked_anew_each_time(bucket):
    triggers = reader(f"s3://{bucket.name}/triggers/")
    assert list(triggers.events(LONG_AGO)) == []
    bucket.put_object(Key="triggers/a.json", Body=as_lines(message("a")))
    [event] = triggers.events(LONG_AGO)
    bucket.put_object(Key="triggers/b.json", Body=as_lines(message("b")))
    assert sorted(people(triggers.events(event.landed_at))) == ["a", "b"]
    assert list(triggers.events(event.landed_at + dt.timedelta(days=1))) == []


def test_an_object_that_vanishes_meanwhile_is_unfinished(bucket, monkeypatch):
    monkeypatch.setattr(landed_files, "FETCH_FILES", 1)
    for name in ("a", "b"):
        bucket.put_object(Key=f"{name}.json", Body=as_lines(message(name)))
    triggers = reader(f"s3://{bucket.name}")
    events = triggers.events(LONG_AGO)
    seen = next(events).identifier
    bucket.delete_objects(Delete={"Objects": [{"Key": f"{name}.json"} for name in "ab" if name != seen]})
    assert list(events) == []
    assert triggers.unread == 0
    assert triggers.unfinished_since is not None


def test_an_empty_prefix_is_fine_and_a_missing_bucket_an_error(bucket):
    assert read(f"s3://{bucket.name}/nothing/here") == []
    assert read(f"s3://{bucket.name}") == []
    for url in (f"s3://{bucket.name}-of-nobody", f"s3://{bucket.name}-of-nobody/triggers"):
        with pytest.raises(UserError, match=f"{url} is missing: create it, or correct triggers_url"):
            read(url)


def test_a_file_on_s3_that_is_garbage_is_named_by_its_url(bucket, caplog):
    bucket.put_object(Key="triggers/bad.json", Body=b"garbage\n")
    read(f"s3://{bucket.name}/triggers")
    assert f"s3://{bucket.name}/triggers/bad.json, line 1 is not JSON." in caplog.text


def test_an_extra_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.delitem(importlib.import_module("fsspec.registry")._registry, "s3", raising=False)
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(
        UserError, match=r"A s3:// triggers_url needs more packages: install lytics-to-cordial\[s3\]\."
    ):
        read("s3://bucket/triggers")


@pytest.mark.parametrize("url", ["nonsense://bucket/triggers", "hdfs-of-nobody://x"])
def test_a_url_of_an_unknown_kind_is_an_error(url):
    with pytest.raises(UserError, match="triggers_url must be a path, or a URL that fsspec knows"):
        read(url)


def test_a_folder_in_memory_shows_that_any_filesystem_will_do():
    files = fsspec.filesystem("memory")
    with pytest.raises(UserError, match="is missing"):
        read("memory://triggers-test")
    files.pipe_file("/triggers-test/deep/a.json", as_lines(message("a")))
    try:
        assert people(read("memory://triggers-test")) == ["a"]
    finally:
        files.rm("/triggers-test", recursive=True)
