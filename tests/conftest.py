"""The sandbox for tests: a Lytics, a Cordial and an SFTP server, on free ports of loopback."""

from __future__ import annotations

import contextlib

import fsspec
import pytest
import requests

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


@pytest.fixture
def s3(monkeypatch):
    """A client of an empty S3 server on loopback, which the environment names."""
    import boto3  # noqa: PLC0415 - it takes a while
    from moto.server import ThreadedMotoServer  # noqa: PLC0415

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
    }.items():
        monkeypatch.setenv(name, value)
    # fsspec keeps its file systems, and with them the server of an earlier test.
    files = fsspec.get_filesystem_class("s3")
    files.clear_instance_cache()
    yield boto3.client("s3")
    files.clear_instance_cache()
    # All of moto's servers in a process share what they hold.
    requests.post(f"{url}/moto-api/reset", timeout=10)
    server.stop()
