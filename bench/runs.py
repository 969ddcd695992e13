"""Runs of whole processes: how long they take, and how much memory."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Contestant:
    """A command to be measured.

    Attributes:
        name: What it is, for the table.
        command: The command and its arguments.
        stdin: The file that it reads; nothing by default.
        prepare: Called before each run, untimed.
    """

    name: str
    command: Sequence[str]
    stdin: Path | None = None
    prepare: Callable[[], None] = lambda: None


@dataclass(frozen=True)
class Figures:
    """What the runs of a contestant took.

    Attributes:
        name: Whose.
        seconds: The median of the runs.
        all_seconds: Of each run.
        processor_seconds: The median of what the runs took of processors, user and system.
        megabytes: The most memory that any of its processes had in any run.
    """

    name: str
    seconds: float
    all_seconds: tuple[float, ...]
    processor_seconds: float
    megabytes: float


def measure(
    contestants: Sequence[Contestant], rounds: int, environment: Mapping[str, str] | None = None
) -> dict[str, Figures]:
    """Run all in turn, several times, so that a machine that slows down slows all of them.

    Args:
        contestants: What to run.
        rounds: How often.
        environment: More environment variables.

    Returns:
        Their figures by name.
    """
    seconds: dict[str, list[float]] = {one.name: [] for one in contestants}
    processor: dict[str, list[float]] = {one.name: [] for one in contestants}
    memory: dict[str, float] = dict.fromkeys(seconds, 0.0)
    for number in range(rounds):
        for one in contestants:
            one.prepare()
            took, usage = _run(one, environment)
            megabytes = usage.ru_maxrss / 1024
            seconds[one.name].append(took)
            processor[one.name].append(usage.ru_utime + usage.ru_stime)
            memory[one.name] = max(memory[one.name], megabytes)
            print(
                f"  round {number + 1} of {rounds}: {one.name}: {took:.1f} s, {megabytes:.0f} MB",
                file=sys.stderr,
            )
    return {
        name: Figures(
            name, statistics.median(found), tuple(found), statistics.median(processor[name]), memory[name]
        )
        for name, found in seconds.items()
    }


def _run(one: Contestant, environment: Mapping[str, str] | None) -> tuple[float, resource.struct_rusage]:
    log = subprocess.DEVNULL if os.environ.get("BENCH_LOG") is None else None
    stdin = subprocess.DEVNULL if one.stdin is None else one.stdin.open("rb")
    begun = time.monotonic()
    process = subprocess.Popen(
        one.command,
        stdin=stdin,
        stdout=subprocess.DEVNULL,
        stderr=log,
        env={**os.environ, **(environment or {})},
    )
    _, status, usage = os.wait4(process.pid, 0)
    took = time.monotonic() - begun
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(
            f"{one.name} failed (exit {process.returncode}); set BENCH_LOG=1 to see why: {' '.join(one.command)}"
        )
    return took, usage


def ratio(slower: Figures, faster: Figures) -> float:
    """How many times as fast one is as another, by the medians.

    Args:
        slower: The one that the figure is about, if it is below 1.
        faster: The other.
    """
    return slower.seconds / faster.seconds
