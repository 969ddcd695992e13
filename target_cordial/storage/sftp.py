"""SFTP: the login, the server's host key, and renaming; needs the extra `sftp`."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
import typing as t
from pathlib import Path

import asyncssh
from sshfs import SSHFileSystem
from typing_extensions import override

from lytics_to_cordial.errors import UserError
from target_cordial.settings import Settings
from target_cordial.storage.location import Location

CONNECT_TIMEOUT_SECONDS = 30
CALL_TIMEOUT_SECONDS = 1800
"""A server may keep a connection alive and answer nothing."""
KEEPALIVE_SECONDS = 15
_CALLS = ("_info", "_ls", "_put_file", "_pipe_file", "_get_file", "_cat_file", "_rm_file", "_mv")
KNOWN_HOSTS = Path("~/.ssh/known_hosts")

_PUBLIC_KEY = re.compile(r"(?:ssh|ecdsa|sk)-\S+\s+[A-Za-z0-9+/=]+")

KnownHosts: t.TypeAlias = "tuple[list[asyncssh.SSHKey], list[asyncssh.SSHKey], list[asyncssh.SSHKey]]"
"""Trusted host keys, trusted keys of authorities, revoked keys."""


class SFTPFileSystem(SSHFileSystem):  # type: ignore[misc]
    """An SFTP server's files."""

    @override
    async def _mv(self, path1: str, path2: str, **_: t.Any) -> None:
        async with self._pool.get() as channel:
            try:
                await channel.posix_rename(path1, path2)
            except asyncssh.SFTPOpUnsupported:
                # SFTP's plain rename refuses to replace a file, which a second try may have to.
                with contextlib.suppress(asyncssh.SFTPNoSuchFile):
                    await channel.remove(path2)
                await channel.rename(path1, path2)


def _bounded(call: t.Callable[..., t.Awaitable[t.Any]]) -> t.Callable[..., t.Awaitable[t.Any]]:
    @functools.wraps(call)
    async def bounded(*args: t.Any, **options: t.Any) -> t.Any:
        task = asyncio.ensure_future(call(*args, **options))
        # Not `wait_for`: a call that is broken off closes its file, and the server may not answer that either.
        await asyncio.wait({task}, timeout=CALL_TIMEOUT_SECONDS)
        if task.done():
            return task.result()
        task.add_done_callback(lambda ended: ended.cancelled() or ended.exception())
        task.cancel()
        raise TimeoutError

    return bounded


for _name in _CALLS:
    setattr(SFTPFileSystem, _name, _bounded(getattr(SFTPFileSystem, _name)))


def open_sftp(location: Location, settings: Settings, options: dict[str, t.Any]) -> SFTPFileSystem:
    """Connect to the storage's SFTP server; a `UserError` if a setting cannot work, or the server is not the one that it should be."""
    known_hosts = _pinned(settings.storage_host_key) if settings.storage_host_key else _known(location)
    connection = {
        "host": location.host,
        "port": location.port,
        "known_hosts": known_hosts,
        "username": settings.storage_username or location.username,
        "client_keys": [_private_key(settings.storage_private_key)] if settings.storage_private_key else None,
        # Nothing but the settings decides: an agent or a configuration of this machine's user would not be there elsewhere.
        "agent_path": None,
        "config": None,
        "connect_timeout": CONNECT_TIMEOUT_SECONDS,
        "login_timeout": CONNECT_TIMEOUT_SECONDS,
        "keepalive_interval": KEEPALIVE_SECONDS,
    }
    if settings.storage_password:
        connection["password"] = settings.storage_password
    try:
        return SFTPFileSystem(skip_instance_cache=True, **(connection | options))
    except (asyncssh.HostKeyNotVerifiable, asyncssh.KeyExchangeFailed) as error:
        # Only the kinds of the known keys are asked for: a server that has none of them does not get as far as showing one.
        if isinstance(error, asyncssh.KeyExchangeFailed) and not known_hosts[0]:
            raise
        sentence = _host_key_sentence(location, settings.storage_host_key, is_known=bool(known_hosts[0]))
        raise UserError(sentence) from error


def _pinned(text: str) -> KnownHosts:
    """The keys of one or more lines, with or without host names before and a comment behind."""
    keys = []
    for line in text.replace("\\n", "\n").splitlines():
        match = _PUBLIC_KEY.search(line)
        with contextlib.suppress(ValueError, asyncssh.Error):
            if match is not None:
                keys.append(asyncssh.import_public_key(match[0]))
    if not keys:
        raise UserError(
            "The setting storage_host_key is not a public key: it should look like `ssh-ed25519 AAAA...`."
        )
    return keys, [], []


def _known(location: Location) -> KnownHosts:
    path = KNOWN_HOSTS.expanduser()
    if not path.exists():
        return [], [], []
    try:
        port = None if location.port == asyncssh.DEFAULT_PORT else location.port
        hosts = asyncssh.match_known_hosts(str(path), location.host, "", port)
    except (OSError, ValueError) as error:
        raise UserError(
            f"The file {KNOWN_HOSTS} cannot be read ({type(error).__name__}): correct it, or set storage_host_key."
        ) from error
    return list(hosts[0]), list(hosts[1]), list(hosts[2])


def _private_key(given: str) -> asyncssh.SSHKey:
    try:
        text = given if "PRIVATE KEY" in given else Path(given).expanduser().read_text(encoding="utf-8")
        return asyncssh.import_private_key(text.replace("\\n", "\n"))
    except (OSError, ValueError, asyncssh.Error) as error:
        raise UserError(
            "The setting storage_private_key is neither a private key in PEM nor a path to one that needs no passphrase."
        ) from error


def _host_key_sentence(location: Location, pinned: str | None, *, is_known: bool) -> str:
    shown = _shown_key(location)
    if pinned:
        return (
            f"The host key of the sftp server at {location.host} is not storage_host_key: somebody may be in between; if the server was "
            f"renewed, ask its owner for the new key (it shows {shown}) and set storage_host_key."
        )
    if is_known:
        return (
            f"The host key of the sftp server at {location.host} is not the one in {KNOWN_HOSTS}: somebody may be in between; if the "
            f"server was renewed, ask its owner for the new key (it shows {shown}) and correct that file or set storage_host_key."
        )
    return (
        f"The host key of the sftp server at {location.host} is not known: compare it with what the server's owner says, then set "
        f"storage_host_key to: {shown}"
    )


def _shown_key(location: Location) -> str:
    """The key that the server shows to anybody, as `storage_host_key` wants it."""
    key = None
    with contextlib.suppress(OSError, asyncssh.Error, TimeoutError, asyncio.TimeoutError):
        key = asyncio.run(
            asyncio.wait_for(
                asyncssh.get_server_host_key(location.host, location.port or (), config=None),
                CONNECT_TIMEOUT_SECONDS,
            )
        )
    return "none" if key is None else " ".join(key.export_public_key().decode().split()[:2])
