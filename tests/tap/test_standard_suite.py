"""The SDK's own tests for taps, against the sandbox."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from singer_sdk.testing import get_tap_test_class

from sandbox import AudienceSpec, Sandbox
from tap_lytics_audience.tap import TapLyticsAudience


@pytest.fixture(scope="module", autouse=True)
def _sandbox():
    """The suite makes its tap from settings that are fixed when the module is read, so the sandbox starts then too."""
    yield
    BOX.__exit__()
    FOLDER.cleanup()


FOLDER = tempfile.TemporaryDirectory(prefix="tap-suite-")
BOX = Sandbox(Path(FOLDER.name), [AudienceSpec("VIP Customers", 30), AudienceSpec("Lapsed", 5)])
BOX.__enter__()

TestTapLyticsAudience = get_tap_test_class(TapLyticsAudience, config=BOX.tap_config())
