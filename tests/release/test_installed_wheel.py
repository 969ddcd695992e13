"""The wheel in an environment of its own, without anything of this project around it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PLUGINS = {"tap-lytics-audience": "tap_lytics_audience", "target-cordial": "target_cordial"}
VARIABLES = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}


def run(command, folder, given=b""):
    ended = subprocess.run(
        [*map(str, command)],
        cwd=folder,
        env=VARIABLES,
        input=given,
        capture_output=True,
        check=False,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr.decode()
    return ended.stdout


def test_the_sandbox_is_not_there(installed, tmp_path):
    run(
        [installed / "python", "-c", "import importlib.util as u; assert not u.find_spec('sandbox')"],
        tmp_path,
    )


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_plugin_is_a_command_and_a_module(installed, tmp_path, plugin):
    told = [
        json.loads(run([*command, "--about", "--format=json"], tmp_path))
        for command in ([installed / plugin], [installed / "python", "-m", PLUGINS[plugin]])
    ]
    assert told[0] == told[1]
    assert told[0]["name"] == plugin
    assert told[0]["supported_python_versions"] == ["3.10", "3.11", "3.12", "3.13", "3.14"]


def test_both_sync_an_audience(installed, box, tmp_path):
    for name, config in (("tap", box.tap_config()), ("target", box.target_config())):
        (tmp_path / f"{name}.json").write_text(json.dumps(config), encoding="utf-8")
    messages = run([installed / "tap-lytics-audience", "--config", "tap.json"], tmp_path)
    states = run([installed / "target-cordial", "--config", "target.json"], tmp_path, messages)
    assert "audience_members" in json.loads(states.splitlines()[-1])["bookmarks"]
    assert box.verify("vip_customers", "Lytics_VIP_Customers").ok


@pytest.mark.parametrize("package", PLUGINS.values())
def test_windows_gets_one_sentence_that_names_wsl(package):
    """Before anything is imported that Windows lacks, such as fcntl."""
    started = f"import os, sys; os.name = 'nt'; sys.modules['fcntl'] = None; from {package}.__main__ import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", started],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "WSL" in ended.stderr
