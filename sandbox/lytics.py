"""Lytics' API as its documentation, its recorded replies and its own client show it."""

from __future__ import annotations

import asyncio
import hmac
import typing as t

from aiohttp import web

from sandbox.faults import Faults
from sandbox.lytics_call import RefusedCallError, refusal
from sandbox.lytics_profiles import ProfileCalls
from sandbox.lytics_segments import SegmentCalls
from sandbox.replies import cut, drip, json_reply
from sandbox.scans import CursorError, Scans
from sandbox.world import World

MAX_BODY = 10 * 1024 * 1024


def lytics_app(
    world: World, scans: Scans, faults: Faults, api_token: str, middlewares: t.Sequence[t.Any] = ()
) -> web.Application:
    """The API as a web application."""
    app = web.Application(middlewares=[*middlewares, _guard(faults, api_token)], client_max_size=MAX_BODY)
    for calls in (SegmentCalls(world, scans, faults), ProfileCalls(world, scans, faults)):
        calls.route(app)
    return app


def _guard(faults: Faults, api_token: str) -> t.Any:
    """A middleware that checks the token and acts out the faults that any call may meet."""

    @web.middleware
    async def guard(request: web.Request, handler: t.Any) -> web.StreamResponse:
        if not _has_token(request, api_token):
            return refusal(request, 401, "Not authorized")
        if (seconds := faults.get("lytics_slow")) is not None:
            await asyncio.sleep(seconds)
        reply = _refusal_on_purpose(request, faults) or await _answer(request, handler)
        if faults.get("lytics_cut") is not None:
            await cut(request, reply)
        if (seconds := faults.get("lytics_drip")) is not None:
            await drip(request, reply, seconds)
        return reply

    return guard


def _has_token(request: web.Request, api_token: str) -> bool:
    given = (
        request.headers.get("Authorization")
        or request.query.get("key")
        or request.query.get("access_token")
        or ""
    )
    return hmac.compare_digest(given.encode(), api_token.encode())


def _refusal_on_purpose(request: web.Request, faults: Faults) -> web.Response | None:
    if (status := faults.get("lytics_status")) is not None:
        return refusal(request, status, f"Failed on purpose: {request.path}")
    if (wait := faults.get("lytics_rate_limit")) is not None:
        reply = refusal(request, 429, "Too many requests")
        if wait is not True:
            reply.headers["Retry-After"] = str(wait)
        return reply
    if faults.get("lytics_garbage") is not None:
        return web.Response(text="<html>Bad gateway</html>", content_type="text/html")
    if (message := faults.get("lytics_timed_out")) is not None:
        return json_reply({"status": 200, "message": message, "data": None})
    return None


async def _answer(request: web.Request, handler: t.Any) -> web.Response:
    try:
        if (request.content_length or 0) > MAX_BODY:
            raise RefusedCallError("Request body too large", 413)
        return t.cast("web.Response", await handler(request))
    except web.HTTPException as error:
        return refusal(request, error.status, error.reason)
    except (CursorError, RefusedCallError) as error:
        return refusal(request, error.status, str(error))
    except ValueError as error:
        return refusal(request, 400, str(error))
