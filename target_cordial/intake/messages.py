"""A line of the input as a Singer message, with numbers as exact as their text."""

from __future__ import annotations

import decimal
import json
import re
import typing as t

import msgspec
from singer_sdk.exceptions import InvalidInputLine, RecordsWithoutSchemaException
from typing_extensions import Self, override

from lytics_to_cordial.errors import TransientError, UserError

_MAX_INTEGER_DIGITS = 4_300
"""Python reads no longer integers from text (sys.set_int_max_str_digits); a Decimal may have any number of digits."""
MAX_DEPTH = 200
"""So many levels of lists and objects a line may have: no code that takes them level by level runs out of room for these."""
_TOO_DEEP = b'"nested too deeply"'
_TEXTS_AND_BRACKETS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[][{}]', re.DOTALL)


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
        is_cut: Whether it is nested too deeply; a record then has a text in place of each value that is.
    """

    type: str = ""
    stream: str = ""
    record: msgspec.Raw = msgspec.Raw()
    value: t.Any = msgspec.UNSET
    time_extracted: t.Any = None
    version: t.Any = None
    is_cut: bool = False


# A Decimal is longer than a float can say: a Cordial number attribute gets the source's own digits.
_decode_message = msgspec.json.Decoder(Message, float_hook=decimal.Decimal).decode
_decode = msgspec.json.Decoder(float_hook=decimal.Decimal).decode


def read_message(line: bytes) -> Message:
    """What a line is; a message without a type if it is none, or none that can be taken as it is."""
    text = _cut(line) if line.count(b"[") + line.count(b"{") > MAX_DEPTH else line
    try:
        message = _decode_message(text)
    except (ValueError, ArithmeticError, RecursionError):
        message = _message_of(text)
    message.is_cut = text is not line
    return message if message.type == "RECORD" or not message.is_cut else Message(is_cut=True)


def _message_of(line: bytes) -> Message:
    """What a line is that only `decode_leniently` can decode, if it can."""
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


def _cut(line: bytes) -> bytes:
    """A line with a text in place of each value that lies too deep."""
    kept: list[bytes] = []
    depth = end = 0
    for token in _TEXTS_AND_BRACKETS.finditer(line):
        if token[0] in b"[{":
            depth += 1
            if depth == MAX_DEPTH + 1:
                kept += [line[end : token.start()], _TOO_DEEP]
        elif token[0] in b"]}":
            if depth == MAX_DEPTH + 1:
                end = token.end()
            depth -= 1
    return b"".join([*kept, line[end:]]) if kept else line


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
        return Endless(text)


class Endless(decimal.Decimal):
    """A number whose exponent has more than 18 digits: no number to all who compute, and its own text to all who write it."""

    _text: str

    def __new__(cls, text: str) -> Self:
        """Keep the number's text."""
        number = super().__new__(cls, "NaN")
        number._text = text
        return number

    @override
    def __str__(self) -> str:
        return self._text
