"""The sandbox's own calls over HTTP, on Cordial's port: faults, moves and the comparison, while it runs."""

from __future__ import annotations

import asyncio
import os
import typing as t

import msgspec
from aiohttp import web

from sandbox.faults import Faults
from sandbox.replies import json_reply
from sandbox.verify import Verification
from sandbox.world import World


class Controlled(t.Protocol):
    """What is controlled: a sandbox."""

    @property
    def faults(self) -> Faults:
        """What goes wrong."""

    @property
    def world(self) -> World:
        """The account at Lytics."""

    def advance(self, audience: str, **moves: t.Any) -> dict[str, t.Sequence[str | bytes]]:
        """Let time pass."""

    def jobs(self) -> list[dict[str, t.Any]]:
        """All jobs at Cordial."""

    def verify(self, audience: str, list_name: str) -> Verification:
        """Compare an audience with a list."""


Call: t.TypeAlias = t.Callable[[Controlled, dict[str, t.Any]], t.Any]


def controls(box: Controlled) -> t.Any:
    """A middleware that answers calls whose path begins with `/sandbox/`; they need no key, as all is on loopback."""

    @web.middleware
    async def control(request: web.Request, handler: t.Any) -> web.StreamResponse:
        if not request.path.startswith("/sandbox/"):
            return t.cast("web.StreamResponse", await handler(request))
        call = _CALLS.get((request.method, request.path))
        if call is None:
            known = ", ".join(f"{method} {path}" for method, path in _CALLS)
            return json_reply({"error": f"There is no such call; there are {known}."}, 404)
        raw = await request.read()
        try:
            body = msgspec.json.decode(raw, type=dict[str, t.Any]) if raw else {}
            answer = await asyncio.get_running_loop().run_in_executor(None, call, box, body)
        except KeyError as error:
            return json_reply({"error": f"There is no {error.args[0]}."}, 400)
        except (ValueError, TypeError) as error:
            return json_reply({"error": str(error)}, 400)
        return json_reply(answer)

    return control


def _health(_: Controlled, __: dict[str, t.Any]) -> t.Any:
    return {"pid": os.getpid()}


def _faults(box: Controlled, _: dict[str, t.Any]) -> t.Any:
    return {"faults": box.faults.describe()}


def _set_fault(box: Controlled, body: dict[str, t.Any]) -> t.Any:
    box.faults.set(str(body.pop("name", "")), body.pop("value", True), **body)
    return _faults(box, body)


def _clear_faults(box: Controlled, body: dict[str, t.Any]) -> t.Any:
    box.faults.clear(body.get("name"))
    return _faults(box, body)


def _advance(box: Controlled, body: dict[str, t.Any]) -> t.Any:
    if "return" in body:
        # A Python parameter cannot have that name.
        body["return_"] = body.pop("return")
    done = box.advance(**body)
    return {kind: len(ids) for kind, ids in done.items()}


def _audiences(box: Controlled, _: dict[str, t.Any]) -> t.Any:
    return [
        {
            "name": audience.name,
            "slug": audience.slug,
            "kind": audience.kind,
            "members": len(audience.members),
        }
        for audience in box.world.audiences()
    ]


def _verify(box: Controlled, body: dict[str, t.Any]) -> t.Any:
    return msgspec.to_builtins(box.verify(str(body["audience"]), str(body["list"])))


def _jobs(box: Controlled, _: dict[str, t.Any]) -> t.Any:
    return box.jobs()


_CALLS: dict[tuple[str, str], Call] = {
    ("GET", "/sandbox/health"): _health,
    ("GET", "/sandbox/faults"): _faults,
    ("POST", "/sandbox/faults"): _set_fault,
    ("DELETE", "/sandbox/faults"): _clear_faults,
    ("POST", "/sandbox/advance"): _advance,
    ("GET", "/sandbox/audiences"): _audiences,
    ("POST", "/sandbox/verify"): _verify,
    ("GET", "/sandbox/jobs"): _jobs,
}
