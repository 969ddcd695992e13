"""The built files, and an environment in which they alone are installed, as a user gets them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
UV = Path(sys.executable).with_name("uv")
INSTALL_SECONDS = 600


def pytest_collection_modifyitems(items):
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.release)


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Path:
    """The folder of wheel and source distribution: the one that DIST names (`make dist`), else built anew."""
    if folder := os.environ.get("DIST"):
        return (ROOT / folder).resolve()
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([UV, "build", "--quiet", "--out-dir", folder, ROOT], check=True, timeout=INSTALL_SECONDS)
    return folder


@pytest.fixture(scope="session")
def wheel(built) -> Path:
    [wheel] = built.glob("*.whl")
    return wheel


@pytest.fixture(scope="session")
def installed(wheel, tmp_path_factory) -> Path:
    """The folder of commands of an environment that holds the wheel with what SFTP needs, and nothing of this project's."""
    folder = tmp_path_factory.mktemp("user") / "venv"
    subprocess.run(
        [UV, "venv", "--quiet", "--python", sys.executable, folder], check=True, timeout=INSTALL_SECONDS
    )
    subprocess.run(
        [
            UV,
            "pip",
            "install",
            "--quiet",
            "--python",
            folder / "bin" / "python",
            f"lytics-to-cordial[sftp] @ {wheel.as_uri()}",
        ],
        check=True,
        timeout=INSTALL_SECONDS,
    )
    return folder / "bin"
