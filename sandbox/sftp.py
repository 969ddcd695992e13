"""The SFTP server between the two sides: a real one, on loopback."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import hmac
import io
import os
import typing as t
from pathlib import Path

import asyncssh
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from sandbox.faults import Faults

USERNAME = "lytics"
PASSWORD = "sandbox-sftp-password"  # noqa: S105 - protects nothing: loopback, made-up people


def host_key_line() -> str:
    """The server's public key, as `storage_host_key` wants it."""
    return " ".join(_key("the sandbox's host key").export_public_key().decode().split()[:2])


def login_key() -> asyncssh.SSHKey:
    """The private key that the server lets in; Cordial keeps it as a saved key."""
    return _key("the sandbox's login key")


def _key(name: str) -> asyncssh.SSHKey:
    """A key that is always the same, so that a project can pin it; it protects nothing."""
    secret = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(name.encode()).digest())
    text = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return asyncssh.import_private_key(text)


class _Login(asyncssh.SSHServer):
    def __init__(self, connections: set[asyncssh.SSHServerConnection]) -> None:
        self._connections = connections

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._connections.add(conn)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - asyncssh's signature
        self._connections.discard(self._connection)

    def begin_auth(self, username: str) -> bool:
        return username is not None

    def password_auth_supported(self) -> bool:
        return True

    def validate_password(self, username: str, password: str) -> bool:
        return _is_user(username) and hmac.compare_digest(password.encode(), PASSWORD.encode())

    def public_key_auth_supported(self) -> bool:
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        return _is_user(username) and key.public_data == login_key().public_data


def _files(folder: Path, faults: Faults) -> type[asyncssh.SFTPServer]:
    """What serves the files of a folder."""

    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
            super().__init__(channel, chroot=str(folder).encode())
            self._channel = channel

        def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> t.Any:
            if pflags & asyncssh.FXF_WRITE:
                _refuse_if_read_only(path)
            return super().open(path, pflags, attrs)

        def open56(self, path: bytes, desired_access: int, flags: int, attrs: asyncssh.SFTPAttrs) -> t.Any:
            if desired_access & asyncssh.ACE4_WRITE_DATA:
                _refuse_if_read_only(path)
            return super().open56(path, desired_access, flags, attrs)

        def write(self, file_obj: object, offset: int, data: bytes) -> t.Any:
            path = _path(file_obj)
            if faults.get("storage_full", path) is not None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if faults.get("storage_cut", path) is not None:
                self._channel.get_connection().abort()
            return super().write(file_obj, offset, data)

        def close(self, file_obj: object) -> t.Any:
            file = t.cast("io.FileIO", file_obj)
            if file.writable() and faults.get("storage_short", _path(file)) is not None:
                file.truncate(os.fstat(file.fileno()).st_size // 2)
            return super().close(file)

        def remove(self, path: bytes) -> t.Any:
            _refuse_if_read_only(path)
            return super().remove(path)

    def _refuse_if_read_only(path: bytes) -> None:
        if faults.get("storage_read_only", path.decode()) is not None:
            raise asyncssh.SFTPPermissionDenied("read only")

    return Files


@contextlib.asynccontextmanager
async def sftp_server(folder: Path, port: int, faults: Faults) -> t.AsyncIterator[int]:
    """A server, for as long as the context lasts."""
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, before anything is served
    connections: set[asyncssh.SSHServerConnection] = set()
    acceptor = await asyncssh.create_server(
        lambda: _Login(connections),
        "127.0.0.1",
        port,
        server_host_keys=[_key("the sandbox's host key")],
        sftp_factory=_files(folder, faults),
        allow_scp=False,
    )
    try:
        yield acceptor.get_port()
    finally:
        acceptor.close()
        # Python 3.12 and newer wait for clients to go, who may not mean to.
        for connection in list(connections):
            connection.abort()
        await acceptor.wait_closed()


def _path(file: object) -> str:
    return os.fsdecode(t.cast("io.FileIO", file).name)


def _is_user(username: str) -> bool:
    return hmac.compare_digest(username.encode(), USERNAME.encode())
