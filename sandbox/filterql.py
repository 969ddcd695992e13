"""Reads Lytics' filter language as Lytics' own parser reads it: what is valid there, and nothing else.

Three rules surprise (Lytics' parser, github.com/lytics/qlbridge, run on each):

1. A quote inside a text is written twice. A backslash is an ordinary letter, but it hides the next quote, so a text
   that ends in a backslash never ends.
2. A text that holds a quote is read a second time: it loses all backslashes, and of each letter only the last eight
   bits are left, which breaks every letter beyond ASCII.
3. Names of fields and audiences may stand in backticks, in brackets or in single quotes. Plain, a field's name may be
   neither a reserved word nor begin with a digit; an audience's name after INCLUDE may do both, but not be all digits.
"""

from __future__ import annotations

import re
import typing as t
from dataclasses import dataclass

from sandbox.conditions import Conditions, Profile, Test

RESERVED = frozenset(
    [
        "alias", "and", "as", "between", "contains", "exists", "from", "in", "include", "intersects", "is", "like",
        "limit", "not", "null", "or", "select", "with",
    ]
)  # fmt: skip
SHOWN = 200
"""How much of the question a refusal repeats, from the place where reading stopped."""

# Three kinds of gap: within a comparison up to its operator; before a value or a name; between conditions and clauses.
_BLANKS = re.compile(r"[ \t\r]*")
_LINES = re.compile(r"[ \t\r\n]*")
_COMMENTS = re.compile(r"(?:[ \t\r\n]|(?:--|#|//)[^\n]*)*")
_NAME = re.compile(r"(?:[^\W\d]|[.@])[\w./-]*")
_AUDIENCE = re.compile(r"[\w.@][\w./-]*")
_NUMBER = re.compile(r"\d+(?:\.\d+)?(?:[eE][+-]?\d+)?")
_WHOLE_NUMBER = re.compile(r"\d+(?![\w.])")
_SIGN = re.compile(r"==|!=|<>|<=|>=|=|<|>")
_JOINING = re.compile(r"(?:not|and|or)\b", re.IGNORECASE)
_QUOTES = {"`": "`", "'": "'", "[": "]"}


class FilterError(ValueError):
    """The filter cannot be read; the text says where, and repeats the filter from there on, as Lytics does."""


@dataclass(frozen=True)
class Filter:
    """A filter that was read.

    Attributes:
        test: Whether a profile matches.
        field: A field by which to find those who can match, if the filter names one.
        values: The field's values that can match.
        table: What it looks for: `user` unless it says otherwise.
        limit: The most that it finds; None for all.
    """

    test: Test
    field: str | None = None
    values: frozenset[str] = frozenset()
    table: str = "user"
    limit: int | None = None


def parse(
    text: str,
    includes: t.Callable[[str], Test],
    *,
    is_indexed: t.Callable[[str], bool] = lambda _: True,
    fold: bool = False,
) -> Filter:
    """Read a filter.

    Args:
        text: Such as ``FILTER AND (INCLUDE `vips`, `email` IN ("a@example.com")) FROM user``.
        includes: Makes the test for membership of an audience, by slug or id; raises `KeyError` if there is none.
        is_indexed: Whether the search index knows a field.
        fold: Compare text without regard to case.

    Raises:
        FilterError: If it cannot be read.
    """
    return _Reader(text, includes, Conditions(is_indexed, fold)).filter()


class _Reader:
    def __init__(self, text: str, includes: t.Callable[[str], Test], conditions: Conditions) -> None:
        self._text = text
        self._at = 0
        self._includes = includes
        self._conditions = conditions

    def filter(self) -> Filter:
        if not self._took_word("filter", _COMMENTS):
            raise self._error("Unrecognized Filter Statement")
        if self._took("*", _BLANKS) or self._took_word("match_all", _COMMENTS):
            found = Filter(lambda _: True)
        else:
            found = self._condition()
        table = self._identity(_NAME) if self._took_word("from", _COMMENTS) else "user"
        limit = self._whole_number() if self._took_word("limit", _COMMENTS) else 0
        if self._took_word("with", _COMMENTS):
            self._settings()
        if self._took_word("alias", _COMMENTS):
            self._identity(_NAME)
        # What follows a semicolon is another statement, which is not looked at.
        if not self._took(";", _COMMENTS) and self._at < len(self._text):
            raise self._error("Did not complete parsing input")
        return Filter(found.test, found.field, found.values, table, limit or None)

    def _condition(self, gap: re.Pattern[str] = _COMMENTS) -> Filter:
        if self._took_word("not", gap):
            return _negated(self._condition(_BLANKS))
        for word, joined in (("and", _all), ("or", _any)):
            if self._took_word(word, gap):
                self._expect("(", _COMMENTS, "Expected Left Paren after AND/OR ()")
                return joined(self._until_closed(self._part, _COMMENTS))
        if self._took_word("include", gap):
            return Filter(self._membership())
        if self._took_word("exists", gap):
            return Filter(self._conditions.exists(self._identity(_NAME)))
        if self._took("(", gap):
            found = self._condition(_BLANKS)
            self._expect(")", _BLANKS, "Expected Right Paren to end ()")
            return found
        return self._comparison(self._identity(_NAME, gap))

    def _part(self) -> Filter:
        """A part of AND or OR.

        Blanks may take the place of the comma after it, unless NOT, AND or OR follows: Lytics reads `a NOT b` as one
        condition and loses its first half. Here that is refused.
        """
        part = self._condition()
        self._skip(_BLANKS)
        if _JOINING.match(self._text, self._at):
            raise self._error("Un recognized input")
        return part

    def _membership(self) -> Test:
        name = self._identity(_AUDIENCE)
        try:
            return self._includes(name)
        except KeyError as error:
            raise FilterError(f"Could not find segment {name!r}") from error

    def _comparison(self, field: str) -> Filter:
        if self._took_word("not", _BLANKS):
            return _negated(self._worded(field))
        self._skip(_BLANKS)
        found = _SIGN.match(self._text, self._at)
        if found is None:
            return self._worded(field)
        self._at, sign = found.end(), found[0]
        constant = self._constant()
        if sign in {"=", "=="}:
            return Filter(self._conditions.one_of(field, [constant]), field, frozenset([constant]))
        if sign in {"!=", "<>"}:
            return Filter(self._conditions.none_of(field, [constant]))
        return Filter(self._conditions.ordered(field, (sign, constant)))

    def _worded(self, field: str) -> Filter:
        """A comparison by a word, such as IN."""
        if self._took_word("in", _BLANKS):
            constants = self._constants()
            return Filter(self._conditions.one_of(field, constants), field, frozenset(constants))
        if self._took_word("intersects", _BLANKS):
            return Filter(self._conditions.one_of(field, self._constants()))
        if self._took_word("contains", _BLANKS):
            return Filter(self._conditions.like(field, f"*{self._constant()}*"))
        if self._took_word("like", _BLANKS):
            return Filter(self._conditions.like(field, self._constant()))
        if self._took_word("between", _BLANKS):
            low = self._constant()
            if not self._took_word("and"):
                raise self._error("Expected AND")
            # Both ends are left out (Lytics' evaluator, and its generator for Elasticsearch).
            return Filter(self._conditions.ordered(field, (">", low), ("<", self._constant())))
        raise self._error("Un recognized input")

    def _constants(self) -> list[str]:
        self._expect("(", _LINES, "expected array on right side")
        return self._until_closed(self._constant, _LINES)

    def _until_closed(self, read: t.Callable[[], _Part], gap: re.Pattern[str]) -> list[_Part]:
        """The parts up to a closing bracket. Commas between them may be left out."""
        parts = []
        while not self._took(")", gap):
            if not self._took(",", gap):
                parts.append(read())
        return parts

    def _constant(self) -> str:
        """A text, a number or a boolean. The index compares a field with nothing else."""
        self._skip(_LINES)
        if self._text.startswith('"', self._at):
            return self._quoted_text()
        for word in ("true", "false"):
            if self._took_word(word):
                return word
        number = _NUMBER.match(self._text, self._at)
        if number is None or _NAME.match(self._text, number.end()):
            raise self._error("expected a literal")
        self._at = number.end()
        return number[0]

    def _quoted_text(self) -> str:
        start, at = self._at, self._at + 1
        letters: list[str] = []
        is_hidden = has_quote = False
        while at < len(self._text):
            letter = self._text[at]
            if letter == '"' and not is_hidden:
                if not self._text.startswith('""', at):
                    self._at = at + 1
                    return _read_again("".join(letters)) if has_quote else "".join(letters)
                at += 1
            if letter == "\0":
                break
            has_quote |= letter == '"'
            is_hidden = letter == "\\"
            letters.append(letter)
            at += 1
        self._at = start
        raise self._error("reached end without finding end for quoted value")

    def _identity(self, plain: re.Pattern[str], gap: re.Pattern[str] = _LINES) -> str:
        """A name: of an audience if `plain` is `_AUDIENCE`, else of a field or a table."""
        self._skip(gap)
        closing = _QUOTES.get(self._text[self._at : self._at + 1])
        if closing is not None:
            end = self._text.find(closing, self._at + 1)
            name = self._text[self._at + 1 : end]
            # A bracket that is not before a name begins an array.
            if end < 0 or not name or (closing == "]" and plain is _NAME and not _NAME.match(name)):
                raise self._error("unexpected character in identifier")
            self._at = end + 1
            return name
        found = plain.match(self._text, self._at)
        if found is None or found[0].isdecimal():
            raise self._error("identifier must begin with a letter")
        if plain is _NAME and found[0].lower() in RESERVED:
            raise self._error("Un recognized input")
        self._at = found.end()
        return found[0]

    def _settings(self) -> None:
        """`WITH name = value, …`, which changes nothing in what is found."""
        while True:
            self._identity(_NAME)
            self._expect("=", _LINES, "Expected = after a setting")
            self._constant()
            if not self._took(",", _LINES):
                return

    def _whole_number(self) -> int:
        self._skip(_LINES)
        found = _WHOLE_NUMBER.match(self._text, self._at)
        if found is None:
            raise self._error("Limit must be an integer")
        self._at = found.end()
        return int(found[0])

    def _skip(self, gap: re.Pattern[str]) -> None:
        self._at = t.cast("re.Match[str]", gap.match(self._text, self._at)).end()

    def _took(self, mark: str, gap: re.Pattern[str]) -> bool:
        """Whether a mark comes after a gap; it is read then."""
        self._skip(gap)
        is_there = self._text.startswith(mark, self._at)
        self._at += len(mark) * is_there
        return is_there

    def _took_word(self, word: str, gap: re.Pattern[str] = _LINES) -> bool:
        """Whether a keyword, in letters of either case, comes after a gap; it is read then."""
        self._skip(gap)
        found = _NAME.match(self._text, self._at)
        if found is None or found[0].lower() != word:
            return False
        self._at = found.end()
        return True

    def _expect(self, mark: str, gap: re.Pattern[str], words: str) -> None:
        if not self._took(mark, gap):
            raise self._error(words)

    def _error(self, words: str) -> FilterError:
        line = self._text.count("\n", 0, self._at) + 1
        rest = self._text[self._at : self._at + SHOWN]
        return FilterError(f"Failed parsing segment QL {words} Line:{line} Pos:{self._at} near: {rest}")


_Part = t.TypeVar("_Part")


def _read_again(text: str) -> str:
    """What is left of a text that holds a quote."""
    return bytes(ord(letter) & 0xFF for letter in text if letter != "\\").decode(errors="replace")


def _negated(part: Filter) -> Filter:
    return Filter(lambda profile: not part.test(profile))


def _all(parts: t.Sequence[Filter]) -> Filter:
    def test(profile: Profile) -> bool:
        return all(part.test(profile) for part in parts)

    # Whoever matches all parts matches one that names values.
    naming = next((part for part in parts if part.field), Filter(test))
    return Filter(test, naming.field, naming.values)


def _any(parts: t.Sequence[Filter]) -> Filter:
    return Filter(lambda profile: any(part.test(profile) for part in parts))
