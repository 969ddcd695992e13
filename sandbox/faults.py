"""Faults and unknowns of the two services, switched on by name, also while the sandbox runs."""

from __future__ import annotations

import difflib
import threading
import typing as t
from dataclasses import dataclass

Server: t.TypeAlias = t.Literal["lytics", "cordial", "sftp"]


@dataclass(frozen=True)
class FaultKind:
    """Something that a service may do.

    Attributes:
        name: Its name.
        server: Which service.
        description: What it does, and what its value means.
    """

    name: str
    server: Server
    description: str


KINDS: dict[str, FaultKind] = {
    kind.name: kind
    for kind in (
        FaultKind(
            "lytics_status", "lytics", "answers with this HTTP status, in the envelope that goes with it"
        ),
        FaultKind(
            "lytics_rate_limit", "lytics", "429; the value is Retry-After in seconds, or true for none"
        ),
        FaultKind("lytics_cut", "lytics", "cuts the connection in the middle of the answer"),
        FaultKind("lytics_slow", "lytics", "waits this many seconds before it answers"),
        FaultKind("lytics_garbage", "lytics", "answers 200 with something that is not JSON"),
        FaultKind("lytics_timed_out", "lytics", 'answers 200 with the message "Timed out" and no data'),
        FaultKind("cursor_expires", "lytics", "refuses a cursor after this many pages: 400"),
        FaultKind(
            "rows_missed", "lytics", "leaves out every n-th row of a scan (unknown: do scans miss rows?)"
        ),
        FaultKind("rows_repeated", "lytics", "repeats every n-th row of a scan (unknown)"),
        FaultKind("splits_ignored", "lytics", "takes no notice of `splits` (unknown)"),
        FaultKind("splits_overlap", "lytics", "each slice also holds the rows of the next split (unknown)"),
        FaultKind("short_scan", "lytics", "a scan ends after this part (0 to 1) of the audience"),
        FaultKind("old_style_values", "lytics", "all numbers and booleans are text, as in older accounts"),
        FaultKind("filter_ignores_case", "lytics", "FilterQL compares text without regard to case (unknown)"),
        FaultKind("filter_blind", "lytics", "ad hoc scans find nobody"),
        FaultKind("old_schema_only", "lytics", "the v2 schema call is a 404: only the older one is there"),
        FaultKind("index_lag", "lytics", "members who left are still found, for this many calls (unknown)"),
        FaultKind("cordial_status", "cordial", "answers with this HTTP status, in Cordial's error envelope"),
        FaultKind("rate_limit", "cordial", "429; the value is Retry-After in seconds, or true for none"),
        FaultKind("cut_connection", "cordial", "cuts the connection before anything is done"),
        FaultKind("answer_lost", "cordial", "does the work, then cuts the connection"),
        FaultKind("slow_answer", "cordial", "waits this many seconds before it answers"),
        FaultKind("slow_jobs", "cordial", "an import takes this many seconds"),
        FaultKind("job_fails", "cordial", "an import fails"),
        FaultKind("job_never_ends", "cordial", "an import stays in Processing"),
        FaultKind("job_rejects", "cordial", "this many rows of an import are rejected"),
        FaultKind("jobid_error", "cordial", "201 with an error object as jobId; the value is its message"),
        FaultKind(
            "jobs_listed_late", "cordial", "a new job is listed after this many seconds only (unknown)"
        ),
        FaultKind("late_fetch", "cordial", "an import fetches its file after this many seconds only"),
        FaultKind("child_jobs", "cordial", "an import is done by this many child jobs (unknown)"),
        FaultKind("counters_missing", "cordial", "jobs have no counters (unknown)"),
        FaultKind("counters_short", "cordial", "jobs account for this many rows too few"),
        FaultKind(
            "job_id_field", "cordial", "the id of a listed job is in this field: _id, id or jobId (unknown)"
        ),
        FaultKind("attributes_shape", "cordial", "attributes come as `array`, `object` or `empty` (unknown)"),
        FaultKind("no_underscores", "cordial", "list names with an underscore are refused (unknown)"),
        FaultKind("address_case_kept", "cordial", "addresses that differ in case are two contacts (unknown)"),
        FaultKind(
            "empty_cells",
            "cordial",
            "an empty cell `clears`, is `ignored` or gets the row `rejected` (unknown)",
        ),
        FaultKind("unknown_header_fails", "cordial", "an unknown column fails the import (unknown)"),
        FaultKind("source_login_fails", "cordial", "the storage refuses Cordial's login"),
        FaultKind("storage_read_only", "sftp", "nothing can be written"),
        FaultKind("storage_full", "sftp", "writing fails for want of room"),
        FaultKind("storage_cut", "sftp", "the connection breaks while a file is written"),
    )
}


@dataclass
class _Active:
    value: t.Any
    path: str | None
    nth: int | None
    once: bool
    calls: int = 0


class Faults:
    """The faults that are on. Several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: dict[str, _Active] = {}

    def set(
        self,
        name: str,
        value: t.Any = True,  # noqa: FBT002 - most faults have no other value
        *,
        path: str | None = None,
        nth: int | None = None,
        once: bool = False,
    ) -> None:
        """Switch a fault on.

        Args:
            name: Its name.
            value: What it takes, such as seconds.
            path: Only on calls whose path holds this text.
            nth: Only on the n-th such call, from 1.
            once: Only on the first such call.

        Raises:
            ValueError: If there is no such fault.
        """
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, 3)
            msg = f"There is no fault {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ".")
            raise ValueError(msg)
        with self._lock:
            self._active[name] = _Active(value, path, 1 if once and nth is None else nth, once)

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

    def get(self, name: str, path: str = "") -> t.Any:
        """Whether a fault acts on this call; each question counts as one.

        Args:
            name: Which.
            path: The call's path.

        Returns:
            Its value, or None if it does not act.
        """
        with self._lock:
            active = self._active.get(name)
            if active is None or (active.path is not None and active.path not in path):
                return None
            active.calls += 1
            if active.nth is not None and active.calls != active.nth:
                return None
            return active.value

    def describe(self) -> list[dict[str, t.Any]]:
        """The faults that are on, as JSON has them."""
        with self._lock:
            return [
                {"name": name, "value": active.value, "path": active.path, "nth": active.nth}
                for name, active in self._active.items()
            ]
