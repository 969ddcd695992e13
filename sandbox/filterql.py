"""Lytics' filter language, as far as audiences need it (Lytics docs: FilterQL)."""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

Profile: t.TypeAlias = t.Mapping[str, t.Any]
Test: t.TypeAlias = t.Callable[[Profile], bool]

_TOKEN = re.compile(
    r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<sign>[(),*]|[<>!]?=|[<>])|(?P<word>[\w.\-:]+))', re.DOTALL
)
_COMPARED = {"=", "!=", "<", "<=", ">", ">="}


class FilterError(ValueError):
    """The filter cannot be read; the text says where."""


@dataclass(frozen=True)
class Filter:
    """A filter that was read.

    Attributes:
        test: Whether a profile matches.
        field: A field by which to find those who can match, if the filter names one.
        values: The field's values that can match.
    """

    test: Test
    field: str | None = None
    values: frozenset[str] = frozenset()


def parse(text: str, includes: t.Callable[[str], Test], *, fold: bool = False) -> Filter:
    """Read a filter.

    Args:
        text: Such as `FILTER AND (INCLUDE vips, email IN ("a@example.com")) FROM user`.
        includes: Makes the test for membership of an audience, by slug or id; raises `KeyError` if there is none.
        fold: Compare text without regard to case.

    Returns:
        The filter.

    Raises:
        FilterError: If it cannot be read.
    """
    parser = _Parser(text, includes, fold=fold)
    return parser.filter()


class _Parser:
    def __init__(self, text: str, includes: t.Callable[[str], Test], *, fold: bool) -> None:
        self._tokens = list(_tokens(text))
        self._at = 0
        self._includes = includes
        self._fold = fold

    def filter(self) -> Filter:
        self._expect("FILTER")
        found = Filter(lambda _: True) if self._took("*") else self._condition()
        if self._took("FROM"):
            self._word()
        if self._at != len(self._tokens):
            raise self._error()
        return found

    def _condition(self) -> Filter:
        if self._took("NOT"):
            inner = self._condition().test
            return Filter(lambda profile: not inner(profile))
        if self._took("AND"):
            parts = self._several(self._condition)
            tests = [part.test for part in parts]
            # Whoever matches all parts matches one that names values.
            naming = next((part for part in parts if part.field), Filter(bool))
            return Filter(lambda profile: all(test(profile) for test in tests), naming.field, naming.values)
        if self._took("OR"):
            tests = [part.test for part in self._several(self._condition)]
            return Filter(lambda profile: any(test(profile) for test in tests))
        if self._took("INCLUDE"):
            name = self._word()
            try:
                return Filter(self._includes(name))
            except KeyError as error:
                msg = f"Could not find segment {name!r}"
                raise FilterError(msg) from error
        if self._took("EXISTS"):
            field = self._word()
            return Filter(lambda profile: profile.get(field) is not None)
        return self._comparison(self._word())

    def _comparison(self, field: str) -> Filter:
        fold = self._folded
        if self._took("IN"):
            given = self._several(self._value)
            wanted = frozenset(map(fold, given))
            return Filter(lambda profile: fold(profile.get(field)) in wanted, field, frozenset(given))
        if self._took("INTERSECTS"):
            wanted = frozenset(map(fold, self._several(self._value)))
            return Filter(lambda profile: not wanted.isdisjoint(map(fold, profile.get(field) or [])))
        if self._took("CONTAINS"):
            part = fold(self._value())
            return Filter(lambda profile: part in (fold(profile.get(field)) or ""))
        if self._took("LIKE"):
            pattern = re.compile(".*".join(map(re.escape, fold(self._value()).split("*"))), re.DOTALL)
            return Filter(lambda profile: bool(pattern.fullmatch(fold(profile.get(field)) or "")))
        if self._took("BETWEEN"):
            low = self._value()
            self._expect("AND")
            high = self._value()
            return Filter(
                lambda profile: (
                    _compare(profile.get(field), ">=", low) and _compare(profile.get(field), "<=", high)
                )
            )
        sign = self._next()
        if sign not in _COMPARED:
            self._at -= 1
            raise self._error()
        given_value = self._value()
        value = fold(given_value)
        values = frozenset({given_value})
        return Filter(
            lambda profile: _compare(fold(profile.get(field)), sign, value),
            field if sign == "=" else None,
            values,
        )

    def _folded(self, value: t.Any) -> t.Any:
        if value is None:
            return None
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return text.casefold() if self._fold else text

    def _several(self, one: t.Callable[[], t.Any]) -> list[t.Any]:
        self._expect("(")
        found = [one()]
        while self._took(","):
            found.append(one())
        self._expect(")")
        return found

    def _value(self) -> str:
        token = self._next()
        if token.startswith('"'):
            return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)
        if re.fullmatch(r"[\w.\-:]+", token):
            return token
        self._at -= 1
        raise self._error()

    def _word(self) -> str:
        return self._value()

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise self._error()
        self._at += 1
        return self._tokens[self._at - 1]

    def _took(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at].upper() == word:
            self._at += 1
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._took(word):
            raise self._error()

    def _error(self) -> FilterError:
        found = self._tokens[self._at] if self._at < len(self._tokens) else "end"
        return FilterError(
            f"Failed parsing segment QL Unrecognized Filter Statement: token {self._at} ({found[:20]})"
        )


def _tokens(text: str) -> t.Iterator[str]:
    position, end = 0, len(text.rstrip())
    while position < end:
        found = _TOKEN.match(text, position)
        if found is None:
            msg = f"Failed parsing segment QL Unrecognized Filter Statement: character {position}"
            raise FilterError(msg)
        position = found.end()
        yield found[0].strip() if found["string"] is None else found["string"]


def _compare(left: t.Any, sign: str, right: t.Any) -> bool:
    if sign == "=":
        return bool(left == right)
    if sign == "!=":
        return bool(left != right)
    if left is None:
        return False
    try:
        left, right = float(left), float(right)
    except ValueError:
        left, right = str(left), str(right)
    return bool({"<": left < right, "<=": left <= right, ">": left > right, ">=": left >= right}[sign])
