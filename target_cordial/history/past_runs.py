"""The journal read back: what each run did, over months."""

from __future__ import annotations

import datetime as dt
import statistics
import typing as t
from collections import Counter
from dataclasses import dataclass, field

import fsspec
import msgspec

from lytics_to_cordial.errors import UserError
from target_cordial.history.journal import NO_LIST
from target_cordial.run_name import time_of_run

_PLAN = "plan "
_FIRST_YEAR, _LAST_YEAR = 1970, 9998

Moment = t.Annotated[dt.datetime, msgspec.Meta(tz=True)]
Count = t.Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Seconds = t.Annotated[float, msgspec.Meta(ge=0, le=10**9)]


class ListLine(msgspec.Struct, frozen=True):
    """What a run did to a list.

    Attributes:
        enters: Rows imported of those who join or change.
        exits: Rows imported of those who leave.
        size_before: Contacts on the list when the run first met it; None if Cordial did not say.
        size_after: Contacts on the list at the end of the run; None if nobody asked, or Cordial did not say.
    """

    enters: Count = 0
    exits: Count = 0
    size_before: Count | None = None
    size_after: Count | None = None


class RunLine(msgspec.Struct, frozen=True, tag_field="event", tag="run"):
    """The journal's line of a run; what older lines lack is as empty."""

    run: str
    started: Moment
    ended: Moment
    outcome: str
    failure: str | None = None
    records: Count = 0
    lists: dict[str, ListLine] = {}
    imports: Count = 0
    rejects: dict[str, Count] = {}
    rejected_by_cordial: Count = 0

    def __post_init__(self) -> None:
        """What no clock can have shown is damage."""
        _check_year(self.started, self.ended)


class ImportLine(msgspec.Struct, frozen=True, tag_field="event", tag="import"):
    """The journal's line of an import."""

    run: str
    time: Moment
    kind: t.Literal["enter", "exit"]
    rows: Count
    seconds: Seconds
    list_name: str | None = None
    rejected: Count = 0

    def __post_init__(self) -> None:
        """What no clock can have shown is damage."""
        _check_year(self.time)


@dataclass
class Run:
    """A run, as far as the journal tells.

    Attributes:
        name: Its name.
        started: When it started.
        ended: When it ended, or its last import did.
        outcome: `done`, `failed`, `stopped`; `no end` if it left no line of its own, as one that was killed.
        is_plan: Whether it only planned, so that nothing of what it counts happened.
        failure: Why it failed, in one sentence.
        records: Records read.
        lists: What it did to each list, by name.
        imports: Imports done.
        seconds: How long each import took.
        rejects: Records rejected before sending, by reason.
        rejected_by_cordial: Rows that Cordial rejected.
    """

    name: str
    started: dt.datetime
    ended: dt.datetime
    outcome: str
    is_plan: bool = False
    failure: str | None = None
    records: int | None = None
    lists: dict[str, ListLine] = field(default_factory=dict)
    imports: int = 0
    seconds: list[float] = field(default_factory=list)
    rejects: Counter[str] = field(default_factory=Counter)
    rejected_by_cordial: int = 0

    @property
    def duration(self) -> float:
        """Seconds from start to end; a clock that was set back makes none."""
        return max((self.ended - self.started).total_seconds(), 0)

    @property
    def enters(self) -> int:
        """Rows of all lists of those who join or change."""
        return sum(done.enters for done in self.lists.values())

    @property
    def exits(self) -> int:
        """Rows of all lists of those who leave."""
        return sum(done.exits for done in self.lists.values())

    @property
    def rejected(self) -> int:
        """Records and rows rejected, by whomever."""
        return self.rejects.total() + self.rejected_by_cordial

    @property
    def median_import(self) -> float | None:
        """How long an import took, if there was one."""
        return statistics.median(self.seconds) if self.seconds else None


@dataclass(frozen=True)
class History:
    """The runs of a journal.

    Attributes:
        runs: In the order in which they started; at least one.
        unreadable: How many lines could not be read.
    """

    runs: list[Run]
    unreadable: int = 0

    @property
    def real_runs(self) -> list[Run]:
        """Those that did not only plan."""
        return [run for run in self.runs if not run.is_plan]

    @property
    def list_names(self) -> list[str]:
        """Every list that a run met, the one met last first."""
        met = [name for run in reversed(self.real_runs) for name in sorted(run.lists)]
        return list(dict.fromkeys(met))


def read_history(url: str) -> History:
    """Read a journal.

    Args:
        url: The file; a path or an fsspec URL.

    Returns:
        Its runs.

    Raises:
        UserError: If there is none that can be read.
    """
    place = f"The journal at {url}"
    try:
        files, path = fsspec.url_to_fs(url)
        with files.open(path, "rb") as lines:
            history = history_of(lines)
    except FileNotFoundError as error:
        msg = f"{place} is not there: correct journal_url, or run target-cordial once with it set."
        raise UserError(msg) from error
    except ImportError as error:
        msg = f"{place} needs more packages to be read: install the fsspec package for its kind of URL."
        raise UserError(msg) from error
    except Exception as error:
        # Whatever its file system raises; the message may hold a login.
        msg = f"{place} cannot be read ({type(error).__name__}): check journal_url and the rights to read it."
        raise UserError(msg) from error
    if history.runs:
        return history
    if history.unreadable:
        msg = f"{place} holds no line that can be read: check that journal_url names a journal of target-cordial."
        raise UserError(msg)
    msg = f"{place} is empty: run target-cordial once with journal_url set."
    raise UserError(msg)


def history_of(lines: t.Iterable[bytes]) -> History:
    """Put the runs together from a journal's lines.

    Args:
        lines: The lines; what is damaged is passed over and counted.

    Returns:
        The runs.
    """
    decoder = msgspec.json.Decoder(RunLine | ImportLine)
    ends: dict[str, RunLine] = {}
    imports: dict[str, list[ImportLine]] = {}
    unreadable = 0
    for line in lines:
        if not line.strip():
            continue
        try:
            entry = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            unreadable += 1
            continue
        if isinstance(entry, RunLine):
            ends[entry.run] = entry
        else:
            imports.setdefault(entry.run, []).append(entry)
    runs = [
        _run(end, imports.get(name, [])) if (end := ends.get(name)) else _run_without_end(name, imports[name])
        for name in dict.fromkeys([*imports, *ends])
    ]
    return History(sorted(runs, key=lambda run: (run.started, run.name)), unreadable)


def _run(end: RunLine, imports: list[ImportLine]) -> Run:
    return Run(
        name=end.run,
        started=_utc(end.started),
        ended=_utc(end.ended),
        outcome=end.outcome.removeprefix(_PLAN),
        is_plan=end.outcome.startswith(_PLAN),
        failure=end.failure,
        records=end.records,
        lists=end.lists,
        imports=end.imports,
        seconds=[line.seconds for line in imports],
        rejects=Counter(end.rejects),
        rejected_by_cordial=end.rejected_by_cordial,
    )


def _run_without_end(name: str, imports: list[ImportLine]) -> Run:
    rows: dict[str, Counter[str]] = {}
    for line in imports:
        rows.setdefault(line.list_name or NO_LIST, Counter())[line.kind] += line.rows
    first = min(imports, key=lambda line: line.time)
    return Run(
        name=name,
        started=time_of_run(name) or _utc(first.time) - dt.timedelta(seconds=first.seconds),
        ended=max(_utc(line.time) for line in imports),
        outcome="no end",
        lists={
            list_name: ListLine(enters=counts["enter"], exits=counts["exit"])
            for list_name, counts in rows.items()
        },
        imports=len(imports),
        seconds=[line.seconds for line in imports],
        rejected_by_cordial=sum(line.rejected for line in imports),
    )


def _utc(moment: dt.datetime) -> dt.datetime:
    return moment.astimezone(dt.timezone.utc)


def _check_year(*moments: dt.datetime) -> None:
    if not all(_FIRST_YEAR < moment.year <= _LAST_YEAR for moment in moments):
        msg = "not a time of a run"
        raise ValueError(msg)
