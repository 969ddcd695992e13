"""Jobs of the Cordial account: imports and exports, as they run and as they are listed."""

from __future__ import annotations

import asyncio
import contextvars
import datetime as dt
import random
import threading
import typing as t
from concurrent.futures import ThreadPoolExecutor

from sandbox.account import Account
from sandbox.exporting import Exporting
from sandbox.faults import Faults
from sandbox.importfile import FailedImportError, read_file
from sandbox.importing import Importing
from sandbox.transports import TransportError, Transports

JOB_SECONDS = 0.01


class Jobs:
    """Runs jobs, each in its own time."""

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
        shown = {"status": "Processing"} if self._faults.is_on("jobs_listed_stale") else {}
        return {
            id_: {**job, **shown} if "parentJobId" in job["metadata"] else job
            for id_, job in self._account.jobs().items()
            if self._listed_at.get(id_, now) <= now and id_ not in held
        }

    async def start_import(self, body: dict[str, t.Any]) -> str:
        """Register an import."""
        seconds = self._faults.get("late_fetch")
        content = await self._transports.fetch(body["source"]) if seconds is None else None
        job_id = self._add_import(body)
        self._start(self._import(job_id, body, content, seconds or JOB_SECONDS))
        return job_id

    def start_import_later(self, body: dict[str, t.Any], seconds: float) -> None:
        """Register an import later, unless its file is gone by then."""
        self._start(self._import_later(body, seconds))

    def start_export(self, body: dict[str, t.Any]) -> str:
        """Register an export."""
        metadata: dict[str, t.Any] = {"exportType": str(body.get("exportType") or "csv")}
        if self._faults.get("job_names_absent") not in {"all", "exports"}:
            metadata |= {"name": body.get("name") or "", "lists": self._named(body.get("lists") or ())}
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
                **self._items(0),
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
        metadata: dict[str, t.Any] = {
            "fileName": str(source.get("path") or source.get("url") or "").rpartition("/")[2]
        }
        if parent is not None:
            metadata["parentJobId"] = parent
        if parent is None or self._faults.get("job_names_absent") not in {"all", "children"}:
            names = [name for names in body.get("lists", {}).values() for name in names]
            metadata |= {"importName": body.get("importName", ""), "lists": self._named(names)}
        return self._add("ImportContacts", metadata)

    def _named(self, lists: t.Iterable[str | int]) -> list[str]:
        """Lists as jobs tell them, however a call named them."""
        ids = {str(name): self._account.list_id(str(name)) for name in lists}
        names = self._account.lists()
        if self._faults.get("job_list_ids") is not None:
            return [str(id_ or name) for name, id_ in ids.items()]
        return [names.get(id_ or 0, name) for name, id_ in ids.items()]

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
            has_escapes = self._faults.get("csv_backslash") is not None
            header, rows = read_file(body, content, has_escapes=has_escapes)
            seconds = self._faults.get("slow_jobs") or 0
            children = self._faults.get("child_jobs")
            if children:
                # The parent is done at once; its children take their time.
                self._start_children(job_id, body, header, rows, seconds, children)
                counters = {}
            else:
                counters = self._counters(await self._imported(body, header, rows, seconds))
        except (FailedImportError, TransportError) as error:
            self._end(job_id, started, status="Failed", message=str(error))
            return
        self._end(job_id, started, status="Done", **counters)

    def _start_children(
        self,
        parent: str,
        body: dict[str, t.Any],
        header: list[str],
        rows: list[list[str]],
        seconds: float,
        children: int,
    ) -> None:
        for number in range(children):
            child = self._add_import(body, parent)
            self._account.change_job(child, status="Pending")
            wait_seconds = seconds * (number + 1) / children or 5 * JOB_SECONDS
            part = rows[number::children]
            self._start(self._import_part(child, body, header, part, wait_seconds, seconds))

    async def _import_part(
        self,
        job_id: str,
        body: dict[str, t.Any],
        header: list[str],
        rows: list[list[str]],
        wait_seconds: float,
        seconds: float,
    ) -> None:
        await asyncio.sleep(wait_seconds)
        started = _stamp()
        self._account.change_job(job_id, status="Processing", times={"start": started})
        await self._held_up("children")
        try:
            self._fail("children")
            counters = self._counters(await self._imported(body, header, rows, seconds))
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
            raise FailedImportError("Failed on purpose")

    async def _imported(
        self, body: dict[str, t.Any], header: list[str], rows: list[list[str]], seconds: float
    ) -> dict[str, int]:
        order = random.Random(self._order.random())  # noqa: S311 - order, not keys
        importing = Importing(self._account, self._faults, order)
        # The worker must know which call it works for: faults ask.
        run = contextvars.copy_context().run
        return dict(
            await asyncio.get_running_loop().run_in_executor(
                self._workers, run, importing.run, body, header, rows, seconds, self._stopping
            )
        )

    def _counters(self, counters: dict[str, int]) -> dict[str, t.Any]:
        if self._faults.get("counters_missing") is not None:
            return {}
        total = counters["totalRecords"] - (self._faults.get("counters_short") or 0)
        counters = {**counters, "totalRecords": total}
        if (uncounted := self._faults.get("rows_uncounted")) is not None:
            # The total counts them, and nothing else does.
            for name in ("inserted", "updated"):
                taken = min(uncounted, counters[name])
                counters[name] -= taken
                uncounted -= taken
        is_text = self._faults.get("counters_text") is not None
        result = {name: str(count) if is_text else count for name, count in counters.items()}
        return {"result": result, **self._items(total)}

    def _items(self, total: int) -> dict[str, t.Any]:
        """How many contacts a job has done."""
        if self._faults.get("counters_missing") is not None:
            return {}
        shown = str(total) if self._faults.get("counters_text") is not None else total
        return {"totalItems": shown, "completedItems": shown}

    async def _export(self, job_id: str, body: dict[str, t.Any]) -> None:
        await asyncio.sleep(self._faults.get("export_slow") or JOB_SECONDS)
        started = _stamp()
        self._account.change_job(job_id, status="Processing", times={"start": started})
        if self._faults.get("export_fails") is not None:
            self._end(job_id, started, status="Failed", message="Failed on purpose")
            return
        run = contextvars.copy_context().run
        exporting = Exporting(self._account, self._faults, body, job_id)
        files, contacts = await asyncio.get_running_loop().run_in_executor(
            self._workers, run, exporting.files
        )
        counters = self._items(contacts)
        late = self._faults.get("export_file_late")
        try:
            if late is not None:
                # Done is said before the files are there.
                self._end(job_id, started, status="Done", **counters)
                await asyncio.sleep(late)
            if (seconds := self._faults.get("export_half")) is not None:
                for name, content in files.items():
                    await self._transports.deliver(body["destination"], name, content[: len(content) // 2])
                self._end(job_id, started, status="Done", **counters)
                await asyncio.sleep(seconds)
            for name, content in files.items():
                await self._transports.deliver(body["destination"], name, content)
        except TransportError as error:
            self._end(job_id, started, status="Failed", message=str(error))
        else:
            self._end(job_id, started, status="Done", **counters)

    def _end(self, job_id: str, started: str, **changes: t.Any) -> None:
        if not self._stopping.is_set():
            self._account.change_job(job_id, times={"start": started, "end": _stamp()}, **changes)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def _stamp() -> str:
    return f"{_now():%Y-%m-%dT%H:%M:%SZ}"
