"""The database of a run: it joins audiences of any size within one memory budget, and spills to the run's folder."""

from __future__ import annotations

import errno
import os
import typing as t
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb

MEMORY = "560MB"
"""For all audiences of a run together. The join of 10,000,000 members is as quick as with more, and slower by a half with 512 MB."""
_FETCHED_ROWS = 5_000
_LONGEST_LINE = 1 << 23


class Database:
    """One DuckDB for all audiences of a run.

    Args:
        folder: The run's folder on this machine. What does not fit in memory spills to it.
    """

    def __init__(self, folder: Path) -> None:
        self._duckdb = duckdb.connect()
        self._duckdb.execute(
            f"SET memory_limit = '{MEMORY}'; SET threads = 2; SET preserve_insertion_order = FALSE; "
            f"SET temp_directory = {quoted(folder / 'spill')}"
        )
        self._schemas = 0

    def tables(self) -> Tables:
        """A new, empty set of tables."""
        self._schemas += 1
        return Tables(self._duckdb.cursor(), f"audience_{self._schemas}")

    def close(self) -> None:
        """Let go of memory and files."""
        self._duckdb.close()


class Tables:
    """The tables of one audience, in a schema of their own."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, schema: str) -> None:
        self._connection = connection
        self._schema = schema
        connection.execute(f"CREATE SCHEMA {schema}; USE {schema}")

    def run(self, query: str, values: list[t.Any] | None = None) -> duckdb.DuckDBPyConnection:
        """Run one or more statements.

        Raises:
            OSError: If there is no room to spill to.
        """
        try:
            return self._connection.execute(query, values)
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            # Out of memory means that there was no room to spill to.
            if isinstance(error, duckdb.IOException) and " write" not in str(error):
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error

    def number(self, query: str) -> int:
        """The number that a query gives; 0 for none. For a statement that changes rows: how many."""
        row = self.run(query).fetchone()
        return int(row[0] or 0) if row else 0

    def rows(self, query: str) -> list[tuple[t.Any, ...]]:
        """All rows of a query."""
        return self.run(query).fetchall()

    def stream(self, query: str) -> Iterator[tuple[t.Any, ...]]:
        """Rows of a query over tables that are not temporary, a few at a time.

        They come on a connection of their own: others may run queries in between.
        """
        with self._connection.cursor() as cursor:
            cursor.execute(f"USE {self._schema}")
            cursor.execute(query)
            while rows := cursor.fetchmany(_FETCHED_ROWS):
                yield from rows

    def copy(self, query: str, path: str) -> int:
        """Write the rows of a query to a Parquet file, and return how many there are."""
        return self.number(f"COPY ({query}) TO {quoted(path)} (FORMAT parquet, COMPRESSION zstd)")

    def close(self) -> None:
        """Drop the tables."""
        self._connection.execute(f"USE main; DROP SCHEMA {self._schema} CASCADE")
        self._connection.close()


def quoted(path: Path | str) -> str:
    """A path as SQL text."""
    return "'" + str(path).replace("'", "''") + "'"


def parquet(path: Path | str) -> str:
    """A Parquet file as a table."""
    return f"read_parquet({quoted(path)})"


def csv_table(path: Path | str, columns: Iterable[str], *, skip: int = 0, compression: str = "none") -> str:
    """A CSV file as a table of texts, without its first lines."""
    types = ", ".join(f"'{name}': 'VARCHAR'" for name in columns)
    return (
        f"read_csv({quoted(path)}, columns = {{{types}}}, auto_detect = false, header = false, skip = {skip}, delim = ',', quote = '\"', "
        f"escape = '\"', compression = '{compression}', max_line_size = {_LONGEST_LINE})"
    )
