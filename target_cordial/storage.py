"""The folder that Cordial fetches import files from: sftp, s3, gs or file, through fsspec."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import logging
import re
import secrets
import threading
import time
import typing as t
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec

from target_cordial.errors import UserError

CONNECT_TIMEOUT_SECONDS = 30
TRIES = 4
PART_SUFFIX = ".part"
EXTRAS = {"sftp": "sftp", "s3": "s3", "gs": "gcs"}

_Result = t.TypeVar("_Result")


@dataclass(frozen=True)
class StorageSettings:
    """Where import files go, and how Cordial gets at them; the settings of the same names with `storage_` before."""

    url: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    private_key: str | None = field(default=None, repr=False)
    host_key: str | None = None
    options: dict[str, t.Any] = field(default_factory=dict, repr=False)
    import_source: dict[str, t.Any] = field(default_factory=dict, repr=False)
    import_username: str | None = None
    import_password: str | None = field(default=None, repr=False)


class StorageError(UserError):
    """The storage does not work; the sentence says which setting to change."""


def open_storage(settings: StorageSettings) -> Storage:
    """Open the storage; nothing is read or written yet.

    Args:
        settings: Where and how.

    Returns:
        The storage.

    Raises:
        StorageError: If the settings cannot work.
    """
    url = urlsplit(settings.url)
    if url.password is not None:
        msg = "The setting storage_url holds a password: take it out and set storage_password."
        raise StorageError(msg)
    if url.scheme not in {"sftp", "s3", "gs", "file"} or not (url.hostname or url.scheme == "file"):
        msg = (
            "The setting storage_url must be sftp://host:22/folder, s3://bucket/prefix, gs://bucket/prefix or "
            "file:///folder."
        )
        raise StorageError(msg)
    if url.scheme == "file" and (url.netloc or len(url.path) <= 1):
        msg = "The setting storage_url must name an absolute folder, such as file:///srv/imports."
        raise StorageError(msg)
    if url.scheme == "file" and settings.import_source.get("transport") not in {
        "http",
        "https",
        "ftp",
        "sftp",
    }:
        msg = (
            "With a file:// storage_url Cordial needs another way to the file: set import_source to "
            '{"transport": "https", "url": "<base URL of the folder>"}.'
        )
        raise StorageError(msg)
    return Storage(settings)


class Storage:
    """A folder of import files. Several threads may use it.

    Attributes:
        folder_tag: A short name of the folder, with which the names of its pipeline's files begin.

    Args:
        settings: Where and how.
    """

    def __init__(self, settings: StorageSettings) -> None:
        self._settings = settings
        url = urlsplit(settings.url)
        self._scheme = url.scheme
        folder = unquote(url.path).rstrip("/")
        self._folder = f"{url.hostname}{folder}" if self._scheme in {"s3", "gs"} else folder or "/"
        place = f"{url.scheme}://{url.hostname or ''}:{url.port or ''}{folder}"
        self.folder_tag = f"cordial-{hashlib.sha256(place.encode()).hexdigest()[:10]}"
        self._lock = threading.Lock()
        self._opened: t.Any = None

    def put(self, local: Path, name: str) -> None:
        """Upload a finished file; it is never seen half-written under its name.

        Args:
            local: The file.
            name: Its name in the folder.

        Raises:
            StorageError: If it does not arrive whole.
        """
        size = local.stat().st_size

        def upload(files: t.Any) -> None:
            target = self._path(name)
            if self._scheme in {"s3", "gs"}:
                files.put_file(str(local), target)
            else:
                files.put_file(str(local), target + PART_SUFFIX)
                self._replace(files, target + PART_SUFFIX, target)
            files.invalidate_cache()
            arrived = files.info(target)["size"]
            if arrived != size:
                msg = f"{arrived} of {size} bytes"
                raise OSError(msg)

        self._try(upload, f"write {name}")

    def names(self) -> list[str]:
        """The names of the files in the folder.

        Raises:
            StorageError: If it cannot be listed.
        """

        def listed(files: t.Any) -> list[str]:
            files.invalidate_cache()
            try:
                found = files.ls(self._folder, detail=True)
            except FileNotFoundError:
                return []
            return [item["name"].rpartition("/")[2] for item in found if item["type"] == "file"]

        return self._try(listed, "list the folder")

    def delete(self, name: str) -> None:
        """Delete a file; an absent one is fine.

        Args:
            name: Its name.

        Raises:
            StorageError: If it stays.
        """

        def remove(files: t.Any) -> None:
            with contextlib.suppress(FileNotFoundError):
                files.rm_file(self._path(name))

        self._try(remove, f"delete {name}")

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name.

        Args:
            name: Its name.
            new_name: The other.

        Raises:
            StorageError: If it cannot be renamed.
        """

        def move(files: t.Any) -> None:
            if self._scheme in {"s3", "gs"}:
                files.copy(self._path(name), self._path(new_name))
                files.rm_file(self._path(name))
            else:
                self._replace(files, self._path(name), self._path(new_name))

        self._try(move, f"rename {name}")

    def check(self) -> None:
        """Write a small file, read it back and delete it.

        Raises:
            StorageError: At the first thing that does not work.
        """
        name = f"{self.folder_tag}-check-{secrets.token_hex(4)}.csv"
        content = secrets.token_hex(16).encode()

        def write(files: t.Any) -> None:
            if self._scheme in {"sftp", "file"}:
                files.makedirs(self._folder, exist_ok=True)
            files.pipe_file(self._path(name), content)

        self._try(write, "write to it")
        read = self._try(lambda files: files.cat_file(self._path(name)), "read from it")
        self.delete(name)
        if read != content:
            msg = f"The storage at {self._settings.url} gives back other bytes than were written: check storage_url."
            raise StorageError(msg)

    def source(self, name: str) -> dict[str, t.Any]:
        """What to tell Cordial about where a file is (Cordial Swagger v2: SourceObject).

        Args:
            name: The file.

        Returns:
            The import call's `source`.
        """
        given = {key: value for key, value in self._settings.import_source.items() if value is not None}
        transport = str(given.pop("transport", {"gs": "gcs"}.get(self._scheme, self._scheme))).lower()
        source: dict[str, t.Any] = {"transport": transport}
        source |= self._location(transport, name)
        user = self._settings.import_username or self._settings.username
        password = self._settings.import_password or self._settings.password
        names = {"s3": ("aws_access_key_id", "aws_secret_access_key")}.get(
            transport, ("username", "password")
        )
        if transport not in {"gcs", "http", "https"} or self._settings.import_username:
            source |= {key: value for key, value in zip(names, (user, password), strict=True) if value}
        if transport in {"http", "https"}:
            given["url"] = f"{str(given.get('url', '')).rstrip('/')}/{name}"
        elif "path" in given:
            given["path"] = f"{str(given['path']).rstrip('/')}/{name}"
        if "savedKey" in given:
            source.pop("password", None)
        return source | given

    def _location(self, transport: str, name: str) -> dict[str, t.Any]:
        url = urlsplit(self._settings.url)
        prefix = unquote(url.path).strip("/")
        key = f"{prefix}/{name}" if prefix else name
        if transport in {"sftp", "ftp"} and self._scheme == "sftp":
            return {"server": url.hostname, "port": url.port or 22, "path": self._path(name)}
        if transport == "s3":
            region = self._settings.options.get("region") or _nested(
                self._settings.options, "client_kwargs", "region_name"
            )
            return {"aws_bucket": url.hostname, "aws_region": region or "us-east-1", "path": key}
        if transport == "gcs":
            # Cordial's Swagger spells the field `buket`; whether the service does is not known, so both are sent.
            return {"buket": url.hostname, "bucket": url.hostname, "path": key}
        return {}

    def _path(self, name: str) -> str:
        return f"{self._folder.rstrip('/')}/{name}"

    def _replace(self, files: t.Any, path: str, new_path: str) -> None:
        if self._scheme == "sftp":
            # SFTP's plain rename refuses to replace a file, which a second try may have to.
            with contextlib.suppress(FileNotFoundError):
                files.rm_file(new_path)
            files.mv(path, new_path)
        else:
            Path(path).chmod(0o640)
            Path(path).replace(new_path)

    def _try(self, action: t.Callable[[t.Any], _Result], what: str) -> _Result:
        """Do something with the folder, again on a new connection when that broke."""
        for tries_left in range(TRIES - 1, -1, -1):
            try:
                return action(self._files())
            except Exception as error:
                if isinstance(error, StorageError) or not tries_left or not _is_transient(error):
                    raise self._explained(error, what) from error
                with self._lock:
                    self._opened = None
                time.sleep((TRIES - tries_left) * (0.2 + secrets.randbelow(200) / 1000))
        raise AssertionError

    def _files(self) -> t.Any:
        with self._lock:
            if self._opened is None:
                self._opened = self._open()
            return self._opened

    def _open(self) -> t.Any:
        options = dict(self._settings.options)
        settings = self._settings
        if self._scheme == "sftp":
            options |= self._sftp_options()
        elif self._scheme == "s3":
            given = {"key": settings.username, "secret": settings.password}
            options = {**{key: value for key, value in given.items() if value}, **options}
            region = options.pop("region", None)
            if region:
                options["client_kwargs"] = {"region_name": region, **options.get("client_kwargs", {})}
        for noisy in ("asyncssh", "s3fs", "botocore", "gcsfs", "aiobotocore"):
            logging.getLogger(noisy).setLevel(logging.ERROR)
        try:
            return fsspec.filesystem(
                "sftp" if self._scheme == "ssh" else self._scheme, skip_instance_cache=True, **options
            )
        except ImportError as error:
            extra = EXTRAS.get(self._scheme, self._scheme)
            msg = f"A {self._scheme}:// storage_url needs more packages: install lytics-to-cordial[{extra}]."
            raise StorageError(msg) from error

    def _sftp_options(self) -> dict[str, t.Any]:
        import asyncssh  # noqa: PLC0415 - an extra
        import sshfs  # noqa: PLC0415

        fsspec.register_implementation("sftp", sshfs.SSHFileSystem, clobber=True)
        url = urlsplit(self._settings.url)
        port = url.port or 22
        options: dict[str, t.Any] = {
            "host": url.hostname,
            "port": port,
            "username": self._settings.username or (unquote(url.username) if url.username else None),
            "connect_timeout": CONNECT_TIMEOUT_SECONDS,
            "login_timeout": CONNECT_TIMEOUT_SECONDS,
            "keepalive_interval": 15,
            "agent_path": None,
            "client_keys": None,
        }
        if self._settings.password:
            options["password"] = self._settings.password
        if self._settings.private_key:
            options["client_keys"] = [_private_key(self._settings.private_key)]
        if self._settings.host_key:
            line = f"{_host_pattern(url.hostname, port)} {' '.join(self._settings.host_key.split()[-2:])}"
            try:
                options["known_hosts"] = asyncssh.import_known_hosts(line)
            except (ValueError, asyncssh.Error) as error:
                msg = "The setting storage_host_key is not a public key: it should look like `ssh-ed25519 AAAA...`."
                raise StorageError(msg) from error
        else:
            path = Path("~/.ssh/known_hosts").expanduser()
            options["known_hosts"] = str(path) if path.exists() else asyncssh.import_known_hosts("")
        return options

    def _explained(self, error: Exception, what: str) -> StorageError:
        if isinstance(error, StorageError):
            return error
        place = self._settings.url
        kind = type(error).__name__
        if kind == "HostKeyNotVerifiable":
            return StorageError(self._unknown_host_key())
        if kind in {"PermissionDenied", "NoCredentialsError"} or _refuses_login(error):
            return StorageError(
                f"The storage at {place} refuses the login: check storage_username, storage_password and storage_private_key."
            )
        if isinstance(error, PermissionError) or kind in {"SFTPPermissionDenied", "SFTPWriteProtect"}:
            return StorageError(
                f"The storage at {place} does not let target-cordial {what}: give the user write and delete rights on the folder, "
                "or correct storage_url."
            )
        if isinstance(error, FileNotFoundError):
            return StorageError(
                f"Could not {what} in the storage at {place}: the folder or file is not there; check storage_url."
            )
        return StorageError(
            f"Could not {what} in the storage at {place} ({kind}): check storage_url, the network and the room there, then run again."
        )

    def _unknown_host_key(self) -> str:
        import asyncssh  # noqa: PLC0415 - an extra

        url = urlsplit(self._settings.url)
        found = None
        with contextlib.suppress(OSError, asyncssh.Error):
            found = asyncio.run(asyncssh.get_server_host_key(str(url.hostname), url.port or 22))
        key = (
            ""
            if found is None
            else found.export_public_key().decode().strip().rsplit(" ", 1 if found.has_comment() else 0)[0]
        )
        if self._settings.host_key:
            return (
                f"The host key of the sftp server at {url.hostname} is not storage_host_key: somebody may be in between; if the server "
                f"was renewed, ask its owner for the new key (it shows {key}) and set storage_host_key."
            )
        return (
            f"The host key of the sftp server at {url.hostname} is not known: compare it with what the server's owner says, then set "
            f"storage_host_key to: {key}"
        )


def _private_key(given: str) -> t.Any:
    import asyncssh  # noqa: PLC0415 - an extra

    try:
        text = given if "PRIVATE KEY" in given else Path(given).expanduser().read_text(encoding="utf-8")
        return asyncssh.import_private_key(text.replace("\\n", "\n"))
    except (OSError, ValueError, asyncssh.Error) as error:
        msg = "The setting storage_private_key is neither a private key in PEM nor a path to one that needs no passphrase."
        raise StorageError(msg) from error


def _host_pattern(host: str | None, port: int) -> str:
    return f"[{host}]:{port},{host}"


def _is_transient(error: Exception) -> bool:
    kind = type(error).__name__
    if isinstance(
        error, (FileNotFoundError, PermissionError, IsADirectoryError, NotADirectoryError, ImportError)
    ):
        return False
    if isinstance(error, OSError) and error.errno in {
        28,
        30,
        122,
    }:  # full, read-only, quota: no try of ours changes that
        return False
    if kind in {
        "HostKeyNotVerifiable",
        "PermissionDenied",
        "NoCredentialsError",
        "KeyImportError",
    } or _refuses_login(error):
        return False
    if kind.startswith("SFTP"):
        return kind in {"SFTPConnectionLost", "SFTPNoConnection", "SFTPEOFError"}
    return isinstance(error, (OSError, asyncio.TimeoutError, TimeoutError)) or kind in {
        "ConnectionLost",
        "DisconnectError",
        "FSTimeoutError",
        "ChannelOpenError",
        "HttpError",
        "ClientError",
    }


def _refuses_login(error: Exception) -> bool:
    return bool(re.search(r"InvalidAccessKeyId|SignatureDoesNotMatch|ExpiredToken|invalid_grant", str(error)))


def _nested(options: dict[str, t.Any], *names: str) -> t.Any:
    value: t.Any = options
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value
