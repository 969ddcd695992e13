"""Lytics' API: the calls that the tap makes, and what their answers mean."""

from __future__ import annotations

import contextlib
import logging
import re
import typing as t
from dataclasses import dataclass, replace
from http import HTTPStatus
from importlib import metadata
from urllib.parse import quote, urlencode

import msgspec
import requests

from lytics_to_cordial.errors import TransientError, UserError
from lytics_to_cordial.foreign_text import quote_foreign
from lytics_to_cordial.http import Service
from lytics_to_cordial.near_names import suggestion
from tap_lytics_audience.lytics.audiences import Audience
from tap_lytics_audience.lytics.profiles import Page, Profile, Profiles
from tap_lytics_audience.lytics.schema import Field
from tap_lytics_audience.settings import Settings

TRIES = 7
CHECK_TRIES = 2
CHECK_TIMEOUT_SECONDS = 20
"""A check is for somebody who waits for it."""
IDS_IN_A_CALL = 50
MAX_ANSWER_BYTES = 256 * 1024 * 1024

logger = logging.getLogger("tap-lytics-audience")

_NOT_IN_A_LIST = re.compile(r'[,"\\\x00-\x1f]')
"""In a field's name: a scan is asked for fields by a list with commas, and JSON would escape the others."""

_Value = t.TypeVar("_Value")


class LyticsError(UserError):
    """Lytics refused a call or could not be reached; the sentence says which and what to do.

    Attributes:
        status: The HTTP status; 0 if there was no answer.
    """

    def __init__(self, sentence: str, status: int = 0) -> None:
        super().__init__(sentence)
        self.status = status


class LyticsUnavailableError(LyticsError, TransientError):
    """Lytics could not be reached, is too busy or had a fault of its own."""


class CursorError(LyticsUnavailableError):
    """A scan cannot go on from its cursor, which may have expired."""


@dataclass(frozen=True)
class Entity:
    """What Lytics holds of one person: a profile or none, and slugs of the audiences that it is in."""

    profiles: list[Profile]
    audiences: list[str]


class Lytics:
    """A Lytics account behind its API token. Several threads may use it.

    A call that Lytics refuses, or that has no answer after all its tries, raises a `LyticsError`.

    Args:
        settings: How to call it.
        is_patient: Whether a call that Lytics does not answer is tried for a minute or more.

    Attributes:
        metrics: Durations of the calls.
    """

    def __init__(self, settings: Settings, *, is_patient: bool = True) -> None:
        tries = TRIES if is_patient else CHECK_TRIES
        timeout = settings.request_timeout_seconds
        self._page_size = settings.page_size
        self._service = Service(
            name="Lytics",
            url=settings.api_url,
            authorization=settings.api_token,
            user_agent=settings.user_agent or f"tap-lytics-audience/{metadata.version('lytics-to-cordial')}",
            error=LyticsUnavailableError,
            endpoint_of=_endpoint,
            shown_path_of=_without_value,
            timeout_seconds=timeout if is_patient else min(timeout, CHECK_TIMEOUT_SECONDS),
            max_answer_bytes=MAX_ANSWER_BYTES,
            too_large="set page_size lower, or select fewer fields",
            tries=tries,
            connect_tries=tries,
            connections=settings.scan_concurrency + 1,
        )
        self.metrics = self._service.metrics

    def audience(self, name: str) -> Audience:
        """An audience by slug or id, with its size where Lytics says it.

        Raises:
            LyticsError: If there is none, or it holds no people, or it no longer works.
        """
        answer: t.Any = None
        try:
            answer = self._data("GET", f"/api/segment/{quote(name, safe='')}")
        except LyticsError as error:
            if error.status != HTTPStatus.NOT_FOUND:
                raise
        audience = Audience.read(answer)
        if audience is None and isinstance(answer, dict):
            raise LyticsError(
                f"Lytics' answer about audience {name!r} holds no id of an audience: check audiences."
            )
        audience = audience or self._listed(name)  # its slug may be the name of another call, such as "sizes"
        if audience.table != "user":
            raise LyticsError(
                f"The audience {name!r} holds {audience.table}, not people: choose a user audience in audiences."
            )
        if audience.is_invalid:
            raise LyticsError(f"The audience {name!r} is invalid in Lytics: repair its definition there.")
        return replace(audience, size=self.size(audience.id))

    def audiences(self) -> list[Audience]:
        """All audiences of people, without their sizes."""
        answer = self._data("GET", "/api/segment", {"table": "user", "valid": "true"})
        found = map(Audience.read, answer if isinstance(answer, list) else ())
        return [audience for audience in found if audience is not None]

    def triggers(self, audience_id: str) -> tuple[bool | None, bool | None]:
        """Whether an audience sends trigger messages, and one when time alone makes somebody leave; None if Lytics does not say."""
        answer = self._data("GET", f"/v2/segment/{audience_id}")
        values = [
            answer.get(name) if isinstance(answer, dict) else None
            for name in ("emit_trigger", "schedule_exit")
        ]
        emits, schedules = (value if isinstance(value, bool) else None for value in values)
        return emits, schedules

    def size(self, audience_id: str) -> int | None:
        """How many members an audience has; None if Lytics does not say."""
        return self.sizes([audience_id]).get(audience_id)

    def sizes(self, audience_ids: t.Sequence[str]) -> dict[str, int]:
        """How many members audiences have, as far as Lytics says it."""
        sizes: dict[str, int] = {}
        for first in range(0, len(audience_ids), IDS_IN_A_CALL):
            ids = ",".join(audience_ids[first : first + IDS_IN_A_CALL])
            answer = self._data("GET", "/api/segment/sizes", {"ids": ids})
            for item in answer if isinstance(answer, list) else ():
                with contextlib.suppress(TypeError, ValueError, KeyError):
                    sizes[str(item["id"])] = int(item["size"])
        return sizes

    def fields(self) -> list[Field]:
        """The profile fields of the account, by the newer schema call, or the older where there is no newer."""
        try:
            answer = self._data("GET", "/v2/schema/user/field")
        except LyticsError as error:
            if error.status not in {HTTPStatus.NOT_FOUND, HTTPStatus.FORBIDDEN}:
                raise
            answer = self._data("GET", "/api/schema/user")
        if isinstance(answer, dict):
            answer = answer.get("columns") or answer.get("fields")
        fields = [
            Field(
                str(item.get("id") or item.get("as")),
                str(item.get("type") or "dynamic"),
                item.get("shortdesc") or item.get("longdesc") or "",
            )
            for item in (answer if isinstance(answer, list) else ())
            if isinstance(item, dict) and (item.get("id") or item.get("as"))
        ]
        left_out = [repr(field.name) for field in fields if _NOT_IN_A_LIST.search(field.name)]
        if left_out:
            logger.warning(
                "The profile fields %s are left out: a scan cannot be asked for such names.",
                ", ".join(left_out),
            )
        return [field for field in fields if not _NOT_IN_A_LIST.search(field.name)]

    def scan(
        self, audience_id: str, profiles: Profiles, splits: t.Sequence[int] | None = None
    ) -> t.Iterator[Page]:
        """The pages of an audience's members, or of some of its slices 0 to 99.

        Raises:
            CursorError: If Lytics no longer takes the cursor; start again.
        """
        query = {} if splits is None else {"splits": ",".join(map(str, splits))}
        yield from self._pages("GET", f"/api/segment/{audience_id}/scan", profiles, query)

    def find(self, filter_text: str, profiles: Profiles) -> t.Iterator[Page]:
        """The pages of the profiles that a filter in FilterQL matches; their total is how many match."""
        yield from self._pages("POST", "/api/segment/scan", profiles, {"table": "user"}, filter_text.encode())

    def entity(self, field: str, value: str, profiles: Profiles) -> Entity | None:
        """The profile that an identifier names (Lytics docs: entity); None if Lytics does not say.

        "Not found" is an answer of success, with a message of its own and a placeholder in place of the profile.
        """
        path = f"/api/entity/user/{quote(field, safe='')}/{quote(value, safe='')}"
        answer = self._call(self._service.request("GET", path), path, _with_data)
        data, message = answer["data"], str(answer.get("message") or "success").lower()
        if message == "not found":
            return Entity([], [])
        audiences = data.get("segments") if isinstance(data, dict) else None
        page = profiles.page(msgspec.json.encode({"data": [data]}))
        if message != "success" or page is None or not isinstance(audiences, list):
            return None
        return Entity(page.profiles, list(map(str, audiences)))

    def _pages(
        self, method: str, path: str, profiles: Profiles, query: dict[str, str], body: bytes | None = None
    ) -> t.Iterator[Page]:
        query = {**query, "limit": str(self._page_size), "fields": ",".join(profiles.names)}
        # Prepared once for all pages: to encode the fields anew for each took a quarter of the time of its call.
        request = self._service.request(method, path, query, body, "" if body is None else "text/plain")
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
                raise CursorError(
                    "Lytics gives the same pages of a scan again and again: run again, and tell Lytics' support if it stays so."
                )
            cursors.add(hash(page.cursor))
            yield page
            if not page.cursor:
                return
            cursor = page.cursor
            request.url = f"{first_url}&{urlencode({'start': cursor})}"

    def _listed(self, name: str) -> Audience:
        """The audience of exactly this slug or id in the list of all."""
        audiences: list[Audience] = []
        try:
            audiences = self.audiences()
        except LyticsError as error:
            if isinstance(error, LyticsUnavailableError):
                raise
        for audience in audiences:
            if name in {audience.slug, audience.id}:
                return audience
        slugs = {text: audience.slug for audience in audiences for text in (audience.id, audience.name)}
        raise LyticsError(
            f"Lytics has no audience {name!r}: correct audiences, by slug or id, or create it again"
            f"{suggestion(name, [*slugs, *slugs.values()], slugs) or '.'}",
            HTTPStatus.NOT_FOUND,
        )

    def _data(self, method: str, path: str, query: dict[str, str] | None = None) -> t.Any:
        return self._call(self._service.request(method, path, query), path, _with_data)["data"]

    def _call(
        self, request: requests.PreparedRequest, path: str, decode: t.Callable[[bytes], _Value | None]
    ) -> _Value:
        # A 200 can be a failure: "Timed out" without data, or a proxy's page.
        answer = self._service.read(request, decode)
        if answer.status >= HTTPStatus.MULTIPLE_CHOICES:
            raise _refusal(answer.status, _decoded(answer.content), path)
        if answer.value is None:
            body = _decoded(answer.content)
            fault = (
                "is not what Lytics' API answers" if body is None else f"holds no data{_words(body, path)}"
            )
            raise LyticsUnavailableError(
                f"The answer from {self._service.host} to {_kind(path)} {fault}: check api_url, or run again later."
            )
        return answer.value


def _decoded(content: bytes) -> dict[str, t.Any] | None:
    with contextlib.suppress(msgspec.DecodeError, UnicodeError):
        body = msgspec.json.decode(content)
        if isinstance(body, dict):
            return body
    return None


def _with_data(content: bytes) -> dict[str, t.Any] | None:
    body = _decoded(content)
    if body is None:
        return None
    # An empty list may be null (not known), and then the message says that it is no failure.
    is_answer = isinstance(body.get("data"), (list, dict)) or (
        "data" in body and body["data"] is None and body.get("message") == "success"
    )
    return body if is_answer else None


def _refusal(status: int, body: dict[str, t.Any] | None, path: str) -> LyticsError:
    words = _words(body, path)
    if status == HTTPStatus.UNAUTHORIZED:
        sentence = "Lytics refuses the API token (401): check api_token."
    elif status == HTTPStatus.FORBIDDEN:
        sentence = f"The API token may not use {_kind(path)} (403): give it the roles that the README names."
    elif status == HTTPStatus.NOT_FOUND:
        sentence = f"Lytics does not know {_kind(path)} (404){words}: check api_url and audiences."
    else:
        sentence = f"Lytics answered {_kind(path)} with {status}{words}."
    is_passing = status == HTTPStatus.TOO_MANY_REQUESTS or status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return (LyticsUnavailableError if is_passing else LyticsError)(sentence, status)


def _kind(path: str) -> str:
    """The endpoint, without what it was asked about."""
    if path.endswith("/scan"):
        return "the scan"
    if path.startswith("/api/entity/"):
        return "the profile"
    return "the schema" if "/schema/" in path else "the audience"


def _endpoint(path: str) -> str:
    """A path without what it is about."""
    path = _without_value(path)
    return re.sub(r"^(/api/segment)/(?!(?:scan|sizes)$)[^/]+", r"\1/{id}", path)


def _without_value(path: str) -> str:
    """A path without the identifier of a person."""
    return re.sub(r"^(/api/entity/user)/.*", r"\1/{field}/{value}", path)


def _words(body: dict[str, t.Any] | None, path: str) -> str:
    """Lytics' own words, of either version, quoted in brackets.

    None of an answer about people: Lytics repeats the question from its middle on, so that no quotes show where a value begins.
    """
    if body is None or path.endswith("/scan") or path.startswith("/api/entity/"):
        return ""
    message = body.get("message")
    errors = body.get("errors")
    if not message and isinstance(errors, list) and errors and isinstance(errors[0], dict):
        message = errors[0].get("message")
    return f" ({quote_foreign(message)})" if message else ""
