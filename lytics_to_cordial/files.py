"""A folder of files on this machine or behind any fsspec URL: durable writes, reads, and errors in one sentence."""

from __future__ import annotations

import contextlib
import copy
import datetime as dt
import os
import re
import secrets
import threading
import time
import typing as t
from dataclasses import dataclass
from pathlib import Path

from fsspec.implementations.local import LocalFileSystem

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.file_errors import (
    LASTING,
    FolderError,
    MissingFileError,
    NoFolderError,
    NoRoomError,
    kind_of,
)
from lytics_to_cordial.filesystems import (
    EXTRAS,
    LOGINS,
    append,
    is_object_store,
    modified_at,
    needed_packages,
    open_url,
    quieten_packages,
)
from lytics_to_cordial.retries import log_retry

TRIES = 3
PART_SUFFIX = ".part"

_NOUNS = {"triggers_url": "triggers folder", "rejects_url": "reject report"}
"""What a folder is called in messages, where that is not as in its setting."""
_Result = t.TypeVar("_Result")


@dataclass(frozen=True)
class File:
    """A file in a folder.

    Attributes:
        name: Its path within the folder.
        size: In bytes.
        modified_at: When it was last written, UTC.
    """

    name: str
    size: int
    modified_at: dt.datetime


class Folder:
    """A folder of files. Several threads may use it; nothing is opened before the first call.

    A call that cannot be done raises a `FolderError`. What a broken connection prevented is tried again on a new one.

    Args:
        url: A path or an fsspec URL.
        setting: The setting that holds the URL, for messages.
        login: Where the login comes from, for messages, if not from the environment.
        open_files: Opens the file system and gives the folder's path in it, if `open_url(url)` will not do.
    """

    def __init__(
        self,
        url: str,
        *,
        setting: str,
        login: str | None = None,
        open_files: t.Callable[[], tuple[t.Any, str]] | None = None,
    ) -> None:
        self._setting = setting
        self._kind = "folder"
        self._noun = _NOUNS.get(setting, setting.removesuffix("_url"))
        self._shown = url.rstrip("/") or "/"
        self._scheme = url.partition("://")[0] if "://" in url else "file"
        self._login = login or LOGINS.get(EXTRAS.get(self._scheme, ""), "the login")
        self._open_files = open_files or (lambda: open_url(url))
        self._path_within = ""
        # Shared with the folders in this one: the open file system and the folder's path in it, or nothing.
        self._opened: list[tuple[t.Any, str]] = []
        self._lock = threading.Lock()

    @classmethod
    def of_file(cls, url: str, *, setting: str) -> tuple[Folder, str]:
        """The folder that a file is in, and the file's name."""
        head, slash, name = url.rpartition("/")
        if not name or head.endswith(":/"):
            raise NoFolderError(f"The setting {setting} must name a file, and {url} names none: correct it.")
        folder = cls(head or slash or ".", setting=setting)
        folder._kind = "file"
        return folder, name

    def __str__(self) -> str:
        return self._shown

    def child(self, name: str) -> Folder:
        """A folder in this one, over the same connection."""
        inner = copy.copy(self)
        inner._path_within = f"{self._path_within}/{name}"  # noqa: SLF001 - one's own
        inner._shown = self.place(name)  # noqa: SLF001
        return inner

    def place(self, name: str) -> str:
        """A file's URL or path for messages, without what may be an address."""
        return f"{self._shown.rstrip('/')}/{_without_address(name)}"

    def put(self, name: str, source: Path | bytes) -> None:
        """Make a file durable, replacing one of that name; nobody ever sees it half-written under its name.

        On this machine it is its owner's alone, and so are folders that are made for it.
        """
        size = len(source) if isinstance(source, bytes) else source.stat().st_size

        def write(files: t.Any, path: str) -> None:
            first_path = path if is_object_store(files) else f"{path}.{secrets.token_hex(4)}{PART_SUFFIX}"
            try:
                # Not by open(): with S3, fsspec uploads what was written also when something raises in between.
                if isinstance(source, bytes):
                    files.pipe_file(first_path, source)
                else:
                    files.put_file(str(source), first_path)
                files.invalidate_cache()
                arrived = files.info(first_path)["size"]
                if arrived != size:
                    raise OSError(f"{arrived} of {size} bytes arrived")
            except Exception:
                # Half a file takes room and may hold personal data.
                with contextlib.suppress(Exception):
                    files.rm_file(first_path)
                raise
            if first_path != path:
                files.mv(first_path, path)

        self.attempt("write", name, write)

    def append(self, name: str, content: bytes) -> None:
        """Add to a file, which is made if it is missing. Where no file can grow, it is written anew."""
        # Only once: what was added although the answer was lost would be there twice.
        self.attempt("add to", name, lambda files, path: append(files, path, content), tries=1)

    def read(self, name: str) -> bytes:
        """All that a file holds."""
        return self.attempt("read", name, lambda files, path: t.cast("bytes", files.cat_file(path)))

    def read_many(self, found: t.Sequence[File]) -> list[bytes | FolderError]:
        """What each file holds, up to the size that was listed, or why it cannot be read; many calls at once."""

        def read(files: t.Any, path: str) -> list[t.Any]:
            paths = [f"{path}/{file.name}" for file in found]
            contents: list[t.Any] = files.cat_ranges(paths, [0] * len(found), [file.size for file in found])
            return contents

        contents = self.attempt("read", "", read) if found else []
        return [
            # Some file systems give more than was asked for.
            self._explained(content, "read", file.name)
            if isinstance(content, Exception)
            else content[: file.size]
            for file, content in zip(found, contents, strict=True)
        ]

    def get(self, name: str, to: Path) -> Path:
        """Fetch a file, and give the path back; on this machine it is a hard link, as files are replaced and never changed.

        An `OSError` for want of room is raised as it is: it is not this folder that is full.
        """
        self.attempt("fetch", name, lambda files, path: files.get_file(path, str(to)))
        return to

    def rename(self, name: str, new_name: str) -> None:
        """Give a file another name, replacing a file of that name."""

        def move(files: t.Any, path: str) -> None:
            new_path = path.removesuffix(name) + new_name
            if is_object_store(files):
                files.cp_file(path, new_path)
                files.rm_file(path)
            else:
                files.mv(path, new_path)

        self.attempt("rename", name, move)

    def delete(self, name: str) -> None:
        """Delete a file; an absent one is fine."""

        def remove(files: t.Any, path: str) -> None:
            with contextlib.suppress(FileNotFoundError):
                files.rm_file(path)

        self.attempt("delete", name, remove)

    def names(self) -> list[str]:
        """The names of the files right in the folder, sorted; none if it is missing."""
        return self._names_of("file")

    def folders(self) -> list[str]:
        """The names of the folders right in the folder, sorted; none if it is missing."""
        return self._names_of("directory")

    def files(self) -> list[File]:
        """All files in the folder and in the folders in it; a `MissingFileError` if it or its bucket is missing."""

        def walk(files: t.Any, path: str) -> list[File]:
            files.invalidate_cache()
            infos = files.find(path, detail=True)
            # In an object store an empty folder cannot be told from a missing one, but the bucket can.
            if not infos and not files.exists(path if path.startswith("/") else path.partition("/")[0]):
                raise FileNotFoundError
            return [
                File(_within(path, name), info["size"] or 0, modified_at(files, name, info))
                for name, info in infos.items()
                if info["type"] == "file"
            ]

        return self.attempt("list", "", walk)

    def check(self, name: str | None = None) -> None:
        """Write a small file, read it back and delete it."""
        name = name or f"check-{secrets.token_hex(8)}"
        content = secrets.token_hex(16).encode()
        self.put(name, content)
        read = self.read(name)
        self.delete(name)
        if read != content:
            raise FolderError(
                f"The {self._noun} at {self} gives back other bytes than were written: set {self._setting} to another folder."
            )

    def _names_of(self, kind: str) -> list[str]:
        def listed(files: t.Any, path: str) -> list[str]:
            files.invalidate_cache()
            try:
                infos = files.ls(path, detail=True)
            except FileNotFoundError:
                return []
            names = [_within(path, info["name"]) for info in infos if info["type"] == kind]
            return sorted(filter(None, names))

        return self.attempt("list", "", listed)

    def attempt(
        self, verb: str, name: str, action: t.Callable[[t.Any, str], _Result], *, tries: int = TRIES
    ) -> _Result:
        """Do something with the folder or a file in it, again on a new connection when that broke."""
        for tries_left in range(tries - 1, -1, -1):
            files: t.Any = None
            try:
                files, root = self._open()
                folder = root.rstrip("/") + self._path_within
                return action(files, f"{folder}/{name}" if name else folder or "/")
            except UserError:
                raise
            except Exception as error:
                failure = self._explained(error, verb, name)
                if verb == "fetch" and isinstance(failure, NoRoomError):
                    raise
                is_lasting = isinstance(failure, LASTING)
                if is_lasting or not tries_left or (files and not _can_break(files)):
                    raise failure from error
                self._forget(files)
                wait = (tries - tries_left) * (0.2 + secrets.randbelow(200) / 1000)
                reason = f"The {self._noun} at {self} failed ({type(error).__name__})"
                log_retry(reason, f"to {_what(verb, name)}", wait=wait, tries=tries - tries_left + 1)
                time.sleep(wait)
        raise AssertionError

    def _open(self) -> tuple[t.Any, str]:
        try:
            with self._lock:
                if not self._opened:
                    quieten_packages()
                    self._opened.append(self._open_files())
                return self._opened[0]
        except ImportError as error:
            raise NoFolderError(needed_packages(self._setting, self._scheme)) from error
        except ValueError as error:
            # fsspec's message may repeat an option's value.
            raise NoFolderError(
                f"The {self._noun} at {self} cannot be opened: {self._setting} must be a path, or a URL that fsspec knows, such as "
                "s3://bucket/folder."
            ) from error

    def _forget(self, files: t.Any) -> None:
        """Let the next try connect anew, unless another thread already has."""
        with self._lock:
            if self._opened and self._opened[0][0] is files:
                self._opened.clear()

    def _explained(self, error: Exception, verb: str, name: str) -> FolderError:
        """What to raise for an error of the file system."""
        kind = kind_of(error)
        sentence = kind.sentence
        if kind is MissingFileError and verb in {"read", "fetch"}:
            sentence = "The {noun} at {place} does not hold {name}: restore it, or correct {setting}."
        elif kind is MissingFileError and verb == "list":
            sentence = "The {noun} at {place} is missing: create it, or correct {setting}."
        return kind(
            sentence.format(
                noun=self._noun,
                place=self,
                name=_without_address(name),
                what=_what(verb, name),
                setting=self._setting,
                kind=self._kind,
                login=self._login,
                # A text of the system's own: that of the exception may say anything.
                reason=os.strerror(error.errno)
                if type(error) is OSError and error.errno
                else type(error).__name__,
            )
        )


def _what(verb: str, name: str) -> str:
    return f"{verb} {_without_address(name) or 'the files'}"


def _without_address(name: str) -> str:
    return re.sub(r"[^/]*(?:@|%40)[^/]*", "(address)", name)


def _within(folder: str, path: str) -> str:
    """A path without the folder that it is in; blank for the folder itself."""
    # A key of an object store can hold empty names: of a//b.json in a, /b.json.
    return path.removeprefix(folder.rstrip("/")).removeprefix("/").rstrip("/")


def _can_break(files: t.Any) -> bool:
    """Whether the file system is a connection that a new one can replace."""
    return not (isinstance(files, LocalFileSystem) or is_object_store(files))
