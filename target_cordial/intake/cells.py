"""Cells of an import file: a record's value as a Cordial attribute's type wants it."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import functools
import re
import typing as t

import msgspec

from lytics_to_cordial.errors import UserError

if t.TYPE_CHECKING:
    from target_cordial.cordial.api import Attribute

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
    r"(?:[T ](?P<time>\d\d:\d\d(?::\d\d)?)(?P<fraction>\.\d{1,9})?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?",
    re.ASCII,
)
_UNWRITABLE = "holds a character that no text file can hold"
_MAX_OFFSET_HOURS = 15
_MAX_OFFSET_MINUTES = 60
_encode = msgspec.json.Encoder(decimal_format="number", enc_hook=str).encode


class RejectedError(ValueError):
    """A record cannot be sent.

    Args:
        reason: Why, without the value.
        field: The field to blame, if it is one.
    """

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


def cell_writer(attribute: Attribute, part: str | None) -> t.Callable[[object], str]:
    """How values become cells of one column.

    Args:
        attribute: The attribute.
        part: The part of a geo attribute, such as `city`.

    Returns:
        Takes a value as JSON has it, never null, and returns its cell; raises `RejectedError` if it does not fit.

    Raises:
        UserError: If attribute and part do not go together.
    """
    if attribute.type == "geo":
        if part not in GEO_PARTS:
            msg = (
                f"The attribute {attribute.key!r} is a geo attribute: map a field to one of its parts in field_mapping, such as "
                f"{attribute.key}.city (parts: {', '.join(sorted(GEO_PARTS))})."
            )
            raise UserError(msg)
        furthest = COORDINATES.get(str(part))
        if furthest is not None:
            return functools.partial(_number, -furthest, furthest)
        return functools.partial(_string, None, MAX_STRING_CHARACTERS)
    if part is not None:
        msg = f"The attribute {attribute.key!r} is a {attribute.type}, which has no part {part!r}: correct field_mapping."
        raise UserError(msg)
    if attribute.type == "number":
        return functools.partial(_number, attribute.min, attribute.max)
    if attribute.type == "date":
        return _date
    longest = longest_text(attribute)
    if attribute.type == "array":
        return functools.partial(_array, attribute.max_items, longest)
    return functools.partial(_string, attribute.min, longest)


def longest_text(attribute: Attribute) -> int:
    """How long a text may be.

    Args:
        attribute: Of type string or array.

    Returns:
        The most characters of it, or of an item.
    """
    return MAX_STRING_CHARACTERS if attribute.max is None else int(attribute.max)


def _string(shortest: decimal.Decimal | None, longest: int, value: object) -> str:
    text = value if type(value) is str else _text(value)
    if len(text) > longest:
        reason = f"longer than {longest} characters"
        raise RejectedError(reason)
    if shortest is not None and len(text) < shortest:
        reason = f"shorter than {shortest} characters"
        raise RejectedError(reason)
    # Most text is printable, which is quick to see; what is not may still be a line break.
    return text if text.isprintable() else _writable(text)


def _writable(text: str) -> str:
    if "\x00" in text or not is_unicode(text):
        raise RejectedError(_UNWRITABLE)
    return text


def is_unicode(text: str) -> bool:
    """Whether a text can be in a file: half of a character cannot.

    Args:
        text: Any.
    """
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


def _json(value: object) -> str:
    try:
        return _encode(value).decode()
    except (UnicodeEncodeError, RecursionError) as error:
        raise RejectedError(_UNWRITABLE) from error


def _finite(value: float | decimal.Decimal) -> str:
    number = decimal.Decimal(repr(value)) if isinstance(value, float) else value
    if not number.is_finite():
        reason = "not a finite number"
        raise RejectedError(reason)
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
            reason = "not a number"
            raise RejectedError(reason)
    elif isinstance(value, (float, decimal.Decimal)):
        text = _finite(value)
    else:
        reason = "not a number"
        raise RejectedError(reason)
    if least is not None and decimal.Decimal(text) < least:
        reason = f"less than {least}"
        raise RejectedError(reason)
    if most is not None and decimal.Decimal(text) > most:
        reason = f"more than {most}"
        raise RejectedError(reason)
    return text


def _date(value: object) -> str:
    """ISO 8601 with the source's own digits, to the nanosecond (Cordial support: dates are ISO 8601)."""
    text = value if isinstance(value, str) else value.isoformat() if isinstance(value, dt.date) else ""
    found = _DATE.fullmatch(text.strip().upper())
    zone = None if found is None else _zone(found["zone"] or "")
    if found is None or zone is None or not _is_in_calendar(found):
        reason = "not a date in ISO 8601"
        raise RejectedError(reason)
    return (
        found["date"]
        if found["time"] is None
        else f"{found['date']}T{found['time']}{found['fraction'] or ''}{zone}"
    )


def _is_in_calendar(found: re.Match[str]) -> bool:
    try:
        dt.date.fromisoformat(found["date"])
        if found["time"] is not None:
            dt.time.fromisoformat(found["time"])
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
    """JSON array text: how Cordial wants an array in a cell is not documented."""
    items = _items(value)
    if len(items) > most:
        reason = f"more than {most} items"
        raise RejectedError(reason)
    if any(item is None or isinstance(item, (list, dict)) for item in items):
        reason = "an item is null, a list or an object"
        raise RejectedError(reason)
    return _encode([_string(None, longest, item) for item in items]).decode()


def _items(value: object) -> list[t.Any]:
    if isinstance(value, str) and value.startswith("["):
        # A tap or a stream map that flattens writes a list as its JSON text.
        with contextlib.suppress(msgspec.DecodeError, RecursionError):
            return _decode_list(value)
    return value if isinstance(value, list) else [value]


_decode_list = msgspec.json.Decoder(list, float_hook=decimal.Decimal).decode
