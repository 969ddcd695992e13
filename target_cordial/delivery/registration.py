"""Registering an import file with Cordial, also when nobody knows whether an earlier call arrived."""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import threading
import typing as t
from dataclasses import dataclass

from target_cordial.cordial.api import Cordial
from target_cordial.cordial.errors import SourceUnreadableError, UnansweredError
from target_cordial.cordial.jobs import Job
from target_cordial.delivery.jobs import LOOKUPS, ImportFailedError, Jobs
from target_cordial.storage.storage import Storage

REGISTRATIONS = 4
"""How often a file is registered, under a new name each time, when nobody knows what became of the earlier call."""
SOURCE_TRIES = 3

logger = logging.getLogger("target-cordial")


class Stopped(Exception):  # noqa: N818 - not an error: the run was told to end
    """The run ends; what is not registered yet goes with the next run."""


@dataclass(frozen=True)
class Registrar:
    """Registers files that are in the storage.

    Attributes:
        cordial: The account.
        storage: Where Cordial fetches files from.
        jobs: The account's import jobs.
        run_started_at: No job of this run started earlier.
        stopping: Set when nothing more is to be registered.
    """

    cordial: Cordial
    storage: Storage
    jobs: Jobs
    run_started_at: dt.datetime
    stopping: threading.Event

    def register(self, name: str, options: dict[str, t.Any]) -> tuple[list[str], str]:
        """Register the file of a name; when a call's answer was lost, nobody knows whether it was, which is settled in four steps.

        Returns:
            All names under which it was registered, and the id of the last job.
        """
        names = [name]
        while True:
            try:
                return names, self._start(names[-1], options)
            except UnansweredError as error:
                # 1. The call may have arrived: then its job is listed sooner or later.
                job = self._look_up(names[-1])
                if job is not None:
                    logger.warning("Import %s was registered although its answer was lost.", names[-1])
                    return names, job.id
                # 2. Tries have an end.
                if len(names) == REGISTRATIONS:
                    raise ImportFailedError(
                        f"Import {name} could not be registered in {REGISTRATIONS} tries ({error}) "
                        "What it holds is not acknowledged: run again."
                    ) from error
            if self.stopping.is_set():
                raise Stopped
            # 3. A call that still arrives now finds no file under the name that it was given.
            new_name = f"{name}-{len(names) + 1}"
            self.storage.rename(f"{names[-1]}.csv", f"{new_name}.csv")
            logger.warning(
                "Nobody knows whether import %s was registered; registering it as %s.", names[-1], new_name
            )
            # 4. The file goes again, and whoever waits for it waits for the jobs of all its names.
            names.append(new_name)

    def _start(self, name: str, options: dict[str, t.Any]) -> str:
        body = {**options, "importName": name, "source": self.storage.source(f"{name}.csv")}
        for tries_left in range(SOURCE_TRIES - 1, -1, -1):
            if self.stopping.is_set():
                raise Stopped
            # The file is there already: should this run stand still from here on, whoever takes over puts it aside, and the call finds none.
            self.storage.lease.check()
            try:
                return self.cordial.imports.start(body)
            except SourceUnreadableError:
                if not tries_left:
                    raise
                self.jobs.pause()
        raise AssertionError

    def _look_up(self, name: str) -> Job | None:
        """The job of a call whose answer was lost, when it is listed within the grace period."""
        for _ in range(LOOKUPS):
            with contextlib.suppress(UnansweredError):
                for job in self.jobs.listed(self.run_started_at):
                    if job.import_name == name:
                        return job if job.parent_id is None else Job(id=job.parent_id, status="")
            self.jobs.pause()
        return None
