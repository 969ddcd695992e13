"""Jobs of the Cordial account: imports and exports, as they run and as they are listed."""

from __future__ import annotations

import asyncio
import contextvars
import csv
import datetime as dt
import io
import random
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor

from sandbox.exporting import export, export_name
from sandbox.importing import FailedImportError, Importing, parse
from sandbox.transports import TransportError

if t.TYPE_CHECKING:
    from sandbox.account import Account
    from sandbox.faults import Faults
    from sandbox.transports import Transports

JOB_SECONDS = 0.01


class Jobs:
    """Runs jobs, each in its own time.

    Args:
        account: The account.
        faults: What goes wrong.
        transports: How files are reached.
        seed: Decides the order of imported rows.
    """

    def __init__(self, account: Account, faults: Faults, transports: Transports, seed: int) -> None:
        self._account = account
        self._faults = faults
        self._transports = transports
        self._order = random.Random(seed)  # noqa: S311 - order, not keys
        self._workers = ThreadPoolExecutor(8, thread_name_prefix="cordial")
        self._running: set[asyncio.Task[None]] = set()
        self._listed_at: dict[str, dt.datetime] = {}
        self._held: set[str] = set()
        self._stopping = threading.Event()

    @property
    def is_idle(self) -> bool:
        """Whether no job is under way."""
        return not self._running

    async def close(self) -> None:
        """End all jobs that are under way; the account keeps them as they are."""
        self._stopping.set()
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        self._workers.shutdown(wait=True)

    def listed(self) -> dict[str, dict[str, t.Any]]:
        """The jobs that a list of jobs shows, by id."""
        now = _now()
        held = self._held if self._faults.is_on("listing_held") else ()
        return {
            id_: job
            for id_, job in self._account.jobs().items()
            if self._listed_at.get(id_, now) <= now and id_ not in held
        }

    async def start_import(self, body: dict[str, t.Any]) -> str:
        """Register an import.

        Args:
            body: The import call (Cordial Swagger v2: ContactImportJob).

        Returns:
            Its job's id.

        Raises:
            TransportError: If the file cannot be read; nothing is registered.
        """
        seconds = self._faults.get("late_fetch")
        content = await self._transports.fetch(body["source"]) if seconds is None else None
        job_id = self._add_import(body)
        self._start(self._import(job_id, body, content, seconds or JOB_SECONDS))
        return job_id

    def start_import_later(self, body: dict[str, t.Any], seconds: float) -> None:
        """Register an import later, unless its file is gone by then.

        Args:
            body: The import call.
            seconds: When.
        """
        self._start(self._import_later(body, seconds))

    def start_export(self, body: dict[str, t.Any]) -> str:
        """Register an export.

        Args:
            body: The export call (Cordial Swagger v2: SourceCE).

        Returns:
            Its job's id.
        """
        metadata = {
            "name": body.get("name", ""),
            "exportType": str(body.get("exportType", "csv")),
            "lists": [str(name) for name in body.get("lists", ())],
        }
        job_id = self._add("ExportContacts", metadata)
        self._start(self._export(job_id, body))
        return job_id

    def _start(self, work: t.Coroutine[t.Any, t.Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    def _add(self, name: str, metadata: dict[str, t.Any]) -> str:
        job_id = self._account.add_job(
            {
                "status": "Scheduled",
                "jobName": name,
                "totalItems": 0,
                "completedItems": 0,
                "times": {},
                "metadata": metadata,
            }
        )
        late = self._faults.get("jobs_listed_late")
        if late is not None:
            self._listed_at[job_id] = _now() + dt.timedelta(seconds=late)
        held = self._faults.get("listing_held")
        if held == "all" or (held == "children" and "parentJobId" in metadata):
            self._held.add(job_id)
        return job_id

    def _add_import(self, body: dict[str, t.Any], parent: str | None = None) -> str:
        source = body["source"]
        metadata = {
            "importName": body.get("importName", ""),
            "fileName": str(source.get("path") or source.get("url") or "").rpartition("/")[2],
            "lists": [str(name) for names in body.get("lists", {}).values() for name in names],
        }
        return self._add(
            "ImportContacts", metadata if parent is None else {**metadata, "parentJobId": parent}
        )

    async def _import_later(self, body: dict[str, t.Any], seconds: float) -> None:
        await asyncio.sleep(seconds)
        while self._faults.is_on("zombie_held"):  # noqa: ASYNC110 - another thread clears it
            await asyncio.sleep(JOB_SECONDS)
        try:
            content = await self._transports.fetch(body["source"])
        except TransportError:
            return
        await self._import(self._add_import(body), body, content, JOB_SECONDS)

    async def _import(
        self, job_id: str, body: dict[str, t.Any], content: bytes | None, wait_seconds: float
    ) -> None:
        await asyncio.sleep(wait_seconds)
        if (seconds := self._faults.get("job_throttled")) is not None:
            self._account.change_job(job_id, status="Throttled")
            await asyncio.sleep(seconds)
        started = _stamp()
        self._account.change_job(job_id, status="Processing", times={"start": started})
        await self._held_up("import")
        try:
            if content is None:
                content = await self._transports.fetch(body["source"])
            self._fail("import")
            seconds = self._faults.get("slow_jobs") or 0
            children = self._faults.get("child_jobs")
            if children:
                # The parent is done at once; its children take their time.
                self._start_children(job_id, body, content, seconds, children)
                counters = {}
            else:
                counters = self._counters(await self._imported(body, content, seconds))
        except (FailedImportError, TransportError) as error:
            self._end(job_id, started, status="Failed", message=str(error))
            return
        self._end(job_id, started, status="Done", **counters)

    def _start_children(
        self, parent: str, body: dict[str, t.Any], content: bytes, seconds: float, children: int
    ) -> None:
        header, rows = parse(body, content)
        first = [header] if body.get("hasHeader") else []
        for number in range(children):
            part = io.StringIO()
            writer = csv.writer(part, delimiter=body.get("delimiter") or ",", lineterminator="\r\n")
            writer.writerows([*first, *rows[number::children]])
            child = self._add_import(body, parent)
            self._account.change_job(child, status="Pending")
            wait_seconds = seconds * (number + 1) / children or 5 * JOB_SECONDS
            self._start(self._import_part(child, body, part.getvalue().encode(), wait_seconds, seconds))

    async def _import_part(
        self, job_id: str, body: dict[str, t.Any], content: bytes, wait_seconds: float, seconds: float
    ) -> None:
        await asyncio.sleep(wait_seconds)
        started = _stamp()
        self._account.change_job(job_id, status="Processing", times={"start": started})
        await self._held_up("children")
        try:
            self._fail("children")
            counters = self._counters(await self._imported(body, content, seconds))
        except FailedImportError as error:
            self._end(job_id, started, status="Failed", message=str(error))
        else:
            self._end(job_id, started, status="Done", **counters)

    async def _held_up(self, who: str) -> None:
        if self._faults.get("job_never_ends") == who:
            while self._faults.is_on("job_never_ends"):  # noqa: ASYNC110 - another thread clears it
                await asyncio.sleep(JOB_SECONDS)

    def _fail(self, who: str) -> None:
        if self._faults.get("job_fails") == who:
            msg = "Failed on purpose"
            raise FailedImportError(msg)

    async def _imported(self, body: dict[str, t.Any], content: bytes, seconds: float) -> dict[str, int]:
        order = random.Random(self._order.random())  # noqa: S311 - order, not keys
        importing = Importing(self._account, self._faults, order)
        # The worker must know which call it works for: faults ask.
        run = contextvars.copy_context().run
        return dict(
            await asyncio.get_running_loop().run_in_executor(
                self._workers, run, importing.run, body, content, seconds, self._stopping
            )
        )

    def _counters(self, counters: dict[str, int]) -> dict[str, t.Any]:
        if self._faults.get("counters_missing") is not None:
            return {}
        total = counters["totalRecords"] - (self._faults.get("counters_short") or 0)
        counters = {**counters, "totalRecords": total}
        if self._faults.get("counters_text") is not None:
            return {
                "result": {name: str(count) for name, count in counters.items()},
                "totalItems": str(total),
                "completedItems": str(total),
            }
        return {"result": counters, "totalItems": total, "completedItems": total}

    async def _export(self, job_id: str, body: dict[str, t.Any]) -> None:
        await asyncio.sleep(JOB_SECONDS)
        started = _stamp()
        self._account.change_job(job_id, status="Processing", times={"start": started})
        loop = asyncio.get_running_loop()
        content = await loop.run_in_executor(self._workers, export, self._account, body)
        try:
            await self._transports.deliver(body["destination"], export_name(body, job_id), content)
        except TransportError as error:
            self._end(job_id, started, status="Failed", message=str(error))
        else:
            self._end(job_id, started, status="Done")

    def _end(self, job_id: str, started: str, **changes: t.Any) -> None:
        if not self._stopping.is_set():
            self._account.change_job(job_id, times={"start": started, "end": _stamp()}, **changes)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def _stamp() -> str:
    return f"{_now():%Y-%m-%dT%H:%M:%SZ}"
