"""Whether what Cordial holds of a contact is what a row of an import file says."""

from __future__ import annotations

import datetime as dt
import decimal
import re
import typing as t

import msgspec

if t.TYPE_CHECKING:
    from target_cordial.cordial.contacts import Contact

_NOTHING: tuple[object, ...] = (None, "", [], {})
_PUNCTUATION = re.compile(r'[\s,"\\\[\]]')


def holds(contact: Contact, cells: t.Mapping[str, str]) -> bool:
    """Whether a contact's attributes are as a row's cells, by column, have them."""
    return all(_is_same(cell, value_of(contact, header)) for header, cell in cells.items())


def value_of(contact: Contact, header: str) -> object:
    """The value of a column; of a geo attribute's part, `home.loc.lat` may be nested once or twice."""
    value: object = contact.attributes
    rest = header
    while isinstance(value, dict) and rest:
        if rest in value:
            return value[rest]
        name, _, rest = rest.partition(".")
        value = value.get(name)
    return value if not rest else None


def _is_same(cell: str, value: object) -> bool:
    if value in _NOTHING or cell in {"", "[]"}:
        return value in _NOTHING and cell in {"", "[]"}
    if isinstance(value, list):
        # How Cordial reads an array from a cell is not documented: what matters is what is in it.
        return _letters(cell) == _letters("".join(map(str, value)))
    text = str(value)
    return cell == text or _are_same(_number, cell, text) or _are_same(_moment, cell, text)


def _are_same(reading: t.Callable[[str], object], cell: str, text: str) -> bool:
    value = reading(cell)
    return value is not None and value == reading(text)


def _letters(text: str) -> str:
    try:
        items = msgspec.json.decode(text, type=list[str])
    except (msgspec.DecodeError, msgspec.ValidationError):
        items = [text]
    return _PUNCTUATION.sub("", "".join(items))


def _number(text: str) -> float | None:
    """A number as a double, which is what most readers of JSON make of it."""
    try:
        return float(decimal.Decimal(text))
    except decimal.InvalidOperation:
        return None


def _moment(text: str) -> dt.datetime | None:
    """A date to the second: how many digits Cordial keeps is not documented."""
    whole = text.replace(" ", "T", 1) if len(text) > len("2026-01-02") else f"{text}T00:00:00Z"
    try:
        moment = msgspec.convert(whole, dt.datetime)
    except msgspec.ValidationError:
        return None
    return moment.replace(microsecond=0, tzinfo=moment.tzinfo or dt.timezone.utc)
