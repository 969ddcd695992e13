"""A line of the input as a Singer message, with numbers as exact as their text."""

from __future__ import annotations

import decimal
import json
import typing as t

import msgspec
from singer_sdk.exceptions import InvalidInputLine, RecordsWithoutSchemaException

from lytics_to_cordial.errors import TransientError, UserError

_MAX_INTEGER_DIGITS = 4_300
"""Python reads no longer integers from text (sys.set_int_max_str_digits); a Decimal may have any number of digits."""


class InputError(UserError, InvalidInputLine):
    """The input is not what a Singer tap writes; the sentence says which line, never what is in it."""


class CutOffError(TransientError, InputError):
    """The input breaks off in the middle of a line, as it does when the tap is stopped."""


class RecordBeforeSchemaError(InputError, RecordsWithoutSchemaException):
    """A record came before its stream's schema."""


class Message(msgspec.Struct, gc=False):
    """What a message is, with all that RECORD and STATE messages hold.

    Attributes:
        record: A record's JSON text, for a decoder that knows which fields are needed; a decoded record where only
            `decode_leniently` could read the line; blank where there is none.
        value: A state.
        time_extracted: For the SDK's record metadata, as `version`.
    """

    type: str = ""
    stream: str = ""
    record: msgspec.Raw = msgspec.Raw()
    value: t.Any = msgspec.UNSET
    time_extracted: t.Any = None
    version: t.Any = None


# A Decimal is longer than a float can say: a Cordial number attribute gets the source's own digits.
decode_message = msgspec.json.Decoder(Message, float_hook=decimal.Decimal).decode
_decode = msgspec.json.Decoder(float_hook=decimal.Decimal).decode


def message_of(line: bytes) -> Message:
    """Decode a line that `decode_message` cannot decode; a message without a type if it is none."""
    try:
        decoded = decode_leniently(line)
    except (ValueError, RecursionError):
        return Message()
    if not isinstance(decoded, dict):
        return Message()
    message = Message(**{name: decoded[name] for name in Message.__struct_fields__ if name in decoded})
    for name in ("type", "stream"):
        if not isinstance(getattr(message, name), str):
            setattr(message, name, "")
    return message


def decode_whole(text: bytes | msgspec.Raw) -> t.Any:
    """Decode JSON text into Python objects.

    Raises:
        ValueError: If it is not JSON.
        RecursionError: If it is nested too deeply.
    """
    try:
        return _decode(text)
    except (ValueError, ArithmeticError):
        return decode_leniently(text)


def whole_record(record: object) -> dict[str, t.Any]:
    """A message's record.

    Raises:
        ValueError: If it is not an object.
        RecursionError: If it is nested too deeply.
    """
    decoded = decode_whole(record) if isinstance(record, msgspec.Raw) else record
    if not isinstance(decoded, dict):
        raise ValueError("The record is not an object.")  # noqa: TRY004 - as text that is no JSON
    return decoded


def decode_leniently(text: bytes | msgspec.Raw) -> t.Any:
    """Decode what taps in Python may write beyond JSON, and what other decoders have no room for.

    NaN, half of a character, bytes that are not UTF-8, and numbers of any length become values that no cell can hold: if
    such a field is mapped, that one record is rejected. A byte order mark at the start is passed over.

    Raises:
        ValueError: If it is nothing of this kind.
        RecursionError: If it is nested too deeply.
    """
    decoded = str(bytes(text), "utf-8", "surrogateescape").removeprefix("\ufeff")
    return json.loads(decoded, parse_float=_fraction, parse_int=_integer)


def _integer(digits: str) -> int | decimal.Decimal:
    return int(digits) if len(digits) <= _MAX_INTEGER_DIGITS else decimal.Decimal(digits)


def _fraction(text: str) -> decimal.Decimal:
    try:
        return decimal.Decimal(text)
    except decimal.InvalidOperation:
        # Its exponent has more than 18 digits.
        return decimal.Decimal("NaN")
