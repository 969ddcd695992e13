"""From open rows to acknowledged states: closes batches into files, imports them side by side, and writes states."""

from __future__ import annotations

import logging
import math
import secrets
import shutil
import sys
import threading
import time
import typing as t
from dataclasses import dataclass, field

import msgspec
from singer_sdk.metrics import Status

from lytics_to_cordial.errors import UserError, described
from lytics_to_cordial.progress import counted, duration
from target_cordial.delivery.importfile import quoted, write_csv
from target_cordial.delivery.imports import JOBS_PAGE, KEPT_PREFIX, ImportResult, Stopped
from target_cordial.history.journal import NO_LIST, timestamp
from target_cordial.history.metrics import log_import, log_records
from target_cordial.history.summary import list_lines, run_line
from target_cordial.history.totals import Totals

if t.TYPE_CHECKING:
    from pathlib import Path

    from lytics_to_cordial.signals import StopSignal
    from target_cordial.cordial.api import ContactList, Sizes
    from target_cordial.delivery.batch import Batch
    from target_cordial.delivery.importfile import Cells
    from target_cordial.delivery.imports import Importer
    from target_cordial.delivery.order import ImportFile
    from target_cordial.delivery.outbox import Outbox
    from target_cordial.delivery.plan import Plan
    from target_cordial.delivery.rejects import Rejects
    from target_cordial.history.journal import Journal
    from target_cordial.settings import Settings

ALWAYS_PASS = 100
"""So many exits or rejects pass whatever the percentage: a small list moves by much."""
HOPELESS_REJECTS = 10_000
"""With so many rejects, too many for what was read so far, the end of the input is not waited for."""

logger = logging.getLogger("target-cordial")


@dataclass
class Delivery:
    """Drives the outbox: everything that the run sends to Cordial goes through here.

    The thread that reads the input calls it; imports run in threads of their own, and each acknowledges what its
    end makes true.

    Attributes:
        outbox: What is on its way.
        rejects: Records that cannot be sent.
        journal: Gets a line for each import.
        settings: How to send.
        folder: For import files before their upload; only the owner may enter it.
        signal: Tells when a wait may be broken off.
        header: Column names of enter files; known from the first record on.
        totals: What was done so far.
        records: The position: how many records were read.
        is_all_read: Whether the input ended.
        plan: What a plan collects; None in a run.
    """

    outbox: Outbox
    rejects: Rejects
    journal: Journal
    settings: Settings
    folder: Path
    signal: StopSignal
    header: list[str] = field(default_factory=list)
    totals: Totals = field(default_factory=Totals)
    records: int = 0
    is_all_read: bool = False
    plan: Plan | None = None

    def __post_init__(self) -> None:
        """Everything below is shared with the import threads under one lock."""
        self._changed = threading.Condition()
        self._importer: Importer | None = None
        self._failure: UserError | None = None
        self._due_at = math.inf
        self._is_over = False
        self._gate_is_closed = False

    def start(self, importer: Importer) -> None:
        """Begin to import.

        Args:
            importer: For each file.
        """
        self._importer = importer
        for number in range(self.settings.max_concurrent_imports):
            threading.Thread(
                target=self._work, args=(importer,), name=f"import-{number}", daemon=True
            ).start()

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
            position: That of the first record; the others follow.
            updates: How many of them are updates, for the summary alone.

        Raises:
            UserError: If an earlier import failed.
        """
        name = _name(target_list)
        self.totals.arrived[name, "updates"] += updates
        self.totals.arrived[name, "enters"] += len(keys)
        start = 0
        while start < len(keys):
            with self._changed:
                end = start + self.outbox.room(target_list, self.settings.batch_size_rows)
                batch = self.outbox.enter_all(
                    target_list,
                    keys[start:end],
                    rows[start:end],
                    position=position + start,
                    now=time.monotonic(),
                )
            self._look_at(batch)
            start = end

    def exit(self, target_list: ContactList, keys: t.Sequence[str], *, position: int) -> None:
        """Hold contacts' exits until the input ends.

        Args:
            target_list: The list to leave.
            keys: The contacts.
            position: That of the first record; the others follow.
        """
        with self._changed:
            for number, key in enumerate(keys, position):
                self.outbox.exit(target_list, key, position=number)
        self.totals.arrived[target_list.name, "exits"] += len(keys)

    def reject(self, stream: str, record: dict[str, t.Any], reason: str, field: str | None = None) -> None:
        """Report a record that cannot be sent.

        Args:
            stream: Its stream.
            record: The record.
            reason: Why, without the value.
            field: The field to blame, if it is one.

        Raises:
            UserError: If the report cannot be written, or there is no hope that rejects will be few enough.
        """
        with self._changed:
            self.rejects.add(stream, record, reason, field)
            self.totals.reject_reasons[reason if field is None else f"{field}: {reason}"] += 1
            hopeless = self._hopeless_rejects()
        if hopeless is not None:
            raise hopeless

    def state(self, state: dict[str, t.Any]) -> None:
        """Acknowledge a state as soon as all that precedes it is in Cordial.

        Args:
            state: The STATE message's value.

        Raises:
            UserError: If an earlier import failed, or the state cannot be written.
        """
        with self._changed:
            self.outbox.add_state(state, position=self.records)
            self._acknowledge()
        self._raise_failure()

    def hold(self) -> None:
        """Acknowledge nothing from here on, until `release`."""
        with self._changed:
            self.outbox.hold(self.records)

    def release(self) -> None:
        """End every `hold`."""
        with self._changed:
            self.outbox.release()
            self._acknowledge()

    def tick(self) -> None:
        """Send the batches that have waited long enough.

        Raises:
            UserError: If an earlier import failed.
        """
        self._raise_failure()
        now = time.monotonic()
        if now < self._due_at:
            return
        wait = self.settings.batch_wait_seconds
        for batch in self.outbox.open_batches():
            if batch.opened_at + wait <= now:
                self._send(batch)
        self._due_at = min((batch.opened_at + wait for batch in self.outbox.open_batches()), default=math.inf)

    def finish_enters(self) -> None:
        """Send all open batches and wait until everything on its way is in Cordial.

        Raises:
            UserError: If an import failed.
        """
        for batch in self.outbox.open_batches():
            self._send(batch)
        self._wait(lambda: not self.outbox.order.files())

    def finish_rejects(self) -> None:
        """See that the reject report is written, and not too long.

        Raises:
            UserError: If too many records were rejected, or the report cannot be written.
        """
        with self._changed:
            self.rejects.flush()
            failure = self._too_many_rejects()
            self._acknowledge()
        if failure is not None:
            raise failure

    def finish_exits(self, size_of: t.Callable[[ContactList], int]) -> None:
        """Send the exits: of each list all or none.

        Args:
            size_of: Tells how many contacts are on a list.

        Raises:
            UserError: If an import failed, or a list's exits are too many to send unasked.
        """
        held_back: list[str] = []
        for target_list, exits in self.outbox.held_exits.counts().items():
            with self.signal.interruptible():
                size = size_of(target_list)
            if self.plan is not None:
                self.plan.removals[target_list.name] = (exits, size)
            if exits > ALWAYS_PASS and exits * 100 > self.settings.max_removal_percent * size:
                held_back.append(f"{exits} of the {size} contacts on list {target_list.name!r}")
            else:
                self._send_exits(target_list)
        self._wait(lambda: not self.outbox.order.files())
        if held_back:
            msg = (
                f"The run would remove {' and '.join(held_back)}, more than max_removal_percent ({self.settings.max_removal_percent:g} %) "
                "allows, so none of these exits was sent or acknowledged: if they are right, run once with "
                "TARGET_CORDIAL_MAX_REMOVAL_PERCENT=100."
            )
            raise UserError(msg)

    def drain(self) -> None:
        """Register nothing more, and let what is registered come to its end, so that it need not go again."""
        self._stop_registering()
        with self._changed, self.signal.interruptible():
            self._changed.wait_for(lambda: not self.outbox.order.under_way)

    def summarize(
        self,
        outcome: str,
        started: str,
        sizes: t.Mapping[str, Sizes],
        seconds: float,
        failure: str | None = None,
    ) -> None:
        """Say in log and journal what the run did, or would do.

        Args:
            outcome: How it ended.
            started: When it started.
            sizes: How many contacts are on each list, by its name.
            seconds: How long it took.
            failure: Why it failed, in one sentence.
        """
        totals = self.totals
        with self._changed:
            lists = totals.journal_lists(sizes)
        if self.plan is not None:
            for line in self.plan.lines(totals, sizes, self.records, self.rejects.count):
                logger.info("Plan: %s", line)
        else:
            log_records(totals, self.rejects.count)
            for line in list_lines(totals, sizes):
                logger.info("%s", line)
            whole = run_line(
                totals,
                records=self.records,
                rejects=self.rejects.count,
                place=self.rejects.place,
                seconds=seconds,
            )
            logger.info("Run %s: %s", outcome, whole)
        self.journal.add(
            "run",
            started=started,
            ended=timestamp(),
            outcome=f"plan {outcome}" if self.settings.plan_only else outcome,
            records=self.records,
            failure=failure,
            lists=lists,
            imports=totals.imports,
            rejects=dict(totals.reject_reasons),
            rejected_by_cordial=totals.rejected,
        )

    def stop(self, wait_seconds: float) -> None:
        """Register nothing more, and give what is registered some time to end; write no state from then on.

        Args:
            wait_seconds: The most time to give.
        """
        self._stop_registering()
        with self._changed:
            self._changed.wait_for(lambda: not self.outbox.order.under_way, timeout=wait_seconds)
            self._is_over = True
            self._changed.notify_all()

    def close(self) -> None:
        """Leave nothing on this machine, and the reasons of rejects where they belong."""
        self.stop(0)
        try:
            self.rejects.flush()
        except UserError as error:
            logger.warning("%s", error)
        self.outbox.held_exits.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _look_at(self, batch: Batch) -> None:
        """Send what is full, and know when the rest is due."""
        self._due_at = min(self._due_at, batch.opened_at + self.settings.batch_wait_seconds)
        full = self.outbox.full_batch(batch, self.settings.batch_size_rows)
        if full is not None:
            self._send(full)

    def _send(self, batch: Batch) -> None:
        path = self.folder / f"{secrets.token_hex(8)}.csv"
        if self.plan is not None:
            self.plan.add_rows(self.header, batch.rows.values())
        self._write(path, self.header, batch.rows.values())
        with self._changed:
            self._queue(self.outbox.close_batch(batch, path))
        self._wait_for_room()

    def _send_exits(self, target_list: ContactList) -> None:
        while keys := self.outbox.held_exits.take(target_list, self.settings.batch_size_rows):
            path = self.folder / f"{secrets.token_hex(8)}.csv"
            self._write(path, self.header[:1], ((quoted(key),) for key in keys))
            with self._changed:
                self._queue(self.outbox.close_exits(target_list, keys, path))
            self._wait_for_room()

    def _write(self, path: Path, header: t.Sequence[str], rows: t.Iterable[Cells]) -> None:
        if self.plan is not None:
            return
        try:
            write_csv(path, header, rows)
        except OSError as error:
            msg = (
                f"The import file cannot be written to {self.folder.parent} ({error.strerror}): make room there, or set TMPDIR "
                "to a folder with room."
            )
            raise UserError(msg) from error

    def _queue(self, file: ImportFile) -> None:
        if self.plan is not None:
            self.plan.add_file(file)
            self.outbox.order.start_next()
            self.outbox.order.finish(file)
            self._count(file)
        self._changed.notify_all()

    def _wait_for_room(self) -> None:
        """Reading stops while Cordial is slower than the tap; files that wait take room on this disk."""
        self._wait(lambda: self.outbox.order.waiting <= self.settings.max_concurrent_imports)

    def _wait(self, is_enough: t.Callable[[], bool]) -> None:
        with self._changed, self.signal.interruptible():
            self._changed.wait_for(lambda: is_enough() or self._failure is not None)
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _fail(self, failure: UserError) -> None:
        self._failure = self._failure or failure
        self._stop_registering()
        self._changed.notify_all()

    def _stop_registering(self) -> None:
        if self._importer is not None:
            self._importer.stopping.set()

    def _work(self, importer: Importer) -> None:
        """Import one file after the other, until nothing more is to be registered."""
        while (file := self._next_file(importer)) is not None:
            result: ImportResult | None = None
            failure: UserError | None = None
            started = time.monotonic()
            try:
                result = importer.deliver(file)
            except Stopped:
                pass
            except UserError as error:
                failure = error
            except Exception as error:  # noqa: BLE001 - a thread that dies silently would leave the run waiting for ever
                failure = UserError(described(error))
            if result is not None:
                self._note(file, result)
            if result is not None or failure is not None:
                log_import(time.monotonic() - started, Status.FAILED if result is None else Status.SUCCEEDED)
            with self._changed:
                if result is not None:
                    failure = self._judge(file, result)
                if result is None or failure is not None:
                    self.outbox.order.give_up(file)
                    if failure is not None:
                        self._fail(failure)
                else:
                    self.outbox.order.finish(file)
                    self._acknowledge()
                self._changed.notify_all()

    def _next_file(self, importer: Importer) -> ImportFile | None:
        with self._changed:
            while not self._is_over and not importer.stopping.is_set():
                file = self.outbox.order.start_next()
                if file is not None:
                    # There may be room again for what is read.
                    self._changed.notify_all()
                    return file
                self._changed.wait()
            return None

    def _note(self, file: ImportFile, result: ImportResult) -> None:
        kind = "exit" if file.is_exits else "enter"
        logger.info(
            "Import %s is done: %s in %s (job %s).",
            result.name,
            counted(file.rows, kind),
            duration(result.seconds),
            result.job_id,
        )
        self.journal.add(
            "import",
            import_name=result.name,
            job_id=result.job_id,
            list_id=file.target_list and file.target_list.id,
            list_name=file.target_list and file.target_list.name,
            kind=kind,
            rows=file.rows,
            inserted=result.inserted,
            updated=result.updated,
            ignored=result.ignored,
            rejected=result.rejected,
            seconds=round(result.seconds, 3),
        )

    def _judge(self, file: ImportFile, result: ImportResult) -> UserError | None:
        """Count what Cordial made of a file, and say why it must not be acknowledged, if so."""
        self._count(file)
        if not result.rejected:
            return None
        self.totals.rejected += result.rejected
        self.totals.rejected_of[_name(file.target_list)] += result.rejected
        try:
            self.rejects.add_import(result, file.rows)
        except UserError as error:
            return error
        sentence = (
            f"Cordial rejected {result.rejected} of {file.rows} rows of import {result.name} (job {result.job_id}): "
            f"download them within 7 days in {JOBS_PAGE}; the file is kept in the storage as {KEPT_PREFIX}{result.name}.csv"
        )
        if file.is_exits:
            return UserError(f"{sentence}. These exits are not acknowledged and go again with the next run.")
        logger.warning("%s.", sentence)
        return self._hopeless_rejects()

    def _count(self, file: ImportFile) -> None:
        self.totals.imports += 1
        self.totals.rows += file.rows
        name = _name(file.target_list)
        self.totals.imports_of[name] += 1
        self.totals.by_list[name]["exits" if file.is_exits else "enters"] += file.rows

    def _too_many_rejects(self) -> UserError | None:
        rejected = self.rejects.count + self.totals.rejected
        if rejected <= ALWAYS_PASS or rejected * 100 <= self.settings.max_reject_percent * self.records:
            return None
        return UserError(
            f"{rejected} of {self.records} records were rejected, more than max_reject_percent "
            f"({self.settings.max_reject_percent:g} %) allows, so none of them is acknowledged and no exit was sent: read the reasons in "
            f"{self.rejects.place}, then correct the source or the mapping, or run once with TARGET_CORDIAL_MAX_REJECT_PERCENT=100."
        )

    def _hopeless_rejects(self) -> UserError | None:
        """Too many rejects so far may still be few in the end, unless they are very many."""
        if self.rejects.count + self.totals.rejected < HOPELESS_REJECTS:
            return None
        return self._too_many_rejects()

    def _acknowledge(self) -> None:
        """Write the newest state that all of Cordial's answers allow; under the lock."""
        if self._is_over or self.settings.plan_only or self._gate_is_closed:
            return
        if self._too_many_rejects() is not None:
            # States wait: the rest of the input may be better, and if it is not, none of them is written.
            return
        state = self.outbox.acknowledged()
        if state is None:
            return
        try:
            self.rejects.flush()
            sys.stdout.write(_encoded(state) + "\n")
            sys.stdout.flush()
        except UserError as error:
            self._gate_is_closed = True
            self._fail(error)
        except (OSError, ValueError):
            self._gate_is_closed = True
            self._fail(
                UserError("The standard output was closed, so states cannot be acknowledged: run again.")
            )


def _name(target_list: ContactList | None) -> str:
    return NO_LIST if target_list is None else target_list.name


def _encoded(state: dict[str, t.Any]) -> str:
    encoder = msgspec.json.Encoder(decimal_format="number")
    return msgspec.json.format(encoder.encode(state), indent=0).decode()
