"""Rows as they were sent, held against the contacts that were read back, in SQL: who is missing, and whose attributes differ."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from lytics_to_cordial.database import Tables, csv_table
from target_cordial.readback.addresses import key_of, unify_domains
from target_cordial.readback.values import same


def load_members(tables: Tables, paths: Sequence[Path], columns: int, *, skip: int = 0) -> None:
    """Make the table `members` of files of rows: the file's place as `list`, `address`, `key`, and cells `e0` ... of so many columns.

    Args:
        tables: The tables.
        paths: CSV files.
        columns: How many cells follow the address.
        skip: How many lines each file begins with that are no rows.
    """
    cells = [f"e{number}" for number in range(columns)]
    declared = "".join(f", {cell} VARCHAR" for cell in cells)
    tables.run(f"CREATE TABLE members (list INTEGER, address VARCHAR, key VARCHAR{declared})")
    for number, path in enumerate(paths):
        text = "".join(f", coalesce({cell}, '')" for cell in cells)
        rows = csv_table(path, ["address", *cells], skip=skip)
        tables.run(f"INSERT INTO members SELECT {number}, address, {key_of('address')}{text} FROM {rows}")
    unify_domains(tables, "members")


def compare(
    tables: Tables,
    number: int,
    on: str | None,
    kinds: Mapping[str, str],
    null_marker: str,
    *,
    counts_unknown: bool,
) -> None:
    """Make the table `compared` of the members with this number who are not as their row has them.

    Its columns are `address`, `is_unknown` (Cordial has no such contact), `is_missing`, `is_different` (held, with another attribute), and of
    each attribute `e0` ..., `a0` ..., and `d0` ..., whether it differs.

    Args:
        tables: Hold `members` and `contacts`.
        number: Of the members' list, or file.
        on: The column of `contacts` that says who is on the list; None for contacts alone, of whom no more is asked than to be there.
        kinds: What cells hold, by attribute, in their order.
        null_marker: The cell that leaves an attribute as it is.
        counts_unknown: Whether members whom Cordial does not know are missing.
    """
    marks = "".join(
        f", e{place}, a{place}, NOT (e{place} = '{null_marker}' OR {same(kind, f'e{place}', f'a{place}')}) AS d{place}"
        for place, kind in enumerate(kinds.values())
    )
    any_mark = " OR ".join(["false", *(f"d{place}" for place in range(len(kinds)))])
    is_missing = "NOT is_on" if counts_unknown else "NOT is_on AND NOT is_unknown"
    tables.run(
        f"CREATE OR REPLACE TABLE compared AS SELECT *, {is_missing} AS is_missing, is_on AND ({any_mark}) AS is_different FROM ("
        f"SELECT m.address, c.key IS NULL AS is_unknown, coalesce({on or 'c.key IS NOT NULL'}, false) AS is_on{marks} "
        f"FROM members m LEFT JOIN contacts c ON c.key = m.key AND c.is_first WHERE m.list = {number}) WHERE NOT is_on OR {any_mark}"
    )
