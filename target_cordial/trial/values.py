"""What a trial sends: values of each mapped type that nothing else in the account has."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Sequence

from target_cordial.intake.cells import longest_text
from target_cordial.intake.columns import Column

TORN = 'C:\\"'
"""Where a backslash hides a quote, a quoted cell with this at its end has no end."""
_FRACTIONS = (".123456", ".123456789")


def columns_to_try(columns: Sequence[Column]) -> list[Column]:
    """The first column of each type, and those that each contact has to have."""
    first: dict[str, Column] = {}
    for column in columns:
        first.setdefault(column.attribute.type, column)
    return [column for column in columns if column in first.values() or column.attribute.required]


def plain_value(column: Column) -> object:
    """A value that fits a column, if its limits allow any."""
    attribute = column.attribute
    token = secrets.token_hex(4)
    if attribute.type == "date":
        return f"{_now()}Z"
    if attribute.type == "number":
        limit = attribute.max if attribute.min is None else attribute.min
        return secrets.randbelow(1_000_000) if limit is None else limit
    if attribute.type == "array":
        return [f"{token} jazz", "café, bars"][: attribute.max_items]
    if column.kind == "number":
        # A coordinate.
        return secrets.randbelow(90)
    text = f'{token}, "Zoë"\r\na\\b 日本'[: longest_text(attribute)]
    return text.ljust(int(attribute.min or 0), "x")


def dates_with_fractions() -> list[str]:
    """A moment with micro-, and one with nanoseconds."""
    return [f"{_now()}{fraction}Z" for fraction in _FRACTIONS]


def torn_text(column: Column) -> str:
    """A text that needs quotes in a file, and tears it where a backslash hides a quote."""
    return f"{secrets.token_hex(4)},{TORN}"[-longest_text(column.attribute) :]


def _now() -> str:
    return f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%dT%H:%M:%S}"
