"""An audit: the lists as Cordial exports them, held against all members, judged, logged and kept."""

from __future__ import annotations

import logging
import typing as t
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from lytics_to_cordial.database import Database
from lytics_to_cordial.errors import TransientError, UserError
from lytics_to_cordial.progress import counted
from target_cordial.audit.activity import Activity, MovedError
from target_cordial.audit.compare import create_differences, find_differences
from target_cordial.audit.members import Members
from target_cordial.audit.receipts import Receipts
from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.plan import masked
from target_cordial.history.audits import ListAudit, Verdict
from target_cordial.history.journal import NO_LIST, timestamp
from target_cordial.intake.rows import RowWriter
from target_cordial.readback.contacts import Columns, read_contacts
from target_cordial.readback.export import Exporter
from target_cordial.settings import Settings

MOVING_PERCENT = 1
"""Audiences live: so much may differ between an audit's two looks, unless the last audit showed the same."""
SAMPLES = 3

logger = logging.getLogger("target-cordial")


class CountError(TransientError):
    """An export does not hold as many contacts of a list as Cordial counts: nothing can be said about it."""


class NotEqualError(UserError):
    """A list does not equal its members."""


@dataclass
class Auditor:
    """Holds lists against their members.

    Attributes:
        settings: How to compare.
        members: All members.
        rows: Wrote their rows.
        null_marker: The cell that leaves an attribute as it is.
        exporter: Gets contacts out of Cordial.
        activity: Sees what others do to the lists meanwhile.
        run: The run's name.
        folder: For the files and tables on this machine; only the owner may enter it.
        interruptible: Makes a context in which waiting may be broken off.
    """

    settings: Settings
    members: Members
    rows: RowWriter
    null_marker: str
    exporter: Exporter
    activity: Activity
    run: str
    folder: Path
    interruptible: Callable[[], AbstractContextManager[None]]

    def __post_init__(self) -> None:
        """Members are loaded once."""
        self.tables = Database(self.folder).tables()
        # A time without a zone is UTC, wherever this machine is.
        self.tables.run("SET TimeZone = 'UTC'")
        with self.interruptible():
            self.members.load(self.tables, len(self.rows.header) - 1, self.null_marker)
        url = self.settings.audits_url
        pipeline = self.exporter.storage.folder_tag
        self._receipts = (
            None if url is None else Receipts(self.settings, url, pipeline, self.run, self.folder)
        )

    def size_of(self, target_list: ContactList) -> int:
        """How many contacts are on a list now."""
        return self.exporter.cordial.lists.size(target_list.id)

    def audit(self) -> dict[str, ListAudit]:
        """Compare all lists, leave the differences in the table `differences`, log and keep them, and give back what each list is.

        In a mirror any difference counts.

        Raises:
            MovedError: If a list was changed since the run began.
            CountError: If the export holds not all that is on a list.
            ExportFailedError: If there is no export.
        """
        with self.interruptible():
            return self._audit()

    def _audit(self) -> dict[str, ListAudit]:
        settings = self.settings
        lists = [each for each in self.members.lists if each is not None]
        before = self.activity.look(lists)
        columns = Columns(settings.channel, [column.header for column in self.rows.columns], lists)
        contacts = read_contacts(self.exporter, columns, self.tables, "members")
        if self.activity.look(lists) != before:
            raise MovedError
        sizes = before.sizes
        can_move: set[int] = set()
        if self._receipts is not None and settings.mode == "audit":
            ids = [0 if each is None else each.id for each in self.members.lists]
            can_move = self._receipts.load_last(self.tables, ids)
        counts_extra = settings.list_action == "sync"
        create_differences(self.tables)
        audits: dict[str, ListAudit] = {}
        kept: list[dict[str, t.Any]] = []
        for number, target_list in enumerate(self.members.lists):
            name, list_id = (NO_LIST, 0) if target_list is None else (target_list.name, target_list.id)
            counts = find_differences(
                self.tables,
                number,
                target_list,
                self.rows.kinds,
                self.null_marker,
                counts_extra=counts_extra,
                counts_unknown=settings.import_strategy == "upsert",
            )
            if target_list is not None and counts["contacts"] != sizes[list_id]:
                raise CountError(
                    f"Cordial counts {sizes[list_id]:,} contacts on list {name!r} and exported {counts['contacts']:,} of it, so it cannot be "
                    "compared: run again; if it stays so, export_audience_key leaves out some."
                )
            audit = ListAudit(
                self._verdict(counts, list_id, can_move=list_id in can_move, counts_extra=counts_extra),
                rejected=self.members.rejects,
                **counts,
            )
            audits[name] = audit
            kept.append({"id": list_id, "name": name, **msgspec.to_builtins(audit)})
        place = ""
        if self._receipts is not None:
            receipt = {"run": self.run, "time": timestamp(), "contacts_exported": contacts, "lists": kept}
            place = self._receipts.write(self.tables, receipt)
        self.members.totals.audits = audits
        for name, audit in audits.items():
            self._log(name, audit, place)
        return audits

    def _mask(self, value: str) -> str:
        return masked(value, self.null_marker)

    def _verdict(
        self, counts: dict[str, t.Any], list_id: int, *, can_move: bool, counts_extra: bool
    ) -> Verdict:
        differing = counts["missing"] + counts["different"] + (counts["extra"] if counts_extra else 0)
        if not differing:
            return "equal"
        size = max(counts["members"], counts["contacts"])
        if not can_move or differing * 100 > MOVING_PERCENT * size:
            return "different"
        same = "list_id, kind, identifier, attribute, expected"
        stay = self.tables.number(
            f"SELECT count(*) FROM (SELECT {same} FROM differences WHERE list_id = '{list_id}' INTERSECT SELECT {same} FROM last)"
        )
        return "different" if stay else "moving"

    def _log(self, name: str, audit: ListAudit, place: str) -> None:
        """What an audit found of a list, as a table, with samples that name nobody."""
        log = logger.info if audit.verdict == "equal" else logger.warning
        log(
            "Audit of list %s: %s. %s, %s on the list.",
            name,
            audit.verdict.upper(),
            counted(audit.members, "member"),
            counted(audit.contacts, "contact"),
        )
        attributes = ", ".join(f"{key} {count:,}" for key, count in audit.attributes.items())
        statuses = ", ".join(f"{key} {count:,}" for key, count in audit.statuses.items())
        for what, count, more in (
            ("missing", audit.missing, "members who are not on the list"),
            ("extra", audit.extra, "contacts on the list who are no members"),
            ("different", audit.different, attributes or "members with other attributes"),
            ("unknown", audit.unknown, "members whom Cordial does not know, which updateOnly leaves out"),
            ("rejected", audit.rejected, "records that cannot be sent"),
            (
                "doubled",
                audit.doubled,
                "contacts on the list whose address another one there has, spelled otherwise",
            ),
            ("nameless", audit.nameless, "contacts on the list without an address, whom nobody can compare"),
        ):
            if count or what in {"missing", "extra", "different"}:
                log("    %-9s %11s  %s", what, f"{count:,}", more)
        logger.info("    %-9s %11s  %s", "statuses", "", statuses or "none told")
        samples = self.tables.run(
            f"SELECT kind, identifier, attribute, expected, actual FROM differences WHERE list = ? LIMIT {SAMPLES}",
            [name],
        ).fetchall()
        for kind, identifier, attribute, expected, actual in samples:
            values = (
                f", {attribute}: {self._mask(expected)} in place of {self._mask(actual)}"
                if attribute
                else f": {actual}"
            )
            logger.info("    e.g. %s %s%s", kind, self._mask(identifier), values)
        if samples and place:
            logger.info("    all of them, by name: %s", place)


def raise_unequal(audits: dict[str, ListAudit], *, mode: str, place: str | None) -> None:
    """Raise a `NotEqualError` if a list is not equal to its members, nor moving."""
    unequal = [
        f"{name!r} ({audit.missing:,} missing, {audit.extra:,} extra, {audit.different:,} different)"
        for name, audit in audits.items()
        if audit.verdict == "different"
    ]
    if not unequal:
        return
    names = f"read their names in {place}" if place else "set audits_url to see their names"
    cure = (
        "then run once with TARGET_CORDIAL_MODE=mirror"
        if mode == "audit"
        else "and look at the reject report, then run again"
    )
    raise NotEqualError(f"Not equal to its members: list {' and '.join(unequal)}: {names}, {cure}.")
