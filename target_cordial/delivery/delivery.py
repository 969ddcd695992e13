"""From rows and exits to acknowledged states: everything that a run sends to Cordial goes through here."""

from __future__ import annotations

import logging
import shutil
import time
import typing as t
from pathlib import Path

from lytics_to_cordial.errors import UserError, as_user_error
from lytics_to_cordial.limits import OFF_PERCENT
from lytics_to_cordial.signals import StopSignal
from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.acknowledge import Acknowledger
from target_cordial.delivery.exits import HeldExits
from target_cordial.delivery.importfile import Cells, new_import_file, quoted
from target_cordial.delivery.limits import ExitsHeldError, too_many_removals
from target_cordial.delivery.outbox import Batch, Outbox, State
from target_cordial.delivery.outcomes import Outcomes
from target_cordial.delivery.rejects import Reject, Rejects, SkippedValue
from target_cordial.delivery.workers import FileImporter, Workers
from target_cordial.history.journal import NO_LIST
from target_cordial.settings import Settings

logger = logging.getLogger("target-cordial")


class Delivery:
    """Drives the outbox, for the thread that reads the input.

    A *position* is a number of records read. Each call may raise the `UserError` of an import that failed meanwhile.

    Attributes:
        rejects: Records that cannot be sent.
        totals: What was done so far.
        removals: By list name, how many exits the limit counted, and how many contacts were on the list.
        stopping: Set when nothing more is to be registered.

    Args:
        settings: How to send.
        rejects: Takes records that cannot be sent.
        folder: For import files before their upload; only the owner may enter it.
        signal: Tells when a wait may be broken off.
        null_marker: The cell that leaves an attribute as it is.
        stamp: Puts into a state that is acknowledged what is remembered of the delivery; called by any thread.
    """

    def __init__(
        self,
        settings: Settings,
        rejects: Rejects,
        folder: Path,
        signal: StopSignal,
        *,
        null_marker: str,
        stamp: t.Callable[[State], State],
    ) -> None:
        self.rejects = rejects
        self.removals: dict[str, tuple[int, int]] = {}
        self._settings = settings
        self._folder = folder
        self._signal = signal
        self._header: list[str] = []
        self._importer: FileImporter | None = None
        self._outcomes = Outcomes(rejects, settings.max_reject_percent)
        self._exits = HeldExits(folder / "exits.sqlite")
        self._outbox = Outbox(
            null_marker=null_marker, held_exits=self._exits, batch_rows=settings.batch_size_rows
        )
        self._acknowledger = Acknowledger(
            self._outbox, rejects, self._outcomes.has_too_many_rejects, stamp, is_plan=settings.plan_only
        )
        self._workers = Workers(self._outbox.order, signal, self._outcomes.imported, self._acknowledge)
        self.totals = self._outcomes.totals
        self.stopping = self._workers.stopping

    @property
    def records(self) -> int:
        """The position: how many records were read."""
        return self._outcomes.records

    @records.setter
    def records(self, records: int) -> None:
        self._outcomes.records = records

    def start(
        self, importer: FileImporter, header: list[str], contacts: t.Callable[[], int] | None = None
    ) -> None:
        """Begin to import.

        Args:
            importer: Brings files into Cordial.
            header: The column names of enter files.
            contacts: Tells how many contacts are on the lists that the run met; None if contacts go on none.
        """
        self._header = header
        self._importer = importer
        self._outcomes.contacts = contacts or self._outcomes.contacts
        for limit in ("max_reject_percent", "max_removal_percent"):
            if getattr(self._settings, limit) >= OFF_PERCENT:
                logger.warning("The limit %s is switched off (%d %%).", limit, OFF_PERCENT)
        self._workers.start(importer, self._settings.max_concurrent_imports)

    def enter(
        self,
        target_list: ContactList | None,
        keys: t.Sequence[str],
        rows: t.Sequence[Cells],
        *,
        position: int,
        updates: int,
    ) -> None:
        """Send contacts' rows; a batch goes out when it is full.

        Args:
            target_list: The list to join; None for the contacts alone.
            keys: The contacts.
            rows: Their rows.
            position: The oldest one that they stand for.
            updates: How many of them are updates, for the summary alone.
        """
        name = NO_LIST if target_list is None else target_list.name
        self.totals.arrived[name, "updates"] += updates
        self.totals.arrived[name, "enters"] += len(keys)
        start = 0
        while start < len(keys):
            with self._workers.lock:
                end = start + self._outbox.room(target_list)
                full = self._outbox.enter(
                    target_list,
                    keys[start:end],
                    rows[start:end],
                    position=position,
                    now=time.monotonic(),
                )
            if full is not None:
                self._send(full)
            start = end

    def exit(
        self, target_list: ContactList, keys: t.Sequence[str], *, position: int, again: bool = False
    ) -> None:
        """Hold contacts' exits until the input ends.

        Args:
            target_list: The list to leave.
            keys: The contacts.
            position: The oldest one that they stand for.
            again: Whether they were acknowledged before and are sent once more, so that no limit counts them.
        """
        with self._workers.lock:
            self._outbox.exit(target_list, keys, position=position, again=again)
        self.totals.arrived[target_list.name, "exits"] += len(keys)

    def reject(self, reject: Reject) -> None:
        """Report a record that cannot be sent.

        Raises:
            UserError: If the report cannot be written, or there is no hope that rejects will be few enough.
        """
        with self._workers.lock:
            self._outcomes.reject(reject)
            self._outcomes.raise_hopeless_rejects()

    def count_values(self, values: t.Counter[str], skipped: t.Sequence[SkippedValue]) -> None:
        """Count the values that enters have by column, and report those that they go without.

        Raises:
            UserError: If the report cannot be written.
        """
        with self._workers.lock:
            self._outcomes.count_values(values, skipped)

    def state(self, state: dict[str, t.Any]) -> None:
        """Acknowledge a STATE message's value as soon as all that precedes it is in Cordial."""
        with self._workers.lock:
            self._outbox.add_state(state, position=self.records)
            self._acknowledge()
        self._workers.raise_failure()

    def acknowledge_again(self) -> None:
        """Write the newest acknowledged state once more if there is more to remember than it says."""
        with self._workers.lock:
            self._acknowledge()
        self._workers.raise_failure()

    def hold(self) -> None:
        """Acknowledge nothing from here on, until `release`."""
        with self._workers.lock:
            self._outbox.hold(self.records)

    def release(self) -> None:
        """End a `hold`."""
        with self._workers.lock:
            self._outbox.release()
            self._acknowledge()

    def tick(self) -> None:
        """Send the batches that have waited long enough."""
        self._workers.raise_failure()
        opened_before = time.monotonic() - self._settings.batch_wait_seconds
        for batch in self._outbox.open_batches():
            if batch.opened_at <= opened_before:
                self._send(batch)

    def finish_enters(self) -> None:
        """Send all open batches, and wait until everything on its way is in Cordial."""
        for batch in self._outbox.open_batches():
            self._send(batch)
        self._workers.wait(lambda: not self._outbox.order.files())
        self._name_lost_rows()

    def finish_rejects(self) -> None:
        """See that the reject report is written, and not too long."""
        with self._workers.lock:
            self.rejects.flush()
            self._outcomes.raise_too_many_rejects()
            self._acknowledge()
        self._workers.raise_failure()

    def finish_exits(self, size_of: t.Callable[[ContactList], int]) -> None:
        """Send the exits: of each list all or none.

        Args:
            size_of: Tells how many contacts are on a list.

        Raises:
            UserError: If a list's exits are too many to send unasked.
        """
        max_percent = self._settings.max_removal_percent
        held_back: list[str] = []
        for target_list, exits in self._exits.counts().items():
            with self._signal.interruptible():
                size = size_of(target_list)
            self.removals[target_list.name] = (exits, size)
            if too_many_removals(exits, size, max_percent):
                held_back.append(f"{exits} of the {size} contacts on list {target_list.name!r}")
            else:
                self._send_exits(target_list)
        self._workers.wait(lambda: not self._outbox.order.files())
        self._name_lost_rows()
        if held_back:
            raise ExitsHeldError(
                f"The run would remove {' and '.join(held_back)}, more than max_removal_percent ({max_percent:g} %) "
                "allows, so none of these exits was sent or acknowledged: if they are right, run once with "
                "TARGET_CORDIAL_MAX_REMOVAL_PERCENT=100, and again with the tap's own override, if these needed it."
            )

    @property
    def named_rejects(self) -> set[str]:
        """The contacts of rows that Cordial rejected, as far as they are named."""
        return self._outcomes.named

    def problems(self) -> list[str]:
        """What a person has to settle although all else is done, in sentences; asked once all is delivered."""
        problems = self._outcomes.problems()
        if self._importer is not None:
            try:
                with self._signal.interruptible():
                    self._importer.finish()
            except UserError as error:
                problems.append(str(error))
        return problems

    def progress(self) -> str:
        """How many imports there are; safe to ask from any thread."""
        order = self._outbox.order
        return f"imports: {self.totals.imports:,} done, {order.under_way} under way, {order.waiting} waiting"

    def drain(self) -> None:
        """Register nothing more, and let what is registered come to its end, so that it need not go again."""
        self._workers.drain()

    def stop(self, wait_seconds: float) -> None:
        """Register nothing more, give what is registered some time to end, and write no state from then on."""
        self._workers.stop(wait_seconds)
        with self._workers.lock:
            self._acknowledger.close()

    def close(self) -> None:
        """Leave nothing on this machine, and the reasons of rejects where they belong."""
        self.stop(0)
        try:
            self.rejects.flush()
        except UserError as error:
            logger.warning("%s", error)
        self._exits.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _name_lost_rows(self) -> None:
        if self._importer is not None:
            with self._signal.interruptible():
                named = self._importer.name_lost_rows()
            with self._workers.lock:
                for file, result, lost in named:
                    self._outcomes.read_back(file, result, lost)

    def _send(self, batch: Batch) -> None:
        path = new_import_file(self._folder, self._header, batch.rows.values())
        with self._workers.lock:
            self._outbox.close_batch(batch, path)
        self._wait_for_room()

    def _send_exits(self, target_list: ContactList) -> None:
        while keys := self._exits.take(target_list, self._settings.batch_size_rows):
            path = new_import_file(self._folder, self._header[:1], ((quoted(key),) for key in keys))
            with self._workers.lock:
                self._outbox.close_exits(target_list, keys, path)
            self._wait_for_room()

    def _wait_for_room(self) -> None:
        """Reading stops while Cordial is slower than the tap; files that wait take room on this disk."""
        self._workers.wake()
        self._workers.wait(lambda: self._outbox.order.waiting <= self._settings.max_concurrent_imports)

    def _acknowledge(self) -> None:
        """Called under the lock, also by import threads."""
        try:
            self._acknowledger.acknowledge()
            self._outcomes.acknowledged = self._outbox.acknowledged_position
        except Exception as error:  # noqa: BLE001 - a thread that dies silently would leave the run waiting for ever
            self._workers.fail(as_user_error(error))
