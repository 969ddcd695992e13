"""The comparison of a list with its members, in SQL: who is missing, who is extra, and whose attributes differ."""

from __future__ import annotations

import hashlib
import typing as t
from collections.abc import Iterable

from lytics_to_cordial.database import Tables
from target_cordial.cordial.lists import ContactList
from target_cordial.history.journal import NO_LIST
from target_cordial.readback.compare import compare

_STATUSES = ("subscribed", "unsubscribed", "none")
"""Of an export without a header nobody knows what a column holds: another cell may be an address, and is never told."""
DIFFERENCE_COLUMNS = ("list_id", "list", "kind", "identifier", "attribute", "expected", "actual")


def create_differences(tables: Tables) -> None:
    """Make the table `differences` anew, without a row."""
    declared = ", ".join(f"{name} VARCHAR" for name in DIFFERENCE_COLUMNS)
    tables.run(f"CREATE OR REPLACE TABLE differences ({declared})")


def find_differences(
    tables: Tables,
    number: int,
    target_list: ContactList | None,
    kinds: t.Mapping[str, str],
    null_marker: str,
    *,
    counts_extra: bool,
    counts_unknown: bool,
) -> dict[str, t.Any]:
    """Add the differences of the list with this number to the table `differences`, and give back what counts there are.

    Args:
        tables: Hold `members`, `rejected`, `contacts` and `differences`.
        number: The list's, among those of the members.
        target_list: The list; None for contacts on no list.
        kinds: What cells hold, by attribute, in their order.
        null_marker: The cell that leaves an attribute as it is.
        counts_extra: Whether others than members on the list are a difference.
        counts_unknown: Whether members whom Cordial does not know are missing.
    """
    # Contacts on no list: all of them count as on it, and none is extra.
    on = None if target_list is None else f"l{number}"
    named = ["0", NO_LIST] if target_list is None else [str(target_list.id), target_list.name]
    compare(tables, number, on, kinds, null_marker, counts_unknown=counts_unknown)
    tables.run(
        "INSERT INTO differences SELECT ?, ?, 'missing', address, '', 'on the list', "
        "CASE WHEN is_unknown THEN 'no contact' ELSE 'not on the list' END FROM compared WHERE is_missing",
        named,
    )
    attributes: dict[str, int] = {}
    for place, header in enumerate(kinds):
        count = tables.number(f"SELECT count(*) FROM compared WHERE is_different AND d{place}")
        if count:
            attributes[header] = count
            tables.run(
                f"INSERT INTO differences SELECT ?, ?, 'different', address, ?, e{place}, a{place} FROM compared WHERE is_different AND d{place}",
                [*named, header],
            )
    extra = (
        f"FROM contacts WHERE {on} AND key IS NOT NULL AND NOT EXISTS (FROM members m WHERE m.list = {number} AND m.key = contacts.key) "
        "AND NOT EXISTS (FROM rejected r WHERE r.key = contacts.key)"
        if on
        else "FROM contacts WHERE false"
    )
    if counts_extra:
        tables.run(
            f"INSERT INTO differences SELECT ?, ?, 'extra', address, '', 'not on the list', 'on the list' {extra}",
            named,
        )
    held = (
        f"FROM contacts WHERE {on}"
        if on
        else f"FROM contacts SEMI JOIN (FROM members WHERE list = {number}) USING (key)"
    )
    return {
        "members": tables.number(f"SELECT count(*) FROM members WHERE list = {number}"),
        "contacts": tables.number(f"SELECT count(*) {held}"),
        "missing": tables.number("SELECT count(*) FROM compared WHERE is_missing"),
        "extra": tables.number(f"SELECT count(*) {extra}"),
        "different": tables.number("SELECT count(*) FROM compared WHERE is_different"),
        "unknown": 0 if counts_unknown else tables.number("SELECT count(*) FROM compared WHERE is_unknown"),
        "doubled": tables.number(f"SELECT count(key) - count(DISTINCT key) {held}"),
        "nameless": tables.number(f"SELECT count(*) - count(key) {held}"),
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
