import importlib
from pathlib import Path

import pytest

PACKAGES = ["tap_lytics_audience", "target_cordial", "lytics_to_cordial", "sandbox"]


@pytest.mark.parametrize("package", PACKAGES)
def test_each_package_says_what_it_is_for_and_ships_its_types(package):
    module = importlib.import_module(package)
    assert module.__doc__
    assert (Path(module.__file__).parent / "py.typed").exists()
