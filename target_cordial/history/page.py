"""The page: what the runs in a journal did, as one HTML file that needs nothing else."""

from __future__ import annotations

import datetime as dt
import itertools
import typing as t
from collections import Counter
from dataclasses import dataclass, field
from importlib import metadata, resources
from pathlib import Path
from statistics import median

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.progress import counted, duration
from target_cordial.history.audits import ListAudit
from target_cordial.history.journal import GOOD, NO_LIST, History, ListCounts, Run, read_history

DRAWN_RUNS = 60
"""At most so many runs are drawn, the last ones; the table of runs has all."""
CUT_FACTOR = 10
"""Bars of more than so many times the median are cut: a list's first run sends everybody and would flatten all others."""
CUT_LENGTH = 1.06
"""The length of a bar that is cut; the longest whole bar has 1."""
THINNEST = 1.0
"""Of 100, the least height of a bar: a 1 beside thousands can still be seen."""
WIDEST = 0.08
"""Of 1, the most width of a bar: a chart of one run is no block of paint."""
NAMES_IN_TITLE = 3
_HEAD_BYTES = 4096
CORDIALS_REASON = "rejected by Cordial: its page Data jobs has the rows for 7 days"
UNKNOWN = "\u2013"


class Bar(t.NamedTuple):
    """A bar; x and y are those of its upper left corner."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Chart:
    """A drawing, 100 high and as wide as its runs are many.

    Attributes:
        high: The label at its upper end.
        low: The label at its lower end.
        zero: Where the line at zero is; None if there is none.
        cut: The label of the longest whole bar; blank if no bar is cut.
        lines: The points of each line as SVG has them, by its kind.
    """

    high: str
    low: str
    zero: float | None = None
    bars: list[Bar] = field(default_factory=list)
    cut: str = ""
    lines: dict[str, list[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class ListCard:
    """What the drawn runs did to a list.

    Attributes:
        runs: Those that met it, the last one first.
        last_size: The last known size, and the start of the run that knew it.
        audit: What the last audit says, its time, and the first one in a row that says the same.
        has_members: Whether a run tells the size of its audience.
        hints: A text for each drawn run.
    """

    name: str
    runs: list[tuple[Run, ListCounts]]
    last_size: tuple[int, dt.datetime] | None
    audit: tuple[ListAudit, dt.datetime, dt.datetime] | None
    has_members: bool
    hints: list[str]
    sizes: Chart | None
    moves: Chart


def write_page(journal_url: str, path: str) -> str:
    """Write a page of the journal's runs, and return a line that says what was written.

    Raises UserError if the journal cannot be read, if the page cannot be written, and rather than write over a file that
    may be something else.
    """
    file = Path(path)
    if file.is_symlink() or (file.exists() and not file.is_dir() and not _is_page(file)):
        raise UserError(
            f"The report is not written to {path}, because that file exists and is something else: name a new file."
        )
    history = read_history(journal_url)
    try:
        file.write_text(render(history, dt.datetime.now(dt.timezone.utc)), encoding="utf-8")
    except OSError as error:
        raise UserError(
            f"The report cannot be written to {path} ({error.strerror}): name a file in a folder that can be written."
        ) from error
    unread = f"; {_unread(history)}" if history.unreadable else ""
    lists = counted(len(_list_names(history.real_runs)), "list")
    return f"{path}: {counted(len(history.runs), 'run')}, {lists}{unread}"


def render(history: History, now: dt.datetime) -> str:
    """Return the page of a history with at least one run. Whatever the journal holds is escaped."""
    # No other command needs it, and each start would take a tenth of a second longer.
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    filters = {
        "moment": _moment,
        "count": _count,
        "change": _change,
        "counted": counted,
        "duration": duration,
    }
    environment.filters.update(filters)
    page = environment.from_string(resources.files(__package__).joinpath("page.html").read_text("utf-8"))
    real_runs = history.real_runs
    drawn = (real_runs or history.runs)[-DRAWN_RUNS:]
    names = _list_names(drawn) if real_runs else []
    seconds = [(run.ending.replace(" ", "-"), place, run.seconds) for place, run in enumerate(drawn)]
    return page.render(
        no_list=NO_LIST,
        most_drawn=DRAWN_RUNS,
        unknown=UNKNOWN,
        title=_title([name for name in names if name != NO_LIST]),
        unread=f"{_unread(history)}." if history.unreadable else "",
        runs=history.runs[::-1],
        drawn=drawn,
        dates=_dates(drawn),
        pipelines=_pipelines(real_runs),
        cards=[_card(name, drawn) for name in names],
        rejects=sum(map(_rejects, real_runs), Counter[str]()).most_common(),
        last_rejects=_rejects(drawn[-1]),
        times=_bar_chart(seconds, len(drawn), duration),
        time_hints=[f"{_moment(run.started)}: {run.ending}, {duration(run.seconds)}" for run in drawn],
        now=now,
        version=metadata.version("lytics-to-cordial"),
    )


def _pipelines(runs: t.Sequence[Run]) -> list[tuple[str | None, Run, Run | None]]:
    """Each pipeline with its last run and its last good one, as far as there is one."""
    last = {run.pipeline: run for run in runs}
    good = {run.pipeline: run for run in runs if run.outcome == GOOD}
    return [(name, run, good.get(name)) for name, run in sorted(last.items(), key=lambda item: item[0] or "")]


def _list_names(runs: t.Sequence[Run]) -> list[str]:
    """The lists that runs met, the one met last first."""
    return list(dict.fromkeys(name for run in reversed(runs) for name in sorted(run.lists)))


def _card(name: str, runs: t.Sequence[Run]) -> ListCard:
    rows = [(run, run.lists[name]) for run in reversed(runs) if name in run.lists]
    sizes = [(counts.size_after, run.started) for run, counts in rows if counts.size_after is not None]
    by_run = [run.lists.get(name, ListCounts()) for run in runs]
    enters = [("enter", place, counts.enters) for place, counts in enumerate(by_run)]
    exits = [("exit", place, -counts.exits) for place, counts in enumerate(by_run)]
    members = [counts.members for counts in by_run]
    return ListCard(
        name=name,
        runs=rows,
        last_size=sizes[0] if sizes else None,
        audit=_audit(rows),
        has_members=any(number is not None for number in members),
        hints=[_hint(run, counts) for run, counts in zip(runs, by_run, strict=True)],
        sizes=_line_chart({"size": [counts.size_after for counts in by_run], "members": members}),
        moves=_bar_chart([*enters, *exits], len(runs), _count),
    )


def _audit(rows: t.Sequence[tuple[Run, ListCounts]]) -> tuple[ListAudit, dt.datetime, dt.datetime] | None:
    """The last audit of a list whose runs are given from the last one back, its time, and since when its verdict is so."""
    audits = [(counts.audit, run.started) for run, counts in rows if counts.audit is not None]
    if not audits:
        return None
    last, at = audits[0]
    same = itertools.takewhile(lambda each: each[0].verdict == last.verdict, audits)
    return last, at, [started for _, started in same][-1]


def _hint(run: Run, counts: ListCounts) -> str:
    numbers = {
        "enter": counts.enters,
        "exit": counts.exits,
        "contact": counts.size_after,
        "member": counts.members,
    }
    texts = [counted(number, noun) for noun, number in numbers.items() if number is not None]
    return f"{_moment(run.started)}: {', '.join(texts)}"


def _line_chart(values: dict[str, list[int | None]]) -> Chart | None:
    """Draw a value of each run by kind, from 0 unless that would flatten the lines; None if no value is known."""
    known = [value for line in values.values() for value in line if value is not None]
    if not known:
        return None
    low, high = min(known), max(known)
    if low == high or low * 2 < high:
        low = 0
    scale = 100 / ((high - low) or 1)
    lines = {
        kind: [
            f"{place + 0.5},{100 - (value - low) * scale:.1f}"
            for place, value in enumerate(line)
            if value is not None
        ]
        for kind, line in values.items()
    }
    return Chart(_count(high), _count(low), lines={kind: line for kind, line in lines.items() if line})


def _bar_chart(
    values: t.Iterable[tuple[str, int, float]], runs: int, text: t.Callable[[t.Any], str]
) -> Chart:
    """Draw values, each with its kind and its run's place: upwards above 0, downwards below it."""
    values = [value for value in values if value[2]]
    lengths = [abs(value) for *_, value in values] or [0]
    longest = max(length for length in lengths if length <= CUT_FACTOR * median(lengths))
    high = min(max([0, *(value for *_, value in values)]), longest)
    low = min(max([0, *(-value for *_, value in values)]), longest)
    scale = 100 / ((high + low) or 1)
    zero = round(high * scale, 2)
    width = round(min(0.7, runs * WIDEST), 2)
    bars = []
    for kind, place, value in values:
        height = round(max(min(abs(value), longest * CUT_LENGTH) * scale, THINNEST), 2)
        y = zero - height if value > 0 else zero
        bars.append(Bar(kind, round(place + (1 - width) / 2, 2), round(y, 2), width, height))
    cut = text(longest) if max(lengths) > longest else ""
    return Chart(text(high), text(low) if low else "0", zero, bars, cut)


def _rejects(run: Run) -> Counter[str]:
    return Counter(run.rejects) + Counter({CORDIALS_REASON: run.rejected_by_cordial})


def _unread(history: History) -> str:
    verb = "is" if history.unreadable == 1 else "are"
    return f"{counted(history.unreadable, 'line')} of the journal could not be read and {verb} left out"


def _title(names: t.Sequence[str]) -> str:
    more = len(names) - NAMES_IN_TITLE
    return ", ".join(names[:NAMES_IN_TITLE]) + (f" and {counted(more, 'more list')}" if more > 0 else "")


def _dates(runs: t.Sequence[Run]) -> list[str]:
    """The dates of the first run, one in the middle and the last; with the time of day if all are within two days."""
    is_short = runs[-1].started - runs[0].started < dt.timedelta(days=2)
    places = sorted({0, (len(runs) - 1) // 2, len(runs) - 1})
    times = [runs[place].started for place in places]
    return [f"{time.day} {time:%b %H:%M}" if is_short else f"{time.day} {time:%b %Y}" for time in times]


def _moment(time: dt.datetime) -> str:
    return f"{time.day} {time:%b %Y, %H:%M}"


def _count(number: int | None) -> str:
    return UNKNOWN if number is None else f"{number:,}"


def _change(counts: ListCounts) -> str:
    if counts.size_before is None or counts.size_after is None:
        return UNKNOWN
    change = counts.size_after - counts.size_before
    return f"{change:+,}".replace("-", "\u2212") if change else "0"


def _is_page(file: Path) -> bool:
    """Whether a file is an older page, by its title."""
    if not file.is_file():
        return False
    with file.open("rb") as content:
        return b"target-cordial</title>" in content.read(_HEAD_BYTES)
