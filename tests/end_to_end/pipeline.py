"""Runs both plugins as Meltano does: two processes and a pipe, with the last acknowledged state kept for the next run."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.plugin_processes import PIPE, start

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sandbox import Sandbox
    from tests.plugin_processes import PluginProcess

BIN = Path(sys.executable).parent
TIMEOUT_SECONDS = 120


@dataclass(frozen=True)
class Kill:
    """When one of the plugins is killed.

    Attributes:
        victim: tap, target or both.
        number: The signal.
        after_messages: When so many messages went from the tap to the target; None for after the last.
        seconds: So much later.
        struck: Set when it is done.
        wake: Whom SIGSTOP struck goes on when this is set.
    """

    victim: str
    number: signal.Signals
    after_messages: int | None
    seconds: float = 0
    struck: threading.Event = field(default_factory=threading.Event)
    wake: threading.Event = field(default_factory=threading.Event)


@dataclass
class Run:
    """How a run ended.

    Attributes:
        tap_code: The tap's exit code.
        target_code: The target's.
        log: What both wrote on standard error.
        messages: What went from the tap to the target.
        states: What the target acknowledged.
    """

    tap_code: int
    target_code: int
    log: str
    messages: list[dict[str, Any]]
    states: list[dict[str, Any]]

    @property
    def is_clean(self) -> bool:
        return self.tap_code == 0 and self.target_code == 0

    @property
    def changes(self) -> list[str]:
        """Why each member's record was sent, in order."""
        return [
            message["record"]["audience_change"]
            for message in self.messages
            if message["type"] == "RECORD" and message["stream"] == "audience_members"
        ]


@dataclass
class Pipeline:
    """A pipeline from a sandbox's Lytics to its Cordial.

    Attributes:
        box: The sandbox.
        folder: For configurations and logs.
        tap: Settings of the tap that differ.
        target: Settings of the target that differ.
        state: The last acknowledged state.
    """

    box: Sandbox
    folder: Path
    tap: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] | None = None

    def run(self, kill: Kill | None = None) -> Run:
        """Run once.

        Args:
            kill: When to kill which plugin; never by default.

        Returns:
            How it ended.
        """
        tap_arguments = ["--config", self._write("tap.json", self.box.tap_config(**self.tap))]
        if self.state is not None:
            tap_arguments += ["--state", self._write("state.json", self.state)]
        target_arguments = ["--config", self._write("target.json", self.box.target_config(**self.target))]
        log_path = self.folder / "log.txt"
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "TMPDIR": str(temporary)}
        with log_path.open("wb") as log:
            tap = start("tap-lytics-audience", tap_arguments, stdout=PIPE, stderr=log, env=environment)
            target = start(
                "target-cordial", target_arguments, stdin=PIPE, stdout=PIPE, stderr=log, env=environment
            )
            lines: list[bytes] = []
            pump = threading.Thread(target=self._pump, args=(tap, target, lines, kill), daemon=True)
            pump.start()
            acknowledged = self._read_states(target)
            tap_code, target_code = tap.wait(TIMEOUT_SECONDS), target.wait(TIMEOUT_SECONDS)
            pump.join(TIMEOUT_SECONDS)
        messages = [json.loads(line) for line in lines if line.endswith(b"\n")]
        return Run(tap_code, target_code, log_path.read_text(encoding="utf-8"), messages, acknowledged)

    def _write(self, name: str, content: Mapping[str, Any]) -> str:
        path = self.folder / name
        path.write_text(json.dumps(content), encoding="utf-8")
        return str(path)

    def _read_states(self, target: PluginProcess) -> list[dict[str, Any]]:
        assert target.stdout is not None
        acknowledged = []
        for line in target.stdout:
            # A target that is killed can leave half a line, which is no state.
            with contextlib.suppress(json.JSONDecodeError):
                self.state = json.loads(line)
                acknowledged.append(self.state)
        return acknowledged

    @staticmethod
    def _pump(tap: PluginProcess, target: PluginProcess, lines: list[bytes], kill: Kill | None) -> None:
        """Hand the tap's lines to the target, and kill one of them on the way."""
        assert tap.stdout is not None
        assert target.stdin is not None

        def strike() -> None:
            assert kill is not None
            time.sleep(kill.seconds)
            victims = {"tap": [tap], "target": [target], "both": [tap, target]}[kill.victim]
            for victim in victims:
                victim.send_signal(kill.number)
            kill.struck.set()
            if kill.number == signal.SIGSTOP:
                kill.wake.wait(TIMEOUT_SECONDS)
                for victim in victims:
                    victim.send_signal(signal.SIGCONT)

        if kill is not None and kill.after_messages == 0:
            strike()
        for line in tap.stdout:
            lines.append(line)
            try:
                target.stdin.write(line)
                target.stdin.flush()
            except BrokenPipeError:
                # As in a shell: who writes to a reader that is gone learns it.
                tap.stdout.close()
                break
            if kill is not None and len(lines) == kill.after_messages:
                strike()
        with contextlib.suppress(BrokenPipeError):
            target.stdin.close()
        if kill is not None and kill.after_messages is None:
            strike()
