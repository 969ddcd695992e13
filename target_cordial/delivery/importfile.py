"""An import file as Cordial reads it: CSV by RFC 4180."""

from __future__ import annotations

import csv
import itertools
import os
import secrets
import typing as t
from pathlib import Path

Cells: t.TypeAlias = tuple[str, ...]
"""A row's cells as they are in the file, `quoted`: the identifier, then one for each attribute column."""
LINES_AT_ONCE = 500
MAX_CELL_CHARACTERS = 2**31 - 1
"""More than csv.reader takes by default, and no less than a file may hold."""


def new_import_file(folder: Path, header: t.Sequence[str], rows: t.Iterable[Cells]) -> Path:
    """Write an import file into a private folder, under a name of its own."""
    path = folder / f"{secrets.token_hex(8)}.csv"
    write_csv(path, header, rows)
    return path


def new_import_file_with(path: Path, column: str, cell: str) -> Path:
    """Write an import file beside another, with the same rows and one more column that is the same in all of them."""
    header, *rows = read_csv(path)
    return new_import_file(path.parent, [*header, column], (tuple(map(quoted, (*row, cell))) for row in rows))


def read_csv(path: Path) -> t.Iterator[list[str]]:
    """The rows of an import file, its header first."""
    csv.field_size_limit(MAX_CELL_CHARACTERS)
    with path.open(newline="", encoding="utf-8") as lines:
        yield from csv.reader(lines)


def write_csv(path: Path, header: t.Sequence[str], rows: t.Iterable[Cells]) -> None:
    """Write an import file as Cordial reads it: RFC 4180, UTF-8, CRLF.

    A bare LF as line end would leave a lone CR in a cell unquoted.

    Args:
        path: The file; it must not exist yet. Readable by its owner alone.
        header: Column names.
        rows: Cells of each row; the first one is never blank.

    Raises:
        OSError: If the disk does not take it.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "wb") as file:  # noqa: PTH123 - Path has no open by descriptor
        lines = map(",".join, itertools.chain((map(quoted, header),), rows))
        # Many at once: a text file of Python's takes as much time a line as the rest of the writing.
        while some := list(itertools.islice(lines, LINES_AT_ONCE)):
            some.append("")
            file.write("\r\n".join(some).encode())


def quoted(cell: str) -> str:
    """A cell as it is in a file.

    Cells are quoted when they are made, a column at a time where that can be. `csv.writer`, which looks at each character
    of each line several times, would take half of the target's time.
    """
    if "," in cell or '"' in cell or "\n" in cell or "\r" in cell:
        return '"' + cell.replace('"', '""') + '"'
    return cell


def unquoted(cell: str) -> str:
    """What `quoted` was given."""
    return cell[1:-1].replace('""', '"') if cell.startswith('"') else cell
