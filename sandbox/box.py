"""The sandbox as a whole: both services and the SFTP server, on one background thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import typing as t
from dataclasses import dataclass

import msgspec
from aiohttp import web

from sandbox import sftp
from sandbox.account import Account
from sandbox.cordial import CordialServer
from sandbox.faults import Faults
from sandbox.lytics import lytics_app
from sandbox.people import ATTRIBUTES, FIELD_MAPPING
from sandbox.verify import Verification, verify
from sandbox.world import AudienceSpec, World

if t.TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from sandbox.account import Contact
    from sandbox.faults import Server

HOST = "127.0.0.1"
API_TOKEN = "sandbox-lytics-token"  # noqa: S105 - protects nothing: loopback, made-up people
API_KEY = "sandbox-cordial-key"
START_SECONDS = 120
MAX_REQUESTS = 100_000


@dataclass(frozen=True)
class Request:
    """A call that a service got.

    Attributes:
        server: Which service.
        method: GET, POST or PUT.
        path: The path, without the query.
        query: The query.
        body: The decoded JSON body, if there was one.
        status: The answer's status; 0 if the connection was cut.
    """

    server: Server
    method: str
    path: str
    query: dict[str, str]
    body: t.Any
    status: int


class Sandbox:
    """A Lytics, a Cordial and an SFTP server on this machine. All methods may be called from any thread.

    Args:
        folder: Where contacts, lists, jobs and files are kept, also over a restart.
        audiences: Audiences at Lytics.
        seed: Of the people, and of the order in which Cordial imports rows.
        shape: `people`, or `recorded` for plain profiles as in Lytics' documented replies.
        lytics_port: Where Lytics listens; 0 for any free port.
        cordial_port: Where Cordial listens.
        sftp_port: Where the SFTP server listens.
        s3_endpoint: Where `s3` sources really are.
    """

    def __init__(
        self,
        folder: Path,
        audiences: t.Sequence[AudienceSpec] = (AudienceSpec("VIP Customers"),),
        *,
        seed: int = 1,
        shape: t.Literal["people", "recorded"] = "people",
        lytics_port: int = 0,
        cordial_port: int = 0,
        sftp_port: int = 0,
        s3_endpoint: str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.faults = Faults()
        self.world = World(audiences, seed=seed, faults=self.faults, shape=shape)
        self.account = Account(folder / "cordial.sqlite")
        for key, kind in ATTRIBUTES.items():
            self.account.add_attribute(key, kind)
        self.api_token = API_TOKEN
        self.api_key = API_KEY
        self.storage_username = sftp.USERNAME
        self.storage_password = sftp.PASSWORD
        self.storage_host_key = sftp.host_key_line()
        self._requests: list[Request] = []
        self._ports = (lytics_port, cordial_port, sftp_port)
        self._server = CordialServer(self.account, self.faults, API_KEY, seed=seed, s3_endpoint=s3_endpoint)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._main, name="sandbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            msg = "The sandbox does not start."
            raise TimeoutError(msg)
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self.account.close()

    @property
    def lytics_url(self) -> str:
        """Base URL of Lytics' API."""
        return f"http://{HOST}:{self._ports[0]}"

    @property
    def cordial_url(self) -> str:
        """Base URL of Cordial's API."""
        return f"http://{HOST}:{self._ports[1]}/v2"

    @property
    def storage_url(self) -> str:
        """The folder for import files."""
        return f"sftp://{HOST}:{self._ports[2]}/import"

    def tap_config(self, **overrides: t.Any) -> dict[str, t.Any]:
        """A configuration of tap-lytics-audience for this sandbox.

        Args:
            **overrides: Other values.
        """
        return {
            "api_url": self.lytics_url,
            "api_token": self.api_token,
            "audiences": [audience.slug for audience in self.world.audiences() if audience.kind == "user"],
            "ledger_url": str(self.folder / "ledger"),
            **overrides,
        }

    def target_config(self, **overrides: t.Any) -> dict[str, t.Any]:
        """A configuration of target-cordial for this sandbox.

        Args:
            **overrides: Other values.
        """
        return {
            "api_url": self.cordial_url,
            "api_key": self.api_key,
            "storage_url": self.storage_url,
            "storage_username": self.storage_username,
            "storage_password": self.storage_password,
            "storage_host_key": self.storage_host_key,
            "field_mapping": FIELD_MAPPING,
            "rejects_url": str(self.folder / "rejects"),
            "poll_interval_seconds": 0.02,
            **overrides,
        }

    def fault(
        self,
        name: str,
        value: t.Any = True,  # noqa: FBT002 - most faults have no other value
        *,
        path: str | None = None,
        nth: int | None = None,
        once: bool = False,
    ) -> None:
        """Switch a fault on; see `Faults.set`.

        Args:
            name: Its name.
            value: What it takes.
            path: Only on calls whose path holds this text.
            nth: Only on the n-th such call.
            once: Only on the first such call.
        """
        self.faults.set(name, value, path=path, nth=nth, once=once)

    def clear_faults(self) -> None:
        """Switch all faults off."""
        self.faults.clear()

    @property
    def requests(self) -> list[Request]:
        """The calls so far, in order."""
        return list(self._requests)

    def clear_requests(self) -> None:
        """Forget the calls so far."""
        self._requests.clear()

    def contacts(self) -> dict[str, Contact]:
        """All contacts by address."""
        return self.account.contacts()

    def list_members(self, name: str) -> set[str]:
        """The addresses on a list.

        Args:
            name: The list.
        """
        return self.account.list_members(name)

    def jobs(self) -> list[dict[str, t.Any]]:
        """All jobs, in order."""
        return list(self.account.jobs().values())

    def files(self) -> list[str]:
        """The names of the files in the storage."""
        folder = self.folder / "sftp" / "import"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def verify(self, audience: str, list_name: str) -> Verification:
        """Compare an audience with a list, member by member and attribute by attribute.

        Args:
            audience: The audience.
            list_name: The list.
        """
        return verify(self.world, self.account, audience, list_name)

    def wait_idle(self, seconds: float = 30) -> None:
        """Wait until no job is under way.

        Args:
            seconds: The most to wait.

        Raises:
            TimeoutError: If one still is.
        """
        end = time.monotonic() + seconds
        while not self._server.is_idle():
            if time.monotonic() > end:
                msg = "A job is still under way."
                raise TimeoutError(msg)
            time.sleep(0.01)

    def _main(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:  # noqa: BLE001 - raised where the sandbox is entered
            self._failure = error
            self._started.set()

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        async with contextlib.AsyncExitStack() as stack:
            lytics = lytics_app(self.world, self.faults, API_TOKEN, [self._recorder("lytics")])
            cordial = self._server.app([self._recorder("cordial"), self._controls])
            lytics_port = await _listen(stack, lytics, self._ports[0])
            cordial_port = await _listen(stack, cordial, self._ports[1])
            acceptor = await sftp.start_sftp(self.folder / "sftp", self._ports[2], self.faults)
            stack.push_async_callback(acceptor.wait_closed)
            stack.callback(acceptor.close)
            stack.push_async_callback(self._server.close)
            self._ports = (lytics_port, cordial_port, acceptor.get_port())
            self._started.set()
            await self._stop.wait()

    def _recorder(self, server: Server) -> t.Any:
        @web.middleware
        async def record(request: web.Request, handler: t.Any) -> web.StreamResponse:
            status = 0
            raw = await request.read()
            try:
                reply: web.StreamResponse = await handler(request)
                status = reply.status
                return reply
            finally:
                body: t.Any = raw.decode(errors="replace") or None
                if body is not None and request.content_type == "application/json":
                    with contextlib.suppress(msgspec.DecodeError):
                        body = msgspec.json.decode(raw)
                if len(self._requests) < MAX_REQUESTS:
                    self._requests.append(
                        Request(server, request.method, request.path, dict(request.query), body, status)
                    )

        return record

    @web.middleware
    async def _controls(self, request: web.Request, handler: t.Any) -> web.StreamResponse:
        """The sandbox's own calls, on Cordial's port: faults and moves, while it runs."""
        if not request.path.startswith("/sandbox/"):
            return t.cast("web.StreamResponse", await handler(request))
        raw = await request.read()
        body = msgspec.json.decode(raw) if raw else {}
        try:
            answer = await asyncio.get_running_loop().run_in_executor(
                None, self._control, request.method, request.path, body
            )
        except (ValueError, TypeError, KeyError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response(answer)

    def _control(self, method: str, path: str, body: dict[str, t.Any]) -> t.Any:
        if path == "/sandbox/faults" and method == "POST":
            self.faults.set(body.pop("name"), body.pop("value", True), **body)
        elif path == "/sandbox/faults" and method == "DELETE":
            self.faults.clear(body.get("name"))
        elif path == "/sandbox/advance" and method == "POST":
            moved = self.world.advance(body.pop("audience"), **body)
            return {kind: len(ids) for kind, ids in moved.items()}
        elif path == "/sandbox/verify":
            return msgspec.to_builtins(self.verify(body["audience"], body["list"]))
        elif path == "/sandbox/audiences":
            return [
                {
                    "name": audience.name,
                    "slug": audience.slug,
                    "kind": audience.kind,
                    "members": len(audience.members),
                }
                for audience in self.world.audiences()
            ]
        elif path == "/sandbox/jobs":
            return self.jobs()
        return {"faults": self.faults.describe()}


async def _listen(stack: contextlib.AsyncExitStack, app: web.Application, port: int) -> int:
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, HOST, port)
    await site.start()
    return int(runner.addresses[0][1])
