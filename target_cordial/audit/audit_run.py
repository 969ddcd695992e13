"""A run that takes its input as all members: they are kept, held against the lists, and with mode mirror the lists are made equal."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from target_cordial.audit.activity import Activity
from target_cordial.audit.audit import Auditor, raise_unequal
from target_cordial.audit.members import Members
from target_cordial.audit.mirror import mirror
from target_cordial.audit.whole import Snapshot, check_whole
from target_cordial.cordial.api import Cordial
from target_cordial.delivery.delivery import Delivery
from target_cordial.intake.lists import Lists
from target_cordial.intake.marks import Marks
from target_cordial.intake.rows import RowWriter
from target_cordial.readback.export import Exporter
from target_cordial.settings import Settings
from target_cordial.storage.delivered_runs import note_mirrors


class AuditRun:
    """An audit or a mirror, from the first line of the input on.

    Attributes:
        members: Take what the input becomes.

    Args:
        settings: Of the run.
        delivery: Counts records, takes rejects, and sends what a mirror mends.
        folder: For files with members; only the owner may enter it.
        pipeline: The tag with which the names of its files begin.
        run: The run's name.
        interruptible: Makes a context in which waiting may be broken off.
    """

    def __init__(
        self,
        settings: Settings,
        delivery: Delivery,
        folder: Path,
        pipeline: str,
        run: str,
        interruptible: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self._settings = settings
        self._delivery = delivery
        self._folder = folder
        self._run = run
        self._interruptible = interruptible
        self._activity = Activity(f"{pipeline}-{run}", interruptible)
        self.members = Members(delivery, folder, settings.identifier_field, self._activity)

    def begin(self, cordial: Cordial) -> None:
        """Look what others do to lists, before the input is read."""
        self._activity.begin(cordial, self._settings)

    def check_whole(self, marks: Marks) -> Snapshot:
        """See that the input was whole; raises a `NotWholeError` if not."""
        totals, accepts = self._delivery.totals, self._settings.accept_unmarked_end
        return check_whole(marks, totals, records=self.members.records, accept_unmarked=accepts)

    def finish(
        self, snapshot: Snapshot, rows: RowWriter, lists: Lists | None, null_marker: str, exporter: Exporter
    ) -> None:
        """Compare the lists with their members, and with mode mirror make them equal.

        Raises:
            UserError: If they are not equal, or nothing can be said.
        """
        settings = self._settings
        self._delivery.finish_rejects()
        self.members.add_empty_lists(snapshot, lists)
        auditor = Auditor(
            settings,
            self.members,
            rows,
            null_marker,
            exporter,
            self._activity,
            self._run,
            self._folder,
            self._interruptible,
        )
        audits = mirror(auditor, self._delivery) if settings.mode == "mirror" else auditor.audit()
        if settings.mode == "audit" or not settings.plan_only:
            raise_unequal(audits, mode=settings.mode, place=settings.audits_url)
        if settings.mode == "mirror" and settings.list_action == "sync" and not settings.plan_only:
            note_mirrors(exporter.storage, [each.id for each in self.members.lists if each is not None])
