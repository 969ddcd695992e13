"""Where a journal's lines lie: in one file that runs add to, or in a folder with a file for each run."""

from __future__ import annotations

import os
import typing as t
from urllib.parse import unquote

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.file_errors import MissingFileError
from lytics_to_cordial.files import Folder

SUFFIX = ".jsonl"
LINES_IN_A_FILE = 1_000
"""In a folder: a file is written anew with each line, so a run of more lines begins another."""
_FILES_AT_ONCE = 1_000


class JournalFiles:
    """The files of the journal at a URL, which is a folder if it ends in a slash or is one on this machine."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._is_folder = url.endswith("/") or _is_folder_here(url)
        if self._is_folder:
            self.folder, self._name = Folder(url, setting="journal_url"), ""
        else:
            self.folder, self._name = Folder.of_file(url, setting="journal_url")
        self._lines: list[bytes] = []
        self._files = 1

    def add(self, line: bytes, run: str, pipeline: str) -> None:
        """Add a line of a run. In a folder no two runs write to one file, so that none loses a line of another."""
        if not self._is_folder:
            self.folder.append(self._name, line)
            return
        if len(self._lines) == LINES_IN_A_FILE:
            self._lines.clear()
            self._files += 1
        self._lines.append(line)
        self.folder.put(f"{run}-{pipeline}-{self._files:04d}{SUFFIX}", b"".join(self._lines))

    def lines(self, pipeline: str = "") -> t.Iterator[list[bytes]]:
        """Yield the lines of each file, the newest file first; in a folder those of one pipeline alone, if it is named.

        Raises:
            UserError: If there is no journal.
        """
        if not self._is_folder:
            try:
                yield self.folder.read(self._name).splitlines()
            except MissingFileError as error:
                raise self._missing() from error
            return
        try:
            listed = self.folder.files()
        except MissingFileError as error:
            raise self._missing() from error
        # Names begin with the time of the run.
        named = [file for file in listed if file.name.endswith(SUFFIX) and f"-{pipeline}" in file.name]
        named.sort(key=lambda file: file.name.rpartition("/")[2], reverse=True)
        for start in range(0, len(named), _FILES_AT_ONCE):
            for content in self.folder.read_many(named[start : start + _FILES_AT_ONCE]):
                if isinstance(content, Exception):
                    raise content
                yield content.splitlines()

    def _missing(self) -> UserError:
        return UserError(
            f"The journal at {self._url} is not there: correct journal_url, or run target-cordial once with it set."
        )


def _is_folder_here(url: str) -> bool:
    path = unquote(url.removeprefix("file://")) if url.startswith("file://") else url
    return "://" not in path and os.path.isdir(path)  # noqa: PTH112 - Path's own raises for a name that is too long
