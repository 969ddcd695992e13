"""Numbers and times as the report writes them."""

from __future__ import annotations

_MILLION = 1_000_000
_MINUTE = 60
_HOUR = 3600
_DAY = 24 * _HOUR


def count(value: int | None) -> str:
    """A count in full.

    Args:
        value: The count.

    Returns:
        Such as `95,500`; a dash if nobody knows.
    """
    return "\u2013" if value is None else f"{value:,}"


def counted(value: int, word: str) -> str:
    """A count with its word.

    Args:
        value: The count.
        word: The word for one; an `s` makes it many.

    Returns:
        Such as `1 run` or `1,000 runs`.
    """
    return f"{value:,} {word if value == 1 else word + 's'}"


def change(before: int | None, after: int | None) -> str:
    """A difference.

    Args:
        before: The earlier count.
        after: The later one.

    Returns:
        Such as `+12` or `-3`, with a real minus; a dash if nobody knows.
    """
    if before is None or after is None:
        return "\u2013"
    return f"{after - before:+,}".replace("-", "\u2212") if after != before else "0"


def short_count(value: float, step: float) -> str:
    """A count beside an axis.

    Args:
        value: The count.
        step: From one line of the axis to the next.

    Returns:
        The count, in millions if it is large and that is exact enough.
    """
    if value >= _MILLION and step >= _MILLION / 1000:
        return f"{value / _MILLION:,.3f}".rstrip("0").rstrip(".") + "M"
    return f"{value:,.0f}"


def short_time(seconds: float) -> str:
    """A time in the unit that fits.

    Args:
        seconds: The time.

    Returns:
        Such as `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min` or `3 d 4 h`.
    """
    if seconds < 10:  # noqa: PLR2004
        return f"{seconds:.2g} s" if seconds >= 0.005 else "0 s"  # noqa: PLR2004
    whole = round(seconds)
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return _two(whole, _MINUTE, "min", 1, "s")
    if whole < _DAY:
        return _two(whole, _HOUR, "h", _MINUTE, "min")
    return _two(whole, _DAY, "d", _HOUR, "h")


def axis_time(seconds: float) -> str:
    """A time beside an axis.

    Args:
        seconds: The time.

    Returns:
        One number in the unit that fits, such as `1.5 min`.
    """
    for length, unit in ((_DAY, "d"), (_HOUR, "h"), (_MINUTE, "min")):
        if seconds >= length:
            return f"{seconds / length:.4g} {unit}"
    return f"{seconds:.2g} s"


def _two(whole: int, large: int, large_unit: str, small: int, small_unit: str) -> str:
    rest = whole % large // small
    return f"{whole // large} {large_unit}" + (f" {rest} {small_unit}" if rest else "")
