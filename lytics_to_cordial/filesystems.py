"""File systems by URL, what differs between them, and files of this machine that hold personal data."""

from __future__ import annotations

import contextlib
import datetime as dt
import errno
import io
import itertools
import logging
import os
import shutil
import stat
import typing as t
from pathlib import Path
from urllib.parse import unquote

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem
from typing_extensions import override

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "sftp": "sftp", "ssh": "sftp"}
"""What to install for a scheme."""
LOGINS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the role of this machine",
    "gcs": "the file that GOOGLE_APPLICATION_CREDENTIALS names",
    "sftp": "the user name in the URL and the keys of this machine's user",
}
"""Where the environment's login comes from, by extra."""
PACKAGES = {"s3": "s3fs", "gcs": "gcsfs", "sftp": "sshfs"}
_OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "memory"})
_CAN_APPEND = frozenset({"sftp", "ssh", "s3", "s3a"})
"""Elsewhere nobody promises it: Google's file system takes `ab` for `wb`, and would leave the last line alone."""
_TIME_NAMES = ("mtime", "LastModified", "last_modified")
"""The modification time in most file systems, in S3, in Azure."""
_NOISY_LOGGERS = ("asyncssh", "s3fs", "botocore", "aiobotocore", "gcsfs", "google")
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.ENOSYS})


def open_url(url: str) -> tuple[t.Any, str]:
    """Open the file system of a path or URL with the environment's login, and give the folder's path in it."""
    options: dict[str, t.Any] = {"skip_instance_cache": True}
    if url.startswith(("sftp://", "ssh://")):
        # asyncssh's own: ~/.ssh/known_hosts decides. sshfs would trust any server.
        options["known_hosts"] = ()
    files, path = fsspec.url_to_fs(url, **options)
    if not isinstance(files, LocalFileSystem):
        return files, str(path)
    return PrivateFileSystem(), unquote(str(path)) if url.startswith("file://") else str(path)


def needed_packages(setting: str, scheme: str) -> str:
    """What to install for a setting's URLs of a scheme."""
    extra = EXTRAS.get(scheme)
    packages = f"lytics-to-cordial[{extra}]" if extra else f"what fsspec reads {scheme}:// with"
    return f"A {scheme}:// {setting} needs more packages: install {packages}."


def quieten_packages() -> None:
    """Keep the packages of file systems from logging what they do, and from a slow question."""
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    # gcsfs looks up each bucket's kind over another protocol first, which takes a right of its own and a minute to fail.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")


def modified_at(files: t.Any, path: str, info: dict[str, t.Any]) -> dt.datetime:
    """When a file was last written, UTC.

    Args:
        files: The file system.
        path: The file.
        info: What the file system listed of it.
    """
    modified = next((info[key] for key in _TIME_NAMES if info.get(key)), None) or files.modified(path)
    if isinstance(modified, (int, float)):
        return dt.datetime.fromtimestamp(modified, dt.timezone.utc)
    time_ = msgspec.convert(modified, dt.datetime)
    return time_.replace(tzinfo=time_.tzinfo or dt.timezone.utc).astimezone(dt.timezone.utc)


def is_object_store(files: t.Any) -> bool:
    """Whether a file appears whole or not at all, and the packages try again themselves, for a minute and more."""
    return bool(protocols_of(files) & _OBJECT_STORES)


def append(files: t.Any, path: str, content: bytes) -> None:
    """Add to a file, which is made if it is missing. Where no file can grow, it is written anew."""
    if isinstance(files, PrivateFileSystem):
        files.append(path, content)
    elif protocols_of(files) & _CAN_APPEND:
        try:
            file = files.open(path, "ab")
        except FileNotFoundError:
            files.makedirs(path.rpartition("/")[0], exist_ok=True)
            file = files.open(path, "ab")
        with file:
            file.write(content)
    else:
        files.invalidate_cache()
        before = files.cat_file(path) if files.exists(path) else b""
        files.pipe_file(path, before + content)


def protocols_of(files: t.Any) -> set[str]:
    """The schemes of a file system's URLs."""
    if any(kind.__name__ == "SSHFileSystem" for kind in type(files).__mro__):
        # sshfs names none.
        return {"sftp", "ssh"}
    return {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)


class PrivateFileSystem(LocalFileSystem):  # type: ignore[misc]
    """This machine's files for fsspec, with mode 0600 in new folders of mode 0700.

    Args:
        shares_with_group: Files in a folder with the setgid bit are for its group too. A web server that serves import files to
            Cordial is another user, and this bit is how a folder's owner says that a chosen group is to get at them.
    """

    cachable = False

    def __init__(self, *, shares_with_group: bool = False) -> None:
        super().__init__()
        self._shares_with_group = shares_with_group

    @override
    def put_file(self, lpath: str, rpath: str, **_: t.Any) -> None:
        with Path(lpath).open("rb") as content:
            self._write(rpath, content)

    @override
    def pipe_file(self, path: str, value: bytes, **_: t.Any) -> None:
        self._write(path, io.BytesIO(value))

    @override
    def get_file(self, rpath: str, lpath: str, **_: t.Any) -> None:
        try:
            os.link(rpath, lpath)
        except OSError:
            # Another disk, or another user's file.
            shutil.copyfile(rpath, lpath)

    @override
    def mv(self, path1: str, path2: str, **_: t.Any) -> None:
        Path(path1).replace(path2)
        _sync_folder(Path(path2).parent)

    @override
    def find(self, path: str, **_: t.Any) -> dict[str, dict[str, t.Any]]:
        # fsspec's own passes over folders that cannot be read, without a word.
        def check(error: OSError) -> None:
            # A folder in it may be deleted while the listing goes on, and so may a file.
            if not isinstance(error, FileNotFoundError) or error.filename == path:
                raise error

        infos: dict[str, dict[str, t.Any]] = {}
        for parent, _folders, names in os.walk(path, onerror=check):
            for name in names:
                full = f"{parent}/{name}"
                with contextlib.suppress(FileNotFoundError):
                    infos[full] = self.info(full)
        return infos

    def append(self, path: str, content: bytes) -> None:
        """Add to a file, which is made if it is missing."""
        _make_folder(Path(path).parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(descriptor, "ab") as file:  # noqa: PTH123 - Path has no open by descriptor
            file.write(content)

    def open_new(self, path: str) -> t.BinaryIO:
        """Open a file to be written, which must not be there."""
        _make_folder(Path(path).parent)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        return open(descriptor, "wb")  # noqa: PTH123 - Path has no open by descriptor

    def _write(self, path: str, content: t.BinaryIO) -> None:
        folder = Path(path).parent
        _make_folder(folder)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - Path has no open by descriptor
            if self._shares_with_group and folder.stat().st_mode & stat.S_ISGID:
                os.fchmod(descriptor, 0o640)
            shutil.copyfileobj(content, file, 1 << 20)
            file.flush()
            _sync(descriptor)


def _make_folder(folder: Path) -> None:
    """Make a folder and those that it is in. In a git work tree, git passes over the outermost of them: it may hold addresses."""
    missing = list(itertools.takewhile(lambda path: not path.is_dir(), (folder, *folder.parents)))
    for path in reversed(missing):
        path.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(path.parent)
    if missing and any((parent / ".git").exists() for parent in missing[-1].absolute().parents):
        descriptor = os.open(missing[-1] / ".gitignore", os.O_WRONLY | os.O_CREAT, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - Path has no open by descriptor
            file.write(b"*\n")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        _sync(descriptor)
    finally:
        os.close(descriptor)


def _sync(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # Not every file system can.
        if error.errno not in _CANNOT_SYNC:
            raise
