"""Cells of an import file: a record's value as a Cordial attribute's type wants it."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import functools
import math
import re
import typing as t

import msgspec

from lytics_to_cordial.errors import UserError
from target_cordial.cordial.attributes import Attribute

MAX_STRING_CHARACTERS = 128
"""Where an attribute says nothing else (Cordial Swagger v2: contact attribute validators)."""
GEO_PARTS = frozenset(
    {
        "street_address",
        "street_address2",
        "city",
        "state",
        "postal_code",
        "country",
        "countryISO",
        "tz",
        "loc.lat",
        "loc.lon",
    }
)
"""Cordial support: contact attributes, geo."""

EMPTY: tuple[object, ...] = (None, "", [], {})
"""No value: a cell cannot tell an empty text, list or object from none, and what Cordial makes of an empty cell is not known."""
COORDINATES = {"loc.lat": decimal.Decimal(90), "loc.lon": decimal.Decimal(180)}
_PLAIN_EXPONENT = 40
"""Numbers up to so many digits long are written without an exponent."""
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_DATE = re.compile(
    r"(?P<date>\d{4}-\d\d-\d\d)"
    r"(?:[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?P<fraction>\.\d+)?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
FRACTION_DIGITS = 6
"""Microseconds: Cordial passes over dates with more (Cordial support: Snowflake as a source), and keeps no more."""
_UNWRITABLE = "holds a character that no text file can hold"
_MAX_OFFSET_HOURS = 15
_MAX_OFFSET_MINUTES = 60
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


class RejectedError(ValueError):
    """A record cannot be sent.

    Attributes:
        reason: Why, without the value.
        field: The field to blame, if it is one.
    """

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


def cell_writer(attribute: Attribute, part: str | None) -> t.Callable[[object], str]:
    """A function that makes a value, as JSON has it and never null, into its cell.

    It raises `RejectedError` if the value does not fit. `part` is that of a geo attribute, such as `city`.

    Raises:
        UserError: If attribute and part do not go together.
    """
    if attribute.type == "geo":
        if part not in GEO_PARTS:
            raise UserError(
                f"The attribute {attribute.key!r} is a geo attribute: map a field to one of its parts in field_mapping, such as "
                f"{attribute.key}.city (parts: {', '.join(sorted(GEO_PARTS))})."
            )
        furthest = COORDINATES.get(str(part))
        if furthest is not None:
            return functools.partial(_number, -furthest, furthest)
        return functools.partial(_string, None, MAX_STRING_CHARACTERS)
    if part is not None:
        raise UserError(
            f"The attribute {attribute.key!r} is a {attribute.type}, which has no part {part!r}: correct field_mapping."
        )
    if attribute.type == "number":
        return functools.partial(_number, attribute.min, attribute.max)
    if attribute.type == "date":
        return _date
    longest = longest_text(attribute)
    if attribute.type == "array":
        return functools.partial(_array, attribute.max_items, longest)
    return functools.partial(_string, attribute.min, longest)


def longest_text(attribute: Attribute) -> int:
    """The most characters of a string, or of an array's item."""
    return MAX_STRING_CHARACTERS if attribute.max is None else int(attribute.max)


def _string(shortest: decimal.Decimal | None, longest: int, value: object) -> str:
    text = value if type(value) is str else _text(value)
    if len(text) > longest:
        raise RejectedError(f"longer than {longest} characters")
    if shortest is not None and len(text) < shortest:
        raise RejectedError(f"shorter than {shortest} characters")
    # Most text is printable, which is quick to see; what is not may still be a line break.
    return text if text.isprintable() else _writable(text)


def _writable(text: str) -> str:
    if "\x00" in text or not is_unicode(text):
        raise RejectedError(_UNWRITABLE)
    return text


def is_unicode(text: str) -> bool:
    """Whether a text can be in a file: half of a character cannot."""
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (float, decimal.Decimal)):
        return _finite(value)
    if isinstance(value, (dt.datetime, dt.date)):
        return value.isoformat()
    # Text itself, if it is of a subclass; a number's own digits; JSON for lists and objects.
    return str(value) if isinstance(value, (str, int)) else _json(value)


def is_torn(cell: str) -> bool:
    """Whether a cell would take in the next ones where a backslash hides a quote, as it may in Cordial's reader."""
    return "\\" in cell and (
        '\\"' in cell or (cell.endswith("\\") and any(mark in cell for mark in ',"\r\n'))
    )


def _json(value: object) -> str:
    try:
        text = _encode(value).decode()
    except (UnicodeEncodeError, RecursionError) as error:
        raise RejectedError(_UNWRITABLE) from error
    # The same JSON, and no backslash before a quote: a reader for which a backslash escapes reads it, too.
    return text.replace("\\\\", r"\u005c").replace(r"\"", r"\u0022") if "\\" in text else text


def _finite(value: float | decimal.Decimal) -> str:
    number = decimal.Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite():
        raise RejectedError("not a finite number")
    # Plain digits, which every reader of numbers takes; those of a number such as 1E+999999 would fill the file.
    return format(number, "f") if abs(number.adjusted()) <= _PLAIN_EXPONENT else str(number)


def _number(least: decimal.Decimal | None, most: decimal.Decimal | None, value: object) -> str:
    if type(value) is int:
        text = str(value)
    elif isinstance(value, bool):
        text = "1" if value else "0"
    elif isinstance(value, str):
        text = value.strip()
        if not _NUMBER.fullmatch(text):
            raise RejectedError("not a number")
    elif isinstance(value, (float, decimal.Decimal)):
        text = _finite(value)
    else:
        raise RejectedError("not a number")
    if math.isinf(float(text)):
        raise RejectedError("larger than any number can be (about 1.8e308)")
    if least is not None and decimal.Decimal(text) < least:
        raise RejectedError(f"less than {least}")
    if most is not None and decimal.Decimal(text) > most:
        raise RejectedError(f"more than {most}")
    return text


def _date(value: object) -> str:
    """ISO 8601 with the source's own digits, cut to microseconds (Cordial support: dates are ISO 8601)."""
    text = value if isinstance(value, str) else value.isoformat() if isinstance(value, dt.date) else ""
    match = _DATE.fullmatch(text.strip().upper())
    zone = None if match is None else _zone(match["zone"] or "")
    if match is None or zone is None or not _is_in_calendar(match):
        raise RejectedError("not a date in ISO 8601")
    if match["time"] is None:
        return match["date"]
    return f"{match['date']}T{match['time']}{(match['fraction'] or '')[: FRACTION_DIGITS + 1]}{zone}"


def _is_in_calendar(match: re.Match[str]) -> bool:
    try:
        dt.date.fromisoformat(match["date"])
        if match["time"] is not None:
            dt.time.fromisoformat(match["time"])
    except ValueError:
        return False
    return True


def _zone(text: str) -> str | None:
    """An offset with its minutes, as `+02:00`; None if no place on earth has it."""
    if text in {"", "Z"}:
        return text
    hours, minutes = text[1:3], text[3:].lstrip(":") or "00"
    if int(hours) >= _MAX_OFFSET_HOURS or int(minutes) >= _MAX_OFFSET_MINUTES:
        return None
    return f"{text[0]}{hours}:{minutes}"


def _array(most: int, longest: int, value: object) -> str:
    """The text of a JSON array: how Cordial wants an array in a cell is not documented."""
    items = _items(value)
    if len(items) > most:
        raise RejectedError(f"more than {most} items")
    if any(item is None or isinstance(item, (list, dict)) for item in items):
        raise RejectedError("an item is null, a list or an object")
    return _json([_string(None, longest, item) for item in items])


def _items(value: object) -> list[t.Any]:
    if isinstance(value, str) and value.startswith("["):
        # A tap or a stream map that flattens writes a list as its JSON text.
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            return _decode_list(value)
    return value if isinstance(value, list) else [value]


_decode_list = msgspec.json.Decoder(list, float_hook=decimal.Decimal).decode
