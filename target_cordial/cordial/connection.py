"""Calls of Cordial's API v2 as one key makes them, and the refusals that any call may meet."""

from __future__ import annotations

import base64
import typing as t
from http import HTTPStatus
from importlib import metadata

import msgspec

from lytics_to_cordial.http import Service
from target_cordial.cordial.answers import is_json, message_of
from target_cordial.cordial.errors import CordialError, InvalidValueError, UnansweredError

TIMEOUT_SECONDS = 60
MAX_ANSWER_BYTES = 64 * 1024 * 1024
TRIES = 6
CHECK_TRIES = 2
CHECK_TIMEOUT_SECONDS = 20
"""A check is for somebody who waits for it."""
CONNECT_TRIES = 4
"""Where nobody listens, a wrong api_url is more likely than a short outage."""


class Connection:
    """Calls below the base URL. Several threads may use it.

    Reads are repeated, writes only where Cordial says that it did not act (429); see `Service`. A call that Cordial refuses raises
    a `CordialError`, one without a usable answer an `UnansweredError`.
    """

    def __init__(self, api_url: str, api_key: str, *, is_patient: bool) -> None:
        # The key is the user name of HTTP Basic (Cordial Swagger v2: basicAuth).
        self._service = Service(
            name="Cordial",
            url=api_url,
            authorization=f"Basic {base64.b64encode(f'{api_key}:'.encode()).decode()}",
            user_agent=f"target-cordial/{metadata.version('lytics-to-cordial')}",
            error=UnansweredError,
            endpoint_of=_endpoint,
            # What stands behind `/contacts/` is an address.
            shown_path_of=lambda path: "/contacts/…" if path.startswith("/contacts/") else path,
            timeout_seconds=TIMEOUT_SECONDS if is_patient else CHECK_TIMEOUT_SECONDS,
            max_answer_bytes=MAX_ANSWER_BYTES,
            too_large="check that api_url is Cordial's API",
            tries=TRIES if is_patient else CHECK_TRIES,
            connect_tries=CONNECT_TRIES if is_patient else CHECK_TRIES,
            connections=40,
        )
        self.metrics = self._service.metrics

    def get(self, path: str, query: dict[str, str] | None = None, *, absent: t.Any) -> t.Any:
        """What Cordial answers to a read; `absent` where it says that there is none."""
        answer = self._service.read(self._service.request("GET", path, query), bytes)
        if answer.status == HTTPStatus.NOT_FOUND and is_json(answer.content):
            return absent
        if answer.status == HTTPStatus.TOO_MANY_REQUESTS:
            raise UnansweredError(
                f"Cordial still answers {_endpoint(path)} with 429 (too many requests): run again later."
            )
        raise_for_status(answer.status, answer.content, path)
        body = decoded(answer.content)
        # An attribute may be called `error`, but is an object.
        if isinstance(body, dict) and body.get("error") and not isinstance(body["error"], dict):
            raise CordialError(
                f"Cordial answered {_endpoint(path)} with an error: {message_of(answer.content)}."
            )
        return body

    def post(self, path: str, body: dict[str, t.Any]) -> tuple[int, bytes]:
        """The status and the body that Cordial answers to a write, whatever it says."""
        content = msgspec.json.encode(body)
        answer = self._service.write(
            self._service.request("POST", path, body=content, kind="application/json")
        )
        return answer.status, answer.content


def raise_for_status(status: int, body: bytes, path: str) -> None:
    """Raise a `CordialError` for a refusal of a call of this path."""
    if status < HTTPStatus.MULTIPLE_CHOICES:
        return
    endpoint = _endpoint(path)
    if status == HTTPStatus.UNAUTHORIZED:
        sentence = "Cordial refuses the API key (401): check api_key, and that this machine's address is on its allow-list."
    elif status == HTTPStatus.FORBIDDEN:
        sentence = f"The API key may not use {endpoint} (403): tick it on the key in Cordial."
    elif status == HTTPStatus.NOT_FOUND:
        sentence = f"Cordial does not know {endpoint} (404): check api_url, with its version, such as https://api.cordial.io/v2."
    else:
        sentence = f"Cordial answered {endpoint} with {status}: {message_of(body)}."
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise UnansweredError(sentence)
    raise (InvalidValueError if status == HTTPStatus.UNPROCESSABLE_ENTITY else CordialError)(sentence)


def decoded(body: bytes) -> t.Any:
    """The JSON of an answer."""
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise UnansweredError(
            "Cordial's answer is not JSON: check that api_url is Cordial's API, with its version."
        ) from error


def items(reply: t.Any) -> list[dict[str, t.Any]]:
    """The objects in an answer that is a list."""
    if not isinstance(reply, list):
        raise CordialError(
            "Cordial's answer is not a list: check that api_url is Cordial's API, with its version."
        )
    return [item for item in reply if isinstance(item, dict)]


def _endpoint(path: str) -> str:
    return "/" + path.split("/")[1]
