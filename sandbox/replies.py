"""Answers of either service: whole, broken off, or byte by byte."""

from __future__ import annotations

import asyncio
import typing as t

import msgspec
from aiohttp import web


def json_reply(body: t.Any, status: int = 200) -> web.Response:
    """An answer."""
    return web.Response(body=msgspec.json.encode(body), status=status, content_type="application/json")


async def cut(request: web.Request, reply: web.Response) -> None:
    """Send half of an answer, then break the connection."""
    body = bytes(t.cast("bytes", reply.body))
    partial = web.StreamResponse(
        status=reply.status, headers={"Content-Length": str(len(body)), "Content-Type": "application/json"}
    )
    await partial.prepare(request)
    await partial.write(body[: len(body) // 2])
    if request.transport is not None:
        request.transport.abort()


async def drip(request: web.Request, reply: web.Response, seconds: float) -> None:
    """Send an answer byte by byte, with a pause of some seconds before each, until nobody reads it any more."""
    body = bytes(t.cast("bytes", reply.body))
    slow = web.StreamResponse(
        status=reply.status, headers={"Content-Length": str(len(body)), "Content-Type": "application/json"}
    )
    await slow.prepare(request)
    for place in range(len(body)):
        await asyncio.sleep(seconds)
        await slow.write(body[place : place + 1])


def abort(request: web.Request) -> t.NoReturn:
    """Break the connection without an answer."""
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError
