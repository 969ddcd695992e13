"""The contacts of an account, read from export files into a table."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from lytics_to_cordial.database import Tables, csv_table
from target_cordial.cordial.errors import CordialError, UnansweredError
from target_cordial.cordial.lists import ContactList
from target_cordial.readback.addresses import UNUSUAL, key_of, unify_domains
from target_cordial.readback.export import DamagedExportError, Exporter, ExportFailedError

_GZIP = b"\x1f\x8b"
_FIRST_BYTES = 1 << 20


@dataclass(frozen=True)
class Columns:
    """What to export of each contact.

    Attributes:
        channel: The channel that identifies a contact, such as `email`.
        attributes: Attribute keys, with the part of a geo attribute.
        lists: Whose members are told.
    """

    channel: str
    attributes: Sequence[str]
    lists: Sequence[ContactList]

    @property
    def identifiers(self) -> list[str]:
        """How Cordial may call the identifier; which it is, is not documented."""
        return [f"channels.{self.channel}.address", self.channel]

    @property
    def status(self) -> str:
        """The column of subscribe statuses."""
        return f"channels.{self.channel}.subscribeStatus"

    def places(self, first_row: Sequence[str]) -> tuple[list[int | None], bool]:
        """Where the identifier, the status, each attribute and each list stand in a file's rows, and whether it has a header.

        Raises:
            ExportFailedError: If a column is missing.
        """
        names = [
            self.identifiers,
            [self.status, "subscribeStatus"],
            *([name] for name in self.attributes),
            *([target_list.name, str(target_list.id)] for target_list in self.lists),
        ]
        cells = [cell.strip() for cell in first_row]
        if set(cells) & set(self.identifiers):
            places = [next((cells.index(name) for name in some if name in cells), None) for some in names]
            lacking = [some[0] for some, place in zip(names, places, strict=True) if place is None]
            if set(lacking) - {self.status}:
                raise ExportFailedError(
                    f"The export lacks the column {', '.join(lacking)}: check it in Cordial, then run again."
                )
            return places, True
        # As they were asked for: the identifier, the attributes, the status, the lists.
        if len(cells) not in {len(names), len(names) - 1}:
            raise ExportFailedError(
                f"The export has no header and {len(cells)} columns in place of {len(names)}: nobody can tell which they are."
            )
        has_status = len(cells) == len(names)
        first_list = 1 + len(self.attributes) + has_status
        status = 1 + len(self.attributes) if has_status else None
        attributes = range(1, 1 + len(self.attributes))
        return [0, status, *attributes, *range(first_list, first_list + len(self.lists))], False


def read_contacts(exporter: Exporter, columns: Columns, tables: Tables, wanted: str) -> int:
    """Export contacts into the table `contacts`, and give back how many the account, or its saved rule, has.

    The table holds those who are on one of the lists, or whose key is in the table `wanted`: `address` as Cordial spells
    it, `key`, `status`, `l0` ... whether they are on a list, `a0` ... their attributes, and `is_first`, which of several
    with one key only one is. Whoever has another channel alone has no `address` and no `key`.

    Raises:
        ExportFailedError: If no export holds what was asked for.
        CordialError: If Cordial refuses each.
    """
    rows = {"all": 0, "identified": 0}

    def load(paths: list[Path]) -> int:
        create_contacts(tables, columns)
        counts = [_load(tables, path, columns, wanted) for path in paths]
        rows.update(all=sum(count for count, _ in counts), identified=sum(count for _, count in counts))
        return rows["all"]

    refusal: CordialError | None = None
    for identifier in columns.identifiers:
        try:
            exporter.export([identifier, *columns.attributes, columns.status], columns.lists, load)
        except UnansweredError:
            raise
        except CordialError as error:
            refusal = refusal or error
            continue
        # Some contacts may have another channel alone.
        if rows["identified"] or not rows["all"]:
            break
    else:
        raise refusal or ExportFailedError(
            f"None of the {rows['all']:,} contacts in the export has an address of the channel {columns.channel}: check identifier_column."
        )
    finish_contacts(tables, wanted)
    return rows["all"]


def create_contacts(tables: Tables, columns: Columns) -> None:
    """Make the table `contacts` anew, without a row."""
    lists = "".join(f", l{number} BOOLEAN" for number in range(len(columns.lists)))
    attributes = "".join(f", a{number} VARCHAR" for number in range(len(columns.attributes)))
    tables.run(
        f"CREATE OR REPLACE TABLE contacts (address VARCHAR, key VARCHAR, status VARCHAR{attributes}{lists}, is_first BOOLEAN)"
    )


def _load(tables: Tables, path: Path, columns: Columns, wanted: str) -> tuple[int, int]:
    """Add a file's contacts; how many it has, and how many of them have an identifier."""
    with path.open("rb") as file:
        is_gzip = file.read(len(_GZIP)) == _GZIP
    first_row = _first_row(path, is_gzip=is_gzip)
    if not first_row:
        return 0, 0
    (address, status, *others), has_header = columns.places(first_row)
    names = [f"c{number}" for number in range(len(first_row))]
    compression = "gzip" if is_gzip else "none"
    file_rows = csv_table(path, names, skip=int(has_header), compression=compression)
    cells = [f"coalesce(c{place}, '')" for place in others[: len(columns.attributes)]]
    on = [f"coalesce(trim(c{place}), '0') = '1'" for place in others[len(columns.attributes) :]]
    selected = ", ".join(["address", "key", "status", *cells, *on, "true"])
    identifier = f"nullif(trim(c{address}), '')"
    spelled = (
        f"(SELECT *, {identifier} AS address, {key_of(identifier)} AS key, {'NULL' if status is None else f'c{status}'} AS status "
        f"FROM {file_rows})"
    )
    is_kept = " OR ".join([*on, f"coalesce({UNUSUAL}, false)"])
    try:
        counts = tables.run(f"SELECT count(*), count({identifier}) FROM {file_rows}").fetchone()
        # In two steps: a join that is one of several conditions has to fit in memory.
        tables.run(f"INSERT INTO contacts SELECT {selected} FROM {spelled} WHERE {is_kept}")
        tables.run(
            f"INSERT INTO contacts SELECT {selected} FROM (FROM {spelled} WHERE NOT ({is_kept})) SEMI JOIN {wanted} USING (key)"
        )
    except duckdb.Error as error:
        # DuckDB's words repeat the row.
        raise DamagedExportError from error
    return (int(counts[0]), int(counts[1])) if counts else (0, 0)


def _first_row(path: Path, *, is_gzip: bool) -> list[str]:
    try:
        with gzip.open(path) if is_gzip else path.open("rb") as file:
            first = file.read(_FIRST_BYTES).removeprefix(codecs.BOM_UTF8)
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedExportError from error
    return next(csv.reader(io.StringIO(first.decode("utf-8", "replace"), newline="")), [])


def finish_contacts(tables: Tables, wanted: str) -> None:
    """See that each contact is there once, and that one of each key is marked as the first: the one whose spelling is wanted, if there is one."""
    unify_domains(tables, "contacts")
    tables.run(
        "CREATE OR REPLACE TABLE repeated AS SELECT key FROM contacts GROUP BY key HAVING count(*) > 1;"
        # A contact that changed while it was exported may be there twice: either row will do.
        f"CREATE OR REPLACE TABLE once AS SELECT * REPLACE (row_number() OVER (PARTITION BY key ORDER BY address IN (SELECT address FROM {wanted}) DESC, "
        "address = key DESC, address) = 1 AS is_first) FROM (SELECT DISTINCT ON (address) * FROM contacts WHERE key IN (FROM repeated));"
        "DELETE FROM contacts WHERE key IN (FROM repeated); INSERT INTO contacts FROM once"
    )
