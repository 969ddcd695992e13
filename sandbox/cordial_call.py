"""How a call of Cordial's API is read, and how it is refused."""

from __future__ import annotations

import typing as t

import msgspec

from sandbox.replies import json_reply

if t.TYPE_CHECKING:
    from collections.abc import Mapping

    from aiohttp import web

PER_PAGE = 25


class RefusedError(Exception):
    """A call is refused.

    Attributes:
        status: The HTTP status.
        body: The answer.
    """

    def __init__(self, status: int, message: t.Any, key: str = "GENERIC_ERROR_KEY") -> None:
        super().__init__(str(message))
        self.status = status
        name = "messages" if isinstance(message, dict) else "message"
        self.body = {"error": True, "errorKey": key, name: message}


def no_record() -> RefusedError:
    """The refusal of a call that finds nothing."""
    return RefusedError(404, "record not found", "RECORD_NOT_FOUND")


def refuse_field(field: str, message: str) -> t.NoReturn:
    """Refuse a call for one of its fields.

    Args:
        field: Which.
        message: What is wrong with it.

    Raises:
        RefusedError: Always.
    """
    raise RefusedError(422, {"validationErrors": {field: [message]}})


async def read_body(request: web.Request) -> dict[str, t.Any]:
    """The JSON object that a call sends.

    Args:
        request: The call.

    Raises:
        RefusedError: If it sends anything else.
    """
    try:
        found = msgspec.json.decode(await request.read())
    except msgspec.DecodeError:
        raise RefusedError(400, "The body is not JSON") from None
    if not isinstance(found, dict):
        raise RefusedError(400, "The body is not an object")
    return found


def paging(query: Mapping[str, str]) -> tuple[int, int]:
    """Which page a call asks for.

    Args:
        query: Its query.

    Returns:
        How many records a page has, and the page's number.

    Raises:
        RefusedError: If they are no numbers.
    """
    given = query.get("per_page", str(PER_PAGE)), query.get("page", "1")
    for name, value in zip(("per_page", "page"), given, strict=True):
        if not value.isdecimal() or int(value) < 1:
            raise RefusedError(422, f"The {name} must be a positive number.")
    return int(given[0]), int(given[1])


def page_reply(found: list[t.Any], query: Mapping[str, str]) -> web.Response:
    """A page of records.

    Args:
        found: All records.
        query: Which page is asked for.

    Raises:
        RefusedError: If nothing is on it.
    """
    size, page = paging(query)
    part = found[(page - 1) * size : page * size]
    if not part:
        raise no_record()
    return json_reply(part)
