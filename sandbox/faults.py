"""Faults and unknowns of the two services, switched on by name, also while the sandbox runs."""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import random
import threading
import typing as t
from dataclasses import dataclass, field

Server: t.TypeAlias = t.Literal["lytics", "cordial", "sftp"]

_BOUNDS = {"share": (0, 1), "HTTP status": (200, 599)}


@dataclass(frozen=True)
class FaultKind:
    """Something that a service may do.

    Attributes:
        name: Its name.
        server: Which service.
        description: What it does.
        value: The value that it has if none is given; True for a fault that takes none.
        unit: What a value is in, if it is a number.
        choices: The values that it takes, if they are few.
    """

    name: str
    server: Server
    description: str
    value: t.Any = True
    unit: str = ""
    choices: tuple[t.Any, ...] = ()

    @property
    def takes(self) -> str:
        """What a value may be, for people; blank if it takes none."""
        if self.choices:
            return "|".join(map(str, self.choices))
        return self.unit or ("text" if isinstance(self.value, str) else "")

    def checked(self, value: t.Any) -> t.Any:
        """A value that it takes.

        Args:
            value: What was given; True for the value that it has by itself.

        Returns:
            The value.

        Raises:
            ValueError: If it does not take that.
        """
        if value is True:
            return self.value
        if self.choices:
            is_good = value in self.choices
        elif self.unit:
            kinds = (int,) if type(self.value) is int else (int, float)
            least, most = _BOUNDS.get(self.unit, (0, float("inf")))
            is_good = isinstance(value, kinds) and not isinstance(value, bool) and least <= value <= most
        else:
            is_good = isinstance(self.value, str) and isinstance(value, str)
        if not is_good:
            msg = f"The fault {self.name} takes {self.takes or 'no value'}, not {value!r}."
            raise ValueError(msg)
        return value


_LYTICS = (
    FaultKind(
        "lytics_status",
        "lytics",
        "answers with this status, in the envelope that goes with it",
        500,
        "HTTP status",
    ),
    FaultKind("lytics_rate_limit", "lytics", "429, with Retry-After if a value is given", unit="seconds"),
    FaultKind("lytics_cut", "lytics", "cuts the connection in the middle of the answer"),
    FaultKind("lytics_slow", "lytics", "waits before it answers", 1.0, "seconds"),
    FaultKind("lytics_drip", "lytics", "sends its answer byte by byte, this long apart", 1.0, "seconds"),
    FaultKind("lytics_garbage", "lytics", "answers 200 with something that is not JSON"),
    FaultKind(
        "lytics_timed_out",
        "lytics",
        "answers 200 with this message and no data",
        "Timed out",
        choices=("Timed out", "Not Found"),
    ),
    FaultKind("status_text", "lytics", 'the `status` of v1 answers is "success", not a number (unknown)'),
    FaultKind("cursor_expires", "lytics", "refuses a cursor after this many pages of a scan", 1, "pages"),
    FaultKind(
        "expired_cursor",
        "lytics",
        "how a cursor is refused: a status, or a 200 with the first page again (unknown)",
        410,
        choices=(400, 404, 410, "restart"),
    ),
    FaultKind("rows_missed", "lytics", "leaves out every n-th row of a scan (unknown)", 10, "rows"),
    FaultKind("rows_repeated", "lytics", "repeats every n-th row of a scan (unknown)", 10, "rows"),
    FaultKind("rows_reordered", "lytics", "the order of rows changes with every move (unknown)"),
    FaultKind("splits_ignored", "lytics", "takes no notice of `splits` (unknown)"),
    FaultKind("splits_overlap", "lytics", "each slice also holds the rows of the next split (unknown)"),
    FaultKind("short_scan", "lytics", "a scan ends after this part of the audience", 0.5, "share"),
    FaultKind("null_data", "lytics", "a page without rows says `data: null`, not `[]` (unknown)"),
    FaultKind("empty_last_page", "lytics", "a scan ends with a page without rows (unknown)"),
    FaultKind("total_capped", "lytics", "`total` says at most this (unknown)", 10_000, "profiles"),
    FaultKind(
        "limit_over_100",
        "lytics",
        "what a `limit` over 100 does, which else counts as 100 (unknown)",
        "refused",
        choices=("refused", "served"),
    ),
    FaultKind(
        "system_fields",
        "lytics",
        "_id, _created, _modified and _split are in rows without being asked for, or never (unknown)",
        "unasked",
        choices=("unasked", "absent"),
    ),
    FaultKind("segments_absent", "lytics", "rows have neither `segments` nor `_segments` (unknown)"),
    FaultKind("segs_shown", "lytics", "rows have `_segs`, the times of entering by audience (unknown)"),
    FaultKind("old_style_values", "lytics", "all numbers and booleans are text, as in older accounts"),
    FaultKind("filter_ignores_case", "lytics", "FilterQL compares text without regard to case (unknown)"),
    FaultKind(
        "field_unindexed",
        "lytics",
        "the search index does not know this field: its conditions are false, without an error",
        "email",
    ),
    FaultKind(
        "entity_times_out", "lytics", "the look-up of one profile is a 200 with Timed out and a placeholder"
    ),
    FaultKind(
        "audience_id_path",
        "lytics",
        "the id of each audience is this text, such as a path",
        "../../../escaped",
    ),
    FaultKind("filter_blind", "lytics", "ad hoc scans find nobody"),
    FaultKind(
        "index_lag",
        "lytics",
        "ad hoc scans do not know of a move until there were this many of them since (unknown)",
        1,
        "calls",
    ),
    FaultKind("leaving_modifies", "lytics", "leaving an audience changes `_modified` (unknown)"),
    FaultKind("old_schema_only", "lytics", "the v2 schema call is a 404: only the older one is there"),
    FaultKind("old_schema_fields", "lytics", "the older schema call lists its columns under `fields`"),
    FaultKind("sizes_missing", "lytics", "the sizes of audiences are not told"),
    FaultKind("trigger_late", "lytics", "a trigger message lands only with the next ones"),
    FaultKind("trigger_twice", "lytics", "a trigger message lands twice"),
    FaultKind("trigger_lost", "lytics", "a trigger message never lands"),
    FaultKind("trigger_shuffled", "lytics", "trigger messages land out of order"),
    FaultKind(
        "trigger_cut", "lytics", "the last line of a file of JSON lines is cut until more messages land"
    ),
)
_CORDIAL = (
    FaultKind(
        "cordial_status",
        "cordial",
        "answers with this status, in the envelope that goes with it",
        500,
        "HTTP status",
    ),
    FaultKind("rate_limit", "cordial", "429, with Retry-After if a value is given", unit="seconds"),
    FaultKind("cut_connection", "cordial", "cuts the connection before anything is done"),
    FaultKind("answer_lost", "cordial", "does the work, then cuts the connection"),
    FaultKind("answer_cut", "cordial", "does the work, then cuts the connection in the middle of the answer"),
    FaultKind("slow_answer", "cordial", "waits before it answers", 1.0, "seconds"),
    FaultKind("cordial_garbage", "cordial", "does the work, then answers with something that is not JSON"),
    FaultKind(
        "error_shape",
        "cordial",
        "refusals come as `messages`, `validationErrors` or the text of `error`",
        "messages",
        choices=("messages", "validationErrors", "error"),
    ),
    FaultKind("slow_jobs", "cordial", "an import takes this long", 1.0, "seconds"),
    FaultKind("job_throttled", "cordial", "an import is Throttled before it starts", 1.0, "seconds"),
    FaultKind(
        "job_fails",
        "cordial",
        "an import, or each of its child jobs, fails",
        "import",
        choices=("import", "children"),
    ),
    FaultKind(
        "job_never_ends",
        "cordial",
        "an import, or each of its child jobs, stays in Processing, until the fault is cleared",
        "import",
        choices=("import", "children"),
    ),
    FaultKind("job_rejects", "cordial", "this many rows of an import are rejected", 1, "rows"),
    FaultKind("job_errors", "cordial", "this many rows of an import break a unique constraint", 1, "rows"),
    FaultKind(
        "jobid_error",
        "cordial",
        "201 with an error object of this message as jobId",
        "Can't login to the server (sandbox)",
    ),
    FaultKind("jobs_listed_late", "cordial", "a new job is listed only later (unknown)", 1.0, "seconds"),
    FaultKind(
        "listing_held",
        "cordial",
        "new jobs, or new child jobs alone, are not listed until the fault is cleared (unknown)",
        "all",
        choices=("all", "children"),
    ),
    FaultKind("late_fetch", "cordial", "an import fetches its file only later", 1.0, "seconds"),
    FaultKind(
        "zombie_import",
        "cordial",
        "cuts the connection; the import is registered only later, if its file is still there",
        1.0,
        "seconds",
    ),
    FaultKind("zombie_held", "cordial", "holds the imports of zombie_import until the fault is cleared"),
    FaultKind("child_jobs", "cordial", "an import is done by this many child jobs (unknown)", 2, "jobs"),
    FaultKind("counters_missing", "cordial", "jobs have no counters (unknown)"),
    FaultKind("counters_short", "cordial", "jobs account for this many rows too few", 1, "rows"),
    FaultKind("counters_text", "cordial", "the counters of jobs are text (unknown)"),
    FaultKind(
        "job_id_field",
        "cordial",
        "the id of a listed job is in this field, not in _id (unknown)",
        "id",
        choices=("_id", "id", "jobId"),
    ),
    FaultKind(
        "attributes_shape",
        "cordial",
        "attributes come as an object by key, or as if there were none (unknown)",
        "object",
        choices=("array", "object", "empty"),
    ),
    FaultKind("no_underscores", "cordial", "list names with an underscore are refused (unknown)"),
    FaultKind("address_case_kept", "cordial", "addresses that differ in case are two contacts (unknown)"),
    FaultKind(
        "empty_cells",
        "cordial",
        "an empty cell does not clear its attribute: ignored, or its row rejected (unknown)",
        "ignored",
        choices=("clears", "ignored", "rejected"),
    ),
    FaultKind("array_commas", "cordial", "an array in a cell is split at commas, not read as JSON (unknown)"),
    FaultKind("unknown_header_fails", "cordial", "an unknown column fails the import (unknown)"),
    FaultKind(
        "status_resets",
        "cordial",
        "an import without a status column makes contacts of status none subscribed (unknown)",
    ),
    FaultKind("source_login_fails", "cordial", "the storage refuses Cordial's login"),
)
_SFTP = (
    FaultKind("storage_read_only", "sftp", "nothing can be written"),
    FaultKind("storage_full", "sftp", "writing fails for want of room"),
    FaultKind("storage_cut", "sftp", "the connection breaks while a file is written"),
    FaultKind("storage_short", "sftp", "only half of what is written arrives, and nobody is told"),
)
KINDS: dict[str, FaultKind] = {kind.name: kind for kind in (*_LYTICS, *_CORDIAL, *_SFTP)}


@dataclass
class _Active:
    value: t.Any
    path: str | None
    nth: int | None
    once: bool
    chance: float | None
    random: random.Random
    calls: int = 0
    strikes: int = 0


@dataclass
class _Call:
    """A call that a service is answering; a fault acts on all of it or not at all."""

    path: str
    decided: dict[str, t.Any] = field(default_factory=dict)


_call: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("call", default=None)


class Faults:
    """The faults that are on. Several threads may use it.

    Args:
        seed: Of the faults that strike by chance.
    """

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self._active: dict[str, _Active] = {}

    def set(
        self,
        name: str,
        value: t.Any = True,  # noqa: FBT002 - most faults have no other value
        *,
        path: str | None = None,
        nth: int | None = None,
        once: bool = False,
        chance: float | None = None,
    ) -> None:
        """Switch a fault on. Set again, it starts anew.

        Only calls at which it could act count: for `job_fails`, those that register an import.

        Args:
            name: Its name.
            value: What it takes, such as seconds; what `KINDS` says by default.
            path: Only on calls whose method and path, such as `GET /v2/jobs`, hold this text.
            nth: Only on the n-th such call, from 1.
            once: Only the first time.
            chance: Only with this probability, from 0 to 1; by the seed.

        Raises:
            ValueError: If there is no such fault, or it does not take that.
        """
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, 3)
            msg = f"There is no fault {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ".")
            raise ValueError(msg)
        if nth is not None and nth < 1:
            msg = f"nth counts from 1, so it cannot be {nth}."
            raise ValueError(msg)
        if chance is not None and not 0 <= chance <= 1:
            msg = f"chance is from 0 to 1, so it cannot be {chance}."
            raise ValueError(msg)
        active = _Active(
            KINDS[name].checked(value),
            path,
            nth,
            once,
            chance,
            random.Random(f"{self._seed}/{name}"),  # noqa: S311 - chance, not keys
        )
        with self._lock:
            self._active[name] = active

    def clear(self, name: str | None = None) -> None:
        """Switch a fault off.

        Args:
            name: Which; all by default.
        """
        with self._lock:
            if name is None:
                self._active.clear()
            else:
                self._active.pop(name, None)

    @contextlib.contextmanager
    def call(self, path: str) -> t.Iterator[None]:
        """Answer a call: until the end, and in the tasks that begin meanwhile, `get` means this one.

        Args:
            path: Its method and path.
        """
        token = _call.set(_Call(path))
        try:
            yield
        finally:
            _call.reset(token)

    def get(self, name: str, path: str | None = None) -> t.Any:
        """Whether a fault acts; within one call the answer is always the same.

        Args:
            name: Which.
            path: A path of its own, for what is no call: a file, a message.

        Returns:
            Its value, or None if it does not act.
        """
        call = _call.get() if path is None else None
        if call is None:
            return self._decide(name, path or "")
        if name not in call.decided:
            call.decided[name] = self._decide(name, call.path)
        return call.decided[name]

    def is_on(self, name: str) -> bool:
        """Whether a fault has not been cleared, whether it acts or not.

        Args:
            name: Which.
        """
        return name in self._active

    def describe(self) -> list[dict[str, t.Any]]:
        """The faults that are on, as JSON has them."""
        with self._lock:
            return [
                {
                    "name": name,
                    "value": active.value,
                    "path": active.path,
                    "nth": active.nth,
                    "once": active.once,
                    "chance": active.chance,
                    "strikes": active.strikes,
                }
                for name, active in self._active.items()
            ]

    def _decide(self, name: str, path: str) -> t.Any:
        with self._lock:
            active = self._active.get(name)
            if active is None or (active.path is not None and active.path not in path):
                return None
            active.calls += 1
            strikes = (
                (active.nth is None or active.calls == active.nth)
                and not (active.once and active.strikes)
                and (active.chance is None or active.random.random() < active.chance)
            )
            active.strikes += strikes
            return active.value if strikes else None
