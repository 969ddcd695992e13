"""What is in the wheel and in the source distribution, and what an index shows of them."""

from __future__ import annotations

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGES = {"tap_lytics_audience", "target_cordial", "lytics_to_cordial"}
"""Each has the project's own name, or that of its command: no other distribution has reason to use them."""


def metadata(wheel):
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        return email.message_from_bytes(archive.read(name))


def test_an_index_takes_the_files(built):
    twine = Path(sys.executable).with_name("twine")
    checked = subprocess.run(
        [twine, "check", "--strict", *built.glob("*.whl"), *built.glob("*.tar.gz")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    assert checked.stdout.count("PASSED") == 2


def test_the_wheel_holds_the_plugins_with_their_types_and_no_test_server(wheel):
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {name.partition("/")[0] for name in held if ".dist-info/" not in name} == PACKAGES
    assert {f"{package}/py.typed" for package in PACKAGES} < held
    assert {f"{plugin}/__main__.py" for plugin in PACKAGES - {"lytics_to_cordial"}} < held


def test_the_source_distribution_holds_what_builds_and_tests_it_and_nothing_of_a_run(built):
    [source] = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {
        "pyproject.toml",
        "README.md",
        "LICENSE",
        "CHANGELOG.md",
        "uv.lock",
        "sandbox/__init__.py",
    } < names
    assert not any(
        name.startswith((".env", ".meltano", ".sandbox", "ledger", "rejects", "output"))
        for name in names - {".env.example"}
    )


def test_the_readme_renders_outside_the_repository(wheel):
    told = metadata(wheel)
    readme = str(told.get_payload())
    links = re.findall(r"\]\(([^)]+)\)", readme)
    assert len(links) > 10
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    assert f"/v{told['Version']}/docs/report.png)" in readme
    assert "mermaid" not in readme
    assert "$HFPR" not in readme


def test_the_metadata_says_whose_it_is_and_where_it_runs(wheel):
    told = metadata(wheel)
    assert told["Metadata-Version"] in {"2.3", "2.4"}, "what uploads knows no later one"
    assert told["Author"]
    urls = dict(url.split(", ") for url in told.get_all("Project-URL"))
    assert {"Homepage", "Documentation", "Repository", "Issues", "Changelog"} == set(urls)
    classifiers = told.get_all("Classifier")
    assert {"Operating System :: POSIX :: Linux", "Operating System :: MacOS"} < set(classifiers)
    assert not [name for name in classifiers if "Windows" in name or "OS Independent" in name]
    assert set(told.get_all("Provides-Extra")) >= {"gcs", "s3", "sftp"}
    assert not {"dev", "sandbox"} & set(told.get_all("Provides-Extra"))
