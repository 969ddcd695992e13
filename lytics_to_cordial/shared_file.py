"""One small file that several processes write: made only if it is missing, and replaced only if it still is what was read."""

from __future__ import annotations

import contextlib
import secrets
import typing as t
from dataclasses import dataclass

from fsspec.implementations.local import LocalFileSystem

from lytics_to_cordial.errors import TransientError
from lytics_to_cordial.file_errors import FolderError
from lytics_to_cordial.files import Folder
from lytics_to_cordial.filesystems import PrivateFileSystem, protocols_of

_REFUSALS = frozenset({"PreconditionFailed", "ConditionalRequestConflict"})


@dataclass(frozen=True)
class Found:
    """What a file held, and by what an object store knows this version of it."""

    content: bytes
    version: str | None = None


class SharedFile:
    """A file in a folder. Each write says whether it was done; a storage that cannot refuse one does each.

    S3 and Google Cloud Storage refuse a write unless the file's version is the one that was read. On this machine and by SFTP a new
    file is made exclusively, and an old one is moved away first: who still has it open writes to what nobody reads any more.
    """

    def __init__(self, folder: Folder, name: str) -> None:
        self._folder = folder
        self._name = name

    def read(self) -> Found | None:
        """What it holds; None if it is missing."""

        def read(files: t.Any, path: str) -> Found | None:
            files.invalidate_cache()
            with contextlib.suppress(FileNotFoundError):
                # Before the content: a write that comes in between makes this version an old one.
                version = None if _is_plain(files) else _version(files.info(path))
                return Found(files.cat_file(path), version)
            return None

        return self._folder.attempt("read", self._name, read)

    def create(self, content: bytes) -> bool:
        """Make the file, unless it is there."""
        return self._folder.attempt("write", self._name, lambda files, path: _create(files, path, content))

    def update(self, found: Found, content: bytes) -> bool:
        """Write as many other bytes into a file of one's own, unless another took its place."""

        def update(files: t.Any, path: str) -> bool:
            if not _is_plain(files):
                return _put(files, path, content, found.version)
            with contextlib.suppress(FileNotFoundError), files.open(path, "r+b") as file:
                if file.read() == found.content:
                    file.seek(0)
                    file.write(content)
                    return True
            return False

        return self._folder.attempt("write", self._name, update)

    def replace(self, found: Found, content: bytes) -> bool:
        """Put another file in the place of one that was read, unless that was written since."""

        def replace(files: t.Any, path: str) -> bool:
            if not _is_plain(files):
                return _put(files, path, content, found.version)
            away = f"{path}.{secrets.token_hex(8)}"
            with contextlib.suppress(FileNotFoundError):
                files.mv(path, away)
                moved = files.cat_file(away)
                files.rm_file(away)
                return moved == found.content and _create(files, path, content)
            return False

        return self._folder.attempt("write", self._name, replace)

    def rewrite(self, found: Found | None, content: bytes) -> None:
        """Write the file anew, if it still is what was read; whoever is killed meanwhile leaves the old one.

        Where files have no versions, that is looked at right before.

        Raises:
            TransientError: If another process wrote it since.
        """

        def rewrite(files: t.Any, path: str) -> bool:
            if not _is_plain(files):
                return _put(files, path, content, None if found is None else found.version)
            is_same = self.read() == found
            if is_same:
                self._folder.put(self._name, content)
            return is_same

        if not self._folder.attempt("write", self._name, rewrite):
            raise TransientError(
                f"Another run wrote {self._folder.place(self._name)} while this one stood still, so nothing was sent: run again."
            )

    def delete(self) -> None:
        """Delete it; an absent one is fine."""
        self._folder.delete(self._name)

    def is_guarded(self) -> bool:
        """Whether the storage refuses what it should, tried with a file of a name that nobody else uses."""
        try:
            self.create(b"1")
            found = self.read() or Found(b"")
            return not self.create(b"2") and self.update(found, b"3") and not self.replace(found, b"4")
        except FolderError:
            return False
        finally:
            self.delete()


def _is_plain(files: t.Any) -> bool:
    """Whether files have names and no versions, and can be made exclusively, moved, and written in place."""
    return isinstance(files, LocalFileSystem) or "sftp" in protocols_of(files)


def _version(info: t.Mapping[str, t.Any]) -> str | None:
    """The version of an object: S3's ETag, Google's generation; None where nobody tells."""
    return info.get("ETag") or info.get("generation")


def _create(files: t.Any, path: str, content: bytes) -> bool:
    if not _is_plain(files):
        return _put(files, path, content, None)
    try:
        if isinstance(files, PrivateFileSystem):
            file = files.open_new(path)
        else:
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            file = files.open(path, "xb")
    except Exception:
        # SFTP has no word of its own for a file that is there.
        if files.exists(path):
            return False
        raise
    try:
        with file:
            file.write(content)
        # Another run may have moved it away by now, and that is no failure.
        with contextlib.suppress(FileNotFoundError):
            arrived = files.cat_file(path)
            if arrived != content and content.startswith(arrived):
                raise OSError(f"{len(arrived)} of {len(content)} bytes arrived")
    except Exception:
        with contextlib.suppress(Exception):
            files.rm_file(path)
        raise
    return True


def _put(files: t.Any, path: str, content: bytes, version: str | None) -> bool:
    """Write an object: over the version that was read, or, without one, only if there is none."""
    protocols = protocols_of(files)
    try:
        if protocols & {"gs", "gcs"}:
            bucket, key, _ = files.split_path(path)
            files.call(
                "POST",
                # fsspec's own way can only make a new object on a condition.
                f"{files._location}/upload/storage/v1/b/{bucket}/o",  # noqa: SLF001
                uploadType="media",
                name=key,
                ifGenerationMatch=version or "0",
                data=content,
            )
        elif protocols & {"s3", "s3a"}:
            condition = {"IfMatch": version} if version else {"IfNoneMatch": "*"}
            files.pipe_file(path, content, **condition)
        else:
            files.pipe_file(path, content)
    except FileNotFoundError:
        if version is None:
            raise
        return False
    except Exception as error:
        if _is_refusal(error):
            return False
        raise
    return True


def _is_refusal(error: BaseException | None) -> bool:
    """Whether an object store says that the object is not the one that was read."""
    while error is not None:
        code = getattr(error, "response", {}).get("Error", {}).get("Code")
        if isinstance(error, FileExistsError) or code in _REFUSALS:
            return True
        error = error.__cause__
    return False
