"""Whether the last good run of each pipeline in a journal is young enough, for a monitor."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.progress import duration
from target_cordial.history.journal import GOOD, Run, read_history

MAX_AGE_HOURS = 26
"""A daily run, and two hours for it."""
_CLOCK_SKEW = dt.timedelta(minutes=10)


@dataclass(frozen=True)
class PipelineStatus:
    """How a pipeline is.

    Attributes:
        text: One line for people.
        is_good: Whether its last good run is young enough.
    """

    text: str
    is_good: bool


def pipeline_statuses(
    journal_url: str, max_age: dt.timedelta, now: dt.datetime, pipeline: str | None = None
) -> list[PipelineStatus]:
    """How each pipeline is that the journal knows, or the one that is named.

    Raises:
        UserError: If the journal cannot be read, or knows no run.
    """
    runs: dict[str | None, list[Run]] = {}
    for run in read_history(journal_url).real_runs:
        if pipeline is None or run.pipeline in {None, pipeline}:
            runs.setdefault(run.pipeline if pipeline is None else pipeline, []).append(run)
    if not runs:
        raise UserError(
            f"The journal at {journal_url} knows no run{'' if pipeline is None else f' of {pipeline}'}: run target-cordial once with "
            "journal_url set, or correct journal_url."
        )
    return [_status(name, theirs, max_age, now) for name, theirs in runs.items()]


def _status(pipeline: str | None, runs: list[Run], max_age: dt.timedelta, now: dt.datetime) -> PipelineStatus:
    last = runs[-1]
    failed = f" ({last.failure_class})" if last.failure_class else ""
    why = f": {last.failure.rstrip('.')}" if last.failure else ""
    head = f"{pipeline or 'pipeline'}: last run {last.started:%Y-%m-%d %H:%M} UTC {last.outcome}{failed}{why}"
    # A time that lies in the future says nothing of an age.
    good = [run.ended for run in runs if run.outcome == GOOD and run.ended <= now + _CLOCK_SKEW]
    if not good:
        return PipelineStatus(f"{head}; no good run is known", is_good=False)
    age = max(now - max(good), dt.timedelta())
    is_young = age <= max_age
    allowed = "" if is_young else f", more than {duration(max_age.total_seconds())}"
    text = f"{head}; last good run {duration(age.total_seconds())} ago{allowed}"
    return PipelineStatus(text, is_good=is_young)
