"""Calls to a service: repeated and logged, with an end and a bound to each answer, and measured."""

from __future__ import annotations

import logging
import os
import threading
import time
import typing as t
from collections import defaultdict
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import requests
from singer_sdk import metrics
from urllib3.exceptions import HTTPError, TimeoutError  # noqa: A004 - the base of urllib3's own

from lytics_to_cordial.deadline import DeadlineAdapter
from lytics_to_cordial.errors import TransientError, UserError
from lytics_to_cordial.progress import counted, duration
from lytics_to_cordial.retries import MAX_RETRY_WAIT_SECONDS, LoggedRetry, log_retry

CONNECT_TIMEOUT_SECONDS = 10
ANSWER_TRIES = 4
"""For an answer that breaks off or cannot be used; urllib3 repeats a call whose answer never began."""
METRIC_SECONDS = 60
"""A metric for each of ten thousand pages would bury the rest of the log, so calls are summed up."""
_BACKOFF: dict[str, t.Any] = {
    "backoff_factor": 0.5,
    "backoff_jitter": 0.5,
    "backoff_max": MAX_RETRY_WAIT_SECONDS,
    "raise_on_status": False,
    "redirect": 0,
}
_READS: dict[str, t.Any] = {"allowed_methods": None, "status_forcelist": {429, 500, 502, 503, 504}}
# A connection that was never made carried nothing, so that is safe to repeat; an answer that was lost is not.
_WRITES: dict[str, t.Any] = {
    "allowed_methods": None,
    "status_forcelist": {429},
    "read": 0,
    "other": 0,
}

_Value = t.TypeVar("_Value")


@dataclass(frozen=True)
class Answer(t.Generic[_Value]):
    """What a service answered.

    Attributes:
        status: The HTTP status.
        content: The body.
        value: What the body says; None if the status is not one of success, or it says nothing.
    """

    status: int
    content: bytes
    value: _Value | None = None


@dataclass
class Service:
    """A service behind one base URL, as one user of it. Several threads may use it.

    Attributes:
        name: Its name, for messages.
        url: The base URL.
        authorization: The header of that name.
        user_agent: The header of that name.
        error: What to raise of a call without a whole answer: it may have arrived or not.
        endpoint_of: Gives the endpoint of a path below the base URL, without what it was asked about.
        shown_path_of: Gives a path below the base URL as log lines may show it.
        timeout_seconds: How long an answer may take, from the call to its end.
        max_answer_bytes: The largest answer, unpacked.
        too_large: What to do when an answer is larger; a `UserError` says it.
        tries: How often a call is repeated.
        connect_tries: How often, when no connection can be made.
        connections: How many are kept.
    """

    name: str
    url: str
    authorization: str
    user_agent: str
    error: type[TransientError]
    endpoint_of: t.Callable[[str], str]
    timeout_seconds: float
    max_answer_bytes: int
    too_large: str
    tries: int
    connect_tries: int
    connections: int
    shown_path_of: t.Callable[[str], str] = str

    def __post_init__(self) -> None:
        self.url = self.url.rstrip("/")
        parts = urlsplit(self.url)
        self._base_path = parts.path
        # Without what may stand before an @.
        self.host = parts.netloc.rpartition("@")[2]
        self.metrics = CallMetrics()
        self._session = requests.Session()
        self._session.headers["Authorization"] = self.authorization
        self._session.headers["User-Agent"] = self.user_agent
        # Proxies and certificates of the environment, read once and not at each call; never .netrc in place of the secret.
        self._session.trust_env = False
        self._proxies = requests.utils.get_environ_proxies(self.url)
        self._certificates = ca_bundle()
        self._reads = self._adapter(_READS)
        self._writes = self._adapter(_WRITES)

    def request(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: bytes | None = None,
        kind: str = "",
    ) -> requests.PreparedRequest:
        """Prepare a call of a path below the base URL, with a body of a media type."""
        call = requests.Request(
            method,
            self.url + path,
            # Leave commas unescaped: urllib3 parses each escape again on each request.
            params=urlencode(query or {}, safe=","),
            data=body,
            headers={"Content-Type": kind} if kind else {},
        )
        try:
            return self._session.prepare_request(call)
        except requests.RequestException as error:
            raise self._unanswered(error) from error

    def read(
        self, request: requests.PreparedRequest, decode: t.Callable[[bytes], _Value | None]
    ) -> Answer[_Value]:
        """Make a call that changes nothing, again when its answer breaks off, or is one of success without a value."""
        for tries_left in range(ANSWER_TRIES - 1, -1, -1):
            fault = "broke off"
            try:
                status, content = self._send(self._reads, request)
                value = decode(content) if status < HTTPStatus.MULTIPLE_CHOICES else None
                if value is not None or status >= HTTPStatus.MULTIPLE_CHOICES or not tries_left:
                    return Answer(status, content, value)
                fault = "holds no data"
            except HTTPError as error:
                if not tries_left:
                    raise self._unanswered(error) from error
            what = f"{request.method} {self.shown_path_of(self._path_of(request))}"
            log_retry(f"An answer of {self.name} {fault}", what, wait=0, tries=ANSWER_TRIES - tries_left + 1)
        raise AssertionError

    def write(self, request: requests.PreparedRequest) -> Answer[t.Any]:
        """Make a call that may change something: again only if it cannot have arrived, or the service says that it did not act (429)."""
        # Writes are rare: an idle connection that the service gave up meanwhile would leave the outcome of one unknown.
        request.headers["Connection"] = "close"
        try:
            return Answer(*self._send(self._writes, request))
        except HTTPError as error:
            raise self._unanswered(error) from error

    def _adapter(self, repeated: dict[str, t.Any]) -> DeadlineAdapter:
        retry = LoggedRetry(
            self.name, self._shown, total=self.tries, connect=self.connect_tries, **_BACKOFF, **repeated
        )
        return DeadlineAdapter(max_retries=retry, pool_maxsize=self.connections)

    def _send(self, adapter: DeadlineAdapter, request: requests.PreparedRequest) -> tuple[int, bytes]:
        """Make a call. What urllib3 raises is of an answer that began; all other errors have ended in a sentence."""
        began_at = time.monotonic()
        try:
            # Not by the session, which reads what comes with a redirect for as long as it comes.
            reply = adapter.send(
                request,
                stream=True,
                timeout=(CONNECT_TIMEOUT_SECONDS, self.timeout_seconds),
                verify=self._certificates,
                proxies=self._proxies,
            )
        except requests.RequestException as error:
            raise self._unanswered(error) from error
        endpoint = self.endpoint_of(self._path_of(request))
        self.metrics.add(endpoint, reply.status_code, time.monotonic() - began_at)
        content = bytearray()
        with reply:
            # Not iter_content: it waits for so many bytes, however long they keep coming one by one.
            while chunk := reply.raw.read1(256 * 1024, decode_content=True):
                content += chunk
                if len(content) > self.max_answer_bytes:
                    raise UserError(
                        f"An answer of {self.name} is larger than {self.max_answer_bytes >> 20} MB: {self.too_large}."
                    )
        return reply.status_code, bytes(content)

    def _path_of(self, request: requests.PreparedRequest) -> str:
        return urlsplit(request.url or "").path[len(self._base_path) :]

    def _shown(self, path: str) -> str:
        """A whole path for log lines."""
        return self._base_path + self.shown_path_of(path[len(self._base_path) :])

    def _unanswered(self, error: Exception) -> UserError:
        # Where tries are over, requests calls each error one of the connection.
        reason = getattr(error.args[0], "reason", error) if error.args else error
        is_timeout = isinstance(reason, (requests.Timeout, TimeoutError))
        fault = "did not answer in time" if is_timeout else "cannot be reached"
        return self.error(
            f"{self.name} {fault} at {self.host} ({type(reason).__name__}): check api_url and the network, then run again."
        )


def ca_bundle() -> str | bool:
    """The file or folder of trusted certificates that the environment names, or True for those of requests.

    Raises:
        UserError: If it is not there.
    """
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        if path := os.environ.get(name):
            if Path(path).exists():
                return path
            raise UserError(
                f"The certificates that {name} names are not there: correct the path, or unset it."
            )
    return True


class CallMetrics:
    """Durations of calls, as the SDK's metric `http_request_duration`: the mean by endpoint and status, once a minute.

    Several threads may use it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._seconds: defaultdict[tuple[str, int], list[float]] = defaultdict(list)
        self._sums: defaultdict[str, list[float]] = defaultdict(lambda: [0, 0.0])
        self._due_at = time.monotonic() + METRIC_SECONDS

    def add(self, endpoint: str, status: int, seconds: float) -> None:
        """Count a call."""
        with self._lock:
            self._seconds[endpoint, status].append(seconds)
            self._sums[endpoint][0] += 1
            self._sums[endpoint][1] += seconds
            is_due = time.monotonic() >= self._due_at
        if is_due:
            self.log()

    def log_sum(self, service: str, logger: logging.Logger) -> None:
        """Write what is left to write, and one line of all calls, whose fields are in a log of JSON."""
        self.log()
        with self._lock:
            sums = {
                endpoint: (int(count), round(seconds, 3)) for endpoint, (count, seconds) in self._sums.items()
            }
        if sums:
            calls, seconds = (sum(column) for column in zip(*sums.values(), strict=True))
            extra = {
                "calls": calls,
                "call_seconds": round(seconds, 3),
                "calls_by_endpoint": {endpoint: count for endpoint, (count, _) in sums.items()},
                "call_seconds_by_endpoint": {endpoint: seconds for endpoint, (_, seconds) in sums.items()},
            }
            logger.info(
                "%s was called %s, %s in all.",
                service,
                counted(calls, "time"),
                duration(seconds),
                extra=extra,
            )

    def log(self) -> None:
        """Write what was measured since the last time."""
        with self._lock:
            measured, self._seconds = self._seconds, defaultdict(list)
            self._due_at = time.monotonic() + METRIC_SECONDS
        for (endpoint, status), seconds in sorted(measured.items()):
            tags = {
                metrics.Tag.ENDPOINT: endpoint,
                metrics.Tag.HTTP_STATUS_CODE: status,
                "requests": len(seconds),
            }
            mean = round(sum(seconds) / len(seconds), 6)
            point = metrics.Point("timer", metrics.Metric.HTTP_REQUEST_DURATION, mean, tags)
            metrics.log(metrics.get_metrics_logger(), point)
