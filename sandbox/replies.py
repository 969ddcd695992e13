"""Answers of either service: whole, or broken off."""

from __future__ import annotations

import typing as t

import msgspec
from aiohttp import web


def json_reply(body: t.Any, status: int = 200) -> web.Response:
    """An answer.

    Args:
        body: What it says.
        status: Its HTTP status.
    """
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


async def cut(request: web.Request, reply: web.Response) -> None:
    """Send half of an answer, then break the connection.

    Args:
        request: The call.
        reply: The answer.
    """
    body = bytes(t.cast("bytes", reply.body))
    partial = web.StreamResponse(
        status=reply.status, headers={"Content-Length": str(len(body)), "Content-Type": "application/json"}
    )
    await partial.prepare(request)
    await partial.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()


def abort(request: web.Request) -> t.NoReturn:
    """Break the connection without an answer.

    Args:
        request: The call.

    Raises:
        ConnectionResetError: Always.
    """
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError
