"""The time axis of the report's charts: one slot a run, or one a period where the runs are too many for that."""

from __future__ import annotations

import datetime as dt
import typing as t
from dataclasses import dataclass

if t.TYPE_CHECKING:
    from target_cordial.history.past_runs import Run

MAX_RUN_SLOTS = 60
MAX_PERIOD_SLOTS = 100
_DAY_FORMAT = "{0.day} {0:%b %Y}"
_HOUR_FORMAT = "{0.day} {0:%b %H:%M}"
_FEW_DAYS = dt.timedelta(days=2)


@dataclass(frozen=True)
class Slot:
    """A place on the axis.

    Attributes:
        label: What it stands for, such as `26 Nov 2026, 04:00` or `week from 23 Nov 2026`.
        tick: The same, short.
        runs: The runs in it, in order.
    """

    label: str
    tick: str
    runs: list[Run]


@dataclass(frozen=True)
class Axis:
    """The slots, from the oldest to the newest.

    Attributes:
        unit: What one slot is: `run`, `day` and the like.
        slots: The slots, without a gap.
    """

    unit: str
    slots: list[Slot]


@dataclass(frozen=True)
class _Period:
    unit: str
    number: t.Callable[[dt.datetime], int]
    start: t.Callable[[int], dt.datetime]
    label: str
    tick: str


def axis_of(runs: t.Sequence[Run]) -> Axis:
    """Divide time so that all runs have a place and each slot is wide enough to be seen.

    Args:
        runs: The runs, in the order in which they started; at least one.

    Returns:
        The axis.
    """
    if len(runs) <= MAX_RUN_SLOTS:
        is_short = runs[-1].started - runs[0].started < _FEW_DAYS
        tick = _HOUR_FORMAT if is_short else _DAY_FORMAT
        return Axis("run", [Slot(moment(run.started), tick.format(run.started), [run]) for run in runs])
    period = next(found for found in _PERIODS if _slots(runs, found) <= MAX_PERIOD_SLOTS)
    first = period.number(runs[0].started)
    slots = [
        Slot(period.label.format(start), period.tick.format(start), [])
        for start in map(period.start, range(first, first + _slots(runs, period)))
    ]
    for run in runs:
        slots[period.number(run.started) - first].runs.append(run)
    return Axis(period.unit, slots)


def moment(time: dt.datetime) -> str:
    """A time for people.

    Args:
        time: The time, in UTC.

    Returns:
        Such as `26 Nov 2026, 04:00`.
    """
    return f"{_DAY_FORMAT}, {{0:%H:%M}}".format(time)


def _slots(runs: t.Sequence[Run], period: _Period) -> int:
    return period.number(runs[-1].started) - period.number(runs[0].started) + 1


def _utc(year: int, month: int = 1, day: int = 1) -> dt.datetime:
    return dt.datetime(year, month, day, tzinfo=dt.timezone.utc)


_EPOCH = _utc(1970)


def _even(unit: str, length: dt.timedelta, label: str, tick: str) -> _Period:
    return _Period(
        unit, lambda time: (time - _EPOCH) // length, lambda number: _EPOCH + number * length, label, tick
    )


def _months(unit: str, count: int, label: str, tick: str) -> _Period:
    def start(number: int) -> dt.datetime:
        return _utc(number * count // 12, number * count % 12 + 1)

    return _Period(unit, lambda time: (time.year * 12 + time.month - 1) // count, start, label, tick)


_MONDAY = dt.timedelta(days=3)
"""1 January 1970 was a Thursday."""
_PERIODS = (
    _even("minute", dt.timedelta(minutes=1), f"{_DAY_FORMAT}, {{0:%H:%M}}", _HOUR_FORMAT),
    _even("hour", dt.timedelta(hours=1), f"{_DAY_FORMAT}, {{0:%H:%M}}", _HOUR_FORMAT),
    _even("day", dt.timedelta(days=1), _DAY_FORMAT, _DAY_FORMAT),
    _Period(
        "week",
        lambda time: (time - _EPOCH + _MONDAY) // dt.timedelta(weeks=1),
        lambda number: _EPOCH - _MONDAY + number * dt.timedelta(weeks=1),
        f"week from {_DAY_FORMAT}",
        _DAY_FORMAT,
    ),
    _months("month", 1, "{0:%B %Y}", "{0:%b %Y}"),
    _months("quarter", 3, "quarter from {0:%B %Y}", "{0:%b %Y}"),
    _months("year", 12, "{0:%Y}", "{0:%Y}"),
    _months("decade", 120, "decade from {0:%Y}", "{0:%Y}"),
    # Clocks that were wrong: the years are limited where the journal is read.
    _months("century", 1200, "century from {0:%Y}", "{0:%Y}"),
)
