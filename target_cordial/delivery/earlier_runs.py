"""What an earlier run of the pipeline left when it was killed: import files, and imports that are still under way."""

from __future__ import annotations

import datetime as dt
import logging
import typing as t

from lytics_to_cordial.files import PART_SUFFIX
from target_cordial.cordial.api import Cordial
from target_cordial.cordial.jobs import Job
from target_cordial.delivery.imports import Importer
from target_cordial.delivery.jobs import LOOKUPS, ImportFailedError
from target_cordial.run_name import time_of_run

ASIDE_SUFFIX = ".left"
_CLOCK_SKEW = dt.timedelta(hours=1)

logger = logging.getLogger("target-cordial")


def clear_earlier_runs(importer: Importer, pipeline: str) -> None:
    """Delete the import files that an earlier run left, and wait for imports of it that are still under way.

    A file goes when its import is done. So a file that is left may belong to an import that is not listed yet, or whose
    children are not. The list of jobs is read for as long as it takes a job to be listed. Until then the file stays under
    another name: should this run be killed too, the next one looks as long.

    Args:
        importer: This run's importer.
        pipeline: The tag with which all names of the pipeline begin.

    Raises:
        UserError: If an earlier import does not come to an end.
    """
    prefix = f"{pipeline}-"
    left = []
    for name in importer.storage.names():
        if name.startswith(prefix) and name.endswith(PART_SUFFIX):
            # 1. A file whose upload was broken off goes at once: no import is registered before its file is whole.
            importer.storage.delete(name)
        elif name.startswith(prefix):
            # 2. A call that is still on its way finds nothing to import.
            left.append(_put_aside(name, importer))
    # 3. What was registered comes to its end before this run imports anything.
    _wait_for_imports(left, prefix, importer)
    for name in left:
        importer.storage.delete(name)


def wait_for_imports(importer: Importer, pipeline: str, names: t.Iterable[str] = ()) -> None:
    """Wait for imports of the pipeline, from this folder or one that it used before, and leave all files where they are.

    Args:
        importer: This run's importer.
        pipeline: The tag of the folder.
        names: The files in it, where that is known.

    Raises:
        UserError: If one does not come to an end.
    """
    prefix = f"{pipeline}-"
    files = [name for name in names if name.startswith(prefix) and not name.endswith(PART_SUFFIX)]
    _wait_for_imports(files, prefix, importer)


def _put_aside(name: str, importer: Importer) -> str:
    aside = name.removesuffix(ASIDE_SUFFIX) + ASIDE_SUFFIX
    if aside != name:
        importer.storage.rename(name, aside)
    return aside


def _wait_for_imports(left: list[str], prefix: str, importer: Importer) -> None:
    started = {name.split(".")[0]: time_of_run(name.removeprefix(prefix)) for name in left}
    # Imports of which no job says yet that they are over.
    open_imports = {name for name, time in started.items() if time is not None}
    since = min(
        (time - _CLOCK_SKEW for time in started.values() if time is not None), default=importer.run_started_at
    )
    looks_left = LOOKUPS if open_imports else 1
    is_settled = not open_imports
    # What was waited for is final, also where the list of jobs is older.
    ended: dict[str, Job] = {}
    while looks_left:
        looks_left -= 1
        listed = [ended.get(job.id, job) for job in importer.jobs.listed(since)]
        open_imports -= {str(job.import_name) for job in listed if _is_over(job)}
        unfinished = [
            (job, name)
            for job in listed
            if not job.is_final and (name := _import_name(job, importer.cordial)).startswith(prefix)
        ]
        for job, name in unfinished:
            ended[job.id] = _wait_for(job.id, name, importer)
        is_quiet = not unfinished and not open_imports
        if is_quiet and is_settled:
            return
        if is_quiet or unfinished:
            # What ended just now, or while jobs were listed, may have left children.
            looks_left = max(looks_left, LOOKUPS if open_imports else 1)
        is_settled = is_quiet
        if looks_left and not is_settled:
            importer.jobs.pause()


def _is_over(job: Job) -> bool:
    """Whether an import is over, also where its children are not listed yet."""
    is_counted = bool(job.total_records) and job.outcomes >= (job.total_records or 0)
    return job.parent_id is None and (job.status == "Failed" or is_counted)


def _wait_for(job_id: str, name: str, importer: Importer) -> Job:
    logger.info("Waiting for import %s of an earlier run (job %s).", name, job_id)
    try:
        return importer.jobs.wait_for(job_id, name)
    except ImportFailedError as error:
        raise ImportFailedError(
            f"Import {name} of an earlier run (job {job_id}) does not come to an end, and new imports could "
            "be overtaken by it: ask Cordial's support to end the job, or set storage_url to a new folder once it is harmless."
        ) from error


def _import_name(job: Job, cordial: Cordial) -> str:
    """A job's import name; a child that has none goes by its parent's."""
    if not job.import_name and job.parent_id:
        parent = cordial.jobs.find(job.parent_id)
        return str(parent and parent.import_name)
    return str(job.import_name)
