"""What may go wrong, and what nobody knows of the two services: one named kind of fault for each, with a sentence."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

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
        """A value that it takes."""
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
            raise ValueError(f"The fault {self.name} takes {self.takes or 'no value'}, not {value!r}.")
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
    FaultKind(
        "scan_shifts", "lytics", "after a page of a scan whoever comes first leaves, and all others move up"
    ),
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
        "filter_refused",
        "lytics",
        "a filter with a value that holds this text is refused, by words that repeat the filter from there on (unknown)",
        "refused",
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
    FaultKind(
        "audiences_bare", "lytics", "audiences say no more than those that Lytics' own client has recorded"
    ),
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
    FaultKind("cordial_drip", "cordial", "sends its answer byte by byte, this long apart", 1.0, "seconds"),
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
        "jobs_listed_stale",
        "cordial",
        "the list of jobs shows child jobs under way for ever, which are done (unknown)",
    ),
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
    FaultKind(
        "rows_uncounted", "cordial", "this many rows of a job are in its total, and in no counter", 1, "rows"
    ),
    FaultKind(
        "rows_dropped", "cordial", "this many rows of an import are dropped, and counted nowhere", 1, "rows"
    ),
    FaultKind("counters_text", "cordial", "the counters of jobs are text (unknown)"),
    FaultKind(
        "job_names_absent",
        "cordial",
        "jobs do not say what they are called and which lists they are about: child jobs, exports, or both (unknown)",
        "all",
        choices=("all", "children", "exports"),
    ),
    FaultKind("job_list_ids", "cordial", "jobs name lists by id (unknown)"),
    FaultKind(
        "contact_values",
        "cordial",
        "a contact that is read shows numbers as text, dates to the millisecond, and arrays joined by commas (unknown)",
    ),
    FaultKind(
        "job_id_field",
        "cordial",
        "the id of a listed job is in this field, not in _id (unknown)",
        "id",
        choices=("_id", "id", "jobId"),
    ),
    FaultKind(
        "job_id_shape",
        "cordial",
        "the id of a job is a number, or in a list of jobs an object with `$oid` (unknown)",
        "nested",
        choices=("number", "nested"),
    ),
    FaultKind("job_page_limit", "cordial", "a page of jobs has at most this many (unknown)", 25, "jobs"),
    FaultKind(
        "time_form_refused",
        "cordial",
        "times of jobs are refused as a time, 2025-01-31T00:00:00Z, as a day, 31-01-2025, or as both (unknown)",
        "time",
        choices=("time", "day", "both"),
    ),
    FaultKind(
        "attributes_paged",
        "cordial",
        "attributes come in pages of this many, unless the call asks for more (unknown)",
        25,
        "attributes",
    ),
    FaultKind(
        "attribute_not_found",
        "cordial",
        "asking for one attribute that is not there is a 404, not a 422 (unknown)",
    ),
    FaultKind(
        "attributes_shape",
        "cordial",
        "attributes come as an object by key, or as if there were none (unknown)",
        "object",
        choices=("array", "object", "empty"),
    ),
    FaultKind(
        "list_count_late", "cordial", "the count of a list does not know of its contacts yet (unknown)"
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
    FaultKind("subscribe_refused", "cordial", "an import call with `subscribe` is a 406 (unknown)"),
    FaultKind(
        "new_contacts_unsubscribed",
        "cordial",
        "a new contact of an import with `subscribe: false` gets the status none (unknown)",
    ),
    FaultKind(
        "csv_backslash",
        "cordial",
        "within quotes a backslash hides the next quote, as in PHP's reader (unknown)",
    ),
    FaultKind(
        "unknown_in_update",
        "cordial",
        "in an updateOnly import all unknown addresses are rejected, or all are ignored, malformed ones too (unknown)",
        "rejected",
        choices=("rejected", "ignored"),
    ),
    FaultKind("unknown_list_ignored", "cordial", "an import passes over a list that is not there (unknown)"),
    FaultKind(
        "date_digits", "cordial", "a date with more digits of a second is rejected (unknown)", 6, "digits"
    ),
    FaultKind("export_slow", "cordial", "an export begins only later", 1.0, "seconds"),
    FaultKind("export_fails", "cordial", "an export fails"),
    FaultKind("export_file_late", "cordial", "an export is Done before its file is there", 1.0, "seconds"),
    FaultKind("export_half", "cordial", "an export is Done when half of its file is there", 1.0, "seconds"),
    FaultKind("export_split", "cordial", "an export writes this many files (unknown)", 2, "files"),
    FaultKind("export_named_by_job", "cordial", "the file of an export has its job's id as name (unknown)"),
    FaultKind("export_headless", "cordial", "an export has no header, though one was asked for (unknown)"),
    FaultKind(
        "export_list_ids",
        "cordial",
        "list columns of an export are named by id, though asked for by name (unknown)",
    ),
    FaultKind(
        "export_numbers",
        "cordial",
        "an export writes numbers with all their digits, without the last zeros, or in powers of ten (unknown)",
        "short",
        choices=("long", "short", "powers"),
    ),
    FaultKind("export_repeats", "cordial", "this many contacts of an export come twice", 1, "contacts"),
    FaultKind("export_status_absent", "cordial", "an export has no column of subscribe statuses (unknown)"),
    FaultKind(
        "export_identifier",
        "cordial",
        "in an export the address is the field `email`: in the header alone, or channels.email.address is blank, or refused (unknown)",
        "headed",
        choices=("headed", "blank", "refused"),
    ),
    FaultKind(
        "export_arrays",
        "cordial",
        "an export joins the items of an array by commas or bars, in place of JSON (unknown)",
        "commas",
        choices=("commas", "bars"),
    ),
    FaultKind(
        "export_dates",
        "cordial",
        "an export writes dates to the second, to the millisecond, or with a blank in place of the T (unknown)",
        "seconds",
        choices=("seconds", "milliseconds", "spaced"),
    ),
    FaultKind("export_account_optional", "cordial", "an export call needs no accountId (unknown)"),
    FaultKind("source_login_fails", "cordial", "the storage refuses Cordial's login"),
)
_SFTP = (
    FaultKind("storage_read_only", "sftp", "nothing can be written"),
    FaultKind("storage_full", "sftp", "writing fails for want of room"),
    FaultKind("storage_cut", "sftp", "the connection breaks while a file is written"),
    FaultKind("storage_short", "sftp", "only half of what is written arrives, and nobody is told"),
)
KINDS: dict[str, FaultKind] = {kind.name: kind for kind in (*_LYTICS, *_CORDIAL, *_SFTP)}
