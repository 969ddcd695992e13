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
from lytics_to_cordial.files import Folder
from target_cordial.history.audits import ListAudit
from target_cordial.history.journal_files import JournalFiles
from target_cordial.run_name import time_of_run

NO_LIST = "(contacts alone)"
"""In place of a list's name, where contacts go on none."""
GOOD = "done"
"""The outcome of a run that did all of its work."""
NO_END = "no end"
"""The outcome of a run that left no line of its own."""
PLAN = "plan "
"""Stands before the outcome of a run that only planned."""

Moment = t.Annotated[dt.datetime, msgspec.Meta(tz=True)]
Count = t.Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Seconds = t.Annotated[float, msgspec.Meta(ge=0, le=10**9)]

logger = logging.getLogger("target-cordial")


class Journal:
    """Adds a run's lines to the journal at a URL, or to none if that is None; several threads may share it.

    A line that cannot be written is a warning and the end of the journal, never a failed run.

    Attributes:
        url: Where it is; None if there is none, or it cannot be written.

    Args:
        url: A file, or a folder.
        run: The run's name.
        pipeline: Whose run it is: the folder of its import files.
        tag: A short name of the pipeline, for names of files.
    """

    def __init__(self, url: str | None, run: str, pipeline: str = "", tag: str = "") -> None:
        self.url = url
        self._files = None if url is None else JournalFiles(url)
        self._run = run
        self._pipeline = pipeline
        self._tag = tag
        self._lock = threading.Lock()

    @property
    def folder(self) -> Folder | None:
        """The folder that it is in, if there is a journal."""
        return None if self._files is None else self._files.folder

    def add(self, event: str, **entry: t.Any) -> bytes:
        """Add a line for an `import` or a `run`, and return it; an entry never holds an identifier or a profile value."""
        head = {"time": timestamp(), "run": self._run, "pipeline": self._pipeline, "event": event}
        line = msgspec.json.encode({**head, **entry})
        with self._lock:
            try:
                if self._files is not None:
                    self._files.add(line + b"\n", self._run, self._tag)
            except UserError as error:
                # The run is worth more.
                logger.warning("This run leaves no more lines in the journal. %s", error)
                self._files = None
                self.url = None
        return line

    def run_before(self) -> Run | None:
        """The pipeline's newest run before this one that did not only plan; None if the journal does not tell."""
        if self._files is None:
            return None
        try:
            for lines in self._files.lines(self._tag):
                runs = [
                    run
                    for run in history_of(lines).real_runs
                    if run.run != self._run and run.pipeline in {None, self._pipeline}
                ]
                if runs:
                    return runs[-1]
        except UserError as error:
            logger.warning("Nobody knows how the run before this one ended. %s", error)
        return None


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
        audit: What an audit says of it; None if the run was none.
    """

    enters: Count = 0
    exits: Count = 0
    size_before: Count | None = None
    size_after: Count | None = None
    members: Count | None = None
    audit: ListAudit | None = None


class Run(msgspec.Struct, tag_field="event", tag="run"):
    """A run as the journal has it: the line that it wrote at its end, or what its imports tell if it was killed.

    Attributes:
        outcome: `done`, `failed`, `stopped`, `nothing came` or `incomplete` (the tap did not do all of its work), with `plan ` before
            it if the run only planned; or NO_END.
        failure: Why it failed, in one sentence.
        failure_class: What helps: `transient` (another try may), `person`, `program` (a fault of it), or `signal`; None if nothing failed.
        pipeline: Whose run it is: the folder of its import files; None in a line of an older version.
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
    failure_class: str | None = None
    pipeline: str | None = None
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
        return self.outcome.startswith(PLAN)

    @property
    def ending(self) -> str:
        """The outcome, whether planned or not."""
        return self.outcome.removeprefix(PLAN)

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
    pipeline: str | None = None
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
    history = history_of(line for lines in JournalFiles(url).lines() for line in lines)
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
        pipeline=imports[0].pipeline,
        outcome=NO_END,
        lists=lists,
        imports=len(imports),
        rejected_by_cordial=sum(line.rejected for line in imports),
    )
