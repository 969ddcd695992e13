"""Twelve audiences of a sandbox, one bucket, and somebody who kills workers at random."""

from __future__ import annotations

import contextlib
import math
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox import Sandbox

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
AT_ONCE = 4
KILLS_OF_ONE = 2
"""Fewer than the engines try again."""
KILLS = 10
SECONDS = 3600


class Fleet:
    """What an engine is started with, and what becomes of it.

    Attributes:
        box: The sandbox.
        folder: For files of the engine.
        variables: The environment of its processes.
        audiences: The slugs.
        most_at_once: How many audiences were seen to run at one time.
    """

    def __init__(self, box: Sandbox, folder: Path) -> None:
        self.box = box
        self.folder = folder
        self.audiences = [audience.slug for audience in box.world.audiences()]
        self.list_audiences(self.audiences)
        self.variables = {
            **{
                name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}
            },
            "FLEET_PROJECT": str(ROOT),
            "FLEET_AUDIENCES": str(folder / "audiences.txt"),
            "FLEET_BUCKET": "s3://fleet/sandbox",
            "FLEET_STORAGE": box.storage_url,
            "FLEET_RETRY_MINUTES": "0.05",
            "TAP_LYTICS_AUDIENCE_API_URL": box.lytics_url,
            "TARGET_CORDIAL_API_URL": box.cordial_url,
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        }
        self.most_at_once = 0
        self.killed: list[tuple[str, str]] = []

    def list_audiences(self, slugs: list[str]) -> None:
        (self.folder / "audiences.txt").write_text("\n".join(slugs) + "\n", encoding="utf-8")

    def command(self, *arguments: str | Path) -> str:
        """Run a command of the engine, and return what it printed."""
        log = self.folder / "commands.log"
        with log.open("ab") as errors:
            ended = subprocess.run(
                [*arguments],
                env=self.variables,
                cwd=self.folder,
                stdout=subprocess.PIPE,
                stderr=errors,
                check=False,
                timeout=SECONDS,
            )
        output = ended.stdout.decode()
        assert ended.returncode == 0, (arguments, output[-3000:], log.read_text(encoding="utf-8")[-3000:])
        return output

    def environment(self, *requirements: str) -> Path:
        """The folder of commands of an environment that holds the engine, and nothing of this project's."""
        folder = self.folder / "venv"
        subprocess.run(
            [UV, "venv", "--quiet", "--python", sys.executable, folder], check=True, timeout=SECONDS
        )
        python = folder / "bin" / "python"
        subprocess.run(
            [UV, "pip", "install", "--quiet", "--python", python, *requirements], check=True, timeout=SECONDS
        )
        return folder / "bin"

    @contextlib.contextmanager
    def killer(self, seed: int) -> Iterator[None]:
        """Kill workers at random meanwhile: what runs an audience, or what started that."""
        end = threading.Event()
        thread = threading.Thread(target=self._kill, args=(random.Random(seed), end), daemon=True)
        thread.start()
        try:
            yield
        finally:
            end.set()
            thread.join(60)

    def _kill(self, chance: random.Random, end: threading.Event) -> None:
        kills = 0
        next_kill = math.inf
        while not end.wait(0.5):
            runs = list(self.runs())
            if not self.killed:
                # Later some may be seen whose starter is dead.
                self.most_at_once = max(self.most_at_once, len(runs))
            if len(runs) >= AT_ONCE and next_kill == math.inf:
                next_kill = time.monotonic() + chance.uniform(1, 15)
            may = [run for run in runs if [name for name, _ in self.killed].count(run[1]) < KILLS_OF_ONE]
            if kills == KILLS or not may or time.monotonic() < next_kill:
                continue
            pid, audience = chance.choice(may)
            with contextlib.suppress(OSError):
                victim, what = chance.choice(
                    [(pid, "run_audience"), *self._below(pid), (parent_of(pid), "worker")]
                )
                os.kill(victim, signal.SIGKILL)
                kills += 1
                self.killed.append((audience, what))
            next_kill = time.monotonic() + chance.uniform(3, 15)

    def runs(self) -> Iterator[tuple[int, str]]:
        """The processes that run an audience of this fleet, and which."""
        mark = f"FLEET_AUDIENCES={self.folder / 'audiences.txt'}".encode()
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                arguments = (process / "cmdline").read_bytes().split(b"\0")
                if arguments[1].endswith(b"run_audience.py") and mark in (process / "environ").read_bytes():
                    yield int(process.name), arguments[2].decode()

    def _below(self, pid: int) -> list[tuple[int, str]]:
        """Meltano and the plugins."""
        found = []
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                if int(process.name) != pid and pid in ancestors(int(process.name)):
                    arguments = (process / "cmdline").read_bytes().split(b"\0")
                    found.append((int(process.name), Path(arguments[1].decode()).name))
        return found

    def unequal(self) -> list[object]:
        """The audiences whose list does not equal them."""
        self.box.wait_idle(120)
        proofs = [
            self.box.verify(audience.slug, f"Lytics_{audience.name.replace(' ', '_')}")
            for audience in self.box.world.audiences()
        ]
        return [proof for proof in proofs if not proof.ok]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[1])


def ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = parent_of(pid)
        yield pid
