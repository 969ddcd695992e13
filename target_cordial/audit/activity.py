"""Whether somebody else changes lists from the start of a run on: by imports, or by taking contacts on and off."""

from __future__ import annotations

import datetime as dt
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from lytics_to_cordial.errors import TransientError
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.jobs import Job
from target_cordial.cordial.lists import ContactList
from target_cordial.delivery.jobs import Jobs
from target_cordial.settings import Settings

_CLOCK_SKEW = dt.timedelta(hours=1)
_IMPORTS = "cordial-"
"""With which the names of all pipelines' imports begin."""


class MovedError(TransientError):
    """A list was changed meanwhile: nothing can be said about it."""

    def __init__(self) -> None:
        super().__init__(
            "A list was changed while its members were read, or while Cordial exported it, so it cannot be compared: run again when no import "
            "is under way."
        )


@dataclass(frozen=True)
class Look:
    """What lists are like at a time: how many contacts are on each by its id, and the imports that may have changed them."""

    sizes: dict[int, int]
    imports: Counter[Job]


class Activity:
    """Sees what others do to lists. Their members are those of the start of the run, or older.

    Args:
        run_name: With which the names of this run's own imports begin.
        interruptible: Makes a context in which waiting may be broken off.
    """

    _cordial: Cordial
    _jobs: Jobs

    def __init__(self, run_name: str, interruptible: Callable[[], AbstractContextManager[None]]) -> None:
        self._run_name = run_name
        self._interruptible = interruptible
        self._since = dt.datetime.now(dt.timezone.utc) - _CLOCK_SKEW
        self._earlier: list[Job] = []
        self._first_sizes: dict[int, int] = {}

    def begin(self, cordial: Cordial, settings: Settings) -> None:
        """Look which imports there are before the input is read."""
        self._cordial, self._jobs = cordial, Jobs(cordial, settings)
        with self._interruptible():
            self._earlier = self._jobs.listed(self._since)

    def watch(self, target_list: ContactList) -> None:
        """Remember how many contacts are on a list, as its first member comes."""
        with self._interruptible():
            self._first_sizes[target_list.id] = self._cordial.lists.size(target_list.id)

    def look(self, lists: Sequence[ContactList]) -> Look:
        """Look at lists.

        Raises:
            MovedError: If an import of others is under way, or came after the start; or if a list has another size than as it was watched.
        """
        imports = self._imports({name for each in lists for name in (each.name, str(each.id))})
        if not all(job.is_final for job in imports):
            raise MovedError
        ids = {job.id for job in self._earlier if job.id}
        if any(not {job.id, job.parent_id} & ids and job not in self._earlier for job in imports):
            raise MovedError
        sizes = {each.id: self._cordial.lists.size(each.id) for each in lists}
        # Once: later the run itself may have changed them.
        if any(self._first_sizes.pop(list_id, size) != size for list_id, size in sizes.items()):
            raise MovedError
        return Look(sizes, Counter(imports))

    def _imports(self, names: set[str]) -> list[Job]:
        """The imports of others that may change a list of these names; a child job goes by its parent, too."""
        listed = self._jobs.listed(self._since)
        parents: dict[str, Job | None] = {job.id: job for job in listed if job.id}
        found = []
        for job in listed:
            family = [job]
            if job.parent_id:
                if job.parent_id not in parents:
                    # It started long ago, and its child may be under way still.
                    parents[job.parent_id] = self._cordial.jobs.find(job.parent_id)
                parent = parents[job.parent_id]
                family += [] if parent is None else [parent]
            is_own = any(str(each.import_name).startswith(self._run_name) for each in family)
            if not is_own and any(_may_change(each, names) for each in family):
                found.append(job)
        return found


def _may_change(job: Job, names: set[str]) -> bool:
    if job.lists:
        return bool(job.lists & names)
    return str(job.import_name).startswith(_IMPORTS)
