"""Messages become files in `triggers_url`: those of half a second together, so that a million messages are not a million objects."""

from __future__ import annotations

import asyncio
import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from lytics_to_cordial.errors import UserError, as_user_error
from lytics_to_cordial.files import Folder

GATHER_SECONDS = 0.5
FILE_BYTES = 8 << 20
"""The tap reads files of up to 64 MB."""


@dataclass
class _Gathered:
    """The messages of a file that is to be written.

    Attributes:
        written: Done once it was tried, with what went wrong.
    """

    written: asyncio.Future[UserError | None]
    lines: list[bytes] = field(default_factory=list)
    size: int = 0


class Landing:
    """Writes messages to a folder. All its calls come from one event loop.

    Attributes:
        files: How many files were written.
        failure: What went wrong with the last file, if anything did.
    """

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._gathered: _Gathered | None = None
        self._writing: set[asyncio.Task[None]] = set()
        self.files = 0
        self.failure: UserError | None = None

    async def land(self, messages: Sequence[bytes]) -> None:
        """Come back once messages, a line each, are durable.

        Raises:
            UserError: If they are not; some of them may be.
        """
        written = list(dict.fromkeys(self._gather(message) for message in messages))
        if written:
            # Each is waited for by other posts too, and this way none is cancelled with this one.
            await asyncio.wait(written)
        for failure in (future.result() for future in written):
            if failure is not None:
                raise failure

    def _gather(self, message: bytes) -> asyncio.Future[UserError | None]:
        loop = asyncio.get_running_loop()
        if self._gathered is None:
            self._gathered = _Gathered(loop.create_future())
            loop.call_later(GATHER_SECONDS, self._close, self._gathered)
        gathered = self._gathered
        gathered.lines.append(message)
        gathered.size += len(message)
        if gathered.size >= FILE_BYTES:
            self._close(gathered)
        return gathered.written

    def _close(self, gathered: _Gathered) -> None:
        if self._gathered is gathered:
            self._gathered = None
            task = asyncio.get_running_loop().create_task(self._write(gathered))
            # The loop itself keeps no hold of it.
            self._writing.add(task)
            task.add_done_callback(self._writing.discard)

    async def _write(self, gathered: _Gathered) -> None:
        name = f"{dt.datetime.now(dt.timezone.utc):%Y/%m/%d/%H/%M%S}-{secrets.token_hex(8)}.jsonl"
        self.failure = None
        try:
            await asyncio.to_thread(self._folder.put, name, b"\n".join([*gathered.lines, b""]))
            self.files += 1
        except Exception as error:  # noqa: BLE001 - whatever it is, those who wait have to know
            self.failure = as_user_error(error)
        gathered.written.set_result(self.failure)
