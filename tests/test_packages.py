import importlib
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ["tap_lytics_audience", "target_cordial", "lytics_to_cordial", "sandbox"]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_what_it_is_for_and_ships_its_types(package):
    module = importlib.import_module(package)
    assert module.__doc__
    assert (Path(module.__file__).parent / "py.typed").exists()


def test_wheel_and_source_distribution_hold_the_packages_and_no_tests(tmp_path):
    uv = Path(sys.executable).with_name("uv")
    subprocess.run([uv, "build", "--quiet", "--out-dir", tmp_path, ROOT], check=True, timeout=300)
    [wheel], [source] = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    held = set(zipfile.ZipFile(wheel).namelist())
    assert {f"{package}/py.typed" for package in PACKAGES} < held
    assert {name.partition("/")[0] for name in held if ".dist-info" not in name} == set(PACKAGES)
    [scripts] = [name for name in held if name.endswith("entry_points.txt")]
    assert {"tap-lytics-audience", "target-cordial"} <= set(
        zipfile.ZipFile(wheel).read(scripts).decode().replace("=", " ").split()
    )
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"} < names
    assert not any(
        name.startswith((".env", ".meltano", ".sandbox", "ledger", "rejects"))
        for name in names - {".env.example"}
    )
