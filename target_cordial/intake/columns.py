"""Columns of an import file: the values that many records have for one attribute, made into cells together.

What is common is checked for all values at once, the rest value by value: with records of eleven fields, this takes a
quarter of the time.
"""

from __future__ import annotations

import datetime as dt
import re
import typing as t

import msgspec

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.near_names import suggestion
from target_cordial.cordial.attributes import Attribute
from target_cordial.delivery.importfile import quoted
from target_cordial.intake.cells import (
    COORDINATES,
    EMPTY,
    FRACTION_DIGITS,
    RejectedError,
    cell_writer,
    is_torn,
    is_unicode,
    longest_text,
)

Values: t.TypeAlias = "t.Sequence[object]"
"""A value a record, `msgspec.UNSET` where a record lacks the field."""
Rejects: t.TypeAlias = dict[int, RejectedError]
"""Why records cannot be sent, by their place; the first reason counts."""

_PLAIN_INTEGERS = 1 << 63
"""Integers up to this one are numbers beyond doubt."""
_DIGITS_TO_ZERO = bytes(ord("0") if chr(byte).isdigit() else byte for byte in range(128)) + bytes(
    range(128, 256)
)
_TIME_SHAPE = re.compile(rb"0000-00-00T00:00:00(\.0{1,9})?Z")
_MICROSECONDS_END = len("0000-00-00T00:00:00.") + FRACTION_DIGITS
_FINER_THAN_CELLS = re.compile(rf"\.\d{{{FRACTION_DIGITS + 1}}}")
_decode_times = msgspec.json.Decoder(list[dt.datetime]).decode


class Column:
    """A mapped field and where it goes.

    Attributes:
        field: The record's field, dotted for a nested one.
        header: Cordial's column: an attribute's key, and its part for a geo attribute.
        kind: What its cells hold: number, date, array, or else text.
        has_cut: Whether dates came that are finer than cells are.
    """

    def __init__(self, field: str, header: str, attribute: Attribute, part: str | None) -> None:
        self.field = field
        self.header = header
        self.attribute = attribute
        self.kind = "number" if part in COORDINATES else attribute.type
        self.has_cut = False
        self._write = cell_writer(attribute, part)
        self._is_text = attribute.type == "string" and attribute.min is None
        self._longest = longest_text(attribute)
        self._is_date = attribute.type == "date"
        self._is_plain_number = attribute.type == "number" and attribute.min is None and attribute.max is None

    def cells(self, values: Values, *, null: str | None, absent: str, misfits: Rejects) -> t.Sequence[str]:
        """The column's cells.

        Args:
            values: The field's values.
            null: The cell of an empty value; None if there has to be one.
            absent: The cell that leaves an attribute as it is, which no value may equal.
            misfits: Takes the reason of each value that cannot be sent; its cell leaves the attribute as it is.
        """
        if null is not None and msgspec.UNSET not in values and self._are_plain(values, absent):
            texts = t.cast("t.Sequence[str]", values)
            return self._times(texts, null) if self._is_date else quoted_all([text or null for text in texts])
        if self._is_plain_number:
            return [
                str(value)
                if type(value) is int and -_PLAIN_INTEGERS < value < _PLAIN_INTEGERS
                else self._cell(number, value, null, absent, misfits)
                for number, value in enumerate(values)
            ]
        return [self._cell(number, value, null, absent, misfits) for number, value in enumerate(values)]

    def _cell(self, number: int, value: object, null: str | None, absent: str, misfits: Rejects) -> str:
        try:
            if value is msgspec.UNSET or value in EMPTY:
                if null is None:
                    raise RejectedError("no value")
                return absent if value is msgspec.UNSET else null
            cell = self._write(value)
            if cell == absent:
                raise RejectedError("equal to this run's null marker")
            if is_torn(cell):
                raise RejectedError("a backslash before a quote, or at the end of a text that needs quotes")
        except RejectedError as error:
            misfits[number] = RejectedError(error.reason, self.field)
            return absent
        if self._is_date and not self.has_cut:
            self.has_cut = _FINER_THAN_CELLS.search(str(value)) is not None
        return quoted(cell)

    def _times(self, values: t.Sequence[str | None], null: str) -> t.Sequence[str]:
        """The cells of moments in UTC."""
        if max(map(len, filter(None, values)), default=0) <= _MICROSECONDS_END + 1:
            return [value or null for value in values]
        self.has_cut = True
        return [
            null
            if not value
            else value
            if len(value) <= _MICROSECONDS_END
            else f"{value[:_MICROSECONDS_END]}Z"
            for value in values
        ]

    def _are_plain(self, values: Values, absent: str) -> bool:
        """Whether all are text that is its own cell, or nothing."""
        filled = t.cast("list[str]", list(filter(None, values)))
        empty = values.count(None) + values.count("")
        if (not self._is_text and not self._is_date) or len(filled) + empty < len(values):
            return False
        try:
            return self._are_times(filled) if self._is_date else self._are_texts(filled, absent)
        except TypeError:
            # Not all of them are text.
            return False

    def _are_texts(self, values: list[str], absent: str) -> bool:
        text = "".join(values)
        return (
            "\x00" not in text
            and "\\" not in text
            and is_unicode(text)
            and max(map(len, values), default=0) <= self._longest
            and absent not in text
        )

    @staticmethod
    def _are_times(values: list[str]) -> bool:
        """Whether all are moments in UTC as most taps write them, and in the calendar."""
        if not values:
            return True
        try:
            text = "\n".join(values).encode("ascii")
            shapes = text.translate(_DIGITS_TO_ZERO).split(b"\n")
            if len(shapes) > len(values) or not all(map(_TIME_SHAPE.fullmatch, set(shapes))):
                return False
            _decode_times(b'["' + text.replace(b"\n", b'","') + b'"]')
        except (UnicodeEncodeError, msgspec.DecodeError):
            return False
        return True


def columns_of(field_mapping: t.Mapping[str, str], attributes: t.Mapping[str, Attribute]) -> list[Column]:
    """The columns of a field mapping, in its order.

    Raises:
        UserError: If an attribute does not exist, or is mapped twice.
    """
    columns: list[Column] = []
    for field, header in field_mapping.items():
        key, _, part = header.partition(".")
        if header in attributes:
            key, part = header, ""
        attribute = attributes.get(key)
        if attribute is None and key == "channels":
            raise UserError(
                f"The column {header!r} (field_mapping of {field!r}) is that of a channel, which is never sent from a record: to keep people "
                "off the list, leave them out by a filter in stream_maps, such as `__filter__: status == 'subscribed'`; subscribe_status "
                "sets the status of new contacts."
            )
        if attribute is None:
            raise UserError(
                f"Cordial has no attribute {key!r} (field_mapping of {field!r}): create it in Cordial or correct field_mapping; "
                f"case counts{suggestion(key, attributes) or '.'}"
            )
        if any(column.header == header for column in columns):
            raise UserError(
                f"The attribute {header!r} is mapped twice in field_mapping: map one field to it."
            )
        columns.append(Column(field, header, attribute, part or None))
    return columns


def kinds_of(columns: t.Iterable[Column]) -> dict[str, str]:
    """What the cells of columns hold, by header."""
    return {column.header: column.kind for column in columns}


def quoted_all(cells: t.Sequence[str]) -> t.Sequence[str]:
    """Many cells as they are in a file, as `quoted` makes them."""
    text = "".join(cells)
    # One look at all of them: most columns need none.
    if "\n" in text or "\r" in text:
        return list(map(quoted, cells))
    if "," in text or '"' in text:
        # A call for each, also for the many that need no quotes, costs half as much again.
        return [quoted(cell) if "," in cell or '"' in cell else cell for cell in cells]
    return cells
