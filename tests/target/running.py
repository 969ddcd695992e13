"""Runs the real target-cordial: Singer messages in; exit code, states and log out.

from tests.target.running import AUDIENCE_SCHEMA, enter, exit_, run, state

result = run(box.target_config(), [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada"), state({"at": 1})])
assert result.code == 0, result.log
assert result.states == [{"at": 1}]
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.people import FIELD_MAPPING
from tests.plugin_processes import PIPE, start

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from sandbox import Sandbox
    from tests.plugin_processes import PluginProcess

COMMAND = shutil.which("target-cordial", path=str(Path(sys.executable).parent)) or "target-cordial"
STREAM = "audience_members"
LIST = "Lytics_VIP_Customers"
"""Where `enter` and `exit_` go, unless told otherwise."""
LISTS_A_LOOK = 6
"""How many lists of jobs, one a status, the target asks for each time that it looks for jobs."""
TIMEOUT_SECONDS = 120


@dataclass
class Result:
    """How a run ended.

    Attributes:
        code: The exit code; negative if a signal ended it.
        output: Everything on standard output.
        log: Everything on standard error.
        leftovers: Files that it left in its temporary folder.
    """

    code: int
    output: str
    log: str
    leftovers: list[str] = field(default_factory=list)

    @property
    def states(self) -> list[Any]:
        """The acknowledged states, in order; anything else on standard output fails the test."""
        return [json.loads(line) for line in self.output.splitlines()]

    @property
    def message(self) -> str:
        """The sentence that the run ended with, or the last failure of a check; blank if it ended well."""
        found = [line for line in self.log.splitlines() if "CRITICAL" in line]
        found = found or [line for line in self.output.splitlines() if line.startswith("failed ")]
        return found[-1] if found else ""


class Running:
    """A target that runs, and takes messages as they are written to it."""

    def __init__(
        self, process: PluginProcess, temporary: Path, on_state: Callable[[Any], None] | None = None
    ) -> None:
        self.process = process
        self.temporary = temporary
        self._on_state = on_state
        self._output: list[bytes] = []
        self._log: list[bytes] = []
        self._states: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._readers = [
            threading.Thread(target=self._read_output, daemon=True),
            threading.Thread(target=self._read_log, daemon=True),
        ]
        for reader in self._readers:
            reader.start()

    def write(self, messages: Iterable[Mapping[str, Any] | bytes]) -> None:
        """Send messages; those that a target which has ended does not take are lost."""
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            for message in messages:
                self.process.stdin.write(line(message))
            self.process.stdin.flush()

    def end_input(self) -> None:
        assert self.process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()

    def next_state(self, timeout: float = TIMEOUT_SECONDS) -> Any:
        """Wait for the next acknowledged state."""
        return self._states.get(timeout=timeout)

    @property
    def whole_states(self) -> list[Any]:
        """The states that it wrote to their ends."""
        return [json.loads(text) for text in list(self._output) if text.endswith(b"\n")]

    @property
    def states_so_far(self) -> list[Any]:
        """The states that are acknowledged by now."""
        return [json.loads(text) for text in list(self._output)]

    def wait_for_log(self, text: str, timeout: float = TIMEOUT_SECONDS) -> None:
        """Wait until the log holds a text."""
        end = time.monotonic() + timeout
        while text not in b"".join(self._log).decode():
            assert time.monotonic() < end, f"not in the log: {text}"
            assert self.process.poll() is None or text in self.result().log, self.result().log
            time.sleep(0.01)

    def result(self, timeout: float = TIMEOUT_SECONDS) -> Result:
        """Wait for its end."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        for reader in self._readers:
            reader.join(timeout)
        return Result(
            code,
            b"".join(self._output).decode(),
            b"".join(self._log).decode(),
            sorted(str(path.relative_to(self.temporary)) for path in self.temporary.rglob("*")),
        )

    def _read_output(self) -> None:
        for text in self.process.stdout or ():
            self._output.append(text)
            with contextlib.suppress(ValueError):
                found = json.loads(text)
                if self._on_state is not None:
                    self._on_state(found)
                self._states.put(found)

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for text in self.process.stderr:
            self._log.append(text)


@contextlib.contextmanager
def started(
    config: Mapping[str, Any],
    *,
    arguments: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    is_listened_to: bool = True,
    on_state: Callable[[Any], None] | None = None,
) -> Iterator[Running]:
    """Start the target, in a folder of its own; it is killed if it still runs at the end of the block.

    Args:
        config: Settings.
        arguments: More command-line arguments.
        env: More environment variables.
        is_listened_to: False closes the pipe that it writes states to: nobody takes them.
        on_state: Called with each state as it comes, in a thread of its own.
    """
    with tempfile.TemporaryDirectory(prefix="target-test-") as folder:
        temporary = Path(folder, "tmp")
        temporary.mkdir()
        config_path = Path(folder, "config.json")
        config_path.write_text(json.dumps(config), encoding="utf-8")
        output = PIPE if is_listened_to else _pipe_without_reader()
        process = start(
            "target-cordial",
            ["--config", str(config_path), *arguments],
            stdin=PIPE,
            stdout=output,
            stderr=PIPE,
            cwd=folder,
            env={**os.environ, "TMPDIR": str(temporary), **(env or {})},
        )
        if not is_listened_to:
            os.close(output)
        running = Running(process, temporary, on_state)
        try:
            yield running
        finally:
            process.kill()
            running.end_input()
            running.result()


def _pipe_without_reader() -> int:
    reader, writer = os.pipe()
    os.close(reader)
    return writer


def quick_config(box: Sandbox, **overrides: Any) -> dict[str, Any]:
    """Settings for a sandbox whose files are put right where its SFTP server has them: no SSH client to start."""
    server, _, port = box.storage_url.removeprefix("sftp://").removesuffix("/import").partition(":")
    return box.target_config(
        **{
            "storage_url": (box.folder / "sftp" / "import").as_uri(),
            "storage_username": None,
            "storage_password": None,
            "storage_host_key": None,
            "import_source": {"transport": "sftp", "server": server, "port": int(port), "path": "/import"},
            "import_username": box.storage_username,
            "import_password": box.storage_password,
            "export_destination": {"type": "SFTP", "server": server, "port": int(port), "path": "/import"},
            "export_username": box.storage_username,
            "export_password": box.storage_password,
            **overrides,
        }
    )


def run(
    config: Mapping[str, Any],
    messages: Iterable[Mapping[str, Any] | bytes] = (),
    *,
    arguments: Iterable[str] = (),
    env: Mapping[str, str] | None = None,
    timeout: float = TIMEOUT_SECONDS,
) -> Result:
    """Run the target on messages until it ends.

    Args:
        config: Settings, such as `box.target_config()`.
        messages: Messages, or whole lines as bytes (with their line break) to write as they are.
        arguments: More command-line arguments, such as `--check`.
        env: More environment variables.
        timeout: The most seconds that it may take.
    """
    with started(config, arguments=arguments, env=env) as running:
        running.write(messages)
        running.end_input()
        return running.result(timeout)


def wait_until(is_so: Callable[[], Any], timeout: float = TIMEOUT_SECONDS) -> None:
    """Wait until something is so, and fail if it never is."""
    end = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.01)


def import_calls(box: Sandbox) -> list[dict[str, Any]]:
    """The bodies of the import calls that Cordial got, in order."""
    return [call.body for call in box.requests if call.path == "/v2/contactimports"]


def job_lists(box: Sandbox) -> int:
    """How often Cordial was asked for a list of jobs."""
    return sum(call.path == "/v2/jobs" for call in box.requests)


def kept_files(box: Sandbox) -> dict[str, str]:
    """The import files that are still in the storage, as text by name, in the order of their names."""
    folder = box.folder / "sftp" / "import"
    return {path.name: path.read_bytes().decode() for path in sorted(folder.iterdir())}


def line(message: Mapping[str, Any] | bytes) -> bytes:
    return message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n"


def schema(
    properties: Mapping[str, Any], stream: str = STREAM, key: Iterable[str] = ("email",)
) -> dict[str, Any]:
    """A SCHEMA message; a property's schema may be a type's name, which then may be null too."""
    return {
        "type": "SCHEMA",
        "stream": stream,
        "schema": {
            "type": "object",
            "properties": {
                name: {"type": [rule, "null"]} if isinstance(rule, str) else rule
                for name, rule in properties.items()
            },
        },
        "key_properties": list(key),
    }


def record(values: Mapping[str, Any], stream: str = STREAM) -> dict[str, Any]:
    return {"type": "RECORD", "stream": stream, "record": dict(values)}


def state(value: Any) -> dict[str, Any]:
    return {"type": "STATE", "value": value}


AUDIENCE_SCHEMA = schema(
    {
        "audience_id": "string",
        "audience_slug": "string",
        "audience_name": "string",
        "audience_state": "string",
        "audience_change": "string",
        "audience_changed_at": {"type": ["string", "null"], "format": "date-time"},
        "email": "string",
        **{name: {} for name in FIELD_MAPPING},
    },
    key=("audience_id", "email"),
)
"""As tap-lytics-audience writes it, with the fields of the sandbox's field mapping (`box.target_config()`)."""


def enter(
    email: Any, audience: str = "VIP Customers", change: str = "enter", **fields: Any
) -> dict[str, Any]:
    """Somebody enters an audience; mapped fields that are not given are null, as in the tap's records."""
    return record(
        {
            **_audience(audience, "enter", change),
            "email": email,
            **dict.fromkeys(FIELD_MAPPING),
            **fields,
        }
    )


def exit_(email: Any, audience: str = "VIP Customers") -> dict[str, Any]:
    """Somebody leaves an audience."""
    return record({**_audience(audience, "exit", "exit"), "email": email})


def _audience(name: str, audience_state: str, change: str) -> dict[str, str]:
    slug = name.lower().replace(" ", "_")
    return {
        "audience_id": name.encode().hex()[:32].ljust(32, "0"),
        "audience_slug": slug,
        "audience_name": name,
        "audience_state": audience_state,
        "audience_change": change,
        "audience_changed_at": "2026-01-02T03:04:05.678901Z",
    }
