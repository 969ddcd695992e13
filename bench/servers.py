"""What the benchmarks talk to: a Cordial that does nothing, and the sandbox's Lytics."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
import time
import typing as t
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from bench.messages import ATTRIBUTES

POLL_SECONDS = 0.5
_PATIENCE_SECONDS = 120


@dataclass(frozen=True)
class Cordial:
    """A Cordial whose imports are done at once.

    Attributes:
        url: Of its API.
        folder: For import files.
    """

    url: str
    folder: Path

    def calls(self) -> dict[str, int]:
        """How many calls of each kind came since the last time."""
        with urllib.request.urlopen(self.url.removesuffix("/v2") + "/calls") as reply:
            return t.cast("dict[str, int]", json.load(reply))

    def config(self, **overrides: t.Any) -> dict[str, t.Any]:
        """A configuration of target-cordial for it.

        Args:
            **overrides: Other settings.
        """
        return {
            "api_url": self.url,
            "api_key": "not-a-key",
            "list_name": "Bench",
            "field_mapping": {name: name for name in ATTRIBUTES},
            "storage_url": self.folder.as_uri(),
            "import_source": {"transport": "http", "url": f"{self.url}/files/"},
            "poll_interval_seconds": POLL_SECONDS,
            "rejects_url": str(self.folder.parent / "rejects"),
            **overrides,
        }


@contextlib.contextmanager
def cordial(folder: Path) -> t.Iterator[Cordial]:
    """A Cordial that runs in a process of its own.

    Args:
        folder: Where its import files are; made here.
    """
    uploads = folder / "uploads"
    uploads.mkdir(parents=True, exist_ok=True)
    port = _free_port()
    process = subprocess.Popen([sys.executable, "-m", "bench.cordial", str(port), str(uploads)])
    found = Cordial(f"http://127.0.0.1:{port}/v2", uploads)
    try:
        _wait_until(lambda: found.calls() is not None)
        yield found
    finally:
        process.terminate()
        process.wait()


@dataclass(frozen=True)
class Lytics:
    """The sandbox's Lytics.

    Attributes:
        url: Of its API.
        token: That it takes.
        audience: The id of its audience.
        folder: For what its readers write.
    """

    url: str
    token: str
    audience: str
    folder: Path

    def config(self, **overrides: t.Any) -> dict[str, t.Any]:
        """A configuration of tap-lytics-audience for it.

        Args:
            **overrides: Other settings.
        """
        return {
            "api_url": self.url,
            "api_token": self.token,
            "audiences": [self.audience],
            "ledger_url": str(self.folder / "ledger"),
            **overrides,
        }


@contextlib.contextmanager
def lytics(folder: Path, members: int, *faults: str) -> t.Iterator[Lytics]:
    """A sandbox with one audience, in a process of its own.

    Args:
        folder: For its data.
        members: Of the audience.
        *faults: Faults that are on, as its command line takes them.
    """
    data = folder / f"sandbox-{members}-{len(faults)}"
    ports = [option for name in ("lytics", "cordial", "sftp") for option in (f"--{name}-port", "0")]
    options = [option for fault in faults for option in ("--fault", fault)]
    command = [sys.executable, "-m", "sandbox", "--folder", str(data), "serve", "--fresh", *ports, *options]
    process = subprocess.Popen(
        [*command, "--audience", f"VIP Customers={members}"], stdout=subprocess.DEVNULL
    )
    try:
        state = data / "state.json"
        _wait_until(lambda: state.exists() and json.loads(state.read_bytes())["pid"] == process.pid)
        found = json.loads(state.read_bytes())
        yield Lytics(found["lytics"], "sandbox-lytics-token", "vip_customers", folder)
    finally:
        process.terminate()
        process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_until(is_so: t.Callable[[], bool]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while True:
        with contextlib.suppress(OSError, ValueError, KeyError):
            if is_so():
                return
        if time.monotonic() > end:
            sys.exit("A server of the benchmark does not come up.")
        time.sleep(0.05)
