"""The report's lists: how large each was, and who entered and left."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from target_cordial.history.journal import NO_LIST
from target_cordial.history.report.charts import cut_off, moves_chart, size_chart, size_range
from target_cordial.history.report.markup import name_tag, tag
from target_cordial.history.report.numbers import count, counted
from target_cordial.history.report.tables import Column, folded, table

if t.TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from target_cordial.history.past_runs import History
    from target_cordial.history.report.axis import Axis

LISTS_IN_SIGHT = 6
_ENOUGH_SIZES = 3
_COLUMNS = (Column("Time", is_number=False), Column("Enters"), Column("Exits"), Column("Size after"))


@dataclass(frozen=True)
class ListHistory:
    """A list over time.

    Attributes:
        name: Its name.
        enters: By slot.
        exits: By slot.
        sizes: Before the first slot and after each; None where nobody knows.
    """

    name: str
    enters: list[int]
    exits: list[int]
    sizes: list[int | None]


def lists_section(history: History, axis: Axis) -> list[Element]:
    """Show each list.

    Args:
        history: The runs.
        axis: The time.

    Returns:
        The section; nothing if no run met a list.
    """
    cards = [_card(list_history(name, axis), axis) for name in history.list_names]
    if not cards:
        return []
    section = tag(
        "section",
        tag("h2", "Lists"),
        tag("p", _how_to_read(axis), class_="note"),
        tag("div", *cards[:LISTS_IN_SIGHT], class_="cards"),
        aria_label="Lists",
    )
    if cards[LISTS_IN_SIGHT:]:
        more = counted(len(cards) - LISTS_IN_SIGHT, "more list")
        section.append(folded(more, tag("div", *cards[LISTS_IN_SIGHT:], class_="cards")))
    return [section]


def list_history(name: str, axis: Axis) -> ListHistory:
    """Put together what the runs say of a list.

    Args:
        name: The list.
        axis: The time.

    Returns:
        Its history.
    """
    enters, exits = [0] * len(axis.slots), [0] * len(axis.slots)
    sizes: list[int | None] = [None] * (len(axis.slots) + 1)
    for index, slot in enumerate(axis.slots):
        for run in slot.runs:
            done = run.lists.get(name)
            if done is None:
                continue
            enters[index] += done.enters
            exits[index] += done.exits
            if sizes[index] is None:
                sizes[index] = done.size_before
            if done.size_after is not None:
                sizes[index + 1] = done.size_after
    return ListHistory(name, enters, exits, sizes)


def _card(found: ListHistory, axis: Axis) -> Element:
    return tag(
        "article",
        *_head(found, axis),
        *_size(found, axis),
        *_moves(found, axis),
        _as_table(found, axis),
        class_="card",
    )


def _head(found: ListHistory, axis: Axis) -> t.Iterator[Element]:
    yield tag("h3", "Contacts on no list" if found.name == NO_LIST else name_tag(found.name))
    known = [(index, size) for index, size in enumerate(found.sizes) if size is not None]
    if known:
        index, size = known[-1]
        when = axis.slots[max(index - 1, 0)].label
        yield tag(
            "p",
            tag("strong", count(size)),
            f" {'contact' if size == 1 else 'contacts'}, {when}",
            class_="lead",
        )


def _size(found: ListHistory, axis: Axis) -> t.Iterator[Element]:
    shown = _without_birth(found.sizes)
    known = [size for size in shown if size is not None]
    if not known:
        if found.name != NO_LIST:
            yield tag("p", "Its size is not known: no run could ask Cordial.", class_="note")
        return
    low, _ = size_range(known)
    description = f"From {count(known[0])} to {count(known[-1])} contacts, at least {count(min(known))}, at most {count(max(known))}."
    note = " The axis does not start at 0." if low else ""
    yield tag(
        "figure",
        tag("figcaption", tag("b", "Size"), tag("span", note) if note else None),
        size_chart(f"Size of list {found.name}", description, axis, shown),
    )


def _moves(found: ListHistory, axis: Axis) -> t.Iterator[Element]:
    description = f"{counted(sum(found.enters), 'enter')} and {counted(sum(found.exits), 'exit')}, one bar a {axis.unit}."
    cut = cut_off([*found.enters, *found.exits])
    note = f"{counted(cut, 'bar')} cut short" if cut else None
    yield tag(
        "figure",
        tag(
            "figcaption",
            tag("b", tag("span", class_="key enter"), "Enters", tag("span", class_="key exit"), "Exits"),
            tag("span", note) if note else None,
        ),
        moves_chart(f"Enters and exits of list {found.name}", description, axis, found.enters, found.exits),
    )


def _as_table(found: ListHistory, axis: Axis) -> Element:
    rows = [
        (slot.label, count(found.enters[index]), count(found.exits[index]), count(found.sizes[index + 1]))
        for index, slot in enumerate(axis.slots)
        if found.enters[index] or found.exits[index] or found.sizes[index + 1] is not None
    ]
    return folded(
        "As a table", table(f"Enters, exits and size of list {found.name}", _COLUMNS, reversed(rows))
    )


def _without_birth(sizes: list[int | None]) -> list[int | None]:
    """A new list grows from nothing to all in its first run, and would look flat ever after."""
    known = [index for index, size in enumerate(sizes) if size is not None]
    if len(known) <= _ENOUGH_SIZES or sizes[known[0]] != 0:
        return sizes
    return [None if index == known[0] else size for index, size in enumerate(sizes)]


def _how_to_read(axis: Axis) -> str:
    if axis.unit == "run":
        return "One bar a run, side by side whatever the time between them. Sizes are Cordial's own counts."
    runs = sum(len(slot.runs) for slot in axis.slots)
    return (
        f"One bar a {axis.unit}, because {count(runs)} runs are too many for one bar each: its enters and exits are sums, its size is the "
        "last one known. Sizes are Cordial's own counts."
    )
