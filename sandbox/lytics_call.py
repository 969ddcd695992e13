"""How a call of Lytics' API is read, and the envelopes in which it is answered."""

from __future__ import annotations

import typing as t
from http import HTTPStatus

import msgspec
from aiohttp import web

from sandbox.faults import Faults
from sandbox.replies import json_reply
from sandbox.scans import MAX_PAGE, Paging
from sandbox.world import CREATED

DEFAULT_PAGE = 20
SPLITS = 100
SCAN_PARAMETERS = frozenset(
    [
        "access_token",
        "account_id",
        "fields",
        "id",
        "key",
        "limit",
        "meta",
        "recent",
        "sortfield",
        "sortorder",
        "splits",
        "start",
        "table",
    ]
)


class RefusedCallError(ValueError):
    """A call is refused.

    Attributes:
        status: The HTTP status.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


def success(request: web.Request, data: t.Any, faults: Faults, **more: t.Any) -> web.Response:
    """An answer in the envelope of the call's version."""
    if request.path.startswith("/v2/"):
        return json_reply({"data": data, "status": 200, "request_id": "sandbox"})
    status = "success" if faults.get("status_text") is not None else 200
    return json_reply({"data": data, "status": status, "message": "success", **more})


def refusal(request: web.Request, status: int, message: str) -> web.Response:
    """A refusal in the envelope of the call's version; a 401 has that of v1 in both."""
    if status == HTTPStatus.UNAUTHORIZED:
        return json_reply({"data": None, "message": "Not authorized", "status": status}, status)
    if request.path.startswith("/v2/"):
        error = {"code": f"SANDBOX-{status}", "message": message, "level": "warn", "timestamp": CREATED}
        return json_reply({"status": status, "errors": [error], "request_id": "sandbox"}, status)
    return json_reply({"data": None, "status": status, "message": message}, status)


def paging(request: web.Request, faults: Faults) -> Paging:
    """Which page a scan asks for."""
    query = request.query
    unknown = sorted(set(query) - SCAN_PARAMETERS)
    if unknown:
        raise RefusedCallError(f"the sandbox does not know the parameter {unknown[0]}")
    order = query.get("sortorder", "asc").lower()
    if order not in {"asc", "desc"}:
        raise RefusedCallError("sortorder must be asc or desc")
    return Paging(
        _limit(query.get("limit", str(DEFAULT_PAGE)), faults),
        query.get("start", ""),
        fields(request),
        query.get("sortfield") or None,
        order == "desc",
    )


def fields(request: web.Request) -> tuple[str, ...] | None:
    """The fields that a call asks for; None for all."""
    given = request.query.get("fields")
    return tuple(given.split(",")) if given else None


def splits(request: web.Request) -> frozenset[int] | None:
    """The slices that a scan asks for; None for all."""
    given = request.query.get("splits")
    if given is None:
        return None
    parts = given.split(",")
    if not all(part.isdecimal() and int(part) < SPLITS for part in parts):
        raise RefusedCallError("splits must be integers from 0 to 99")
    return frozenset(map(int, parts))


async def filter_text(request: web.Request) -> str:
    """The filter that a call sends, as plain text; also as a JSON text, which Lytics' own client makes of it."""
    text = await request.text()
    if request.content_type == "application/json":
        try:
            return msgspec.json.decode(text, type=str)
        except msgspec.DecodeError:
            raise RefusedCallError("the body is not a JSON text") from None
    if request.content_type != "text/plain":
        raise RefusedCallError("the body must be text/plain")
    return text


def _limit(given: str, faults: Faults) -> int:
    if not given.isdecimal() or int(given) < 1:
        raise RefusedCallError("limit must be a positive integer")
    limit = int(given)
    if limit <= MAX_PAGE:
        return limit
    over = faults.get("limit_over_100")
    if over == "refused":
        raise RefusedCallError(f"limit must be at most {MAX_PAGE}")
    return limit if over == "served" else MAX_PAGE
