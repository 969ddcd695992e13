"""The folder that Cordial fetches import files from."""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import threading
import time
import typing as t

from lytics_to_cordial.http import log_retry
from target_cordial.storage.errors import StorageError, failure, lasting_failure
from target_cordial.storage.filesystems import open_filesystem
from target_cordial.storage.location import Location
from target_cordial.storage.source import import_source

if t.TYPE_CHECKING:
    from pathlib import Path

    from target_cordial.settings import Settings

TRIES = 3
PART_SUFFIX = ".part"

_Result = t.TypeVar("_Result")


class Storage:
    """A folder of import files. Several threads may use it.

    Nothing is read or written before the first call.

    Attributes:
        folder_tag: A short name of the folder, with which the names of its pipeline's files begin.

    Args:
        settings: Where and how.

    Raises:
        StorageError: If the settings cannot work.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._location = _storage_location(settings.storage_url)
        self.folder_tag = f"cordial-{hashlib.sha256(self._location.url().encode()).hexdigest()[:10]}"
        self.source("check.csv")
        self._lock = threading.Lock()
        self._opened: t.Any = None

    def __str__(self) -> str:
        """The folder's URL, without the login."""
        return str(self._location)

    def put(self, local: Path, name: str) -> None:
        """Upload a finished file; it is never seen half-written under its name.

        Args:
            local: The file.
            name: Its name in the folder.

        Raises:
            StorageError: If it does not arrive whole.
        """
        self._upload(name, local.stat().st_size, lambda files, path: files.put_file(str(local), path))

    def names(self) -> list[str]:
        """The names of the files in the folder.

        Raises:
            StorageError: If it cannot be listed.
        """

        def listed(files: t.Any) -> list[str]:
            files.invalidate_cache()
            try:
                found = files.ls(self._location.opened(), detail=True)
            except FileNotFoundError:
                return []
            return [item["name"].rpartition("/")[2] for item in found if item["type"] == "file"]

        return self._try(listed, "list the files")

    def delete(self, name: str) -> None:
        """Delete a file; an absent one is fine.

        Args:
            name: Its name.

        Raises:
            StorageError: If it stays.
        """

        def remove(files: t.Any) -> None:
            with contextlib.suppress(FileNotFoundError):
                files.rm_file(self._location.opened(name))

        self._try(remove, f"delete {name}")

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name.

        Args:
            name: Its name.
            new_name: The other.

        Raises:
            StorageError: If it cannot be renamed.
        """
        self._try(lambda files: self._move(files, name, new_name), f"rename {name}")

    def check(self) -> None:
        """Write a small file, read it back and delete it.

        Raises:
            StorageError: At the first thing that does not work.
        """
        name = f"{self.folder_tag}-check-{secrets.token_hex(4)}.csv"
        content = secrets.token_hex(16).encode()
        self._upload(name, len(content), lambda files, path: files.pipe_file(path, content))
        read = self._try(lambda files: files.cat_file(self._location.opened(name)), f"read {name}")
        self.delete(name)
        if read != content:
            msg = f"The storage at {self._location} gives back other bytes than were written: check storage_url."
            raise StorageError(msg)

    def source(self, name: str) -> dict[str, t.Any]:
        """What to tell Cordial about where a file is; see `import_source`.

        Args:
            name: The file.

        Raises:
            StorageError: If something that Cordial needs is not set.
        """
        return import_source(self._settings, self._location, name)

    def _upload(self, name: str, size: int, write: t.Callable[[t.Any, str], None]) -> None:
        # An object appears whole or not at all; a file appears with its first byte.
        first_name = name if self._location.is_object_store else name + PART_SUFFIX

        def upload(files: t.Any) -> None:
            path = self._location.opened(first_name)
            try:
                write(files, path)
                _check_size(files, path, size)
            except Exception:
                # What is half there takes room and holds personal data; where this fails too, the next run's start deletes it.
                with contextlib.suppress(Exception):
                    files.rm_file(path)
                raise
            if first_name != name:
                files.mv(path, self._location.opened(name))

        self._try(upload, f"write {name}")

    def _move(self, files: t.Any, name: str, new_name: str) -> None:
        path, new_path = self._location.opened(name), self._location.opened(new_name)
        if self._location.is_object_store:
            files.cp_file(path, new_path)
            files.rm_file(path)
        else:
            files.mv(path, new_path)

    def _try(self, action: t.Callable[[t.Any], _Result], what: str) -> _Result:
        """Do something with the folder, again on a new connection when that broke."""
        # The packages for object stores try again themselves, for a minute and more.
        tries = 1 if self._location.is_object_store else TRIES
        for tries_left in range(tries - 1, -1, -1):
            files = None
            try:
                files = self._files()
                return action(files)
            except Exception as error:
                told = lasting_failure(error, self._location, what)
                if told is not None:
                    raise told from error
                if not tries_left:
                    raise failure(error, self._location, what) from error
                self._forget(files)
                wait = (tries - tries_left) * (0.2 + secrets.randbelow(200) / 1000)
                reason = f"The storage at {self._location} failed ({type(error).__name__})"
                log_retry(reason, f"to {what}", wait=wait, tries=tries - tries_left + 1)
                time.sleep(wait)
        raise AssertionError

    def _files(self) -> t.Any:
        with self._lock:
            if self._opened is None:
                self._opened = open_filesystem(self._location, self._settings)
            return self._opened

    def _forget(self, files: t.Any) -> None:
        """Let the next try connect anew, unless another thread already has."""
        with self._lock:
            if self._opened is files:
                self._opened = None


def _check_size(files: t.Any, path: str, size: int) -> None:
    files.invalidate_cache()
    arrived = files.info(path)["size"]
    if arrived != size:
        msg = f"{arrived} of {size} bytes arrived"
        raise OSError(msg)


def _storage_location(url: str) -> Location:
    try:
        location = Location.parse(url)
    except StorageError as error:
        msg = f"The setting storage_url {error}."
        raise StorageError(msg) from None
    if "://" not in url or location.scheme not in {"sftp", "s3", "gs", "file"}:
        msg = "The setting storage_url must be sftp://host:22/folder, s3://bucket/prefix, gs://bucket/prefix or file:///folder."
        raise StorageError(msg)
    if (location.scheme == "file") == bool(location.host) or (
        location.scheme == "file" and not location.path
    ):
        msg = f"The setting storage_url must name {_PLACES[location.scheme]}."
        raise StorageError(msg)
    return location


_PLACES = {
    "sftp": "the server, such as sftp://sftp.example.com/imports",
    "s3": "the bucket, such as s3://bucket/imports",
    "gs": "the bucket, such as gs://bucket/imports",
    "file": "an absolute folder, such as file:///srv/imports",
}
