"""Many records at once come to the same as one after the other."""

import decimal
import io
import json

import msgspec
from hypothesis import example, given, settings
from hypothesis import strategies as st

from target_cordial.cordial.api import Attribute
from target_cordial.delivery.importfile import quoted
from target_cordial.intake.cells import EMPTY, RejectedError, cell_writer
from target_cordial.intake.chunks import ChunkReader
from target_cordial.intake.columns import columns_of
from target_cordial.intake.mapping import contact_key, contact_keys
from target_cordial.target import TargetCordial
from tests.target.running import (
    AUDIENCE_SCHEMA,
    LIST,
    enter,
    exit_,
    kept_files,
    line,
    quick_config,
    run,
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
@example(number=4, values=["2026-01-01T00:00:00Z\n2026-01-01T00:00:00Z"], null=MARKER)
def test_a_column_has_the_cells_that_each_value_by_itself_would_have(number, values, null):
    rejects = {}
    cells = COLUMNS[number].cells(tuple(values), null=null, absent=MARKER, rejects=rejects)
    assert len(cells) == len(values)
    for at, (value, cell) in enumerate(zip(values, cells, strict=True)):
        assert cell_or_reason(cell, rejects.get(at)) == alone(
            expected_cell, ATTRIBUTES[number], value, null, MARKER
        )


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


@MANY
@given(found=st.lists(addresses, min_size=1, max_size=4), is_address=st.booleans())
@example(found=["a@b.c\nd@e.f"], is_address=True)
def test_keys_are_those_that_each_record_by_itself_would_have(found, is_address):
    rejects = {}
    keys = contact_keys(tuple(found), is_address=is_address, field="email", rejects=rejects)
    for at, (value, key) in enumerate(zip(found, keys, strict=True)):
        assert cell_or_reason(key, rejects.get(at)) == alone(contact_key, value, is_address=is_address)


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


def outcome(box, **overrides):
    config = quick_config(
        box, batch_size_rows=50, keep_files=True, max_removal_percent=100, max_reject_percent=100, **overrides
    )
    result = run(config, messages())
    assert result.code == 0, result.log
    rejects = [
        {key: value for key, value in json.loads(line).items() if key != "time"}
        for path in sorted((box.folder / "rejects").iterdir())
        for line in path.read_text(encoding="utf-8").splitlines()
    ]
    files = list(kept_files(box).values())
    return {
        "files": [file.replace(marker, "null") for file in files for marker in [marker_of(box)]],
        "rejects": rejects,
        "lists": [box.list_members(name) for name in (LIST, "Lytics_Lapsed")],
        "contacts": {address: contact.attributes for address, contact in box.contacts().items()},
        "last state": result.states[-1],
        "summary": [line.rpartition("|")[2] for line in result.log.splitlines() if "| List " in line],
    }


def marker_of(box):
    return next(call.body["nullMarker"] for call in box.requests if call.path == "/v2/contactimports")


def test_a_stream_in_bulk_gives_the_files_rejects_and_contacts_that_it_gives_record_by_record(make_box):
    in_bulk = outcome(make_box())
    # The SDK's check of each record against its schema is not done in bulk, and finds nothing here.
    one_by_one = outcome(make_box(), validate_records=True)
    assert in_bulk == one_by_one
    assert len(in_bulk["files"]) > 10
    assert len(in_bulk["summary"]) == 2
    assert len(in_bulk["rejects"]) > 30


def test_such_a_stream_does_go_in_bulk(box, monkeypatch):
    taken = []
    take = ChunkReader.take
    monkeypatch.setattr(ChunkReader, "take", lambda path, lines: taken.append(take(path, lines)) or taken[-1])
    target = TargetCordial(
        config=quick_config(box, plan_only=True, max_removal_percent=100, max_reject_percent=100)
    )
    with target.lifecycle.ending_well():
        target.listen(io.BytesIO(b"".join(map(line, messages()))))
    assert sum(filter(None, taken)) > 500
