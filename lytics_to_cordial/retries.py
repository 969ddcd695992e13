"""Repeated calls: each is one line of the log, and waits as long as the service asks, but not for ever."""

from __future__ import annotations

import contextlib
import datetime as dt
import email.utils
import logging
import math
import time
import typing as t
from urllib.parse import urlsplit

from typing_extensions import Self, override
from urllib3 import BaseHTTPResponse
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, ReadTimeoutError
from urllib3.util import Retry

MAX_RETRY_WAIT_SECONDS = 120

logger = logging.getLogger(__name__)
# Its own lines on retries hold whole URLs, and say nothing of those after a status.
logging.getLogger("urllib3").setLevel(logging.ERROR)


class LoggedRetry(Retry):
    """Logs each retry; waits as long as the service asks, but not for ever."""

    # The status alone decides what is repeated: where a wait is asked for, urllib3 would repeat more, writes too.
    RETRY_AFTER_STATUS_CODES = frozenset()

    def __init__(
        self, service: str = "", shown_path_of: t.Callable[[str], str] = str, **options: t.Any
    ) -> None:
        super().__init__(**options)
        self._service = service
        self._shown_path_of = shown_path_of

    @override
    def new(self, **options: t.Any) -> Self:
        made = super().new(**options)
        made._service = self._service  # noqa: SLF001 - one's own
        made._shown_path_of = self._shown_path_of  # noqa: SLF001
        return made

    @override
    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        # urllib3's own raises for what is neither a whole number nor a date.
        wait = _seconds_of(response.headers.get("Retry-After"))
        return None if wait is None else min(wait, MAX_RETRY_WAIT_SECONDS)

    @override
    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        asked = self.get_retry_after(response) if response is not None else None
        wait = asked or self.get_backoff_time()
        last = self.history[-1]
        log_retry(
            f"{self._service} {_reason(last.status, last.error)}",
            # Without the query, which may hold what is asked about a person.
            f"{last.method} {self._shown_path_of(urlsplit(last.url or '').path)}",
            wait=wait,
            tries=len(self.history) + 1,
        )
        time.sleep(wait)


def log_retry(reason: str, what: str, *, wait: float, tries: int) -> None:
    """Say that something is tried again in so many seconds, as which try; neither text holds secrets or values."""
    when = f"in {wait:.1f} s" if wait else "at once"
    logger.warning("%s: trying %s again %s (try %d).", reason, what, when, tries)


def _seconds_of(retry_after: str | None) -> float | None:
    """How long to wait; None if it is neither seconds nor a date."""
    with contextlib.suppress(ValueError):
        seconds = float(retry_after or "")
        return max(0.0, seconds) if math.isfinite(seconds) else None
    with contextlib.suppress(ValueError, TypeError, IndexError):
        date = email.utils.parsedate_to_datetime(retry_after or "")
        date = date.replace(tzinfo=date.tzinfo or dt.timezone.utc)
        return max(0.0, (date - dt.datetime.now(dt.timezone.utc)).total_seconds())
    return None


def _reason(status: int | None, error: Exception | None) -> str:
    if status is not None:
        return f"answered {status}"
    if isinstance(error, ReadTimeoutError):
        return "did not answer in time"
    if isinstance(error, (ConnectTimeoutError, NewConnectionError)):
        return "cannot be reached"
    return "cut the connection" if isinstance(error, ProtocolError) else f"failed ({type(error).__name__})"
