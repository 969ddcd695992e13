"""How Cordial reads an import file: CSV of two kinds of reader, as nobody knows which one it has."""

from __future__ import annotations

import csv
import io
import typing as t


class FailedImportError(Exception):
    """An import fails as a whole; the text says why."""


def read_file(
    body: dict[str, t.Any], content: bytes, *, has_escapes: bool = False
) -> tuple[list[str], list[list[str]]]:
    """The columns and the rows of a file; raises `FailedImportError` if it is not UTF-8 CSV.

    Args:
        body: The import call (Cordial Swagger v2: ContactImportJob).
        content: The file.
        has_escapes: Whether a backslash hides a quote, as it does by default in PHP.
    """
    delimiter = body.get("delimiter") or ","
    try:
        text = content.decode("utf-8")
        if has_escapes:
            rows = list(_rows_with_escapes(text, delimiter))
        else:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except (UnicodeDecodeError, csv.Error, TypeError) as error:
        raise FailedImportError("The file is not UTF-8 CSV") from error
    rows = [row for row in rows if row]
    if body.get("hasHeader"):
        if not rows:
            raise FailedImportError("The file is empty")
        return list(body.get("columns") or rows[0]), rows[1:]
    return list(body["columns"]), rows


def _rows_with_escapes(text: str, delimiter: str) -> t.Iterator[list[str]]:
    """The rows of a file in which a backslash within quotes keeps the next quote from ending the cell.

    Both stay in the cell. A cell that never ends takes all that follows, so another row's cells land in it.
    """
    row: list[str] = []
    cell: list[str] = []
    at, is_quoted = 0, False
    while at < len(text):
        letter = text[at]
        if is_quoted and letter == "\\":
            cell.append(text[at : at + 2])
            at += 1
        elif is_quoted and letter == '"' and text.startswith('""', at):
            cell.append('"')
            at += 1
        elif letter == '"' and (is_quoted or not cell):
            is_quoted = not is_quoted
        elif is_quoted or letter not in {delimiter, "\r", "\n"}:
            cell.append(letter)
        else:
            row.append("".join(cell))
            cell = []
            if letter != delimiter:
                yield row
                row = []
                at += text.startswith("\r\n", at)
        at += 1
    if row or cell:
        yield [*row, "".join(cell)]
