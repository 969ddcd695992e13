"""How a call of Cordial's API is read, and how it is refused."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

import msgspec
from aiohttp import web

from sandbox.replies import json_reply

PER_PAGE = 25
MAX_DIGITS = 12


class RefusedError(Exception):
    """A call is refused.

    Attributes:
        status: The HTTP status.
        body: The answer.
    """

    def __init__(
        self,
        status: int,
        message: str,
        key: str = "GENERIC_ERROR_KEY",
        fields: dict[str, list[str]] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, t.Any] = {"error": True, "errorKey": key, "message": message}
        if fields:
            self.body["messages"] = {"validationErrors": fields}


def no_record() -> RefusedError:
    """The refusal of a call that finds nothing."""
    return RefusedError(404, "record not found", "RECORD_NOT_FOUND")


def refuse_field(field: str, message: str) -> t.NoReturn:
    """Refuse a call for one of its fields: `message` says it, and `messages` by field (Cordial Swagger v2: ContactError)."""
    raise RefusedError(422, message, fields={field: [message]})


async def read_body(request: web.Request, refusal: int = 422) -> dict[str, t.Any]:
    """The JSON object that a call sends; anything else is refused with a status."""
    try:
        found = msgspec.json.decode(await request.read())
    except msgspec.DecodeError:
        raise RefusedError(refusal, "The body is not JSON") from None
    if not isinstance(found, dict):
        raise RefusedError(refusal, "The body is not an object")
    return found


def is_count(text: str) -> bool:
    """Whether a text is a number from 1 up, and none that is absurd."""
    return text.isdecimal() and len(text) < MAX_DIGITS and int(text) > 0


def paging(query: Mapping[str, str]) -> tuple[int, int]:
    """Which page a call asks for."""
    given = query.get("per_page", str(PER_PAGE)), query.get("page", "1")
    for name, value in zip(("per_page", "page"), given, strict=True):
        if not is_count(value):
            raise RefusedError(422, f"The {name} must be a positive number.")
    return int(given[0]), int(given[1])


def page_of(found: list[t.Any], query: Mapping[str, str], most: int | None = None) -> list[t.Any]:
    """The records on the page that a call asks for; at most so many, whatever it asks."""
    size, page = paging(query)
    size = size if most is None else min(size, most)
    return found[(page - 1) * size : page * size]


def page_reply(found: list[t.Any], query: Mapping[str, str], most: int | None = None) -> web.Response:
    """A page of records; a 404 if nothing is on it."""
    part = page_of(found, query, most)
    if not part:
        raise no_record()
    return json_reply(part)
