"""How fast the sandbox serves pages of a scan, how soon it is up, and how much memory it takes.

    python bench/sandbox_pages.py [MEMBERS ...]

The sandbox runs as `python -m sandbox serve` in a process of its own, with one audience of that many members (13, 100,000
and 1,000,000 by default). One scan of it is read over HTTP, the first of the run, over four connections that read disjoint
slices, as the tap does; the 13 members are read again and again. The sandbox uses one core, so its pages a second of its own
processor time are what it can give when readers have cores of their own.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

FIELDS = (
    "_id,_split,email,first_name,last_name,city,country,birthday,last_visit,"
    "lifetime_value,visit_count,is_customer,interests"
)
CONNECTIONS = 4
SMALL_AUDIENCE = 10_000
PAGES_OF_A_SMALL_AUDIENCE = 5_000
TICKS = os.sysconf("SC_CLK_TCK")


def read_slice(port: int, query: str, pages: list[int], repeat: int) -> None:
    """Read the pages of a slice, and count them and their rows."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    for _ in range(repeat):
        cursor = ""
        while True:
            path = f"/api/segment/vip_customers/scan?limit=100&fields={FIELDS}{query}&start={cursor}"
            connection.request("GET", path, headers={"Authorization": "sandbox-lytics-token"})
            body = connection.getresponse().read()
            # To find the cursor is quicker than to decode all rows: the reader must not be what is measured.
            start = body.index(b'"_next":"') + len(b'"_next":"')
            cursor = body[start : body.index(b'"', start)].decode()
            pages.append(body.count(b'"_id"'))
            if not cursor:
                break
    connection.close()


def processor_seconds(process: int) -> float:
    """User and system time that a process has used so far."""
    fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def memory(process: int) -> int:
    """The most memory that a process has had, in MB."""
    status = Path(f"/proc/{process}/status").read_text(encoding="ascii")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def measure(members: int, folder: Path) -> None:
    """Start a sandbox, read its audience once, and print what it took."""
    ports = ["--lytics-port", "0", "--cordial-port", "0", "--sftp-port", "0"]
    command = [sys.executable, "-m", "sandbox", "--folder", str(folder), "serve", *ports]
    started = time.monotonic()
    sandbox = subprocess.Popen([*command, "--audience", f"VIP Customers={members}"])
    try:
        state = folder / "state.json"
        while not state.exists():
            time.sleep(0.01)
        up_seconds = time.monotonic() - started
        port = int(json.loads(state.read_text(encoding="utf-8"))["lytics"].rsplit(":", 1)[1])
        up_memory = memory(sandbox.pid)
        pages: list[int] = []
        if members < SMALL_AUDIENCE:
            queries, repeat = [""] * CONNECTIONS, PAGES_OF_A_SMALL_AUDIENCE // CONNECTIONS
        else:
            splits = [",".join(map(str, range(first, 100, CONNECTIONS))) for first in range(CONNECTIONS)]
            queries, repeat = [f"&splits={split}" for split in splits], 1
        readers = [
            threading.Thread(target=read_slice, args=(port, query, pages, repeat)) for query in queries
        ]
        started, used = time.monotonic(), processor_seconds(sandbox.pid)
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join()
        seconds, used = time.monotonic() - started, processor_seconds(sandbox.pid) - used
        print(
            f"{members:>9,} members: up in {up_seconds:.1f} s with {up_memory} MB; {len(pages):,} pages ({sum(pages):,} rows) in "
            f"{seconds:.1f} s: {len(pages) / seconds:,.0f} pages/s, {len(pages) / used:,.0f} a second of its processor; "
            f"at most {memory(sandbox.pid)} MB"
        )
    finally:
        sandbox.send_signal(signal.SIGTERM)
        sandbox.wait()


if __name__ == "__main__":
    for members in map(int, sys.argv[1:] or ("13", "100000", "1000000")):
        with tempfile.TemporaryDirectory() as folder:
            measure(members, Path(folder))
