"""The recipes of README and docs write only files that git passes over: they may hold addresses."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[1]
WRITTEN = re.compile(
    r"""(?:(?<![0-9&-])>>?\s*|--report[ =]|"(?:filepath|destination_path)": ")([\w./${}-]+)"""
)


def written_files() -> set[str]:
    """What the shell recipes write, whether by the shell, by us, or by a plugin that they set up."""
    blocks = [
        block
        for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
        for block in re.findall(
            r"^ *```sh\n(.*?)^ *```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE
        )
    ]
    return {name for block in blocks for name in WRITTEN.findall(block)} - {"/dev/null"}


def test_git_passes_over_all_that_recipes_write():
    names = written_files()
    assert {"output/people.csv", "output/members.duckdb", "report.html"} <= names
    for name in names:
        ignored = subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT, check=False)
        assert ignored.returncode == 0, f"git would take {name}"


def test_git_passes_over_what_a_run_of_the_shipped_project_writes():
    for name in (
        "ledger/prod/tap/1.parquet",
        "rejects/prod/1.jsonl",
        "audits/prod/1.csv",
        ".env",
        ".meltano/x",
        ".sandbox/x",
    ):
        ignored = subprocess.run(["git", "check-ignore", "--quiet", name], cwd=ROOT, check=False)
        assert ignored.returncode == 0, f"git would take {name}"
