"""Runs tap-lytics-audience: inside this process, which is quick, or as a process of its own.

from tests.tap.running import run

first = run(box.tap_config())
box.world.leave("vip_customers", somebody)
second = run(box.tap_config(), first.state)
assert second.changes == ["exit"]
"""

from __future__ import annotations

import collections
import contextlib
import copy
import io
import json
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lytics_to_cordial.errors import UserError
from tap_lytics_audience.tap import TapLyticsAudience
from tests.plugin_processes import PIPE, start

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from singer_sdk import Stream

    from tests.plugin_processes import PluginProcess

COMMAND = shutil.which("tap-lytics-audience", path=str(Path(sys.executable).parent)) or "tap-lytics-audience"
STREAM = "audience_members"
AUDIENCE = "vip_customers"
"""The sandbox's own, unless told otherwise."""
TIMEOUT_SECONDS = 60

Message = dict[str, Any]


@dataclass
class Result:
    """What a run wrote, and how it ended.

    Attributes:
        messages: The messages, in order.
        error: The sentence that it ended with; blank if it ended well.
    """

    messages: list[Message]
    error: str = ""

    @property
    def records(self) -> list[dict[str, Any]]:
        """The records of audience members, in order."""
        return [
            message["record"]
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] == STREAM
        ]

    @property
    def changes(self) -> list[str]:
        """Why each of them was sent."""
        return [record["audience_change"] for record in self.records]

    @property
    def counts(self) -> dict[str, int]:
        """How many there are of each change."""
        return dict(collections.Counter(self.changes))

    @property
    def states(self) -> list[dict[str, Any]]:
        """The states, in order."""
        return [message["value"] for message in self.messages if message["type"] == "STATE"]

    @property
    def state(self) -> dict[str, Any]:
        """The last state, for the next run."""
        return copy.deepcopy(self.states[-1])

    @property
    def schema(self) -> dict[str, Any]:
        """The schema of audience members."""
        return next(
            message["schema"]
            for message in self.messages
            if message["type"] == "SCHEMA" and message["stream"] == STREAM
        )

    def of(self, change: str) -> list[str]:
        """The addresses of the records of one change."""
        return [record["email"] for record in self.records if record["audience_change"] == change]


def run(
    config: Mapping[str, Any],
    state: Mapping[str, Any] | None = None,
    *,
    fields: Iterable[str] | None = None,
    output: io.RawIOBase | None = None,
) -> Result:
    """Run the tap inside this process.

    Args:
        config: Settings, such as `box.tap_config()`.
        state: The state of the last run; it is left as it is.
        fields: The profile fields to select; all by default.
        output: Where to write the messages as well; what it raises ends the run.
    """
    written = Written(output)
    error = ""
    stdout = io.TextIOWrapper(written, encoding="utf-8", write_through=True)
    try:
        with contextlib.redirect_stdout(stdout):
            tap = TapLyticsAudience(config=dict(config), state=copy.deepcopy(dict(state or {})))
            if fields is not None:
                select(tap.streams[STREAM], fields)
            tap.sync_all()
    except UserError as told:
        error = str(told)
    finally:
        stdout.detach()
    return Result(written.messages, error)


class Written(io.RawIOBase):
    """Standard output that remembers what was written to it."""

    def __init__(self, also: io.RawIOBase | None = None) -> None:
        self._also = also
        self._content = io.BytesIO()

    def writable(self) -> bool:
        return True

    def write(self, content: Any) -> int:
        if self._also is not None:
            self._also.write(content)
        return self._content.write(content)

    @property
    def messages(self) -> list[Message]:
        return [json.loads(line) for line in self._content.getvalue().splitlines()]


def select(stream: Stream, fields: Iterable[str]) -> None:
    """Select some profile fields of a stream and no others."""
    wanted = set(fields)
    for breadcrumb, entry in stream.metadata.items():
        if breadcrumb:
            entry.selected = breadcrumb[-1] in wanted


@dataclass
class Ended:
    """How a process ended.

    Attributes:
        code: The exit code; negative if a signal ended it.
        output: Everything on standard output.
        log: Everything on standard error.
        leftovers: Files that it left in its temporary folder.
    """

    code: int
    output: bytes
    log: str
    leftovers: list[str] = field(default_factory=list)

    @property
    def result(self) -> Result:
        """Its messages; a line that is no JSON fails the test."""
        return Result([json.loads(line) for line in self.output.splitlines()], self.sentence)

    @property
    def sentence(self) -> str:
        """The sentence that it ended with; blank if it ended well."""
        found = [line for line in self.log.splitlines() if "CRITICAL" in line]
        return found[-1] if found else ""


@contextlib.contextmanager
def started(
    config: Mapping[str, Any] | bytes,
    state: Mapping[str, Any] | None = None,
    *,
    arguments: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
) -> Iterator[PluginProcess]:
    """Start the tap as a process, in a folder of its own; it is killed if it still runs at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="tap-test-") as folder:
        place = Path(folder)
        (place / "tmp").mkdir()
        content = config if isinstance(config, bytes) else json.dumps(config).encode()
        (place / "config.json").write_bytes(content)
        arguments = ["--config", str(place / "config.json"), *arguments]
        if state is not None:
            (place / "state.json").write_text(json.dumps(state), encoding="utf-8")
            arguments += ["--state", str(place / "state.json")]
        process = start(
            "tap-lytics-audience",
            arguments,
            stdout=PIPE,
            stderr=PIPE,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(place / "tmp"), **(env or {})},
        )
        try:
            yield process
        finally:
            process.kill()
            process.wait(TIMEOUT_SECONDS)
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()


def ended(process: PluginProcess, timeout: float = TIMEOUT_SECONDS) -> Ended:
    """Wait for the end of a process."""
    output, log = process.communicate(timeout=timeout)
    temporary = Path(str(process.args[2])).with_name("tmp")
    leftovers = sorted(str(path.relative_to(temporary)) for path in temporary.rglob("*"))
    return Ended(process.returncode, output, log.decode(), leftovers)


def run_process(
    config: Mapping[str, Any] | bytes,
    state: Mapping[str, Any] | None = None,
    **options: Any,
) -> Ended:
    """Run the tap as a process until it ends; see `started`."""
    with started(config, state, **options) as process:
        return ended(process)


def audience_id(box: Any, name: str = AUDIENCE) -> str:
    return str(box.world.audience(name).id)


def bookmark(state: Mapping[str, Any], box: Any, name: str = AUDIENCE) -> dict[str, Any]:
    """What a state says of an audience."""
    found: dict[str, Any] = state["bookmarks"][STREAM]["audiences"][audience_id(box, name)]
    return found


def ledger_files(box: Any) -> list[Path]:
    """The files of all audiences in the sandbox's ledger, in the order of their numbers."""
    paths = [path for path in (box.folder / "ledger").glob("*/*") if path.is_file()]
    return sorted(
        paths, key=lambda path: (path.parent, int(path.name.split("-")[1]) if "-" in path.name else 0)
    )


def somebody(box: Any, name: str = AUDIENCE, *, number: int = 0) -> str:
    """The `_id` of a member who shares their address with nobody."""
    alone = [ids[0] for ids in box.world.keys(name).values() if len(ids) == 1]
    return alone[number]


def key_of(box: Any, id_: str) -> str:
    """The member key of a profile."""
    return str(box.world.profiles.key(id_))
