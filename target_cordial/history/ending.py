"""How a run ended: its line in the journal, and the post that tells people."""

from __future__ import annotations

import logging
import typing as t

from lytics_to_cordial.errors import as_user_error
from lytics_to_cordial.foreign_text import without_foreign
from lytics_to_cordial.signals import Terminated
from target_cordial.history.journal import PLAN, Journal, timestamp
from target_cordial.history.notify import notify

logger = logging.getLogger("target-cordial")


def record_ending(
    journal: Journal,
    outcome: str,
    failure: BaseException | None,
    *,
    is_plan: bool,
    holds_exits: bool,
    notify_url: str | None,
    **entry: t.Any,
) -> None:
    """Write a run's line of the journal, and post it if it is news.

    Args:
        journal: The journal.
        outcome: How the run ended.
        failure: What ended it; None if nothing did.
        is_plan: Whether it only planned; people are not told of that.
        holds_exits: Whether exits wait for a person.
        notify_url: Where to post; None for nowhere.
        entry: What else the line says.
    """
    is_stopped = isinstance(failure, Terminated)
    error = None if failure is None or is_stopped else as_user_error(failure)
    line = journal.add(
        "run",
        ended=timestamp(),
        outcome=f"{PLAN}{outcome}" if is_plan else outcome,
        failure=error and without_foreign(str(error)),
        failure_class="signal" if is_stopped else error and error.failure_class,
        **entry,
    )
    if notify_url is not None and not is_plan:
        notify(notify_url, line, journal.run_before(), holds_exits=holds_exits)
    if journal.url is not None:
        logger.info("The run is in the journal at %s; --report makes a page of it.", journal.url)
