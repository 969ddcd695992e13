"""A chunk of lines comes to what its lines come to one after the other."""

import decimal
import itertools
import json
import math
from collections import Counter
from types import SimpleNamespace

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from lytics_to_cordial.errors import UserError
from target_cordial.cordial.attributes import Attribute
from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.importfile import quoted
from target_cordial.intake.account_lists import AccountLists
from target_cordial.intake.cells import EMPTY, RejectedError, cell_writer
from target_cordial.intake.chunks import Intake
from target_cordial.intake.columns import columns_of
from target_cordial.intake.identifiers import contact_keys
from target_cordial.intake.list_names import ListTemplate
from target_cordial.intake.lists import Lists
from target_cordial.intake.rows import RowWriter
from target_cordial.target import TargetCordial
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    exit_,
    kept_files,
    line,
    quick_config,
    record,
    schema,
    state,
)

MARKER = "null-0123456789abcdef"
MANY = settings(max_examples=300, deadline=None)
ATTRIBUTES = [
    Attribute("text", "string"),
    Attribute("short", "string", max=decimal.Decimal(5)),
    Attribute("needed", "string", required=True),
    Attribute("number", "number"),
    Attribute("date", "date"),
    Attribute("tags", "array"),
]
numbers = st.one_of(st.integers(), st.decimals(allow_nan=False, allow_infinity=False), st.booleans())
moments = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
odd_moments = st.sampled_from(
    [
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:00:60Z",
        "0000-01-01T00:00:00Z",
        "2026-01-01T00:00:00.1234567890Z",
        "2026-01-01T00:00:00Z\n2026-01-01T00:00:00Z",
        "2026-01-01t00:00:00z",
        "2026-01-01 00:00:00Z",
        "2026-01-01T00:00:00+02:00",
        "2026-01-01",
        " 2026-01-01T00:00:00Z",
        '2026-01-01T00:00:00Z","2026-01-01T00:00:00Z',
        "\u0662\u0660\u0662\u0666-01-01T00:00:00Z",
    ]
)
texts = st.one_of(st.text(max_size=8), st.just(MARKER), st.just("x" * 129))
values = st.one_of(
    st.just(msgspec.UNSET),
    st.none(),
    texts,
    numbers,
    moments,
    odd_moments,
    st.lists(st.text(max_size=3), max_size=2),
)
columns_of_values = st.one_of(
    *(st.lists(kind, min_size=1, max_size=4) for kind in (values, texts, moments, numbers)),
    *(
        st.lists(st.one_of(st.none(), kind), min_size=1, max_size=4)
        for kind in (texts, moments, st.integers())
    ),
)


COLUMNS = columns_of({one.key: one.key for one in ATTRIBUTES}, {one.key: one for one in ATTRIBUTES})


def cell_or_reason(found, reject):
    """What was found for one value, or why it is rejected."""
    return found if reject is None else reject.reason


def alone(function, *arguments, **options):
    """The outcome for a value by itself."""
    try:
        return function(*arguments, **options)
    except RejectedError as error:
        return error.reason


def expected_cell(attribute, value, null, absent):
    if value is msgspec.UNSET or value in EMPTY:
        if null is None:
            raise RejectedError("no value")
        return absent if value is msgspec.UNSET else null
    cell = cell_writer(attribute, None)(value)
    if cell == absent:
        raise RejectedError("equal to this run's null marker")
    if (cell.endswith("\\") and quoted(cell) != cell) or '\\"' in cell:
        raise RejectedError("a backslash before a quote, or at the end of a text that needs quotes")
    return quoted(cell)


@MANY
@given(
    number=st.integers(0, len(ATTRIBUTES) - 1),
    values=columns_of_values,
    null=st.sampled_from([MARKER, "", None]),
)
@example(number=0, values=[0, False, "a"], null="")
@example(number=0, values=[[], {}, "", None], null="")
@example(number=0, values=["null-01234567", "89abcdef"], null=MARKER)
@example(number=0, values=["a, b\\", "c\\", '\\"', "\\"], null=MARKER)
@example(number=4, values=["2026-01-01T00:00:00.123456789Z", None, "2026-01-01T00:00:00Z"], null=MARKER)
@example(number=4, values=["2026-01-01T00:00:00Z\n2026-01-01T00:00:00Z"], null=MARKER)
def test_a_column_has_the_cells_that_each_value_by_itself_would_have(number, values, null):
    misfits = {}
    cells = COLUMNS[number].cells(tuple(values), null=null, absent=MARKER, misfits=misfits)
    assert len(cells) == len(values)
    for at, (value, cell) in enumerate(zip(values, cells, strict=True)):
        assert cell_or_reason(cell, misfits.get(at)) == alone(
            expected_cell, ATTRIBUTES[number], value, null, MARKER
        )
        assert at not in misfits or cell == MARKER


addresses = st.one_of(
    st.emails(),
    st.text("aA@.é \n,\u212a\u0130", max_size=12),
    st.sampled_from(
        [
            "a@b.c",
            "A@B.C",
            " a@b.c",
            "a@b..c",
            "a@.b.c",
            "a@b.c\nd@e.f",
            f"{'a' * 250}@b.cd",
            "",
            "\u212a@b.cd",
        ]
    ),
    st.none(),
    st.just(msgspec.UNSET),
    st.integers(),
)


def keys_or_reasons(identifiers, kinds, **options):
    rejects = {}
    keys = contact_keys(tuple(identifiers), kinds, field="email", rejects=rejects, **options)
    return [cell_or_reason(key, rejects.get(at)) for at, key in enumerate(keys)]


@MANY
@given(
    found=st.lists(st.tuples(addresses, st.sampled_from(["enter", "exit"])), min_size=1, max_size=4),
    is_address=st.booleans(),
)
@example(found=[("a@b.cd\nd@e.fg", "enter")], is_address=True)
def test_keys_are_those_that_each_record_by_itself_would_have(found, is_address):
    values, kinds = zip(*found, strict=True)
    keys = keys_or_reasons(values, kinds, is_address=is_address)
    assert keys == [
        key for value, kind in found for key in keys_or_reasons([value], [kind], is_address=is_address)
    ]


class Parts:
    """An input that comes in parts of its own."""

    def __init__(self, data, ends):
        bounds = [0, *sorted({end for end in ends if 0 < end < len(data)}), len(data)]
        self._parts = [data[start:end] for start, end in itertools.pairwise(bounds)]

    def read1(self, _):
        return self._parts.pop(0) if self._parts else b""


def line_ends(data):
    return [place + 1 for place, byte in enumerate(data) if byte == ord("\n")]


class RecordedDelivery:
    """Keeps what it is given, in order: an item a record, or a state.

    A record's position may be early, but not so early that a state before it would wait for it.
    """

    def __init__(self):
        self.records = 0
        self.updates = 0
        self.values = Counter()
        self.items = []
        self.totals = SimpleNamespace(ignored_exits=0)
        self._records_at_state = 0

    def enter(self, target_list, keys, rows, *, position, updates):
        assert self._records_at_state < position <= self.records
        self.items += [("enter", target_list, key, row) for key, row in zip(keys, rows, strict=True)]
        self.updates += updates

    def exit(self, target_list, keys, *, position, again):
        assert self._records_at_state < position <= self.records
        self.items += [("exit", target_list, key, again) for key in keys]

    def reject(self, reject):
        told = {name: value for name, value in reject.record.items() if not name.startswith("_sdc_")}
        self.items.append(("reject", self.records, reject.stream, repr(told), reject.reason, reject.field))

    def count_values(self, values, skipped):
        self.values.update(values)
        self.values.update([(value.column, value.reason) for value in skipped])

    def state(self, value):
        self.items.append(("state", self.records, repr(value)))
        self._records_at_state = self.records

    def hold(self):
        self.items.append(("hold", self.records))

    def release(self):
        self.items.append(("release", self.records))

    def tick(self):
        pass


class AnyList:
    """A Cordial that has each list that is asked for."""

    def __init__(self):
        self.lists = self

    def find(self, name):
        return ContactList(sum(name.encode()), name)

    def size(self, _):
        return 0


MAPPING = {"text": "text", "inner.short": "short", "number": "number", "day": "date", "tags": "tags"}


def taken(data, ends, **overrides):
    """What the delivery was given, and the sentence that the input ended with."""
    config = {
        "api_key": "key",
        "list_name": "{team}",
        "field_mapping": MAPPING,
        "storage_url": "file:///nowhere",
        "import_source": {"transport": "http", "url": "http://127.0.0.1/"},
        "list_action": "sync",
        "invalid_values": "reject",
        **overrides,
    }
    target = TargetCordial(config=config)
    delivery = RecordedDelivery()
    attributes = {attribute.key: attribute for attribute in ATTRIBUTES}
    columns = columns_of(target.settings.field_mapping, attributes)
    rows = RowWriter(columns, target.settings, MARKER)
    account = AccountLists(AnyList(), ListTemplate("{team}"), attributes)
    lists = Lists(account, target.run.bookmarks)
    target.intake = target.message_reader.intake = Intake(
        target.settings, delivery, lambda: (rows, lists), target.run.bookmarks
    )
    sentence = None
    try:
        target.process_lines(Parts(data, ends))
        target.intake.finish()
    except UserError as error:
        sentence = str(error)
    finally:
        target.run.close()
    counts = delivery.records, delivery.updates, delivery.totals.ignored_exits
    return delivery.items, *counts, +delivery.values, sentence


def properties(**more):
    string = {"type": ["string", "null"]}
    return {
        "id": {"type": ["integer", "null"]},
        "email": string,
        "team": string,
        "audience_state": string,
        "audience_change": string,
        "text": {},
        "inner": {"type": ["object", "null"], "properties": {"short": string}},
        "number": {"type": ["number", "string", "null"]},
        "day": string,
        "tags": {},
        **more,
    }


SCHEMAS = {
    "people": schema(properties(), "people", ("id",)),
    "guests": schema(properties(more={"type": "string"}), "guests", ()),
    "rows": schema(
        {name: rule for name, rule in properties(_sdc_deleted_at={}).items() if name != "audience_state"},
        "rows",
        (),
    ),
    "visits": schema({"id": {}}, "visits", ()),
}
BIG = "an integer of 4,400 digits"
DEEP = "a list in 300 lists"
people = st.fixed_dictionaries(
    {"email": st.sampled_from(["a@x.org", "B@x.org", "c@x.org", "nobody", None, 7, "d\ud83d@x.org"])},
    optional={
        "id": st.integers(0, 9),
        "team": st.sampled_from(["red", "blue", "", None, "\ud83d"]),
        "audience_state": st.sampled_from(["enter", "enter", "exit", "left", None]),
        "audience_change": st.sampled_from(["update", "enter", "exit_again", None]),
        "_sdc_deleted_at": st.sampled_from([None, "2026-01-01", "active"]),
        "text": st.one_of(st.text(max_size=3), st.sampled_from(["x" * 129, "\ud83d", BIG, math.nan, True])),
        "inner": st.sampled_from([None, {}, "flat", {"short": "s"}, {"short": "longer"}, {"short": None}]),
        "number": st.sampled_from([1, 2.5, "3", "many", BIG, math.nan, None, 1e300]),
        "day": st.sampled_from(["2026-01-01T00:00:00Z", "2026-02-30", None, "2026-01-01"]),
        "tags": st.sampled_from([[], ["a"], [None], "one"]),
        "unmapped": st.sampled_from([BIG, math.nan, "\ud83d", {"deep": [BIG]}, DEEP]),
    },
)
lines = st.one_of(
    st.builds(record, people, st.sampled_from(["people", "people", "guests", "rows", "visits"])),
    st.builds(record, people, st.just("people")),
    st.sampled_from(
        [
            *(state({"at": number}) for number in range(3)),
            *SCHEMAS.values(),
            {"type": "ACTIVATE_VERSION", "stream": "people", "version": 1},
            schema(properties(more={"type": "integer"}), "people", ("id",)),
            schema({"team": {}}, "rows", ()),
            b"\n",
        ]
    ),
)
SHAPES = {
    "plain": {},
    "validate_records": {"validate_records": True},
    "stream map": {"stream_maps": {"people": {"__filter__": "_.get('id') != 3", "text": "str(_.get('id'))"}}},
    "stream map that fails": {"stream_maps": {"people": {"text": "id + 1"}}},
    "stream maps that split": {
        "stream_maps": {"again": {"__source__": "people", "team": "'green'"}, "guests": None},
    },
    "flattening": {
        "flattening_enabled": True,
        "flattening_max_depth": 1,
        "field_mapping": {"inner__short": "short", "text": "text"},
    },
    "record metadata": {"add_record_metadata": True},
    "list_action add": {"list_action": "add"},
    "values that do not fit are left out": {"invalid_values": "skip"},
}


def written(messages):
    data = b"".join(line(message) for message in [*SCHEMAS.values(), *messages])
    data = data.replace(json.dumps(DEEP).encode(), b"[" * 300 + b"]" * 300)
    return data.replace(json.dumps(BIG).encode(), b"7" * 4_400)


@settings(max_examples=300, deadline=None)
@given(
    shape=st.sampled_from(sorted(SHAPES)),
    messages=st.lists(lines, max_size=30),
    ends=st.lists(st.integers(0, 20_000), max_size=3),
)
def test_a_chunk_gives_what_its_lines_give_one_by_one(shape, messages, ends):
    data = written(messages)
    items, *counts, sentence = taken(data, line_ends(data), **SHAPES[shape])
    for cut in ([], ends):
        items_of_chunks, *counts_of_chunks, sentence_of_chunks = taken(data, cut, **SHAPES[shape])
        assert sentence_of_chunks == sentence
        assert (items_of_chunks, counts_of_chunks) == (items, counts)


def test_order_positions_reasons_and_states_of_a_chunk_are_those_of_its_records():
    def person(stream, email, **more):
        return record({"id": 1, "email": email, "team": "red", "audience_state": "enter", **more}, stream)

    messages = [
        person("people", "a@x.org", text="first", number=1),
        person("guests", "b@x.org", audience_change="update"),
        state({"at": 2}),
        person("people", "c@x.org", audience_state="exit"),
        person("visits", "nobody"),
        person("guests", "nobody"),
        person("people", "d@x.org", audience_state="exit", audience_change="exit_again"),
        person("rows", "e@x.org", _sdc_deleted_at="2026-01-01"),
        state({"at": 7}),
        person("people", "f@x.org", number=BIG),
        person("people", "g@x.org", unmapped=BIG),
        person("guests", "h@x.org", inner={"short": "longer"}),
    ]
    items, records, updates, *_, sentence = taken(written(messages), [])
    red = ContactList(sum(b"red"), "red")
    null = MARKER
    assert [item for item in items if item[0] not in ("release", "hold", "reject")] == [
        ("enter", red, "a@x.org", ("a@x.org", "first", null, "1", null, null)),
        ("enter", red, "b@x.org", ("b@x.org", null, null, null, null, null)),
        ("state", 2, "{'at': 2}"),
        ("exit", red, "c@x.org", False),
        ("exit", red, "d@x.org", True),
        ("exit", red, "e@x.org", False),
        ("state", 7, "{'at': 7}"),
        ("enter", red, "g@x.org", ("g@x.org", null, null, null, null, null)),
    ]
    assert [(item[1], item[2], *item[4:]) for item in items if item[0] == "reject"] == [
        (
            5,
            "guests",
            "the identifier is not an e-mail address: an email address must have an at-sign",
            "email",
        ),
        (8, "people", "larger than any number can be (about 1.8e308)", "number"),
        (10, "guests", "longer than 5 characters", "inner.short"),
    ]
    assert (records, updates, sentence) == (10, 1, None)


BROKEN = [
    (b"{not JSON}\n", "Line 6 of the input is not valid JSON"),
    (b'["no", "object"]\n', "Line 6 of the input is JSON, but no object, so it is not a Singer message"),
    (b'{"type": "RECORD", "stream": "people", "record": 5}\n', "in line 6 of the input lacks its stream or"),
    (b'{"type": "RECORD", "stream": ["people"], "record": {}}\n', "in line 6 of the input lacks its stream"),
    (b'{"type": "RECORD", "stream": "people"}\n', "in line 6 of the input lacks its stream or its record"),
    (
        b'{"type": "RECORD", "stream": "who", "record": {}}\n',
        "Line 6 of the input is a record of stream 'who'",
    ),
    (b'{"type": "STATE"}\n', "The STATE message in line 6 of the input lacks its value"),
    (
        b'{"type": "SCHEMA", "stream": "people"}\n',
        "The SCHEMA message in line 6 of the input lacks its stream or",
    ),
    (b'{"type": "BATCH", "stream": "people"}\n', "The stream 'people' comes as BATCH files"),
]


@pytest.mark.parametrize(("broken", "sentence"), BROKEN)
def test_what_came_before_a_broken_line_of_a_chunk_is_sent(broken, sentence):
    good = record({"id": 1, "email": "a@x.org", "team": "red", "audience_state": "enter"}, "people")
    data = written([good, broken, good])
    whole = taken(data, [])
    assert sentence in whole[-1]
    assert [item[0] for item in whole[0]].count("enter") == whole[1] == 1
    assert whole == taken(data, line_ends(data))


def test_a_byte_order_mark_at_the_start_is_passed_over():
    data = written(
        [record({"id": 1, "email": "a@x.org", "team": "red", "audience_state": "enter"}, "people")]
    )
    assert taken(b"\xef\xbb\xbf" + data, []) == taken(data, [])


def test_bytes_that_are_not_utf_8_reject_one_record_where_they_are_mapped():
    good = {"id": 1, "email": "a@x.org", "team": "red", "audience_state": "enter", "text": "t\x7f"}
    data = written([record({**good, "unmapped": "t\x7f", "text": ""}, "people"), record(good, "people")])
    items, *_, sentence = taken(data.replace(rb"\u007f", b"\xff"), [])
    assert sentence is None
    enter, reject = items[-2:]
    assert enter[::2] == ("enter", "a@x.org")
    assert reject[::2] == ("reject", "people", "holds a character that no text file can hold")


def messages():
    """Enters, exits and re-enters of some people in two audiences, with odd records among them, and states."""
    yield AUDIENCE_SCHEMA
    for number in range(600):
        address = f"p{number * 7 % 173}@example.com"
        audience = ["VIP Customers", "Lapsed"][number // 50 % 2]
        if number % 11 == 3:
            yield exit_(address, audience=audience)
        elif number % 23 == 5:
            yield enter([f"nobody {number}", None, ""][number % 3], audience=audience, first_name="odd")
        elif number % 37 == 9:
            yield enter(address, audience=audience, birthday="2026-02-30")
        else:
            name = ["Zoë", 'Robert "Bob"', None, "Lee, Jr.", "two\nlines", ""][number % 6]
            yield enter(
                address, audience=audience, first_name=name, visit_count=number, birthday="1990-01-02"
            )
        if number % 40 == 39:
            yield state({"at": number})
    yield state({"at": 600})


def outcome(box, ends):
    config = quick_config(
        box, batch_size_rows=50, keep_files=True, max_removal_percent=100, max_reject_percent=100
    )
    data = b"".join(map(line, messages()))
    target = TargetCordial(config=config)
    with target.run.ending_well():
        target.listen(Parts(data, ends(data)))
    rejects = [
        {key: value for key, value in json.loads(line).items() if key != "time"}
        for path in sorted((box.folder / "rejects").iterdir())
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    marker = next(call.body["nullMarker"] for call in box.requests if call.path == "/v2/contactimports")
    return {
        "files": [file.replace(marker, "null") for file in kept_files(box).values()],
        # What is left out is reported with its chunk, before the rejects in it.
        "rejects": sorted(rejects, key=json.dumps),
        "lists": [box.list_members(name) for name in (LIST, "Lytics_Lapsed")],
        "contacts": {address: contact.attributes for address, contact in box.contacts().items()},
        "arrived": target.run.delivery.totals.arrived,
    }


def test_chunks_give_the_files_rejects_and_contacts_that_lines_give_one_by_one(make_box, capsys):
    in_chunks = outcome(make_box(), lambda _: [])
    states = capsys.readouterr().out
    assert outcome(make_box(), line_ends) == in_chunks
    assert capsys.readouterr().out.splitlines()[-1] == states.splitlines()[-1] == '{"at": 600}'
    assert len(in_chunks["files"]) > 10
    assert len(in_chunks["arrived"]) == 6
    assert len(in_chunks["rejects"]) > 30
