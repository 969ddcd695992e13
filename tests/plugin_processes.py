"""Starts plugins as processes of their own, and quickly: their imports, most of a start, are done once.

process = start("target-cordial", ["--config", path], stdin=PIPE, stdout=PIPE, stderr=PIPE)

A server that has imported both plugins forks one process for each start. Arguments, environment, folder, standard streams,
signals and exit code are as with the installed commands, which only a test of these themselves has to start.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

PIPE = subprocess.PIPE
MAX_ORDER_BYTES = 150_000
START_SECONDS = 60

_start_lock = threading.Lock()


class PluginProcess:
    """What `subprocess.Popen` is for a command.

    Attributes:
        args: The plugin's name and arguments.
        pid: The process.
        returncode: The exit code, negative if a signal ended it; None until its end was waited for.
        stdin: Where to write to it, if asked for.
        stdout: Its output, if asked for.
        stderr: Its log, if asked for.
    """

    def __init__(self, args: list[str], status: IO[bytes], streams: Iterable[IO[bytes] | None]) -> None:
        self.args = args
        self.stdin, self.stdout, self.stderr = streams
        self.returncode: int | None = None
        self._status = status
        self._lock = threading.Lock()
        self._wait_for_status(START_SECONDS)
        self.pid = int(self._status.readline())

    def poll(self) -> int | None:
        """The exit code, or None while it runs."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float) -> int:
        """Wait for its end."""
        if self.returncode is None:
            # Not under the lock: others can send signals meanwhile.
            self._wait_for_status(timeout)
        with self._lock:
            if self.returncode is None:
                self.returncode = int(self._status.readline())
        return self.returncode

    def communicate(self, timeout: float) -> tuple[bytes, bytes]:
        """Read all output and the log to their ends, and wait for its end."""
        log: list[bytes] = []
        assert self.stdout is not None
        assert self.stderr is not None
        reader = threading.Thread(target=lambda stream: log.append(stream.read()), args=[self.stderr])
        late = threading.Timer(timeout, self.kill)
        late.start()
        reader.start()
        output = self.stdout.read()
        reader.join(timeout)
        is_late = not late.is_alive()
        late.cancel()
        self.wait(timeout)
        if is_late:
            raise subprocess.TimeoutExpired(self.args, timeout, output, log[0])
        return output, log[0]

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """Kill it."""
        self.send_signal(signal.SIGKILL)

    def _wait_for_status(self, timeout: float) -> None:
        poll = select.poll()
        poll.register(self._status, select.POLLIN)
        if not poll.poll(timeout * 1000):
            raise subprocess.TimeoutExpired(self.args, timeout)


def start(
    plugin: str,
    arguments: Iterable[str],
    *,
    env: Mapping[str, str],
    cwd: str | Path | None = None,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.DEVNULL,
) -> PluginProcess:
    """Start a plugin.

    Args:
        plugin: tap-lytics-audience or target-cordial.
        arguments: On its command line.
        env: Its environment.
        cwd: Its working folder.
        stdin: A file, or PIPE for a pipe.
        stdout: The same.
        stderr: The same.
    """
    with contextlib.ExitStack() as theirs:
        ours: list[IO[bytes] | None] = []
        files: list[int] = []
        for stream, is_read in ((stdin, True), (stdout, False), (stderr, False)):
            if stream == PIPE:
                reader, writer = os.pipe()
                files.append(reader if is_read else writer)
                theirs.callback(os.close, files[-1])
                ours.append(os.fdopen(writer, "wb") if is_read else os.fdopen(reader, "rb"))
            else:
                ours.append(None)
                if stream == subprocess.DEVNULL:
                    files.append(os.open(os.devnull, os.O_RDWR))
                    theirs.callback(os.close, files[-1])
                else:
                    files.append(stream if isinstance(stream, int) else stream.fileno())
        reader, writer = os.pipe()
        files.append(writer)
        theirs.callback(os.close, writer)
        args = [plugin, *map(str, arguments)]
        order = {"args": args, "env": dict(env), "cwd": str(cwd or Path.cwd())}
        with _start_lock:
            socket.send_fds(_server(), [json.dumps(order).encode()], files)
    return PluginProcess(args, os.fdopen(reader, "rb", 0), ours)


@functools.cache
def _server() -> socket.socket:
    """Where to order a start; the server ends when this process does."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        subprocess.Popen(
            [sys.executable, __file__, str(theirs.fileno())],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
    return ours


def _serve(orders: socket.socket) -> Callable[[], Any]:
    """Fork a process for each order.

    Returns:
        In each of these processes: what it has to do.
    """
    import duckdb  # noqa: PLC0415 - the tests themselves need none of these

    from tap_lytics_audience.tap import main as tap  # noqa: PLC0415
    from target_cordial.target import main as target  # noqa: PLC0415

    # DuckDB 1 opens a database as it is imported. No fork has its threads, and each would crash as it waits for their end.
    duckdb.default_connection().close()
    mains = {"tap-lytics-audience": tap, "target-cordial": target}
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    # So that collections in the processes do not touch, and thereby copy, what they share.
    gc.collect()
    gc.freeze()
    while True:
        content, files, _, _ = socket.recv_fds(orders, MAX_ORDER_BYTES, 4)
        if not content:
            os._exit(0)
        if not os.fork():
            orders.close()
            order = json.loads(content)
            _become(order, files)
            return mains[order["args"][0]]
        for file in files:
            os.close(file)


def _become(order: dict[str, Any], files: list[int]) -> None:
    """Fork the plugin's process, which goes on from here; this one waits, and tells how it ended."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    *streams, status = files
    process = os.fork()
    if process:
        for stream in streams:
            os.close(stream)
        os.write(status, f"{process}\n".encode())
        _, code = os.waitpid(process, 0)
        # Whoever asked may be gone.
        with contextlib.suppress(BrokenPipeError):
            os.write(status, f"{os.waitstatus_to_exitcode(code)}\n".encode())
        os._exit(0)
    os.close(status)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for place, stream in enumerate(streams):
        os.dup2(stream, place)
        os.close(stream)
    os.environ.clear()
    os.environ.update(order["env"])
    os.chdir(order["cwd"])
    tempfile.tempdir = None
    sys.argv = order["args"]


if __name__ == "__main__":
    sys.exit(_serve(socket.socket(fileno=int(sys.argv[1])))())
