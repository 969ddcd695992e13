"""Storage servers for tests, all on loopback: SFTP, S3, Google Cloud Storage, a web server, and a line that is cut."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import http.server
import socket
import socketserver
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import asyncssh

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST = "127.0.0.1"
USERNAME = "writer"
JOIN_SECONDS = 60
NOT_HERE = "This server has no such call"


def new_key(kind: str = "ssh-ed25519") -> asyncssh.SSHKey:
    return asyncssh.generate_private_key(kind)


def public_line(key: asyncssh.SSHKey) -> str:
    return " ".join(key.export_public_key().decode().split()[:2])


@dataclass
class SFTPServer:
    """What an SFTP server saw.

    Attributes:
        port: Where it listens.
        logins: User name and password of each login that was tried.
        written: Names of the files that were opened for writing.
        appeared: Size of each file when it got its name.
    """

    port: int = 0
    logins: list[tuple[str, str]] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    appeared: dict[str, int] = field(default_factory=dict)


@contextlib.contextmanager
def sftp_server(
    folder: Path,
    *,
    host_key: asyncssh.SSHKey,
    password: str | None = None,
    user_key: asyncssh.SSHKey | None = None,
    posix_rename: bool = True,
    write_seconds: float = 0,
) -> Iterator[SFTPServer]:
    """An SFTP server that serves a folder and keeps a record."""
    seen = SFTPServer()

    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: Any) -> None:
            super().__init__(channel, chroot=str(folder).encode())

        def open(self, path: bytes, pflags: int, attrs: Any) -> Any:
            if pflags & asyncssh.FXF_WRITE:
                seen.written.append(path.decode().rpartition("/")[2])
            return super().open(path, pflags, attrs)

        async def write(self, file_obj: Any, offset: int, data: bytes) -> int:
            await asyncio.sleep(write_seconds)
            return int(super().write(file_obj, offset, data))

        def posix_rename(self, oldpath: bytes, newpath: bytes) -> Any:
            if not posix_rename:
                raise asyncssh.SFTPOpUnsupported(NOT_HERE)
            self._appear(oldpath, newpath)
            return super().posix_rename(oldpath, newpath)

        def rename(self, oldpath: bytes, newpath: bytes) -> Any:
            self._appear(oldpath, newpath)
            return super().rename(oldpath, newpath)

        def _appear(self, oldpath: bytes, newpath: bytes) -> None:
            size = (folder / oldpath.decode().lstrip("/")).stat().st_size
            seen.appeared[newpath.decode().rpartition("/")[2]] = size

    class Login(asyncssh.SSHServer):
        def password_auth_supported(self) -> bool:
            return password is not None

        def validate_password(self, username: str, given: str) -> bool:
            seen.logins.append((username, given))
            return (username, given) == (USERNAME, password)

        def public_key_auth_supported(self) -> bool:
            return user_key is not None

        def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
            return username == USERNAME and key == user_key.convert_to_public()

    folder.mkdir(parents=True, exist_ok=True)
    started, stop = threading.Event(), asyncio.Event()
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        acceptor = await asyncssh.create_server(
            Login, HOST, 0, server_host_keys=[host_key], sftp_factory=Files, allow_scp=False
        )
        seen.port = acceptor.get_port()
        started.set()
        await stop.wait()
        acceptor.close()
        await acceptor.wait_closed()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
    thread.start()
    assert started.wait(30)
    try:
        yield seen
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(JOIN_SECONDS)
        loop.close()


@contextlib.contextmanager
def web_server(folder: Path) -> Iterator[str]:
    """A web server that serves a folder; gives its address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        (HOST, 0), functools.partial(Quiet, directory=str(folder))
    ) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_port}"
        finally:
            server.shutdown()
            thread.join(JOIN_SECONDS)


@contextlib.contextmanager
def cut_line(port: int, after_bytes: int) -> Iterator[int]:
    """A way to a port that is cut, each time, when so many bytes were sent; gives its own port."""

    class Cut(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((HOST, port)) as server:
                back = threading.Thread(target=_pump, args=(server, self.request), daemon=True)
                back.start()
                _pump(self.request, server, after_bytes)
                with contextlib.suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                with contextlib.suppress(OSError):
                    self.request.shutdown(socket.SHUT_RDWR)
                back.join(JOIN_SECONDS)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server((HOST, 0), Cut) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join(JOIN_SECONDS)


def _pump(source: socket.socket, target: socket.socket, most: int | None = None) -> None:
    with contextlib.suppress(OSError):
        while most is None or most > 0:
            content = source.recv(65536 if most is None else min(most, 65536))
            if not content:
                return
            target.sendall(content)
            if most is not None:
                most -= len(content)
