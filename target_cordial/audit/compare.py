"""The comparison of a list with its members, in SQL: who is missing, who is extra, and whose attributes differ."""

from __future__ import annotations

import hashlib
import typing as t
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lytics_to_cordial.database import Tables
from target_cordial.intake.columns import Column
from target_cordial.readback.values import same

_STATUSES = ("subscribed", "unsubscribed", "none")
"""Of an export without a header nobody knows what a column holds: another cell may be an address, and is never told."""
DIFFERENCE_COLUMNS = ("list_id", "list", "kind", "identifier", "attribute", "expected", "actual")


@dataclass(frozen=True)
class Rules:
    """What a difference is.

    Attributes:
        columns: The mapped columns, in the order of the cells.
        null_marker: The cell that leaves an attribute as it is.
        counts_extra: Whether others than members on the list are a difference.
        counts_unknown: Whether members whom Cordial does not know are missing.
    """

    columns: Sequence[Column]
    null_marker: str
    counts_extra: bool
    counts_unknown: bool


def create_differences(tables: Tables) -> None:
    """Make the table `differences` anew, without a row."""
    declared = ", ".join(f"{name} VARCHAR" for name in DIFFERENCE_COLUMNS)
    tables.run(f"CREATE OR REPLACE TABLE differences ({declared})")


def compare(
    tables: Tables, number: int, name: str, list_id: int, rules: Rules, *, has_list: bool
) -> dict[str, t.Any]:
    """Add the differences of the list with this number to the table `differences`, and give back what counts there are."""
    # Contacts on no list: all of them count as on it, and none is extra.
    on = f"l{number}" if has_list else "true"
    differing = {
        column.header: f"NOT (e{place} = '{rules.null_marker}' OR {same(column.kind, f'e{place}', f'a{place}')})"
        for place, column in enumerate(rules.columns)
    }
    marks = "".join(f", {test} AS d{place}" for place, test in enumerate(differing.values()))
    cells = "".join(f", e{place}, a{place}" for place in range(len(differing)))
    any_mark = " OR ".join(["false", *(f"d{place}" for place in range(len(differing)))])
    tables.run(
        f"CREATE OR REPLACE TABLE compared AS FROM (SELECT m.address, m.key, c.key IS NULL AS is_unknown, coalesce({on}, false) AS is_on"
        f"{cells}{marks} FROM members m LEFT JOIN contacts c ON c.key = m.key AND c.is_first WHERE m.list = {number}) "
        f"WHERE is_unknown OR NOT is_on OR {any_mark}"
    )
    is_missing = "NOT is_on" if has_list else "is_unknown"
    if not rules.counts_unknown:
        is_missing += " AND NOT is_unknown"
    named = [str(list_id), name]
    tables.run(
        "INSERT INTO differences SELECT ?, ?, 'missing', address, '', 'on the list', "
        f"CASE WHEN is_unknown THEN 'no contact' ELSE 'not on the list' END FROM compared WHERE {is_missing}",
        named,
    )
    is_held = "is_on AND NOT is_unknown"
    attributes: dict[str, int] = {}
    for place, header in enumerate(differing):
        count = tables.number(f"SELECT count(*) FROM compared WHERE {is_held} AND d{place}")
        if count:
            attributes[header] = count
            tables.run(
                f"INSERT INTO differences SELECT ?, ?, 'different', address, ?, e{place}, a{place} FROM compared WHERE {is_held} AND d{place}",
                [*named, header],
            )
    extra = (
        f"FROM contacts WHERE l{number} AND key IS NOT NULL AND NOT EXISTS (FROM members m WHERE m.list = {number} AND m.key = contacts.key) "
        "AND NOT EXISTS (FROM rejected r WHERE r.key = contacts.key)"
        if has_list
        else "FROM contacts WHERE false"
    )
    if rules.counts_extra:
        tables.run(
            f"INSERT INTO differences SELECT ?, ?, 'extra', address, '', 'not on the list', 'on the list' {extra}",
            named,
        )
    held = (
        f"FROM contacts WHERE {on}"
        if has_list
        else f"FROM contacts SEMI JOIN (FROM members WHERE list = {number}) USING (key)"
    )
    return {
        "members": tables.number(f"SELECT count(*) FROM members WHERE list = {number}"),
        "contacts": tables.number(f"SELECT count(*) {held}"),
        "missing": tables.number(f"SELECT count(*) FROM compared WHERE {is_missing}"),
        "extra": tables.number(f"SELECT count(*) {extra}"),
        "different": tables.number(f"SELECT count(*) FROM compared WHERE {is_held} AND ({any_mark})"),
        "unknown": 0
        if rules.counts_unknown
        else tables.number("SELECT count(*) FROM compared WHERE is_unknown"),
        "attributes": attributes,
        "statuses": dict(
            tables.rows(
                f"SELECT CASE WHEN coalesce(status, '') = '' THEN 'not told' WHEN status IN {_STATUSES} THEN status ELSE 'other' END, "
                f"count(*) {held} GROUP BY ALL ORDER BY ALL"
            )
        ),
        "members_sha256": _digest(tables, f"SELECT key FROM members WHERE list = {number} ORDER BY key"),
        "contacts_sha256": _digest(
            tables, f"SELECT DISTINCT key FROM (SELECT key {held}) WHERE key IS NOT NULL ORDER BY key"
        ),
    }


def _digest(tables: Tables, query: str) -> str:
    """A hash over sorted addresses, each with a line break after it."""
    return digest_of(f"{key}\n".encode() for (key,) in tables.stream(query))


def digest_of(lines: Iterable[bytes]) -> str:
    """A hash over lines."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line)
    return digest.hexdigest()
