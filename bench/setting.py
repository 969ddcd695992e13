"""What all benchmarks have in common."""

from __future__ import annotations

import json
import sys
import typing as t
from dataclasses import dataclass
from pathlib import Path

from bench.peers import Peers
from tap_lytics_audience.lytics.scan import PLAIN_SCAN_BELOW

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Setting:
    """How much to measure, and where.

    Attributes:
        folder: For inputs and environments, which are kept.
        scratch: For everything else.
        members: Records of a target's input.
        rounds: How often each is run.
        peers: What others do the same work with.
    """

    folder: Path
    scratch: Path
    members: int
    rounds: int
    peers: Peers

    @property
    def served(self) -> int:
        """Members of an audience that is served page by page: a tenth, as each takes about ten times as long."""
        return max(self.members // 10, PLAIN_SCAN_BELOW)

    def config(self, name: str, values: dict[str, t.Any]) -> str:
        """A configuration file.

        Args:
            name: Of the file.
            values: What is in it.

        Returns:
            Its path.
        """
        path = self.scratch / f"{name}.json"
        path.write_text(json.dumps(values), encoding="utf-8")
        return str(path)


def plugin(name: str, *arguments: str) -> list[str]:
    """The command of a plugin of this project.

    Args:
        name: The plugin.
        *arguments: Its arguments.
    """
    return [str(BIN / name), *arguments]
