"""What the conditions of a Lytics filter are true of, as its search index answers them."""

from __future__ import annotations

import datetime as dt
import re
import typing as t
from dataclasses import dataclass

Profile: t.TypeAlias = t.Mapping[str, t.Any]
Test: t.TypeAlias = t.Callable[[Profile], bool]

_ORDERED: dict[str, t.Callable[[t.Any, t.Any], bool]] = {
    "<": lambda left, right: bool(left < right),
    "<=": lambda left, right: bool(left <= right),
    ">": lambda left, right: bool(left > right),
    ">=": lambda left, right: bool(left >= right),
}


@dataclass(frozen=True)
class Conditions:
    """Makes conditions on the fields of one account. A list matches if one of its items does.

    Attributes:
        is_indexed: Whether the search index knows a field. A condition on another field is false, without an error.
        fold: Compare text without regard to case.
    """

    is_indexed: t.Callable[[str], bool]
    fold: bool = False

    def exists(self, field: str) -> Test:
        """`EXISTS`: whether a field has a value."""
        return self._on(field, bool)

    def one_of(self, field: str, constants: t.Iterable[str]) -> Test:
        """`=`, `IN` and `INTERSECTS`: whether a field has one of these values."""
        wanted = set(map(self._text, constants))
        return self._on(field, lambda values: not wanted.isdisjoint(map(self._text, values)))

    def none_of(self, field: str, constants: t.Iterable[str]) -> Test:
        """`!=`: whether a field has none of these values."""
        wanted = set(map(self._text, constants))
        return self._on(field, lambda values: wanted.isdisjoint(map(self._text, values)))

    def ordered(self, field: str, *bounds: tuple[str, str]) -> Test:
        """Whether a value keeps all of some bounds, each a sign and a constant."""
        return self._on(
            field,
            lambda values: any(
                all(_ORDERED[sign](*self._comparable(value, bound)) for sign, bound in bounds)
                for value in values
            ),
        )

    def like(self, field: str, pattern: str) -> Test:
        """`LIKE` and `CONTAINS`: whether a text has a form; `*` stands for anything."""
        form = re.compile(".*".join(map(re.escape, self._text(pattern).split("*"))), re.DOTALL)
        return self._on(field, lambda values: any(form.fullmatch(self._text(value)) for value in values))

    def _on(self, field: str, test: t.Callable[[list[t.Any]], bool]) -> Test:
        # A dot leads into a map, where no field has it in its name.
        name, _, key = field.partition(".")
        if self.is_indexed(field):
            name, key = field, ""
        elif not self.is_indexed(name):
            return lambda _: False
        return lambda profile: test(_values(profile.get(name), key))

    def _comparable(self, value: t.Any, bound: str) -> tuple[t.Any, t.Any]:
        """Both as numbers, or both as times, or both as text."""
        for kind in (float, _time):
            try:
                return kind(value), kind(bound)
            except (ValueError, TypeError):
                continue
        return self._text(value), self._text(bound)

    def _text(self, value: t.Any) -> str:
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return text.casefold() if self.fold else text


def _values(value: t.Any, key: str) -> list[t.Any]:
    if key:
        value = value.get(key) if isinstance(value, dict) else None
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _time(value: t.Any) -> tuple[dt.datetime, str]:
    """A time to the second, and the digits beyond it."""
    found = re.fullmatch(
        r"(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?)?(Z|[+-]\d\d:\d\d)?", str(value)
    )
    if found is None:
        raise ValueError(value)
    day, clock, digits, zone = found.groups()
    zone = "+00:00" if zone in {None, "Z"} else zone
    return dt.datetime.fromisoformat(f"{day}T{clock or '00:00:00'}{zone}"), (digits or "").rstrip("0")
