"""A ledger in a bucket: a real S3 server on loopback."""

from __future__ import annotations

import pytest

from sandbox import AudienceSpec
from tests.tap.running import AUDIENCE, key_of, run, somebody


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="ledgers")
    return s3


def test_a_ledger_in_a_bucket_holds_who_was_sent(make_box, bucket):
    box = make_box([AudienceSpec("VIP Customers", 30)])
    config = box.tap_config(ledger_url="s3://ledgers/prod")
    first = run(config)
    assert first.error == ""
    left = somebody(box)
    box.world.leave(AUDIENCE, left)
    second = run(config, first.state)
    assert second.error == ""
    assert second.of("exit") == [key_of(box, left)]
    assert run(config, second.state).records == []
    names = [item["Key"] for item in bucket.list_objects_v2(Bucket="ledgers")["Contents"]]
    assert all(name.startswith("prod/") for name in names)
    lost = run(config)
    assert set(lost.of("backfill")) == set(box.world.keys(AUDIENCE))


@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_one_sentence(make_box):
    box = make_box()
    result = run(box.tap_config(ledger_url="s3://nowhere/prod"))
    assert "ledger" in result.error
    assert "ledger_url" in result.error
    assert result.records == []
