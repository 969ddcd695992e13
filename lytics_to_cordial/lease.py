"""One writer: a folder's `lease.json` says which run may write, and a run that lost it delivers nothing more."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import re
import secrets
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

import msgspec

from lytics_to_cordial.checklist import Checklist
from lytics_to_cordial.errors import TransientError, UserError
from lytics_to_cordial.files import Folder
from lytics_to_cordial.shared_file import Found, SharedFile

NAME = "lease.json"
BEAT_SECONDS = 15.0
BEAT_VARIABLE = "LYTICS_TO_CORDIAL_BEAT_SECONDS"
"""For tests, which have no minute to wait. All runs of a folder need the same."""
STALE_BEATS = 4
PATIENT_BEATS = 12
LOOKS_A_BEAT = 5
_LEFT = re.compile(r"[a-z]+\.json\.(?:[0-9a-f]{16}|[0-9a-f]{8}\.part)")

logger = logging.getLogger(__name__)


class LeaseHeldError(TransientError):
    """Another run writes."""


class LeaseLostError(TransientError):
    """Another run took over."""


class Holder(msgspec.Struct, frozen=True):
    """What `lease.json` holds; only `beat` changes while a run lives, and not in length.

    Attributes:
        run: A random name of the run.
        host: Where it runs.
        boot: When that started, and which processes see each other there; blank if nobody tells.
        process: Its process there.
        since: When it took the lease, UTC.
        beat: Another one every 15 seconds.
    """

    run: str = ""
    host: str = "an unknown host"
    boot: str = ""
    process: int = 0
    since: str = "an unknown time"
    beat: str = ""

    @property
    def is_dead(self) -> bool:
        """Whether it ran on this machine since it was started, and does no more."""
        if not self.boot or (self.host, self.boot) != (socket.gethostname(), _boot()):
            return False
        try:
            os.kill(self.process, 0)
        except ProcessLookupError:
            return True
        except OSError:
            pass
        return False


class Lease:
    """The lease of a folder, as a context in which it is held, or taken and released by hand.

    A lease is stale once this run saw no new beat of it for four of its own; nobody's clock counts.
    """

    def __init__(self, folder: Folder) -> None:
        self._file = SharedFile(folder, NAME)
        self._folder = folder
        self._beat_seconds = float(os.environ.get(BEAT_VARIABLE) or BEAT_SECONDS)
        self._own = Holder()
        self._lock = threading.Lock()
        self._released = threading.Event()

    def __enter__(self) -> None:
        self.take()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def take(self) -> None:
        """Wait for the lease, and keep it until `release`.

        Raises:
            LeaseHeldError: If another run keeps it.
        """
        self._own = Holder(
            run=secrets.token_hex(8),
            host=socket.gethostname(),
            boot=_boot(),
            process=os.getpid(),
            since=f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%d %H:%M:%S} UTC",
            beat=secrets.token_hex(4),
        )
        try:
            self._wait()
            self._clear()
        except BaseException:
            self._own = Holder()
            raise
        self._released.clear()
        threading.Thread(target=self._keep, name="lease", daemon=True).start()

    def check(self) -> None:
        """See that the lease is still this run's; asked right before each thing that must not come late.

        Raises:
            LeaseLostError: If it is not.
        """
        found = self._file.read()
        if found is None or _holder(found).run != self._own.run:
            raise LeaseLostError(
                f"Another run took over {self._folder}, as this one stood still for a while, so it delivers nothing more: what it did "
                "not deliver goes with the next run."
            )

    def show(self, checklist: Checklist) -> None:
        """Show who has it, and whether the storage can keep two runs apart; it is not taken."""
        trial = SharedFile(self._folder, f"lease-check-{secrets.token_hex(8)}.json")
        if trial.is_guarded():
            checklist.ok("lease", "of two runs at once the second waits; a check takes no lease")
        else:
            checklist.note(
                "lease",
                f"{self._folder} cannot refuse a write, so two runs that begin at once may both go on: see that no two do",
            )
        found = self._file.read()
        if found is not None:
            checklist.note("lease", self._held_by(found))

    def release(self) -> None:
        """Let the next run begin at once."""
        if not self._own.run:
            return
        self._released.set()
        # Where it cannot be deleted, the next run waits until it is stale.
        with self._lock, contextlib.suppress(UserError):
            found = self._file.read()
            if found is not None and _holder(found).run == self._own.run:
                self._file.delete()
        self._own = Holder()

    def _wait(self) -> None:
        content = msgspec.json.encode(self._own)
        seen: bytes | None = None
        begun = seen_at = time.monotonic()
        while True:
            found = self._file.read()
            if found is None:
                self._file.create(content)
                found = self._file.read()
            if found is not None and _holder(found).run == self._own.run:
                return
            if found is None:
                continue
            now = time.monotonic()
            if found.content != seen:
                if seen is None:
                    logger.info("%s: waiting for its end, or for its death.", self._held_by(found))
                seen, seen_at = found.content, now
            is_dead = _holder(found).is_dead
            if is_dead or now - seen_at >= STALE_BEATS * self._beat_seconds:
                logger.warning("%s, which is dead: this one takes over.", self._held_by(found))
                if self._file.replace(found, content) and not is_dead:
                    # Whoever tried the same at the same time, or wakes up right now, has shown up by then.
                    time.sleep(self._beat_seconds)
            elif now - begun >= PATIENT_BEATS * self._beat_seconds:
                raise LeaseHeldError(
                    f"{self._held_by(found)}, and goes on: nothing was sent, run again once it has ended."
                )
            else:
                time.sleep(self._beat_seconds / LOOKS_A_BEAT)

    def _clear(self) -> None:
        """Delete what runs that were killed left half written of this file and of others that several runs write."""
        with contextlib.suppress(UserError):
            for name in self._folder.names():
                if _LEFT.fullmatch(name):
                    self._folder.delete(name)

    def _held_by(self, found: Found) -> str:
        holder = _holder(found)
        return f"Another run writes to {self._folder}, on {holder.host} since {holder.since}"

    def _keep(self) -> None:
        """Beat until the lease is released or lost."""
        while not self._released.wait(self._beat_seconds):
            with self._lock, contextlib.suppress(UserError):
                found = self._file.read()
                if self._released.is_set() or found is None or _holder(found).run != self._own.run:
                    return
                beating = msgspec.structs.replace(self._own, beat=secrets.token_hex(4))
                self._file.update(found, msgspec.json.encode(beating))


def _holder(found: Found) -> Holder:
    """Who holds a lease; nobody who is known if the file is damaged, or not whole yet."""
    try:
        return msgspec.json.decode(found.content, type=Holder)
    except (msgspec.DecodeError, UnicodeError):
        return Holder()


def _boot() -> str:
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""
