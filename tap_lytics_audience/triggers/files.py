"""The folder in which trigger messages land: which files landed since a time, and what they hold."""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import typing as t
from dataclasses import dataclass

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from lytics_to_cordial.errors import UserError

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

FETCH_FILES = 256
FETCH_BYTES = 32 * 1024 * 1024
"""So many files are fetched at once: one call for each would take a round trip a file."""

_TIME_NAMES = ("mtime", "LastModified", "last_modified")
"""The modification time in most filesystems, in s3, in Azure."""
_EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "sftp": "sftp", "ssh": "sftp"}


@dataclass(frozen=True, order=True)
class LandedFile:
    """A file that landed.

    Attributes:
        landed_at: When it was last modified, UTC.
        path: Its path in the filesystem.
        size: In bytes.
    """

    landed_at: dt.datetime
    path: str
    size: int


class LandedFiles:
    """The files under a folder and its sub-folders.

    Empty files, and names that begin with `.` or `_` or end in `.part` or `.tmp`, are passed over: by custom they are not
    finished, or not meant for readers.

    Args:
        url: The folder, `triggers_url`; a path or an fsspec URL.

    Raises:
        UserError: If nothing can open such a URL.
    """

    def __init__(self, url: str) -> None:
        self._files, folder = _open(url)
        self._folder = folder.rstrip("/") or "/"

    def since(self, time: dt.datetime) -> list[LandedFile]:
        """The files that landed at a time or after it, oldest first.

        Raises:
            UserError: If the folder is missing or cannot be listed.
        """
        try:
            landed = map(self._landed, self._listing())
            return sorted(file for file in landed if file is not None and file.landed_at >= time)
        except FileNotFoundError as error:
            raise UserError(
                f"The triggers folder {self.shown(self._folder)} is missing: create it, correct triggers_url, or set change_detection to "
                "scan."
            ) from error
        except Exception as error:
            raise self._unreadable(error, self._folder) from error

    def contents(self, files: Sequence[LandedFile]) -> Iterator[tuple[LandedFile, bytes | None]]:
        """Yield each file with its content; None for a file that is gone.

        Raises:
            UserError: If the storage does not give a file.
        """
        for batch in _batches(files):
            # To the size that was listed: if a file has grown meanwhile, it lands anew.
            contents = self._files.cat_ranges(
                [file.path for file in batch], [0] * len(batch), [file.size for file in batch]
            )
            for file, content in zip(batch, contents, strict=True):
                if isinstance(content, FileNotFoundError):
                    yield file, None
                elif isinstance(content, Exception):
                    raise self._unreadable(content, file.path) from content
                else:
                    yield file, content

    def shown(self, path: str) -> str:
        """A path or URL for messages, without what may be an address."""
        full = path if isinstance(self._files, LocalFileSystem) else str(self._files.unstrip_protocol(path))
        return re.sub(r"[^/]*(?:@|%40)[^/]*", "(address)", full)

    def _listing(self) -> Iterator[dict[str, t.Any]]:
        if isinstance(self._files, LocalFileSystem):
            # fsspec's find passes over folders that cannot be read, without a word.
            for folder, _, names in os.walk(self._folder, onerror=self._check_folder):
                for name in names:
                    # A file may be deleted while the listing goes on, and so may a folder.
                    with contextlib.suppress(FileNotFoundError):
                        yield self._files.info(os.path.join(folder, name))  # noqa: PTH118 - fsspec takes text
            return
        # fsspec remembers listings, which lack what landed a moment ago.
        self._files.invalidate_cache()
        infos = self._files.find(self._folder, detail=True)
        if not infos:
            self._check_present()
        yield from infos.values()

    def _check_folder(self, error: OSError) -> None:
        if not isinstance(error, FileNotFoundError) or error.filename == self._folder:
            raise error

    def _check_present(self) -> None:
        """Tell an empty folder from a missing one. An object store knows of missing buckets alone."""
        place = self._folder if self._folder.startswith("/") else self._folder.partition("/")[0]
        if not self._files.exists(place):
            raise FileNotFoundError

    def _landed(self, info: dict[str, t.Any]) -> LandedFile | None:
        """A file of a listing; None if it is passed over."""
        path = info["name"]
        name = path.rpartition("/")[2]
        if name.startswith((".", "_")) or name.endswith((".part", ".tmp")):
            return None
        if info["type"] != "file" or not info["size"]:
            return None
        modified = next((info[key] for key in _TIME_NAMES if info.get(key)), None)
        return LandedFile(_utc(modified or self._files.modified(path)), path, info["size"])

    def _unreadable(self, error: Exception, path: str) -> UserError:
        place = self.shown(path)
        if isinstance(error, NotADirectoryError):
            return UserError(
                f"{place} is not a folder: set triggers_url to the folder where trigger messages land."
            )
        if isinstance(error, PermissionError):
            return UserError(
                f"{place} may not be read: let the tap list and read all that is under triggers_url."
            )
        return UserError(
            f"{place} cannot be read ({_reason(error)}): check triggers_url, its credentials and the network, then run again."
        )


def _open(url: str) -> tuple[t.Any, str]:
    scheme = url.partition("://")[0]
    try:
        files, folder = fsspec.url_to_fs(url)
    except ImportError as error:
        extra = _EXTRAS.get(scheme)
        cure = f"lytics-to-cordial[{extra}]" if extra else f"what fsspec reads {scheme}:// with"
        raise UserError(f"A {scheme}:// triggers_url needs more packages: install {cure}.") from error
    except ValueError as error:
        raise UserError(
            "The setting triggers_url must be a path, or a URL that fsspec knows, such as s3://bucket/folder."
        ) from error
    except Exception as error:
        raise UserError(
            f"The triggers_url cannot be opened ({_reason(error)}): check it, its credentials and the network, then run again."
        ) from error
    return files, str(folder)


def _batches(files: Sequence[LandedFile]) -> Iterator[list[LandedFile]]:
    batch: list[LandedFile] = []
    size = 0
    for file in files:
        if batch and (len(batch) == FETCH_FILES or size + file.size > FETCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch


def _utc(modified: float | str | dt.datetime) -> dt.datetime:
    if isinstance(modified, (int, float)):
        return dt.datetime.fromtimestamp(modified, dt.timezone.utc)
    time = msgspec.convert(modified, dt.datetime)
    return time.replace(tzinfo=time.tzinfo or dt.timezone.utc).astimezone(dt.timezone.utc)


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__
