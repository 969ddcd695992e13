"""Lytics' API: the calls that the tap makes, and what their answers mean."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import typing as t
from dataclasses import dataclass
from http import HTTPStatus
from importlib import metadata
from urllib.parse import quote, urlencode, urlsplit

import msgspec
import requests
from requests.adapters import HTTPAdapter

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.http import MAX_RETRY_WAIT_SECONDS, CallMetrics, ToldRetry, log_retry
from tap_lytics_audience.lytics.schema import Field

if t.TYPE_CHECKING:
    from tap_lytics_audience.lytics.profiles import Page, Profiles
    from tap_lytics_audience.settings import Settings

CONNECT_TIMEOUT_SECONDS = 10
TRIES = 4
MAX_REPLY_BYTES = 256 * 1024 * 1024
MAX_MESSAGE_CHARACTERS = 200

logger = logging.getLogger("tap-lytics-audience")

_ODD = re.compile(r'[,"\\\x00-\x1f]')
"""In a field's name: a scan is asked for fields by a list with commas, and JSON would not have the name as it is."""

Answer = t.TypeVar("Answer")

_RETRY: dict[str, t.Any] = {
    "total": 7,
    "backoff_factor": 0.5,
    "backoff_jitter": 0.5,
    "backoff_max": MAX_RETRY_WAIT_SECONDS,
    "status_forcelist": {429, 500, 502, 503, 504},
    # A scan is a read, also where it is a POST.
    "allowed_methods": {"GET", "POST"},
    "raise_on_status": False,
    "redirect": 0,
}


class _Retry(ToldRetry):
    service = "Lytics"


class LyticsError(UserError):
    """Lytics refused a call or could not be reached; the sentence says which and what to do.

    Attributes:
        status: The HTTP status; 0 if there was no answer.
    """

    status: int = 0


class CursorError(LyticsError):
    """A scan cannot go on from its cursor, which may have expired."""


@dataclass(frozen=True)
class Audience:
    """An audience as Lytics has it (Lytics docs: segment)."""

    id: str
    slug: str
    name: str
    description: str | None = None
    size: int | None = None
    created: str | None = None
    updated: str | None = None


class Lytics:
    """A Lytics account behind its API token. Several threads may use it.

    Calls are tried again on timeouts, cut connections, 429 and 5xx, with backoff and jitter and honouring `Retry-After`.

    Attributes:
        metrics: Durations of the calls.

    Args:
        settings: Where, and with which token.
    """

    def __init__(self, settings: Settings) -> None:
        self._url = settings.api_url.rstrip("/")
        self._page_size = settings.page_size
        self._timeout = (CONNECT_TIMEOUT_SECONDS, settings.request_timeout_seconds)
        self._session = requests.Session()
        self._session.headers["Authorization"] = settings.api_token
        self._session.headers["User-Agent"] = settings.user_agent or (
            f"tap-lytics-audience/{metadata.version('lytics-to-cordial')}"
        )
        # Proxies and certificates of the environment, read once and not at each call; never .netrc in place of the token.
        self._session.proxies = requests.utils.get_environ_proxies(self._url)
        self._session.verify = (
            os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or True
        )
        self._session.trust_env = False
        adapter = HTTPAdapter(max_retries=_Retry(**_RETRY), pool_maxsize=settings.scan_concurrency + 1)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)
        at = len(urlsplit(self._url).path)
        self.metrics = CallMetrics(lambda path: _endpoint(path[at:]))
        self.metrics.watch(self._session)

    def audience(self, name: str) -> Audience:
        """An audience by slug or id.

        Args:
            name: Which.

        Returns:
            The audience, with its size where Lytics says it.

        Raises:
            LyticsError: If there is none, or it holds no people, or it no longer works.
        """
        try:
            found = self._data("GET", f"/api/segment/{quote(name, safe='')}")
        except LyticsError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
            msg = f"Lytics has no audience {name!r}: correct audiences, by slug or id, or create it again."
            raise _with_status(LyticsError(msg), error.status) from error
        if not isinstance(found, dict) or not found.get("id"):
            msg = f"Lytics' answer about audience {name!r} holds none: check audiences."
            raise LyticsError(msg)
        if str(found.get("table") or "user") != "user":
            msg = f"The audience {name!r} holds {found['table']}, not people: choose a user audience in audiences."
            raise LyticsError(msg)
        if found.get("invalid"):
            msg = f"The audience {name!r} is invalid in Lytics: repair its definition there."
            raise LyticsError(msg)
        return Audience(
            id=str(found["id"]),
            slug=str(found.get("slug_name") or name),
            name=str(found.get("name") or found.get("slug_name") or name),
            description=found.get("description"),
            size=self._size(str(found["id"])),
            created=found.get("created"),
            updated=found.get("updated"),
        )

    def fields(self) -> list[Field]:
        """The profile fields of the account, by the newer schema call, or the older where there is no newer.

        Raises:
            LyticsError: If neither answers.
        """
        try:
            found = self._data("GET", "/v2/schema/user/field")
        except LyticsError as error:
            if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}:
                raise
            found = self._data("GET", "/api/schema/user")
        if isinstance(found, dict):
            found = found.get("columns") or found.get("fields")
        fields = [
            Field(
                str(item.get("id") or item.get("as")),
                str(item.get("type") or "dynamic"),
                item.get("shortdesc") or item.get("longdesc") or "",
            )
            for item in (found if isinstance(found, list) else ())
            if isinstance(item, dict) and (item.get("id") or item.get("as"))
        ]
        odd = [repr(field.name) for field in fields if _ODD.search(field.name)]
        if odd:
            logger.warning(
                "The profile fields %s are left out: a scan cannot be asked for such names.", ", ".join(odd)
            )
        return [field for field in fields if not _ODD.search(field.name)]

    def scan(
        self, audience_id: str, profiles: Profiles, splits: t.Sequence[int] | None = None
    ) -> t.Iterator[Page]:
        """The pages of an audience's members, or of some slices of them.

        Args:
            audience_id: The audience.
            profiles: What to ask for.
            splits: Slices, 0 to 99; the whole audience by default.

        Yields:
            Pages, to the last one.

        Raises:
            CursorError: If Lytics no longer takes the cursor; start again.
            LyticsError: If Lytics does not answer.
        """
        query: dict[str, str] = {}
        if splits is not None:
            query["splits"] = ",".join(map(str, splits))
        yield from self._pages("GET", f"/api/segment/{audience_id}/scan", profiles, query)

    def find(self, filter_text: str, profiles: Profiles) -> t.Iterator[Page]:
        """The profiles that a filter matches.

        Args:
            filter_text: FilterQL.
            profiles: What to ask for.

        Yields:
            Pages, to the last one; their total is how many profiles match.

        Raises:
            LyticsError: If Lytics does not answer.
        """
        yield from self._pages("POST", "/api/segment/scan", profiles, {"table": "user"}, filter_text)

    def _pages(
        self, method: str, path: str, profiles: Profiles, query: dict[str, str], body: str | None = None
    ) -> t.Iterator[Page]:
        query = {**query, "limit": str(self._page_size), "fields": ",".join(profiles.names)}
        # Prepared once for all pages: to encode the fields anew for each took a quarter of the time of its call.
        request = self._prepared(method, path, query, body)
        first_url = request.url
        cursor = ""
        cursors: set[int] = set()
        while True:
            try:
                page = self._call(request, path, profiles.page)
            except LyticsError as error:
                if cursor and error.status in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.GONE}:
                    raise CursorError(str(error)) from error
                raise
            # An expired cursor can also be answered with the first page, and so for ever.
            if page.cursor and hash(page.cursor) in cursors:
                msg = "Lytics gives the same pages of a scan again and again: run again, and tell Lytics' support if it stays so."
                raise CursorError(msg)
            cursors.add(hash(page.cursor))
            yield page
            if not page.cursor:
                return
            cursor = page.cursor
            request.url = f"{first_url}&{urlencode({'start': cursor})}"

    def _size(self, audience_id: str) -> int | None:
        found = self._data("GET", "/api/segment/sizes", {"ids": audience_id})
        for item in found if isinstance(found, list) else ():
            if isinstance(item, dict) and item.get("id") == audience_id:
                with contextlib.suppress(TypeError, ValueError):
                    return int(item["size"])
        return None

    def _data(self, method: str, path: str, query: dict[str, str] | None = None) -> t.Any:
        return self._call(self._prepared(method, path, query or {}, None), path, _with_data)["data"]

    def _prepared(
        self, method: str, path: str, query: dict[str, str], body: str | None
    ) -> requests.PreparedRequest:
        call = requests.Request(
            method,
            self._url + path,
            # Commas as they are: at each call urllib3 takes each escaped one apart.
            params=urlencode(query, safe=","),
            data=None if body is None else body.encode(),
            headers={} if body is None else {"Content-Type": "text/plain"},
        )
        try:
            return self._session.prepare_request(call)
        except requests.RequestException as error:
            raise LyticsError(self._unreachable(error)) from error

    def _call(
        self, request: requests.PreparedRequest, path: str, decode: t.Callable[[bytes], Answer | None]
    ) -> Answer:
        """Make a call, again when its answer breaks off or holds nothing to decode."""
        for tries_left in range(TRIES - 1, -1, -1):
            try:
                reply = self._session.send(request, timeout=self._timeout, stream=True, allow_redirects=False)
                content = _bounded(reply)
            except requests.exceptions.ChunkedEncodingError as error:
                # urllib3 repeats a call whose answer never began; one that breaks off is repeated here.
                if not tries_left:
                    raise LyticsError(self._unreachable(error)) from error
                self._log_retry("broke off", request.method, path, tries_left)
                continue
            except requests.RequestException as error:
                raise LyticsError(self._unreachable(error)) from error
            if reply.status_code >= HTTPStatus.MULTIPLE_CHOICES:
                raise _refusal(reply.status_code, _decoded(content), path)
            # A 200 can be a failure: "Timed out" without data, or a proxy's page.
            answer = decode(content)
            if answer is not None:
                return answer
            if not tries_left:
                found = _decoded(content)
                what = (
                    "is not what Lytics' API answers"
                    if found is None
                    else f"holds no data ({_message(found)})"
                )
                msg = f"The answer from {self._host} to {_kind(path)} {what}: check api_url, or run again later."
                raise LyticsError(msg)
            self._log_retry("holds no data", request.method, path, tries_left)
        raise AssertionError

    @staticmethod
    def _log_retry(fault: str, method: str | None, path: str, tries_left: int) -> None:
        log_retry(f"An answer of Lytics {fault}", f"{method} {path}", wait=0, tries=TRIES - tries_left + 1)

    @property
    def _host(self) -> str:
        # Without what may stand before an @.
        return urlsplit(self._url).netloc.rpartition("@")[2]

    def _unreachable(self, error: requests.RequestException) -> str:
        kind = "did not answer in time" if isinstance(error, requests.Timeout) else "cannot be reached"
        return f"Lytics {kind} at {self._host} ({type(error).__name__}): check api_url and the network, then run again."


def _bounded(reply: requests.Response) -> bytes:
    content = bytearray()
    with reply:
        for chunk in reply.iter_content(256 * 1024):
            content += chunk
            if len(content) > MAX_REPLY_BYTES:
                msg = f"An answer of Lytics is larger than {MAX_REPLY_BYTES >> 20} MB: set page_size lower, or select fewer fields."
                raise LyticsError(msg)
    return bytes(content)


def _decoded(content: bytes) -> dict[str, t.Any] | None:
    with contextlib.suppress(msgspec.DecodeError, UnicodeError):
        found = msgspec.json.decode(content)
        if isinstance(found, dict):
            return found
    return None


def _with_data(content: bytes) -> dict[str, t.Any] | None:
    found = _decoded(content)
    return found if found is not None and isinstance(found.get("data"), (list, dict)) else None


def _refusal(status: int, found: dict[str, t.Any] | None, path: str) -> LyticsError:
    said = _message(found)
    if status == HTTPStatus.UNAUTHORIZED:
        msg = "Lytics refuses the API token (401): check api_token."
    elif status == HTTPStatus.FORBIDDEN:
        msg = f"The API token may not use {_kind(path)} (403): give it the roles that the README names."
    elif status == HTTPStatus.NOT_FOUND:
        msg = f"Lytics does not know {_kind(path)} (404: {said}): check api_url and audiences."
    else:
        msg = f"Lytics answered {_kind(path)} with {status}: {said}."
    return _with_status(LyticsError(msg), status)


def _with_status(error: LyticsError, status: int) -> LyticsError:
    error.status = status
    return error


def _kind(path: str) -> str:
    """The endpoint, without what it was asked about."""
    if path.endswith("/scan"):
        return "the scan"
    return "the schema" if "/schema/" in path else "the audience"


def _endpoint(path: str) -> str:
    """A path without the audience in it."""
    return re.sub(r"^(/api/segment)/(?!(?:scan|sizes)$)[^/]+", r"\1/{id}", path)


def _message(found: dict[str, t.Any] | None) -> str:
    """Lytics' own words, of either version, cut short and without values that may be a person's."""
    if found is None:
        return "no message"
    said = found.get("message")
    errors = found.get("errors")
    if not said and isinstance(errors, list) and errors and isinstance(errors[0], dict):
        said = errors[0].get("message")
    text = re.sub(r'"[^"]*"|\S+@\S+', "(value)", str(said or "no message"))
    return text[:MAX_MESSAGE_CHARACTERS].rstrip(". ")
