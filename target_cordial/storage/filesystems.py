"""Folders by URL, on sftp, s3, gs or this machine: fsspec, with the login that the settings give."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import stat
import typing as t
from io import BytesIO
from pathlib import Path

import fsspec
from fsspec.implementations.local import LocalFileSystem

from target_cordial.storage.errors import StorageError
from target_cordial.storage.location import Location

if t.TYPE_CHECKING:
    from target_cordial.settings import Settings

EXTRAS = {"sftp": "sftp", "s3": "s3", "gs": "gcs"}
DEFAULT_SFTP_PORT = 22
_NOISY_LOGGERS = ("asyncssh", "s3fs", "botocore", "aiobotocore", "gcsfs", "google")


def open_filesystem(location: Location, settings: Settings) -> t.Any:
    """Open the file system of a folder; sftp connects at once, the others with the first call.

    The storage's login is for the storage alone: elsewhere the environment has to give one.

    Args:
        location: The folder.
        settings: For the login.

    Returns:
        An fsspec file system.

    Raises:
        StorageError: If packages are missing or the settings cannot work.
    """
    storage = Location.parse(settings.storage_url)
    is_storage = (location.scheme, location.host, location.port) == (
        storage.scheme,
        storage.host,
        storage.port,
    )
    options = dict(settings.storage_options) if is_storage else {}
    username = settings.storage_username if is_storage else None
    password = settings.storage_password if is_storage else None
    for noisy in _NOISY_LOGGERS:
        logging.getLogger(noisy).setLevel(logging.ERROR)
    try:
        if location.scheme == "file":
            return PrivateFileSystem(skip_instance_cache=True)
        if location.scheme == "sftp":
            from target_cordial.storage.sftp import open_sftp  # noqa: PLC0415 - an extra

            return open_sftp(location, settings, options, is_storage=is_storage)
        if location.scheme == "s3":
            options = _s3_options(options, username, password)
        elif location.scheme == "gs":
            # Looks up each bucket's kind over another protocol first, which takes a right of its own and a minute to fail.
            os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
        return fsspec.filesystem(location.scheme, skip_instance_cache=True, **options)
    except ImportError as error:
        extra = EXTRAS.get(location.scheme)
        cure = f"install lytics-to-cordial[{extra}]" if extra else "install its fsspec package"
        msg = f"A {location.scheme}:// URL needs more packages: {cure}."
        raise StorageError(msg) from error
    except (ValueError, TypeError) as error:
        # fsspec knows the scheme or the options not; its message may repeat an option's value.
        msg = f"The folder {location} cannot be opened ({type(error).__name__}): check the URL's scheme and storage_options."
        raise StorageError(msg) from error


def _s3_options(options: dict[str, t.Any], username: str | None, password: str | None) -> dict[str, t.Any]:
    region = options.pop("region", None)
    if region:
        options["client_kwargs"] = {"region_name": region, **options.get("client_kwargs", {})}
    login = {"key": username, "secret": password}
    return {name: value for name, value in login.items() if value} | options


class PrivateFileSystem(LocalFileSystem):  # type: ignore[misc]
    """Files on this machine that hold personal data: their owner alone may read them.

    One exception: import files in a folder with the setgid bit are for its group too. A web server that serves them
    to Cordial is another user, and this bit is how a folder's owner says that a chosen group is to get at what is in it.
    """

    def put_file(self, lpath: str, rpath: str, **_: t.Any) -> None:
        """Copy a file; it belongs to whom the folder says.

        Args:
            lpath: The file.
            rpath: The copy.
        """
        with Path(lpath).open("rb") as content:
            self._write(rpath, content, for_group=True)

    def pipe_file(self, path: str, value: bytes, **_: t.Any) -> None:
        """Write a file that its owner alone may read.

        Args:
            path: The file.
            value: What to write.
        """
        self._write(path, BytesIO(value), for_group=False)

    def mv(self, path1: str, path2: str, **_: t.Any) -> None:
        """Rename a file, replacing one of the new name.

        Args:
            path1: The file.
            path2: Its new name.
        """
        Path(path1).replace(path2)

    def _write(self, path: str, content: t.BinaryIO, *, for_group: bool) -> None:
        folder = Path(path).parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - Path has no open by descriptor
            if for_group and folder.stat().st_mode & stat.S_ISGID:
                os.fchmod(descriptor, 0o640)
            shutil.copyfileobj(content, file)
            file.flush()
            with contextlib.suppress(OSError):  # not every file system can
                os.fsync(descriptor)
