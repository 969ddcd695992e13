"""The life of a run: prepared at the first record, ended well whatever happens, and summarized."""

from __future__ import annotations

import contextlib
import datetime as dt
import functools
import logging
import secrets
import time
import typing as t
import weakref

from lytics_to_cordial.checklist import Checklist
from lytics_to_cordial.errors import UserError
from lytics_to_cordial.progress import Progress, counted
from lytics_to_cordial.signals import StopSignal, Terminated
from lytics_to_cordial.workspace import open_workspace
from target_cordial.audit.audit_run import AuditRun
from target_cordial.bookmark.bookmarks import Bookmarks
from target_cordial.check import CheckOptions, check, check_by_command
from target_cordial.closing import exit_problems, members_by_list, outcome_of, what_to_settle
from target_cordial.consent import new_contacts
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.attributes import Attribute
from target_cordial.delivery.delivery import Delivery
from target_cordial.delivery.earlier_runs import clear_earlier_runs, wait_for_imports
from target_cordial.delivery.import_log import LoggedImporter
from target_cordial.delivery.imports import Importer
from target_cordial.delivery.limits import ExitsHeldError
from target_cordial.delivery.plan import Plan
from target_cordial.delivery.rejects import Rejects
from target_cordial.delivery.workers import FileImporter
from target_cordial.history.ending import record_ending
from target_cordial.history.journal import Journal, timestamp
from target_cordial.history.metrics import log_records
from target_cordial.history.summary import list_lines, run_line
from target_cordial.intake.lists import Lists, open_lists
from target_cordial.intake.marks import Marks
from target_cordial.intake.messages import InputError
from target_cordial.intake.receiver import Receiver
from target_cordial.intake.rows import RowWriter
from target_cordial.readback.export import Exporter
from target_cordial.run_name import RUN_TIME_FORMAT
from target_cordial.settings import Settings
from target_cordial.storage.delivered_runs import begin_delivery, mirrors
from target_cordial.storage.location import Location
from target_cordial.storage.storage import Storage

SIGNAL_WAIT_SECONDS = 10

logger = logging.getLogger("target-cordial")


class Run:
    """A run from its start to its summary.

    Attributes:
        bookmarks: Know what earlier runs delivered, and how.
        delivery: Sends rows and exits, and acknowledges states.
        receiver: Takes what the input becomes: the delivery, or the members of an audit. States may come before the run is prepared.
        close: Leaves nothing on this machine; called at the latest when the run is no longer referred to.
    """

    def __init__(
        self, plugin: str, settings: Settings, signal: StopSignal, config: t.Mapping[str, t.Any]
    ) -> None:
        self._settings = settings
        self._signal = signal
        self._started = timestamp()
        self._started_at = time.monotonic()
        now = dt.datetime.now(dt.timezone.utc)
        # Runs of one second sort by time, too.
        self._name = f"{now.strftime(RUN_TIME_FORMAT)}{now.microsecond:05x}{secrets.token_hex(2)}"
        self._null_marker = f"null-{secrets.token_hex(8)}"
        location = Location.parse(settings.storage_url, "storage_url")
        self._journal = Journal(settings.journal_url, self._name, location.url(), location.tag)
        self._plan = Plan(settings, self._null_marker) if settings.plan_only else None
        self._is_all_read = False
        self._prepared: tuple[RowWriter, Lists | None] | None = None
        self._lists: Lists | None = None
        self._held = contextlib.ExitStack()
        self._folder = open_workspace(plugin)
        self.bookmarks = Bookmarks(settings, config)
        self.delivery = Delivery(
            settings,
            Rejects(settings, f"{plugin}-{self._name}"),
            self._folder,
            signal,
            null_marker=self._null_marker,
            stamp=self.bookmarks.stamp,
        )
        self.bookmarks.exits_failed = self.delivery.totals.exits_failed
        self.bookmarks.values_skipped = self.delivery.totals.values_skipped
        self._audit = (
            None
            if settings.mode == "changes"
            else AuditRun(
                settings, self.delivery, self._folder, location.tag, self._name, signal.interruptible
            )
        )
        self.receiver: Receiver = self.delivery if self._audit is None else self._audit.members
        self.close = weakref.finalize(self, self.delivery.close)
        weakref.finalize(self, self._held.close)

    @functools.cached_property
    def _cordial(self) -> Cordial:
        return Cordial(self._settings.api_url, self._settings.api_key)

    @functools.cached_property
    def _storage(self) -> Storage:
        return Storage(self._settings)

    def begin(self) -> None:
        """See, before anything is read, whether the storage can work, and which imports there are; raises a `UserError` if it cannot."""
        if self._plan is None:
            _ = self._storage
        if self._audit is not None:
            self._audit.begin(self._cordial)

    def check(self, checklist: Checklist, options: CheckOptions) -> None:
        """Try everything that a run needs, and change nothing but what the options ask for."""
        settings = self._settings
        # For somebody who waits for it.
        is_patient = options.fetch or options.trial is not None
        self._cordial = Cordial(settings.api_url, settings.api_key, is_patient=is_patient)
        with self._signal.interruptible():
            check_by_command(
                settings,
                self._cordial,
                lambda: self._storage,
                self._folder,
                self._journal.folder,
                checklist,
                options,
            )

    def prepare(self) -> tuple[RowWriter, Lists | None]:
        """Check everything, settle what earlier runs left, and begin to import; done once. Give what writes rows and finds lists."""
        if self._prepared is None:
            with self._signal.interruptible():
                self._prepared = self._prepare()
        return self._prepared

    def _prepare(self) -> tuple[RowWriter, Lists | None]:
        settings = self._settings
        checklist = Checklist(lambda *line: logger.debug("%s %s: %s", *line))
        columns, attributes = check(settings, self._cordial, lambda: self._storage, checklist)
        checklist.raise_failures()
        logger.info(
            "Checked: the API key works, the attributes of %s are there%s.",
            counted(len(columns), "field"),
            "" if settings.plan_only else ", the storage was written, read back and deleted",
        )
        if self._plan is None:
            self._begin_to_write()
        rows = RowWriter(columns, settings, self._null_marker)
        self._lists = self._look_up_lists(attributes)
        contacts = None if self._lists is None else self._lists.contacts
        self.delivery.start(self._importer(rows.kinds), rows.header, contacts)
        self.bookmarks.remember_storage()
        self.delivery.acknowledge_again()
        return rows, self._lists

    def _begin_to_write(self) -> None:
        """Be the only run that writes, and no older one than the last that did."""
        self._held.enter_context(self._storage.lease)
        run = self.bookmarks.tap_run
        if run is not None and run.ledger and self._settings.mode != "audit":
            begin_delivery(self._storage, run.ledger, run.number)
        self.bookmarks.take_mirrors(mirrors(self._storage))

    def _look_up_lists(self, attributes: t.Mapping[str, Attribute]) -> Lists | None:
        """Find the lists that earlier runs filled."""
        may_create = not self._settings.plan_only and self._audit is None
        return open_lists(
            self._cordial,
            self._settings,
            attributes,
            self.bookmarks,
            self._signal.interruptible,
            may_create=may_create,
        )

    def finish(self, marks: Marks) -> None:
        """Once all input is read: deliver what is left, all enters, then all exits; or compare the lists with their members.

        Raises:
            UserError: If not all of it could be delivered, or a list is not equal.
        """
        self._is_all_read = True
        if self._audit is not None:
            self._finish_audit(self._audit, marks)
            return
        if self._prepared is not None:
            self.delivery.finish_enters()
            self.delivery.finish_rejects()
            if self._lists is not None:
                self.delivery.finish_exits(self._lists.account.size)
        elif self.bookmarks.streams:
            # Nothing changed, as far as the tap knows; in Cordial something may have.
            self._lists = self._look_up_lists({})
            if self.bookmarks.is_burdened and self._plan is None:
                self.bookmarks.take_mirrors(mirrors(self._storage))
        self.bookmarks.complete()
        problems: list[str] = []
        if self._plan is None and self._lists is not None:
            problems = what_to_settle(
                self.bookmarks, self._lists.measure, self.delivery.totals, self._settings
            )
        self.delivery.acknowledge_again()
        if self._lists is not None:
            problems += self._lists.problems()
        self._raise_problems(problems, self.bookmarks.exits_open)

    def _finish_audit(self, audit: AuditRun, marks: Marks) -> None:
        snapshot = audit.check_whole(marks)
        rows, lists = self.prepare()
        audit.finish(snapshot, rows, lists, self._null_marker, self._exporter())
        self._raise_problems([], self.delivery.totals.exits_failed.total())

    def _raise_problems(self, problems: list[str], exits_open: int) -> None:
        """Raise all that a person has to settle although all else is done."""
        failed = self.delivery.totals.exits_failed
        exits = exit_problems(failed, exits_open - failed.total(), self._settings.rejects_url)
        if whole := [*problems, *exits, *self.delivery.problems()]:
            raise UserError(" ".join(whole))

    def _exporter(self) -> Exporter:
        run_name = f"{self._storage.folder_tag}-{self._name}"
        return Exporter(self._cordial, self._storage, self._settings, run_name, self._folder)

    @contextlib.contextmanager
    def ending_well(self) -> t.Iterator[None]:
        """However a run ends: deliver what was good, acknowledge what is done, leave nothing behind, and say so."""
        outcome = "failed"
        failure: BaseException | None = None
        try:
            with Progress(self._progress, logger), self._delivering():
                yield
            outcome = outcome_of(self.bookmarks)
        except Terminated as signal:
            outcome, failure = "stopped", signal
            logger.warning(
                "Stopping (signal %d): what is not imported yet goes again with the next run.", signal.number
            )
            self.delivery.stop(SIGNAL_WAIT_SECONDS)
            raise
        except Exception as error:
            failure = error
            raise
        finally:
            self.close()
            self._held.close()
            self._summarize(outcome, failure)

    @contextlib.contextmanager
    def _delivering(self) -> t.Iterator[None]:
        """When the run fails, what was good before still goes, or at least comes to its end."""
        try:
            try:
                yield
            except InputError:
                if self._prepared is not None:
                    self.delivery.finish_enters()
                raise
        except Exception:
            self.delivery.drain()
            raise

    def _importer(self, kinds: t.Mapping[str, str]) -> FileImporter:
        if self._plan is not None:
            self._plan.pace = self._cordial.jobs.pace()
            return self._plan
        pipeline, settings = self._storage.folder_tag, self._settings
        if self._audit is not None:
            self._exporter().clear_earlier_runs()
        importer = Importer(
            cordial=self._cordial,
            storage=self._storage,
            settings=settings,
            null_marker=self._null_marker,
            run_name=f"{pipeline}-{self._name}",
            run_started_at=dt.datetime.now(dt.timezone.utc) - dt.timedelta(hours=1),
            kinds=kinds,
            stopping=self.delivery.stopping,
            exporter=self._exporter(),
        )
        for url in self.bookmarks.storage_urls:
            wait_for_imports(importer, Location.parse(url, "storage_url").tag)
        if settings.mode == "audit":
            wait_for_imports(importer, pipeline, importer.storage.names())
        else:
            clear_earlier_runs(importer, pipeline)
        return LoggedImporter(importer, self._journal)

    def _progress(self) -> str | None:
        """How far the run is, asked from another thread; None as long as no record came."""
        if not self.delivery.records:
            return None
        read = f"{'All' if self._is_all_read else 'So far'} {self.delivery.records:,} records read"
        if self._audit is not None and self._is_all_read:
            return f"{read}; the lists are read back."
        return f"{read}; {self.delivery.progress()}."

    def _summarize(self, outcome: str, failure: BaseException | None) -> None:
        """Say in log, metrics and journal what the run did, or would do."""
        totals = self.delivery.totals
        records, rejects = self.delivery.records, self.delivery.rejects
        sizes = {} if self._lists is None else self._lists.sizes
        members = members_by_list(self.bookmarks)
        self._cordial.metrics.log_sum("Cordial", logger)
        if self._plan is not None:
            removals = self.delivery.removals
            for line in self._plan.lines(totals, sizes, removals, records=records, rejects=rejects.count):
                logger.info("Plan: %s", line)
        else:
            log_records(totals, rejects.count)
            # Lists that are held against all members have lines of their own.
            for line in list_lines(totals, sizes if self._audit is None else {}, members):
                logger.info("%s", line)
            if totals.inserted:
                logger.info(
                    "New in Cordial: %s; %s.",
                    counted(totals.inserted, "contact"),
                    new_contacts(self._settings),
                )
            seconds = time.monotonic() - self._started_at
            whole = run_line(
                totals, records=records, rejects=rejects.count, place=rejects.place, seconds=seconds
            )
            is_quiet = outcome == "done" and not rejects.has_lines
            logger.log(logging.INFO if is_quiet else logging.WARNING, "Run %s: %s", outcome, whole)
        record_ending(
            self._journal,
            outcome,
            failure,
            is_plan=self._plan is not None,
            holds_exits=isinstance(failure, ExitsHeldError),
            notify_url=self._settings.notify_url,
            started=self._started,
            records=records,
            lists=totals.journal_lists(sizes, members),
            imports=totals.imports,
            rejects=dict(totals.reject_reasons),
            values_skipped=dict(totals.values_skipped),
            rejected_by_cordial=totals.rejected,
        )
