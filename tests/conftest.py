"""The sandbox for tests: a Lytics, a Cordial and an SFTP server, on free ports of loopback."""

from __future__ import annotations

import contextlib

import pytest

from sandbox import Sandbox


@pytest.fixture
def make_box(tmp_path):
    """Makes sandboxes that end with the test."""
    with contextlib.ExitStack() as stack:
        made = []

        def make(*args, **options) -> Sandbox:
            made.append(None)
            return stack.enter_context(Sandbox(tmp_path / f"sandbox-{len(made)}", *args, **options))

        yield make


@pytest.fixture
def box(make_box) -> Sandbox:
    """A sandbox with one audience, VIP Customers, of 13 members."""
    return make_box()
