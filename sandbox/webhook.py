"""Posts trigger messages as Lytics does: with a header that the receiver's owner chose, and again unless an answer says not to."""

from __future__ import annotations

import time
from http import HTTPStatus

import requests

SECRET_HEADER = "X-Triggers-Secret"  # noqa: S105 - its name alone
SECRET = "sandbox-triggers-secret"  # noqa: S105 - of the sandbox
DELIVERY_SECONDS = 30.0
PAUSE_SECONDS = 0.2

_NEVER_AGAIN = frozenset({HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND, HTTPStatus.REQUEST_ENTITY_TOO_LARGE})


class Webhook:
    """A receiver of posts (Lytics docs: audience triggers). Not for several threads at once.

    Attributes:
        waiting: Bodies that were not taken yet; they come first next time.
        dropped: How many were refused for good.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self.waiting: list[bytes] = []
        self.dropped = 0

    def deliver(self, bodies: list[bytes]) -> int:
        """Post what waits and more, in order, for half a minute at most; give how many were taken."""
        self.waiting += bodies
        end = time.monotonic() + DELIVERY_SECONDS
        taken = 0
        with requests.Session() as session:
            while self.waiting and time.monotonic() < end:
                status, pause = self._post(session, self.waiting[0])
                if status == HTTPStatus.OK or status in _NEVER_AGAIN:
                    del self.waiting[0]
                    taken += status == HTTPStatus.OK
                    self.dropped += status != HTTPStatus.OK
                else:
                    time.sleep(min(pause, max(0.0, end - time.monotonic())))
        return taken

    def _post(self, session: requests.Session, body: bytes) -> tuple[int, float]:
        """The status of the answer, 0 for none, and how long to wait before another try."""
        headers = {"Content-Type": "application/json", SECRET_HEADER: SECRET}
        if body.startswith(b"\x1f\x8b"):
            headers["Content-Encoding"] = "gzip"
        try:
            answer = session.post(self._url, body, headers=headers, timeout=DELIVERY_SECONDS)
        except requests.RequestException:
            return 0, PAUSE_SECONDS
        asked = answer.headers.get("Retry-After", "")
        return answer.status_code, float(asked) if asked.isdigit() else PAUSE_SECONDS
