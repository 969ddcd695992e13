"""The SFTP server between the two sides: a real one, on loopback."""

from __future__ import annotations

import hashlib
import hmac
import typing as t

import asyncssh
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

if t.TYPE_CHECKING:
    from pathlib import Path

    from sandbox.faults import Faults

USERNAME = "lytics"
PASSWORD = "sandbox-sftp-password"  # noqa: S105 - protects nothing: loopback, made-up people
FULL = 28


def host_key() -> asyncssh.SSHKey:
    """The server's key: always the same, so that a project can pin it; it protects nothing."""
    secret = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"the sandbox's host key").digest())
    text = secret.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return asyncssh.import_private_key(text)


def host_key_line() -> str:
    """The server's public key, as `storage_host_key` wants it."""
    return " ".join(host_key().export_public_key().decode().split()[:2])


async def start_sftp(folder: Path, port: int, faults: Faults) -> asyncssh.SSHAcceptor:
    """Start the server.

    Args:
        folder: What it serves.
        port: Where, on loopback; 0 for any free port.
        faults: What goes wrong.

    Returns:
        The running server.
    """
    folder.mkdir(parents=True, exist_ok=True)  # noqa: ASYNC240 - once, before anything is served

    class Files(asyncssh.SFTPServer):
        def __init__(self, channel: asyncssh.SSHServerChannel[bytes]) -> None:
            super().__init__(channel, chroot=str(folder).encode())
            self._channel = channel

        def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> t.Any:
            self._refuse(pflags & asyncssh.FXF_WRITE)
            return super().open(path, pflags, attrs)

        def open56(self, path: bytes, desired_access: int, flags: int, attrs: asyncssh.SFTPAttrs) -> t.Any:
            self._refuse(desired_access & asyncssh.ACE4_WRITE_DATA)
            return super().open56(path, desired_access, flags, attrs)

        def write(self, file_obj: object, offset: int, data: bytes) -> t.Any:
            if faults.get("storage_full") is not None:
                raise OSError(FULL, "No space left on device")
            if faults.get("storage_cut") is not None:
                self._channel.get_connection().abort()
            return super().write(file_obj, offset, data)

        def remove(self, path: bytes) -> t.Any:
            self._refuse(1)
            return super().remove(path)

        def _refuse(self, is_write: int) -> None:
            if is_write and faults.get("storage_read_only") is not None:
                msg = "read only"
                raise asyncssh.SFTPPermissionDenied(msg)

    class Login(asyncssh.SSHServer):
        def begin_auth(self, username: str) -> bool:
            return username is not None

        def password_auth_supported(self) -> bool:
            return True

        def validate_password(self, username: str, password: str) -> bool:
            return hmac.compare_digest(username.encode(), USERNAME.encode()) and hmac.compare_digest(
                password.encode(), PASSWORD.encode()
            )

    return await asyncssh.create_server(
        Login,
        "127.0.0.1",
        port,
        server_host_keys=[host_key()],
        sftp_factory=Files,
        allow_scp=False,
    )
