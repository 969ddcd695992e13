import importlib
from pathlib import Path

import pytest


@pytest.mark.parametrize("package", ["tap_lytics_audience", "target_cordial", "sandbox"])
def test_each_package_says_what_it_is_for_and_ships_its_types(package):
    module = importlib.import_module(package)
    assert module.__doc__
    assert (Path(module.__file__).parent / "py.typed").exists()
