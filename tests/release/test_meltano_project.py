"""Both plugins in an empty Meltano project: added by their definitions, installed from the built wheel, checked and run.

Meltano makes an environment for each plugin, which takes most of a minute.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
GROUPS = {"tap-lytics-audience": "extractors", "target-cordial": "loaders"}


@pytest.fixture
def meltano(tmp_path):
    """Runs a command of Meltano in an empty project."""
    variables = {
        **os.environ,
        "PATH": f"{BIN}:{os.environ['PATH']}",
        "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
        "MELTANO_VENV_BACKEND": "uv",
    }
    variables.pop("PYTHONPATH", None)

    def run(*arguments, cwd=tmp_path / "project"):
        ended = subprocess.run(
            [BIN / "meltano", *arguments],
            cwd=cwd,
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout + ended.stderr

    run("init", "project", cwd=tmp_path)
    return run


def test_the_plugins_are_added_installed_checked_and_run(meltano, wheel, box, tmp_path):
    configs = {
        "tap-lytics-audience": box.tap_config(),
        "target-cordial": box.target_config(journal_url=str(tmp_path / "journal.jsonl")),
    }
    for plugin, group in GROUPS.items():
        told = yaml.safe_load((ROOT / "hub" / f"{plugin}.yml").read_text(encoding="utf-8"))
        # As from the index; of its extras the one that the sandbox's storage needs.
        told["pip_url"] = f"lytics-to-cordial[sftp]@{wheel.as_uri()}"
        reference = tmp_path / f"{plugin}.yml"
        reference.write_text(yaml.safe_dump(told), encoding="utf-8")
        meltano("add", "--plugin-type", group[:-1], plugin, "--from-ref", str(reference), "--no-install")
    path = tmp_path / "project" / "meltano.yml"
    project = yaml.safe_load(path.read_text(encoding="utf-8"))
    for plugin, group in GROUPS.items():
        project["plugins"][group][0]["config"] = configs[plugin]
    path.write_text(yaml.safe_dump(project), encoding="utf-8")
    meltano("install")

    checked = meltano("test", "--all")
    for plugin in GROUPS:
        assert re.search(rf"{plugin}:test\.+ success", checked)
    assert "ok       token" in meltano("invoke", "tap-lytics-audience", "--test")
    assert "ok       key" in meltano("invoke", "target-cordial", "--check")
    assert box.contacts() == {}, "a check changes nothing"

    meltano("run", "tap-lytics-audience", "target-cordial")
    assert box.verify("vip_customers", "Lytics_VIP_Customers").ok
    state = json.loads(meltano("state", "get", "dev:tap-lytics-audience-to-target-cordial").splitlines()[0])
    assert "audience_members" in state["singer_state"]["bookmarks"]
    meltano("invoke", "target-cordial:status")
    meltano("invoke", "target-cordial:report")
    assert (tmp_path / "project" / "report.html").exists()
