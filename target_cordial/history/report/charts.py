"""The report's charts: SVG that is as wide as its place, while letters and lines keep their size."""

from __future__ import annotations

import itertools
import math
import typing as t
from dataclasses import dataclass
from statistics import median

from target_cordial.history.report.markup import tag
from target_cordial.history.report.numbers import axis_time, count, short_count, short_time

if t.TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from target_cordial.history.report.axis import Axis

HEIGHT = 132
TOP = 18
"""Room above the plot, for the values of bars that are cut off."""
BOTTOM = 24
"""Room for dates."""
BAR_SHARE = 0.7
WIDEST_BAR = 8.0
"""In percent: a chart of one run is no block of paint."""
OUTLIER = 4
"""So many times the next one makes a bar that would flatten all others."""
LABEL_DISTANCE = 18
"""Values of cut bars stand this far apart, in percent."""
_EDGE = 20
_COUNT_STEPS = (1, 2, 5)
_HOURS = (3600 * hours for hours in (1, 2, 3, 6, 12, 24, 48, 96, 168))
_TIME_STEPS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, *_HOURS)
_MOST_INTERVALS = 4


@dataclass(frozen=True)
class Scale:
    """A vertical axis.

    Attributes:
        low: Its lowest value.
        high: Its highest.
        step: From one line to the next.
        text: Writes a value.
    """

    low: float
    high: float
    step: float
    text: t.Callable[[float], str]

    def y(self, value: float) -> float:
        """Where a value is, in pixels from the top; beyond the axis at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(TOP + HEIGHT * (1 - share), 1)

    def lines(self) -> list[float]:
        """The values that get a line."""
        return [
            self.low + number * self.step for number in range(round((self.high - self.low) / self.step) + 1)
        ]


def size_chart(title: str, description: str, axis: Axis, sizes: t.Sequence[int | None]) -> Element:
    """Draw a list's size.

    Args:
        title: What it shows.
        description: The same in a sentence, for those who cannot see it.
        axis: The time.
        sizes: The size before the first slot and after each one; None where nobody knows.

    Returns:
        The chart.
    """
    known = [(index / len(axis.slots) * 100, size) for index, size in enumerate(sizes) if size is not None]
    scale = _count_scale(size_range([size for _, size in known]))
    parts = [
        tag("line", class_="size", x1=_percent(x1), y1=scale.y(a), x2=_percent(x2), y2=scale.y(b))
        for (x1, a), (x2, b) in itertools.pairwise(known)
    ]
    last_x, last = known[-1]
    parts.append(tag("circle", class_="size", cx=_percent(last_x), cy=scale.y(last), r=4))
    told = [None if size is None else f"{count(size)} contacts" for size in sizes[1:]]
    return _chart(title, description, axis, scale, parts, told)


def size_range(sizes: t.Sequence[int]) -> tuple[int, int]:
    """The least and the greatest value of an axis of sizes: from 0, unless that would flatten the line.

    Args:
        sizes: The sizes; at least one.

    Returns:
        Both.
    """
    low, high = min(sizes), max(sizes)
    return (0, high) if low == high or low * 2 < high else (low, high)


def moves_chart(
    title: str, description: str, axis: Axis, enters: t.Sequence[int], exits: t.Sequence[int]
) -> Element:
    """Draw enters upwards and exits downwards.

    Args:
        title: What it shows.
        description: The same in a sentence.
        axis: The time.
        enters: By slot.
        exits: By slot.

    Returns:
        The chart.
    """
    most = visible_most([*enters, *exits])
    scale = _count_scale((-min(max(exits), most), min(max(enters), most)))
    parts = [
        *_bars(axis, scale, enters, "enter"),
        *_bars(axis, scale, [-value for value in exits], "exit"),
        *_cut_values(axis, scale, enters),
        *_cut_values(axis, scale, [-value for value in exits]),
    ]
    told = [
        f"{count(enter)} enters, {count(exit_)} exits" if enter or exit_ else None
        for enter, exit_ in zip(enters, exits, strict=True)
    ]
    return _chart(title, description, axis, scale, parts, told)


def count_chart(title: str, description: str, axis: Axis, values: t.Sequence[int], kind: str) -> Element:
    """Draw counts as bars.

    Args:
        title: What it shows.
        description: The same in a sentence.
        axis: The time.
        values: By slot.
        kind: What they are, as the style sheet calls it and as a word after the number.

    Returns:
        The chart.
    """
    scale = _count_scale((0, visible_most(values)))
    parts = [*_bars(axis, scale, values, kind), *_cut_values(axis, scale, values)]
    return _chart(
        title,
        description,
        axis,
        scale,
        parts,
        [f"{count(value)} {kind}" if value else None for value in values],
    )


def time_chart(
    title: str,
    description: str,
    axis: Axis,
    times: t.Sequence[t.Sequence[float]],
    marked: t.Sequence[bool] | None = None,
) -> Element:
    """Draw how long things took: a line from the shortest to the longest, and a dot at the median.

    Args:
        title: What it shows.
        description: The same in a sentence.
        axis: The time.
        times: Seconds, by slot.
        marked: The slots that get a cross.

    Returns:
        The chart.
    """
    most = visible_most([max(values, default=0) for values in times])
    step = next((step for step in _TIME_STEPS if step * _MOST_INTERVALS >= most), most / _MOST_INTERVALS)
    scale = Scale(0, max(math.ceil(most / step), 1) * step, step, axis_time)
    parts = []
    for index, values in enumerate(times):
        if not values:
            continue
        x = _percent(_center(axis, index))
        if min(values) < max(values):
            parts.append(
                tag("line", class_="span", x1=x, x2=x, y1=scale.y(min(values)), y2=scale.y(max(values)))
            )
        parts.append(tag("circle", class_="median", cx=x, cy=scale.y(median(values)), r=3))
    parts += _cut_values(axis, scale, [max(values, default=0) for values in times])
    for index, is_marked in enumerate(marked or ()):
        if is_marked:
            parts.append(
                tag("text", "\u00d7", class_="cross", x=_percent(_center(axis, index)), y=TOP + HEIGHT + 4)
            )
    told = [time_range(values) if values else None for values in times]
    return _chart(title, description, axis, scale, parts, told)


def time_range(values: t.Sequence[float]) -> str:
    """Tell how long things took.

    Args:
        values: Seconds; at least one.

    Returns:
        One time, or the median with the shortest and the longest.
    """
    if len(values) == 1:
        return short_time(values[0])
    return f"median {short_time(median(values))}, {short_time(min(values))} to {short_time(max(values))}"


def visible_most(values: t.Sequence[float]) -> float:
    """The greatest value that the axis has to show: few that would flatten all others are cut off.

    Args:
        values: All values.

    Returns:
        The greatest that is not cut off.
    """
    falling = sorted((value for value in values if value > 0), reverse=True)
    for cut in range(1, min(max(3, len(falling) // 10), len(falling) - 1) + 1):
        if falling[cut - 1] > OUTLIER * falling[cut]:
            return falling[cut]
    return falling[0] if falling else 0


def cut_off(values: t.Sequence[float]) -> int:
    """How many values are beyond the axis.

    Args:
        values: All values.

    Returns:
        The number.
    """
    most = visible_most(values)
    return sum(value > most for value in values)


def _count_scale(bounds: tuple[float, float]) -> Scale:
    low, high = bounds
    rough = max((high - low) / _MOST_INTERVALS, 1)
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (*_COUNT_STEPS, 10) if factor * power >= rough)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return Scale(low, high if high > low else low + step, step, lambda value: short_count(abs(value), step))


def _bars(axis: Axis, scale: Scale, values: t.Sequence[float], kind: str) -> t.Iterator[Element]:
    width = min(100 / len(axis.slots) * BAR_SHARE, WIDEST_BAR)
    zero = scale.y(0)
    for index, value in enumerate(values):
        if value:
            y = scale.y(value)
            height = max(abs(y - zero), 1)
            yield tag(
                "rect",
                class_=kind,
                x=_percent(_center(axis, index) - width / 2),
                width=_percent(width),
                y=zero - height if value > 0 else zero,
                height=height,
            )


def _cut_values(axis: Axis, scale: Scale, values: t.Sequence[float]) -> t.Iterator[Element]:
    """The values of bars that go beyond the axis, with a gap in the bar; those too near to each other go unwritten."""
    labelled = -math.inf
    for index, value in enumerate(values):
        if scale.low <= value <= scale.high:
            continue
        x = _center(axis, index)
        is_up = value > 0
        end = scale.y(value)
        width = min(100 / len(axis.slots), WIDEST_BAR)
        yield tag(
            "rect",
            class_="gap",
            x=_percent(x - width / 2),
            width=_percent(width),
            y=end + (8 if is_up else -11),
            height=3,
        )
        if x - labelled >= LABEL_DISTANCE:
            labelled = x
            yield tag(
                "text",
                scale.text(value),
                class_="cut",
                x=_percent(x),
                y=end + (-5 if is_up else 14),
                text_anchor=_anchor(x),
            )


def _chart(
    title: str,
    description: str,
    axis: Axis,
    scale: Scale,
    parts: t.Sequence[Element],
    told: t.Sequence[str | None],
) -> Element:
    grid = []
    for value in scale.lines():
        y = scale.y(value)
        grid.append(tag("line", class_="zero" if value == 0 else "grid", x1="0", x2="100%", y1=y, y2=y))
        grid.append(tag("text", scale.text(value), class_="value", x=-8, y=y + 4))
    hits = [
        tag(
            "rect",
            tag("title", f"{slot.label}: {words}"),
            class_="hit",
            x=_percent(index / len(axis.slots) * 100),
            width=_percent(100 / len(axis.slots)),
            y=TOP,
            height=HEIGHT,
        )
        for index, (slot, words) in enumerate(zip(axis.slots, told, strict=True))
        if words is not None
    ]
    svg = tag(
        "svg",
        tag("title", title),
        tag("desc", description),
        *grid,
        *parts,
        *_dates(axis),
        *hits,
        role="img",
        aria_label=f"{title}. {description}",
        width="100%",
        height=TOP + HEIGHT + BOTTOM,
    )
    return tag("div", svg, class_="plot")


def _dates(axis: Axis) -> t.Iterator[Element]:
    last = len(axis.slots) - 1
    wanted = {0: "date", last: "date"}
    for share, class_ in ((0.5, "date some"), (0.25, "date more"), (0.75, "date more")):
        wanted.setdefault(round(last * share), class_)
    shown: set[str] = set()
    for index, class_ in wanted.items():
        tick = axis.slots[index].tick
        if tick in shown:
            continue
        shown.add(tick)
        x = _center(axis, index)
        yield tag(
            "text",
            tick,
            class_=class_,
            x=_percent(x),
            y=TOP + HEIGHT + 18,
            text_anchor="middle" if last == 0 else _anchor(x),
        )


def _anchor(x: float) -> str:
    return "start" if x < _EDGE else "end" if x > 100 - _EDGE else "middle"


def _center(axis: Axis, index: int) -> float:
    return (index + 0.5) / len(axis.slots) * 100


def _percent(value: float) -> str:
    return f"{value:.6g}%"
