"""The receiver of trigger messages: how many it takes, how soon it answers, and how soon whoever was posted is on the list."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import statistics
import subprocess
import threading
import time
import typing as t
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

from bench.setting import Setting, plugin
from bench.table import Line, at_most
from sandbox import AudienceSpec, Sandbox
from sandbox.webhook import SECRET, SECRET_HEADER

LOAD_SECONDS = 60
CLIENTS = 1500
"""Each waits for half a second for its answer, as messages of that time share a file."""
LEAST_MESSAGES = 2000
MOST_START_SECONDS = 0.5
RUN_EVERY_SECONDS = 60
RUNS = 3
LISTENING = re.compile(r"Listening on \S+ port (\d+)")


def speed(setting: Setting) -> t.Iterator[Line]:
    """What one process takes for a minute, one message a post and ten.

    Args:
        setting: How much to measure.

    Yields:
        Lines of the table.
    """
    starts = []
    for count in (1, 10):
        with _receiver(setting.scratch / f"landed-{count}") as (process, port, seconds):
            starts.append(seconds)
            waits = _load(port, count)
            resident = Path(f"/proc/{process.pid}/statm")
            pages = int(resident.read_text(encoding="ascii").split()[1]) if resident.exists() else 0
        rate = len(waits) * count / LOAD_SECONDS
        what = f"receiver, messages a second, {count} a post, all durable"
        yield Line(what, f"{rate:,.0f}", f"at least {LEAST_MESSAGES:,}", rate >= LEAST_MESSAGES)
        yield Line(
            "its answers: median; the slowest; its memory",
            f"{statistics.median(waits):.2f} s; {max(waits):.2f} s; {pages * os.sysconf('SC_PAGE_SIZE') >> 20} MB",
        )
    yield at_most("its start", min(starts), MOST_START_SECONDS, "s")


def freshness(setting: Setting) -> t.Iterator[Line]:
    """From a post to the contact on the list, with a run a minute.

    Args:
        setting: How much to measure.

    Yields:
        Lines of the table.
    """
    landed = setting.scratch / "landed"
    with ExitStack() as stack:
        _, port, _ = stack.enter_context(_receiver(landed))
        url = f"http://127.0.0.1:{port}/triggers"
        audience = AudienceSpec("VIP Customers", 2000)
        box = stack.enter_context(Sandbox(setting.scratch / "box", [audience], triggers_url=url))
        tap = box.tap_config(change_detection="triggers", triggers_url=str(landed))
        commands = [
            plugin("tap-lytics-audience", "--config", setting.config("tap", tap)),
            plugin("target-cordial", "--config", setting.config("target", box.target_config())),
        ]
        state = setting.scratch / "state.json"
        state.write_text("{}", encoding="utf-8")
        _run(commands, state)
        waits: list[float] = []
        ended = threading.Event()
        posting = threading.Thread(target=_post_people, args=(box, waits, ended))
        posting.start()
        for _ in range(RUNS):
            begun = time.monotonic()
            _run(commands, state)
            time.sleep(max(0.0, begun + RUN_EVERY_SECONDS - time.monotonic()))
        ended.set()
        while posting.is_alive():
            _run(commands, state)
        posting.join()
    yield Line(
        "from a post to the contact on the list, with a run a minute: median; the slowest",
        f"{statistics.median(waits):.0f} s; {max(waits):.0f} s",
    )


def _post_people(box: Sandbox, waits: list[float], ended: threading.Event) -> None:
    """Let somebody enter every few seconds, and note how long each takes to the list."""
    chance = random.Random(1)
    under_way: dict[str, float] = {}
    due = 0.0
    while under_way or not ended.is_set():
        now = time.monotonic()
        if now >= due and not ended.is_set():
            before = set(box.world.members("vip_customers"))
            box.advance("vip_customers", enter=1)
            under_way.update(dict.fromkeys(set(box.world.members("vip_customers")) - before, now))
            due = now + chance.uniform(1, 5)
        arrived = under_way.keys() & box.list_members("Lytics_VIP_Customers")
        waits += [time.monotonic() - under_way.pop(address) for address in arrived]
        time.sleep(0.2)


def _run(commands: list[list[str]], state: Path) -> None:
    tap, target = commands
    shell = f"{' '.join(tap)} --state {state} | {' '.join(target)} > {state}.new"
    subprocess.run(["/bin/bash", "-o", "pipefail", "-c", shell], check=True, capture_output=True)
    last = Path(f"{state}.new").read_text(encoding="utf-8").splitlines()[-1:]
    state.write_text("".join(last) or state.read_text(encoding="utf-8"), encoding="utf-8")


def _load(port: int, count: int) -> list[float]:
    """Post for a minute from several clients, and give how long each answer took."""
    message = {"data": {"email": "x@example.com", "segment_events": [{"id": "a", "event": "enter"}]}}
    body = json.dumps([message] * count).encode()
    headers = {SECRET_HEADER: SECRET}
    end = time.monotonic() + LOAD_SECONDS
    waits: list[float] = []

    def post() -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            while (begun := time.monotonic()) < end:
                connection.request("POST", "/triggers", body, headers)
                answer = connection.getresponse()
                answer.read()
                if answer.status != http.HTTPStatus.OK:
                    raise RuntimeError(f"The receiver answered {answer.status}.")
                waits.append(time.monotonic() - begun)

    clients = [threading.Thread(target=post) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return waits


@contextmanager
def _receiver(folder: Path) -> t.Iterator[tuple[subprocess.Popen[str], int, float]]:
    """A receiver, its port, and how long its start took."""
    environment = {
        **os.environ,
        "LYTICS_TRIGGER_RECEIVER_SECRET": SECRET,
        "LYTICS_TRIGGER_RECEIVER_TRIGGERS_URL": str(folder),
        "LYTICS_TRIGGER_RECEIVER_BIND": "127.0.0.1:0",
    }
    begun = time.monotonic()
    process = subprocess.Popen(
        plugin("lytics-trigger-receiver"), env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None  # noqa: S101 - asked for
    found = next(filter(None, map(LISTENING.search, process.stderr)))
    try:
        yield process, int(found[1]), time.monotonic() - begun
    finally:
        process.terminate()
        process.wait()
        process.stderr.close()
