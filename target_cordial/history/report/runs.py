"""The report's runs: the last one, how long they took and how they ended, and what was rejected."""

from __future__ import annotations

import typing as t
from collections import Counter
from dataclasses import dataclass

from target_cordial.history.journal import NO_LIST
from target_cordial.history.report.axis import moment
from target_cordial.history.report.charts import count_chart, cut_off, time_chart, time_range
from target_cordial.history.report.markup import name_tag, tag
from target_cordial.history.report.numbers import change, count, counted, short_time
from target_cordial.history.report.tables import Column, folded, folded_table, table

if t.TYPE_CHECKING:
    from xml.etree.ElementTree import Element

    from target_cordial.history.past_runs import History, Run
    from target_cordial.history.report.axis import Axis

RUNS_IN_TABLE = 20
CORDIALS_OWN = "rejected by Cordial: it tells the rows in its page Data jobs, for 7 days"


@dataclass(frozen=True)
class _Outcome:
    word: str
    sign: str
    explanation: str | None = None


_OUTCOMES = {
    "done": _Outcome("Done", "\u2713"),
    "failed": _Outcome("Failed", "\u2715"),
    "stopped": _Outcome(
        "Stopped", "\u25a0", "A signal ended it: what was not imported goes again with the next run."
    ),
    "no end": _Outcome(
        "No end", "?", "It left no closing line: it was killed, or was still running when this page was made."
    ),
}


def last_run(run: Run) -> Element:
    """Show the last run.

    Args:
        run: The run.

    Returns:
        The section.
    """
    outcome = _OUTCOMES.get(run.outcome)
    explanation = run.failure or (outcome and outcome.explanation)
    figures = [
        ("Records read", count(run.records)),
        ("Enters", count(run.enters)),
        ("Exits", count(run.exits)),
        ("Rejected", count(run.rejected)),
        ("Imports", count(run.imports)),
        ("Import, median", "\u2013" if run.median_import is None else short_time(run.median_import)),
    ]
    return tag(
        "section",
        tag("h2", "Last plan" if run.is_plan else "Last run"),
        tag("p", _badge(run), f" {moment(run.started)} UTC, took {short_time(run.duration)}"),
        tag("p", explanation, class_="why") if explanation else None,
        tag(
            "dl",
            *[tag("div", tag("dt", name), tag("dd", value)) for name, value in figures],
            class_="figures",
        ),
        *(_lists_of(run) if run.lists else ()),
        class_="card",
    )


def rejects_section(runs: t.Sequence[Run], axis: Axis) -> Element:
    """Show what was rejected and why.

    Args:
        runs: The runs; at least one.
        axis: The time.

    Returns:
        The section.
    """
    total = sum((_reasons(run) for run in runs), Counter[str]())
    if not total:
        return tag("section", tag("h2", "Rejects"), tag("p", "No record was rejected."), class_="card")
    last = _reasons(runs[-1])
    columns = (
        Column("Reason", is_number=False),
        Column("In the last run"),
        Column("In all runs"),
        Column("Compared", is_number=False),
    )
    most = max(total.values())
    rows = [
        (name_tag(reason), count(last[reason]), count(number), _compared(number, most))
        for reason, number in total.most_common()
    ]
    return tag(
        "section",
        tag("h2", "Rejects"),
        *folded_table("Rejects by reason", columns, rows, "more reason"),
        _rejects(axis),
        class_="card",
    )


def _reasons(run: Run) -> Counter[str]:
    by_cordial = Counter({CORDIALS_OWN: run.rejected_by_cordial} if run.rejected_by_cordial else {})
    return run.rejects + by_cordial


def runs_section(history: History, axis: Axis) -> Element:
    """Show how long runs and imports took, how the runs ended, and the last of them one by one.

    Args:
        history: The runs.
        axis: The time.

    Returns:
        The section.
    """
    charts = [_run_times(axis)]
    if any(run.seconds for slot in axis.slots for run in slot.runs):
        charts.append(_import_times(axis))
    shown = history.runs[: -RUNS_IN_TABLE - 1 : -1]
    which = (
        f"The last {count(len(shown))} of {count(len(history.runs))} runs"
        if len(shown) < len(history.runs)
        else "All runs"
    )
    return tag(
        "section",
        tag("h2", "Runs"),
        tag("div", *[tag("article", chart, class_="card") for chart in charts], class_="cards"),
        tag("div", tag("h3", which), _table_of(shown, which), class_="card runs"),
        tag("div", _as_table(axis), class_="card") if axis.unit != "run" else None,
    )


def _badge(run: Run) -> Element:
    outcome = _OUTCOMES.get(run.outcome) or _Outcome(run.outcome, "?")
    class_ = f"badge {run.outcome.replace(' ', '-')}" if run.outcome in _OUTCOMES else "badge"
    words = f"Plan {outcome.word.lower()}" if run.is_plan else outcome.word
    return tag("span", tag("span", outcome.sign, aria_hidden="true"), f" {words}", class_=class_)


def _lists_of(run: Run) -> list[Element]:
    columns = (
        Column("List", is_number=False),
        Column("Size before"),
        Column("Size after"),
        Column("Change"),
        Column("Enters"),
        Column("Exits"),
    )
    rows = [
        (
            "Contacts on no list" if name == NO_LIST else name_tag(name),
            count(done.size_before),
            count(done.size_after),
            change(done.size_before, done.size_after),
            count(done.enters),
            count(done.exits),
        )
        for name, done in sorted(run.lists.items())
    ]
    return folded_table("Lists of the last run", columns, rows, "more list")


def _compared(number: int, most: int) -> Element:
    bar = tag("rect", width=f"{number / most * 100:.6g}%", height="100%", class_="reject")
    return tag("svg", bar, class_="compared", width="100%", height=10, aria_hidden="true")


def _run_times(axis: Axis) -> Element:
    bad = [any(run.outcome != "done" for run in slot.runs) for slot in axis.slots]
    times = [[run.duration for run in slot.runs] for slot in axis.slots]
    everything = [run for slot in axis.slots for run in slot.runs]
    not_done = sum(run.outcome != "done" for run in everything)
    description = f"{counted(len(everything), 'run')}, {time_range([run.duration for run in everything])}; {count(not_done)} did not end well."
    where = "a run" if axis.unit == "run" else f"a {axis.unit} with a run"
    note = f"\u00d7 {where} that did not end well" if not_done else None
    return _figure("Time of a run", note, time_chart("Time of a run", description, axis, times, bad), times)


def _import_times(axis: Axis) -> Element:
    times = [[seconds for run in slot.runs for seconds in run.seconds] for slot in axis.slots]
    everything = [seconds for values in times for seconds in values]
    description = f"{counted(len(everything), 'import')}, {time_range(everything)}."
    return _figure(
        "Time of an import", None, time_chart("Time of an import", description, axis, times), times
    )


def _rejects(axis: Axis) -> Element:
    values = [sum(run.rejected for run in slot.runs) for slot in axis.slots]
    cut = cut_off(values)
    note = f"{counted(cut, 'bar')} cut short" if cut else None
    description = f"{count(sum(values))} rejected, one bar a {axis.unit}."
    return tag(
        "figure",
        _caption(f"By {axis.unit}", note),
        count_chart("Rejects", description, axis, values, "rejected"),
    )


def _figure(name: str, note: str | None, chart: Element, times: t.Sequence[t.Sequence[float]]) -> Element:
    notes = [note] if note else []
    if any(len(values) > 1 for values in times):
        notes.insert(0, "dot: median, line: range")
    cut = cut_off([max(values, default=0) for values in times])
    if cut:
        notes.append(f"{count(cut)} cut short")
    return tag("figure", _caption(name, "; ".join(notes) or None), chart)


def _caption(name: str, note: str | None) -> Element:
    return tag("figcaption", tag("b", name), tag("span", note) if note else None)


def _table_of(runs: t.Iterable[Run], caption: str) -> Element:
    columns = (
        Column("Started (UTC)", is_number=False),
        Column("Outcome", is_number=False),
        Column("Took"),
        Column("Records"),
        Column("Enters"),
        Column("Exits"),
        Column("Rejected"),
        Column("Imports"),
    )
    rows = [
        (
            moment(run.started),
            _outcome_cell(run),
            short_time(run.duration),
            count(run.records),
            count(run.enters),
            count(run.exits),
            count(run.rejected),
            count(run.imports),
        )
        for run in runs
    ]
    return table(caption, columns, rows)


def _outcome_cell(run: Run) -> Element:
    return tag("div", _badge(run), tag("p", run.failure, class_="why") if run.failure else None)


def _as_table(axis: Axis) -> Element:
    columns = (
        Column("Time", is_number=False),
        Column("Runs"),
        Column("Not ended well"),
        Column("Longest run"),
        Column("Imports"),
        Column("Longest import"),
        Column("Rejected"),
    )
    rows = []
    for slot in reversed(axis.slots):
        if not slot.runs:
            continue
        seconds = [value for run in slot.runs for value in run.seconds]
        rows.append(
            (
                slot.label,
                count(len(slot.runs)),
                count(sum(run.outcome != "done" for run in slot.runs)),
                short_time(max(run.duration for run in slot.runs)),
                count(sum(run.imports for run in slot.runs)),
                short_time(max(seconds)) if seconds else "\u2013",
                count(sum(run.rejected for run in slot.runs)),
            )
        )
    return folded(f"All runs, by {axis.unit}, as a table", table(f"All runs by {axis.unit}", columns, rows))
