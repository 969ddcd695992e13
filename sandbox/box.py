"""The sandbox as a whole: both services and the SFTP server, on one background thread."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

import msgspec
from aiohttp import web
from typing_extensions import Self

from sandbox.account import Account, Contact
from sandbox.controls import controls
from sandbox.cordial import CordialServer
from sandbox.fault_kinds import Server
from sandbox.faults import Faults
from sandbox.jobs import Jobs
from sandbox.lytics import lytics_app
from sandbox.people import ATTRIBUTES, FIELD_MAPPING
from sandbox.scans import Scans
from sandbox.sftp import PASSWORD, USERNAME, host_key_line, login_key, sftp_server
from sandbox.transports import Transports
from sandbox.triggers import Shape, Triggers
from sandbox.verify import Verification, verify
from sandbox.webhook import Webhook
from sandbox.world import AudienceSpec, World

HOST = "127.0.0.1"
API_TOKEN = "sandbox-lytics-token"  # noqa: S105 - protects nothing: loopback, made-up people
API_KEY = "sandbox-cordial-key"
START_SECONDS = 120
MAX_REQUESTS = 100_000


class PortTakenError(OSError):
    """The sandbox cannot listen where it should; the text says where."""


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
        gcs_endpoint: Where `gcs` sources really are.
        triggers_url: A folder on this machine where trigger messages land, or the http URL that they are posted to; None for none.
    """

    def __init__(  # noqa: PLR0913 - each has a default
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
        gcs_endpoint: str | None = None,
        triggers_url: Path | str | None = None,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.faults = Faults(seed)
        self.world = World(audiences, seed=seed, faults=self.faults, shape=shape)
        self._scans = Scans(self.world, self.faults)
        self._triggers: Triggers | None = None
        if triggers_url is not None:
            place = str(triggers_url)
            self._triggers = Triggers(
                Webhook(place) if place.startswith("http") else Path(place.removeprefix("file://")),
                self.world,
                self._scans,
                self.faults,
                seed,
            )
        self.account = Account(folder / "cordial.sqlite")
        self.account.fail_unfinished_jobs()
        for key, kind in ATTRIBUTES.items():
            self.account.add_attribute(key, kind)
        self.api_token = API_TOKEN
        self.api_key = API_KEY
        self.storage_username = USERNAME
        self.storage_password = PASSWORD
        self.storage_private_key = login_key().export_private_key().decode()
        self.storage_host_key = host_key_line()
        self._requests: list[Request] = []
        self._ports = (lytics_port, cordial_port, sftp_port)
        transports = Transports(self.faults, s3_endpoint=s3_endpoint, gcs_endpoint=gcs_endpoint)
        self._jobs = Jobs(self.account, self.faults, transports, seed)
        self._server = CordialServer(self.account, self._jobs, self.faults, API_KEY)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._stop: asyncio.Event
        self._loop: asyncio.AbstractEventLoop
        self._thread = threading.Thread(target=self._main, name="sandbox", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        if not self._started.wait(START_SECONDS):
            raise TimeoutError("The sandbox does not start.")
        if self._failure is not None:
            self._thread.join()
            self.account.close()
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
        """A configuration of tap-lytics-audience for this sandbox."""
        return {
            "api_url": self.lytics_url,
            "api_token": self.api_token,
            "audiences": [audience.slug for audience in self.world.audiences() if audience.kind == "user"],
            "ledger_url": str(self.folder / "ledger"),
            **overrides,
        }

    def target_config(self, **overrides: t.Any) -> dict[str, t.Any]:
        """A configuration of target-cordial for this sandbox."""
        return {
            "api_url": self.cordial_url,
            "api_key": self.api_key,
            "storage_url": self.storage_url,
            "storage_username": self.storage_username,
            "storage_password": self.storage_password,
            "storage_host_key": self.storage_host_key,
            "field_mapping": FIELD_MAPPING,
            "rejects_url": str(self.folder / "rejects"),
            "account_id": 1,
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
        chance: float | None = None,
    ) -> None:
        """Switch a fault on; see `Faults.set`."""
        self.faults.set(name, value, path=path, nth=nth, once=once, chance=chance)

    def clear_faults(self, *names: str) -> None:
        """Switch faults off."""
        for name in names or (None,):
            self.faults.clear(name)

    def advance(
        self,
        audience: str,
        *,
        shape: Shape = "default",
        batch: int = 1,
        lines: bool = False,
        compress: bool = False,
        **moves: int,
    ) -> dict[str, t.Sequence[str | bytes]]:
        """Let time pass, and the trigger messages about it go out."""
        done = self.world.advance(audience, **moves)
        landed = self.land_triggers(shape=shape, batch=batch, lines=lines, compress=compress)
        waiting = self._triggers.posts_waiting if self._triggers is not None else []
        return {**done, "landed": landed, **({"posts_waiting": waiting} if waiting else {})}

    def land_triggers(
        self, *, shape: Shape = "default", batch: int = 1, lines: bool = False, compress: bool = False
    ) -> list[str]:
        """Let the trigger messages about all moves since the last time land; see `Triggers.land`."""
        if self._triggers is None:
            return []
        return self._triggers.land(shape=shape, batch=batch, lines=lines, compress=compress)

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
        """The addresses on a list."""
        return self.account.list_members(name)

    def jobs(self) -> list[dict[str, t.Any]]:
        """All jobs, in order."""
        return list(self.account.jobs().values())

    def files(self) -> list[str]:
        """The names of the files in the storage."""
        folder = self.folder / "sftp" / "import"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def verify(self, audience: str, list_name: str) -> Verification:
        """Compare an audience with a list, member by member and attribute by attribute."""
        return verify(self.world, self.account, audience, list_name)

    def wait_idle(self, seconds: float = 30) -> None:
        """Wait until no job is under way."""
        end = time.monotonic() + seconds
        while not self._jobs.is_idle:
            if time.monotonic() > end:
                raise TimeoutError("A job is still under way.")
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
            lytics = lytics_app(self.world, self._scans, self.faults, API_TOKEN, [self._recorder("lytics")])
            cordial = self._server.app([controls(self), self._recorder("cordial")])
            lytics_port = await _listen(stack, lytics, self._ports[0])
            cordial_port = await _listen(stack, cordial, self._ports[1])
            with _port_named(self._ports[2]):
                files = sftp_server(self.folder / "sftp", self._ports[2], self.faults)
                sftp_port = await stack.enter_async_context(files)
            stack.push_async_callback(self._jobs.close)
            self._ports = (lytics_port, cordial_port, sftp_port)
            self._started.set()
            await self._stop.wait()

    def _recorder(self, server: Server) -> t.Any:
        @web.middleware
        async def record(request: web.Request, handler: t.Any) -> web.StreamResponse:
            status = 0
            raw = b""
            with contextlib.suppress(web.HTTPRequestEntityTooLarge):
                raw = await request.read()
            try:
                with self.faults.call(f"{request.method} {request.path}"):
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


async def _listen(stack: contextlib.AsyncExitStack, app: web.Application, port: int) -> int:
    logging.getLogger("aiohttp").setLevel(logging.CRITICAL)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    with _port_named(port):
        await web.TCPSite(runner, HOST, port).start()
    return int(runner.addresses[0][1])


@contextlib.contextmanager
def _port_named(port: int) -> t.Iterator[None]:
    """Says which port cannot be had, as the system's own words do not always."""
    try:
        yield
    except OSError as error:
        words = os.strerror(error.errno) if error.errno else str(error)
        raise PortTakenError(f"Port {port} on {HOST} cannot be had: {words}.") from error
