"""Whatever is in a cell, a CSV reader gets the same text back; and a cell that no file can hold is refused before."""

import csv
import datetime as dt
import decimal
import io
import json
import re
import tempfile
from pathlib import Path

from hypothesis import example, given, settings
from hypothesis import strategies as st

from target_cordial.cordial.attributes import Attribute
from target_cordial.delivery.importfile import quoted, write_csv
from target_cordial.intake.cells import RejectedError, cell_writer

MANY = settings(max_examples=500, deadline=None)
MARKER = "null-0123456789abcdef"

# Line ends, quotes and delimiters far more often than chance would have them.
nasty = st.text(
    st.sampled_from(
        ["\r", "\n", '"', ",", ";", "\t", " ", "\\", "'", "a", "\ufeff", "\u2028", "\x1c", "\x0b", "é"]
    )
)
cells = st.one_of(nasty, st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\x00")))


def written(header, rows):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        write_csv(path, header, [tuple(map(quoted, row)) for row in rows])
        return path.read_bytes()


def read(content):
    """As Cordial's side of the sandbox reads it."""
    return list(csv.reader(io.StringIO(content.decode("utf-8"), newline=""), strict=True))


@MANY
@given(st.lists(st.lists(cells, min_size=3, max_size=3), max_size=5))
@example([["", "", ""], ["\r", "\n", "\r\n"], ['"', '""', ',"'], [" ", "\t", "\ufeff"]])
def test_any_cells_are_read_back_exactly(rows):
    header = ["channels.email.address", "first_name", "home.city"]
    assert read(written(header, rows)) == [header, *rows]


@MANY
@given(st.lists(cells.filter(bool).map(lambda cell: [cell]), max_size=5))
def test_rows_of_one_cell_are_read_back_exactly(rows):
    assert read(written(["channels.email.address"], rows)) == [["channels.email.address"], *rows]


@MANY
@given(st.lists(st.lists(cells, min_size=2, max_size=2), max_size=3))
def test_a_line_ends_with_crlf_outside_quotes_and_nowhere_else(rows):
    content = written(["a", "b"], rows).decode()
    outside = re.sub(r'"(?:[^"]|"")*"', "", content)
    assert outside.count("\r\n") == len(rows) + 1
    assert "\r" not in outside.replace("\r\n", "")
    assert "\n" not in outside.replace("\r\n", "")


json_values = st.recursive(
    st.one_of(
        st.booleans(),
        st.integers(),
        st.decimals(),
        st.floats(),
        st.text(),
        nasty,
        st.datetimes(timezones=st.sampled_from([None, dt.timezone.utc])),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)
columns = st.sampled_from(
    [("string", None), ("number", None), ("date", None), ("array", None), ("geo", "city"), ("geo", "loc.lat")]
)


@settings(max_examples=2_000, deadline=None)
@given(columns, json_values)
@example(("array", None), "[")
@example(("array", None), "[" * 5_000)
@example(("string", None), "\ud800")
@example(("string", None), {"\ud800": 1})
@example(("array", None), ["\udfff"])
@example(("number", None), decimal.Decimal("1E+999999999"))
@example(("number", None), decimal.Decimal("sNaN"))
def test_any_value_becomes_a_cell_that_fits_or_a_reason_without_the_value(column, value):
    kind, part = column
    attribute = Attribute("key", kind, max=decimal.Decimal(50) if kind == "string" else None)
    try:
        cell = cell_writer(attribute, part)(value)
    except RejectedError as error:
        reason = str(error)
    else:
        reason = None
    if reason is not None:
        assert 0 < len(reason) < 60
        return
    assert read(written(["a", "b"], [["", cell]]))[1:] == [["", cell]]
    if kind == "string":
        assert len(cell) <= 50
    if kind == "number" or part == "loc.lat":
        assert decimal.Decimal(cell).is_finite()
    if kind == "array":
        assert all(isinstance(item, str) for item in json.loads(cell))


@MANY
@given(st.integers(-(10**19), 10**19), st.integers(-20, 20))
def test_a_number_keeps_its_value_and_its_digits(digits, exponent):
    number = decimal.Decimal(digits).scaleb(exponent, decimal.Context(prec=100))
    cell = cell_writer(Attribute("key", "number"), None)(number)
    assert decimal.Decimal(cell) == number
    assert "E" not in cell


@MANY
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_float_keeps_its_value(number):
    assert float(cell_writer(Attribute("key", "number"), None)(number)) == number
