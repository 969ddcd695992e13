"""The receiver's web service: which post gets which answer."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from http import HTTPStatus

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.files import Folder
from tap_lytics_audience.triggers.receiver.landing import Landing
from tap_lytics_audience.triggers.receiver.posts import (
    NoMessagesError,
    NoRoomError,
    Room,
    TooLargeError,
    messages_in,
)

SECRET_HEADER = "X-Triggers-Secret"  # noqa: S105 - its name alone
POSTS_BYTES = 64 << 20
"""So much may all posts under way hold, beside one that is alone; it takes three to four times that of memory."""
POST_SECONDS = 60.0
RETRY_SECONDS = 5
WARNING_SECONDS = 60.0

_ANSWERS = {
    HTTPStatus.BAD_REQUEST: "no JSON object or array, plain or gzip, is in it",
    HTTPStatus.UNAUTHORIZED: f"its header {SECRET_HEADER} is not the secret: correct it in Lytics, or here",
    HTTPStatus.REQUEST_TIMEOUT: "it did not end",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "it holds more than 1 GB: choose smaller batches in Lytics, or fewer fields",
    HTTPStatus.SERVICE_UNAVAILABLE: "there is no room for it beside those that are under way: Lytics posts it again",
}

logger = logging.getLogger("lytics_to_cordial.receiver")


class Receiver:
    """Answers posts. Lytics posts again unless the answer is 200, 400, 404 or 413 (Lytics docs: audience triggers)."""

    def __init__(self, secret: str, folder: Folder) -> None:
        self._secret = secret.encode()
        self._landing = Landing(folder)
        self._room = Room(POSTS_BYTES)
        self._warned: dict[object, float] = {}
        self._registry = CollectorRegistry(auto_describe=True)
        self._posts = Counter(
            "lytics_trigger_posts", "Posts by the status of the answer.", ["status"], registry=self._registry
        )
        self._messages = Counter("lytics_trigger_messages", "Messages that landed.", registry=self._registry)
        for name, text, value in (
            ("files", "Files that were written.", lambda: self._landing.files),
            ("held_bytes", "What posts under way hold.", lambda: self._room.held),
        ):
            Gauge(f"lytics_trigger_{name}", text, registry=self._registry).set_function(value)

    def service(self) -> Starlette:
        """The ASGI application."""
        return Starlette(
            routes=[
                Route("/triggers", self._take, methods=["POST"]),
                Route("/health", self._tell_health),
                Route("/metrics", self._tell_metrics),
            ]
        )

    async def _take(self, request: Request) -> Response:
        try:
            status = await self._land(request)
        except UserError as failure:
            status = HTTPStatus.SERVICE_UNAVAILABLE
            self._warn(type(failure), str(failure))
        else:
            if status in _ANSWERS:
                self._warn(status, f"A post was answered with {status.value}, as {_ANSWERS[status]}.")
        self._posts.labels(status.value).inc()
        is_later = status == HTTPStatus.SERVICE_UNAVAILABLE
        return Response(status_code=status, headers={"Retry-After": str(RETRY_SECONDS)} if is_later else None)

    async def _land(self, request: Request) -> HTTPStatus:
        """Land a post, and give the status of its answer; a `UserError` if the storage does not take it."""
        given = request.headers.get(SECRET_HEADER, "").encode("latin-1")
        if not hmac.compare_digest(given, self._secret):
            return HTTPStatus.UNAUTHORIZED
        with self._room.of_post() as take:
            body = bytearray()

            async def read() -> None:
                async for chunk in request.stream():
                    take(len(chunk))
                    body.extend(chunk)

            try:
                await asyncio.wait_for(read(), POST_SECONDS)
                messages = messages_in(bytes(body), take)
                await self._landing.land(messages)
            except (NoMessagesError, ClientDisconnect):
                return HTTPStatus.BAD_REQUEST
            except TooLargeError:
                return HTTPStatus.REQUEST_ENTITY_TOO_LARGE
            except NoRoomError:
                return HTTPStatus.SERVICE_UNAVAILABLE
            except asyncio.TimeoutError:
                return HTTPStatus.REQUEST_TIMEOUT
        self._messages.inc(len(messages))
        return HTTPStatus.OK

    async def _tell_health(self, _: Request) -> Response:
        # Always 200: who takes it out of service as the storage fails would never see that it works again.
        return JSONResponse({"status": "ok", "storage": "failed" if self._landing.failure else "ok"})

    async def _tell_metrics(self, _: Request) -> Response:
        return Response(generate_latest(self._registry), media_type=CONTENT_TYPE_LATEST)

    def _warn(self, kind: object, sentence: str) -> None:
        """Log a sentence, and one of its kind once a minute."""
        now = time.monotonic()
        if self._warned.get(kind, 0.0) <= now:
            self._warned[kind] = now + WARNING_SECONDS
            logger.warning("%s", sentence)
