"""Mode mirror: a list is made equal to its members, by what an audit found."""

from __future__ import annotations

import itertools
import logging
import typing as t
from collections.abc import Iterator

from target_cordial.audit.audit import Auditor, NotEqualError
from target_cordial.delivery.delivery import Delivery
from target_cordial.delivery.importfile import quoted
from target_cordial.history.audits import ListAudit

_CHUNK = 5_000

logger = logging.getLogger("target-cordial")


def mirror(auditor: Auditor, delivery: Delivery) -> dict[str, ListAudit]:
    """Make each list equal to its members, or plan it, and give back what the last audit says.

    Raises:
        NotEqualError: If a member who was imported is not on the list: who seems to be extra may be this member, spelled otherwise.
        UserError: If something cannot be sent, or too many would be removed.
    """
    is_plan = auditor.settings.plan_only
    # 1. What differs.
    audits = auditor.audit()
    tables = auditor.tables
    tables.run(
        "CREATE TABLE mended AS SELECT DISTINCT list_id, identifier FROM differences WHERE kind <> 'extra';"
        "CREATE TABLE extra AS SELECT list_id, identifier FROM differences WHERE kind = 'extra'"
    )
    # 2. Who is missing or different goes first.
    is_mended = _send_members(auditor, delivery)
    delivery.finish_enters()
    delivery.finish_rejects()
    if is_mended and not is_plan:
        # 3. Nobody is removed before all of them are there.
        audits = auditor.audit()
        _check_imported(auditor, delivery.named_rejects)
    # 4. Who was extra before, and still is.
    is_removed = _send_exits(auditor, delivery)
    delivery.finish_exits(auditor.size_of)
    if is_removed and not is_plan:
        # 5. The proof.
        audits = auditor.audit()
    return audits


def _send_members(auditor: Auditor, delivery: Delivery) -> bool:
    """Send whoever is missing or different, and say whether anybody is."""
    tables = auditor.tables
    is_any = False
    for number, target_list in enumerate(auditor.members.lists):
        list_id = 0 if target_list is None else target_list.id
        rows = tables.stream(
            f"SELECT m.* EXCLUDE (list, key) FROM members m SEMI JOIN (FROM mended WHERE list_id = '{list_id}') d "
            f"ON d.identifier = m.address WHERE m.list = {number}"
        )
        for some in _chunks(rows):
            is_any = True
            cells = [tuple(map(quoted, row)) for row in some]
            delivery.enter(target_list, [row[0] for row in some], cells, position=delivery.records, updates=0)
    return is_any


def _check_imported(auditor: Auditor, named_rejects: set[str]) -> None:
    tables = auditor.tables
    tables.run("CREATE TABLE named AS SELECT unnest(?) AS identifier", [sorted(named_rejects)])
    lacking = tables.number(
        "SELECT count(*) FROM (SELECT list_id, identifier FROM differences WHERE kind = 'missing' INTERSECT FROM mended) "
        "WHERE identifier NOT IN (FROM named)"
    )
    if lacking:
        raise NotEqualError(
            f"{lacking:,} members who were imported are not on their list by their own spelling, so nobody was removed from it: look at the "
            "reject report and at the import in Cordial, then run again."
        )


def _send_exits(auditor: Auditor, delivery: Delivery) -> bool:
    """Send the exits of who is extra, and say whether anybody is."""
    is_any = False
    for target_list in auditor.members.lists:
        if target_list is None:
            continue
        rows = auditor.tables.stream(
            f"SELECT identifier FROM differences WHERE kind = 'extra' AND list_id = '{target_list.id}' "
            f"INTERSECT SELECT identifier FROM extra WHERE list_id = '{target_list.id}'"
        )
        for some in _chunks(rows):
            is_any = True
            delivery.exit(target_list, [row[0] for row in some], position=delivery.records)
    return is_any


def _chunks(rows: Iterator[tuple[t.Any, ...]]) -> Iterator[list[tuple[t.Any, ...]]]:
    while some := list(itertools.islice(rows, _CHUNK)):
        yield some
