"""One page of all runs in a journal, for a browser, without anything from elsewhere."""

from __future__ import annotations

import datetime as dt
import typing as t
from importlib import metadata, resources
from pathlib import Path

from lytics_to_cordial.errors import UserError
from target_cordial.history.journal import NO_LIST
from target_cordial.history.past_runs import read_history
from target_cordial.history.report.axis import axis_of, moment
from target_cordial.history.report.lists import lists_section
from target_cordial.history.report.markup import document, name_tag, tag
from target_cordial.history.report.numbers import counted
from target_cordial.history.report.runs import last_run, rejects_section, runs_section

if t.TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from target_cordial.history.past_runs import History

LISTS_IN_TITLE = 3
NO_ICON = "data:,"
"""A browser asks for an icon unless it is told that there is none."""


def write_report(journal: str, path: str) -> str:
    """Write the page.

    Args:
        journal: The journal's URL.
        path: The file to write.

    Returns:
        One line on what was written.

    Raises:
        UserError: If the journal cannot be read or the page cannot be written.
    """
    history = read_history(journal)
    page = report(history, dt.datetime.now(dt.timezone.utc))
    try:
        Path(path).write_text(page, encoding="utf-8")
    except OSError as error:
        msg = f"The report cannot be written to {path} ({error.strerror}): name a file in a folder that can be written."
        raise UserError(msg) from error
    unread = f"; {_unread(history)}" if history.unreadable else ""
    return f"{path}: {counted(len(history.runs), 'run')}, {counted(len(history.list_names), 'list')}{unread}"


def report(history: History, now: dt.datetime) -> str:
    """Make the page.

    Args:
        history: The runs.
        now: When it is made.

    Returns:
        The page's HTML.
    """
    runs = history.real_runs
    axis = axis_of(runs or history.runs)
    main = [last_run((runs or history.runs)[-1])]
    if runs:
        main += [*lists_section(history, axis), rejects_section(runs, axis)]
    main.append(runs_section(history, axis))
    style = (
        resources.files("target_cordial.history.report").joinpath("report.css").read_text(encoding="utf-8")
    )
    head = [
        tag("meta", charset="utf-8"),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"{_title(history)} \u2013 target-cordial"),
        tag("link", rel="icon", href=NO_ICON),
        tag("style", style),
    ]
    return document(head, [_header(history), tag("main", *main), _footer(now)])


def _title(history: History) -> str:
    names = [name for name in history.list_names if name != NO_LIST]
    if not names:
        return "Runs"
    more = names[LISTS_IN_TITLE:]
    return ", ".join(names[:LISTS_IN_TITLE]) + (f" and {counted(len(more), 'more list')}" if more else "")


def _header(history: History) -> Element:
    first, last = moment(history.runs[0].started), moment(history.runs[-1].started)
    span = first if len(history.runs) == 1 else f"{first} to {last}"
    return tag(
        "header",
        tag("p", "Run history of target-cordial", class_="eyebrow"),
        tag("h1", name_tag(_title(history))),
        tag("p", f"{counted(len(history.runs), 'run')}, {span} UTC"),
        tag("p", f"{_unread(history)}.".capitalize(), class_="why") if history.unreadable else None,
    )


def _unread(history: History) -> str:
    return f"{counted(history.unreadable, 'line')} of the journal could not be read and {'is' if history.unreadable == 1 else 'are'} left out"


def _footer(now: dt.datetime) -> Element:
    return tag(
        "footer",
        tag(
            "p",
            "Enters are rows imported for people who join a list or whose attributes changed; exits are rows for people who leave. "
            "Plans are in the table of runs alone. A run that was killed before its first import left no trace.",
        ),
        tag("p", f"Made {moment(now)} UTC by target-cordial {metadata.version('lytics-to-cordial')}."),
    )
