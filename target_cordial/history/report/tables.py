"""Tables that become a stack of labelled lines where the screen is narrow."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from target_cordial.history.report.markup import tag
from target_cordial.history.report.numbers import counted

if t.TYPE_CHECKING:
    from xml.etree.ElementTree import Element

ROWS_IN_SIGHT = 10

Cell: t.TypeAlias = "Element | str"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: Its head.
        is_number: Whether it holds numbers, which stand right.
    """

    name: str
    is_number: bool = True


def table(caption: str, columns: t.Sequence[Column], rows: t.Iterable[t.Sequence[Cell]]) -> Element:
    """Make a table; the first cell of each row names it.

    Args:
        caption: What it shows, for those who cannot see where it stands.
        columns: Its columns.
        rows: Their cells.

    Returns:
        The table.
    """
    # The roles say again what is what, because a stack of lines is no table to a browser.
    head = tag(
        "tr",
        *[
            tag("th", column.name, scope="col", role="columnheader", class_=_class(column))
            for column in columns
        ],
        role="row",
    )
    body = [tag("tr", *map(_cell, columns, row), role="row") for row in rows]
    if body:
        for row in body:
            row[0].tag = "th"
            row[0].set("scope", "row")
            row[0].set("role", "rowheader")
    return tag(
        "table",
        tag("caption", caption),
        tag("thead", head, role="rowgroup"),
        tag("tbody", *body, role="rowgroup"),
        role="table",
    )


def folded_table(
    caption: str, columns: t.Sequence[Column], rows: t.Sequence[t.Sequence[Cell]], more: str
) -> list[Element]:
    """Make a table whose later rows are put away if they are many.

    Args:
        caption: What it shows.
        columns: Its columns.
        rows: Their cells.
        more: What one of the rows is called that are put away, such as `more list`.

    Returns:
        The table, and the rest of it.
    """
    shown, rest = rows[:ROWS_IN_SIGHT], rows[ROWS_IN_SIGHT:]
    parts = [table(caption, columns, shown)]
    if rest:
        parts.append(folded(counted(len(rest), more), table(f"{caption}, continued", columns, rest)))
    return parts


def folded(summary: str, *content: Element) -> Element:
    """Put something away until it is asked for.

    Args:
        summary: What it is.
        *content: The content.

    Returns:
        The element.
    """
    return tag("details", tag("summary", summary), *content)


def _cell(column: Column, cell: Cell) -> Element:
    return tag("td", cell, role="cell", data_label=column.name, class_=_class(column))


def _class(column: Column) -> str | None:
    return "n" if column.is_number else None
