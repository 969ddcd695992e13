"""Threads that bring import files into Cordial side by side."""

from __future__ import annotations

import threading
import typing as t
from collections.abc import Callable

from lytics_to_cordial.errors import UserError, as_user_error
from lytics_to_cordial.signals import StopSignal
from target_cordial.delivery.imports import ImportResult
from target_cordial.delivery.naming import LostRows
from target_cordial.delivery.order import ImportFile, ImportOrder
from target_cordial.delivery.registration import Stopped

Judge: t.TypeAlias = Callable[[ImportFile, ImportResult], None]


class FileImporter(t.Protocol):
    """What brings files into Cordial: `imports.Importer`, or a plan, which only counts them."""

    def deliver(self, file: ImportFile) -> ImportResult:
        """Bring one file into Cordial.

        Raises:
            Stopped: If the run ends before the file is registered.
            UserError: If it cannot be imported; the sentence says why.
        """
        ...

    def name_lost_rows(self) -> list[tuple[ImportFile, ImportResult, LostRows]]:
        """Name the rows of large files that are not in Cordial, once all are imported; each file, what was known of it, and the rows."""
        ...

    def finish(self) -> None:
        """See that what was imported is still there; raises `UserError` if not."""
        ...


class Workers:
    """Import threads, each of which takes the next file, delivers it, and acknowledges what is true then.

    Attributes:
        lock: Guards all that these threads share with the one that reads the input.
        stopping: Set when nothing more is to be registered.

    Args:
        order: The files.
        signal: May break off a wait.
        judge: Called under the lock with each file that Cordial took; raises `UserError` if it must not be acknowledged.
        acknowledge: Called under the lock when a file is final.
    """

    def __init__(
        self, order: ImportOrder, signal: StopSignal, judge: Judge, acknowledge: Callable[[], None]
    ) -> None:
        self.lock = threading.RLock()
        self.stopping = threading.Event()
        self._changed = threading.Condition(self.lock)
        self._failure: UserError | None = None
        self._is_over = False
        self._order = order
        self._signal = signal
        self._judge = judge
        self._acknowledge = acknowledge

    def start(self, importer: FileImporter, threads: int) -> None:
        """Begin to import."""
        for number in range(threads):
            threading.Thread(
                target=self._work, args=(importer,), name=f"import-{number}", daemon=True
            ).start()

    def wake(self) -> None:
        """Let idle threads look for files again."""
        with self._changed:
            self._changed.notify_all()

    def wait(self, is_enough: Callable[[], bool]) -> None:
        """Wait until something is so; raise the failure of an import instead, if one failed."""
        # A signal that came before the lock is held would leave it locked.
        with self._changed, self._signal.interruptible():
            self._changed.wait_for(lambda: is_enough() or self._failure is not None)
        self.raise_failure()

    def raise_failure(self) -> None:
        """Raise the failure of the first import that failed, if one did."""
        if self._failure is not None:
            raise self._failure

    def fail(self, failure: UserError) -> None:
        """Register nothing more, and keep the first reason."""
        with self._changed:
            self._failure = self._failure or failure
            self.stopping.set()
            self._changed.notify_all()

    def drain(self) -> None:
        """Register nothing more, and wait until what is registered came to its end."""
        self.stopping.set()
        with self._changed, self._signal.interruptible():
            self._changed.wait_for(self._is_idle)

    def stop(self, wait_seconds: float) -> None:
        """Register nothing more, and give what is registered some time to end; what ends later counts no more."""
        self.stopping.set()
        with self._changed:
            self._changed.wait_for(self._is_idle, timeout=wait_seconds)
            self._is_over = True
            self._changed.notify_all()

    def _is_idle(self) -> bool:
        return not self._order.under_way

    def _work(self, importer: FileImporter) -> None:
        while (file := self._next_file()) is not None:
            is_done = False
            failure: UserError | None = None
            try:
                result = importer.deliver(file)
                with self.lock:
                    if self._is_over:
                        return
                    self._judge(file, result)
                is_done = True
            except Stopped:
                pass
            except Exception as error:  # noqa: BLE001 - a thread that dies silently would leave the run waiting for ever
                failure = as_user_error(error)
            with self._changed:
                if is_done:
                    self._order.finish(file)
                    self._acknowledge()
                else:
                    self._order.give_up(file)
                if failure is not None:
                    self.fail(failure)
                self._changed.notify_all()

    def _next_file(self) -> ImportFile | None:
        with self._changed:
            while not self.stopping.is_set():
                file = self._order.start_next()
                if file is not None:
                    # There may be room again for what is read.
                    self._changed.notify_all()
                    return file
                self._changed.wait()
            return None
