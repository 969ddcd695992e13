"""The journal: runs write a JSON line for each import and each run, without personal data; the page reads them back."""

from __future__ import annotations

import datetime as dt
import logging
import statistics
import threading
import typing as t
from dataclasses import dataclass

import msgspec

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.file_errors import MissingFileError
from lytics_to_cordial.files import Folder
from target_cordial.run_name import time_of_run

NO_LIST = "(contacts alone)"
"""In place of a list's name, where contacts go on none."""
NO_END = "no end"
"""The outcome of a run that left no line of its own."""
_PLAN = "plan "
"""Stands before the outcome of a run that only planned."""

Moment = t.Annotated[dt.datetime, msgspec.Meta(tz=True)]
Count = t.Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Seconds = t.Annotated[float, msgspec.Meta(ge=0, le=10**9)]

logger = logging.getLogger("target-cordial")


class Journal:
    """Appends lines to the file at a URL, or nowhere if that is None; several threads may share it.

    A line that cannot be written is a warning and the end of the journal, never a failed run.
    """

    def __init__(self, url: str | None, run: str) -> None:
        self._url = url
        self._run = run
        self._lock = threading.Lock()
        self._file: tuple[Folder, str] | None = None

    def add(self, event: str, **entry: t.Any) -> None:
        """Append a line for an `import` or a `run`; an entry never holds an identifier or a profile value."""
        line = msgspec.json.encode({"time": timestamp(), "run": self._run, "event": event, **entry}) + b"\n"
        with self._lock:
            if self._url is None:
                return
            try:
                self._file = self._file or Folder.of_file(self._url, setting="journal_url")
                folder, name = self._file
                folder.append(name, line)
            except UserError as error:
                # The run is worth more.
                logger.warning("This run leaves no more lines in the journal. %s", error)
                self._url = None


def timestamp() -> str:
    """The present time as the journal has it: UTC, to the millisecond."""
    return dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class ListCounts(msgspec.Struct, frozen=True):
    """What a run did to one list.

    Attributes:
        enters: Rows imported for contacts that join or change.
        exits: Rows imported for contacts that leave.
        size_before: Contacts on the list when the run first met it; None if not known.
        size_after: Contacts on the list at the end of the run; None if not known.
        members: Members of the audience at the end of the run; None if not known.
    """

    enters: Count = 0
    exits: Count = 0
    size_before: Count | None = None
    size_after: Count | None = None
    members: Count | None = None


class Run(msgspec.Struct, tag_field="event", tag="run"):
    """A run as the journal has it: the line that it wrote at its end, or what its imports tell if it was killed.

    Attributes:
        outcome: `done`, `failed` or `stopped`, with `plan ` before it if the run only planned; or NO_END.
        failure: Why it failed, in one sentence.
        records: How many it read; None if not known.
        lists: By name.
        rejects: Records that it rejected before sending, by reason.
        import_seconds: How long each import took, by the lines of the imports.
    """

    run: str
    started: Moment
    ended: Moment
    outcome: str
    failure: str | None = None
    records: Count | None = None
    lists: dict[str, ListCounts] = {}
    imports: Count = 0
    rejects: dict[str, Count] = {}
    rejected_by_cordial: Count = 0
    import_seconds: list[Seconds] = []

    def __post_init__(self) -> None:
        self.started = self.started.astimezone(dt.timezone.utc)
        self.ended = self.ended.astimezone(dt.timezone.utc)

    @property
    def is_plan(self) -> bool:
        """Whether the run only planned; nothing of what it counts happened."""
        return self.outcome.startswith(_PLAN)

    @property
    def ending(self) -> str:
        """The outcome, whether planned or not."""
        return self.outcome.removeprefix(_PLAN)

    @property
    def seconds(self) -> float:
        """From start to end; 0 if a clock was set back meanwhile."""
        return max((self.ended - self.started).total_seconds(), 0)

    @property
    def enters(self) -> int:
        """Rows imported for contacts that join or change, of all lists."""
        return sum(counts.enters for counts in self.lists.values())

    @property
    def exits(self) -> int:
        """Rows imported for contacts that leave, of all lists."""
        return sum(counts.exits for counts in self.lists.values())

    @property
    def rejected(self) -> int:
        """Records rejected before sending, and rows rejected by Cordial."""
        return sum(self.rejects.values()) + self.rejected_by_cordial

    @property
    def median_import_seconds(self) -> float | None:
        """How long an import took; None without one."""
        return statistics.median(self.import_seconds) if self.import_seconds else None


class _Import(msgspec.Struct, tag_field="event", tag="import"):
    run: str
    time: Moment
    kind: t.Literal["enter", "exit"]
    rows: Count
    seconds: Seconds
    list_name: str | None = None
    rejected: Count = 0

    def __post_init__(self) -> None:
        self.time = self.time.astimezone(dt.timezone.utc)


@dataclass(frozen=True)
class History:
    """The runs of a journal in the order in which they started, and how many of its lines could not be read."""

    runs: list[Run]
    unreadable: int = 0

    @property
    def real_runs(self) -> list[Run]:
        """The runs that did not only plan."""
        return [run for run in self.runs if not run.is_plan]


def read_history(url: str) -> History:
    """Read the journal at a URL; raises UserError if there is none, or none of its lines can be read."""
    history = history_of(_read(url).splitlines())
    if history.runs:
        return history
    if history.unreadable:
        raise UserError(
            f"The journal at {url} holds no line that can be read: check that journal_url names a journal of target-cordial."
        )
    raise UserError(f"The journal at {url} is empty: run target-cordial once with journal_url set.")


def history_of(lines: t.Iterable[bytes]) -> History:
    """Put runs together from a journal's lines. A line that is damaged or of an unknown kind is only counted."""
    decoder = msgspec.json.Decoder(Run | _Import)
    runs: dict[str, Run] = {}
    imports: dict[str, list[_Import]] = {}
    unreadable = 0
    for line in filter(bytes.strip, lines):
        try:
            entry = decoder.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
            unreadable += 1
            continue
        if isinstance(entry, Run):
            runs[entry.run] = entry
        else:
            imports.setdefault(entry.run, []).append(entry)
    for name, done in imports.items():
        run = runs.setdefault(name, _run_without_end(name, done))
        run.import_seconds = [line.seconds for line in done]
    return History(sorted(runs.values(), key=lambda run: (run.started, run.run)), unreadable)


def _run_without_end(name: str, imports: list[_Import]) -> Run:
    lists: dict[str, ListCounts] = {}
    for line in imports:
        list_name = line.list_name or NO_LIST
        before = lists.get(list_name, ListCounts())
        enters, exits = (line.rows, 0) if line.kind == "enter" else (0, line.rows)
        lists[list_name] = ListCounts(before.enters + enters, before.exits + exits)
    return Run(
        run=name,
        started=time_of_run(name) or imports[0].time,
        ended=max(line.time for line in imports),
        outcome=NO_END,
        lists=lists,
        imports=len(imports),
        rejected_by_cordial=sum(line.rejected for line in imports),
    )


def _read(url: str) -> bytes:
    folder, name = Folder.of_file(url, setting="journal_url")
    try:
        return folder.read(name)
    except MissingFileError as error:
        raise UserError(
            f"The journal at {url} is not there: correct journal_url, or run target-cordial once with it set."
        ) from error
