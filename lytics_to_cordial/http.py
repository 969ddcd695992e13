"""Calls to a service that say what they do: each retry is one line of the log, and durations are metrics."""

from __future__ import annotations

import logging
import threading
import time
import typing as t
from collections import defaultdict
from urllib.parse import urlsplit

from singer_sdk import metrics
from urllib3.exceptions import ConnectTimeoutError, NewConnectionError, ProtocolError, ReadTimeoutError
from urllib3.util import Retry

if t.TYPE_CHECKING:
    from collections.abc import Callable

    import requests
    from urllib3 import BaseHTTPResponse

MAX_RETRY_WAIT_SECONDS = 120
METRIC_SECONDS = 60
"""A metric for each of ten thousand pages would bury the rest of the log, so calls are summed up."""

logger = logging.getLogger(__name__)
# Its own lines on retries hold whole URLs, and say nothing of those after a status.
logging.getLogger("urllib3.connectionpool").setLevel(logging.ERROR)


class ToldRetry(Retry):
    """Tells each retry; waits as long as the service asks, but not for ever.

    Attributes:
        service: Who is called.
    """

    service: t.ClassVar[str]

    def get_retry_after(self, response: BaseHTTPResponse) -> float | None:
        """How long the service asks to wait; see urllib3."""
        wait = super().get_retry_after(response)
        return None if wait is None else min(wait, MAX_RETRY_WAIT_SECONDS)

    def sleep(self, response: BaseHTTPResponse | None = None) -> None:
        """Wait before the next try, and say why; see urllib3."""
        asked = self.get_retry_after(response) if response is not None else None
        wait = asked or self.get_backoff_time()
        last = self.history[-1]
        log_retry(
            f"{self.service} {_reason(last.status, last.error)}",
            # Without the query, which may hold what is asked about a person.
            f"{last.method} {urlsplit(last.url or '').path}",
            wait=wait,
            tries=len(self.history) + 1,
        )
        time.sleep(wait)


def log_retry(reason: str, what: str, *, wait: float, tries: int) -> None:
    """Say that something is tried again.

    Args:
        reason: Why.
        what: What, without secrets and values.
        wait: In how many seconds.
        tries: Which try it will be.
    """
    when = f"in {wait:.1f} s" if wait else "at once"
    logger.warning("%s: trying %s again %s (try %d).", reason, what, when, tries)


def _reason(status: int | None, error: Exception | None) -> str:
    if status is not None:
        return f"answered {status}"
    if isinstance(error, ReadTimeoutError):
        return "did not answer in time"
    if isinstance(error, (ConnectTimeoutError, NewConnectionError)):
        return "cannot be reached"
    return "cut the connection" if isinstance(error, ProtocolError) else f"failed ({type(error).__name__})"


class CallMetrics:
    """Durations of calls, as the SDK's metric `http_request_duration`: the mean by endpoint and status, once a minute.

    Several threads may use it.

    Args:
        endpoint_of: The endpoint of a URL's path, without what it was asked about.
    """

    def __init__(self, endpoint_of: Callable[[str], str]) -> None:
        self._endpoint_of = endpoint_of
        self._lock = threading.Lock()
        self._seconds: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        self._due_at = time.monotonic() + METRIC_SECONDS

    def watch(self, session: requests.Session) -> None:
        """Measure all calls of a session.

        Args:
            session: The session.
        """
        session.hooks["response"].append(self._note)

    def log(self) -> None:
        """Write what was measured since the last time."""
        with self._lock:
            measured, self._seconds = self._seconds, defaultdict(list)
            self._due_at = time.monotonic() + METRIC_SECONDS
        for (endpoint, status), seconds in sorted(measured.items()):
            metrics.log(
                metrics.get_metrics_logger(),
                metrics.Point(
                    "timer",
                    metrics.Metric.HTTP_REQUEST_DURATION,
                    round(sum(seconds) / len(seconds), 6),
                    {
                        metrics.Tag.ENDPOINT: endpoint,
                        metrics.Tag.HTTP_STATUS_CODE: status,
                        "requests": len(seconds),
                    },
                ),
            )

    def _note(self, reply: requests.Response, **_: t.Any) -> None:
        endpoint = self._endpoint_of(urlsplit(reply.url).path)
        with self._lock:
            self._seconds[endpoint, reply.status_code].append(reply.elapsed.total_seconds())
            is_due = time.monotonic() >= self._due_at
        if is_due:
            self.log()
