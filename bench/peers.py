"""What others do the same work with, in an environment of its own: their versions are not this project's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

SCRIPTS = Path(__file__).parent / "peer_scripts"
_PACKAGES = {
    "sdk": [
        "singer-sdk==0.54.9",
        "meltanolabs-target-csv==0.5.0",
        "orjson>=3.10",
        "msgspec>=0.19",
        "requests",
    ],
    "jsonl": ["target-jsonl==0.1.4"],
}


class Peers:
    """Their environments, made once.

    Args:
        folder: Where.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        for name, packages in _PACKAGES.items():
            self._install(name, packages)

    def python(self, script: str, *arguments: str) -> list[str]:
        """A command that runs one of the scripts here.

        Args:
            script: Its name.
            *arguments: Its arguments.
        """
        return [str(self._folder / "sdk" / "bin" / "python"), str(SCRIPTS / f"{script}.py"), *arguments]

    def command(self, environment: str, name: str, *arguments: str) -> list[str]:
        """A command that a package brought.

        Args:
            environment: `sdk` or `jsonl`.
            name: The command.
            *arguments: Its arguments.
        """
        return [str(self._folder / environment / "bin" / name), *arguments]

    def _install(self, name: str, packages: Sequence[str]) -> None:
        place = self._folder / name
        done = place / ".installed"
        wanted = "\n".join(packages)
        if done.exists() and done.read_text(encoding="utf-8") == wanted:
            return
        uv = [sys.executable, "-m", "uv"]
        subprocess.run(
            [*uv, "venv", "--quiet", "--clear", "--python", sys.executable, str(place)], check=True
        )
        python = str(place / "bin" / "python")
        subprocess.run([*uv, "pip", "install", "--quiet", "--python", python, *packages], check=True)
        done.write_text(wanted, encoding="utf-8")
