"""Engines that exist, against the sandbox: `make fleet`. They take minutes and install much, so other runs leave them out."""

from __future__ import annotations

import os

import pytest

from sandbox import AudienceSpec
from tests.fleet.fleet import Fleet

collect_ignore_glob = [] if os.environ.get("FLEET") else ["test_*.py"]
AUDIENCES = 12


@pytest.fixture
def fleet(make_box, s3, tmp_path):
    s3.create_bucket(Bucket="fleet")
    box = make_box([AudienceSpec(f"Audience {number}", 150 + 10 * number) for number in range(AUDIENCES)])
    folder = tmp_path / "engine"
    folder.mkdir()
    return Fleet(box, folder)
