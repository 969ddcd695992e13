"""The files of trigger messages: which ones landed since a time, and what they hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence

from lytics_to_cordial.file_errors import FolderError, MissingFileError
from lytics_to_cordial.files import File, Folder

FETCH_FILES = 256
FETCH_BYTES = 32 * 1024 * 1024
"""So many files are fetched at once: one call for each would take a round trip a file."""


class LandedFiles:
    """The files under a folder and its sub-folders.

    Empty files, and names that begin with `.` or `_` or end in `.part` or `.tmp`, are passed over: by custom they are not
    finished, or not meant for readers.

    Args:
        url: The folder, `triggers_url`; a path or an fsspec URL.
    """

    def __init__(self, url: str) -> None:
        self._folder = Folder(url, setting="triggers_url")

    def since(self, time: dt.datetime) -> list[File]:
        """The files that landed at a time or after it, oldest first.

        Raises:
            FolderError: If the folder is missing or cannot be listed.
        """
        landed = [
            file
            for file in self._folder.files()
            if file.size and file.modified_at >= time and _is_meant_for_readers(file.name)
        ]
        return sorted(landed, key=lambda file: (file.modified_at, file.name))

    def contents(self, files: Sequence[File]) -> Iterator[tuple[File, bytes | None]]:
        """Yield each file with its content; None for a file that is gone.

        Raises:
            FolderError: If the storage does not give a file.
        """
        for batch in _batches(files):
            for file, content in zip(batch, self._folder.read_many(batch), strict=True):
                if isinstance(content, MissingFileError):
                    yield file, None
                elif isinstance(content, FolderError):
                    raise content
                else:
                    yield file, content

    def place(self, file: File) -> str:
        """Where a file lies, for messages, without what may be an address."""
        return self._folder.place(file.name)


def _is_meant_for_readers(path: str) -> bool:
    name = path.rpartition("/")[2]
    return not name.startswith((".", "_")) and not name.endswith((".part", ".tmp"))


def _batches(files: Sequence[File]) -> Iterator[list[File]]:
    batch: list[File] = []
    size = 0
    for file in files:
        if batch and (len(batch) == FETCH_FILES or size + file.size > FETCH_BYTES):
            yield batch
            batch, size = [], 0
        batch.append(file)
        size += file.size
    if batch:
        yield batch
