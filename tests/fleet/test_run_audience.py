"""One audience as a run of its own, as Airflow, Dagster and Kubernetes start it, by Meltano itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import AudienceSpec

ROOT = Path(__file__).parents[2]
SECONDS = 1200


@pytest.fixture
def box(make_box):
    return make_box([AudienceSpec("VIP Customers", 30), AudienceSpec("Lapsed", 20)])


@pytest.fixture
def begin(box, s3, tmp_path):
    """Starts a run, of an audience that is named or of a pod."""
    s3.create_bucket(Bucket="fleet")
    (tmp_path / "audiences.txt").write_text("vip_customers\nlapsed\n", encoding="utf-8")

    def start(*arguments, **variables):
        return subprocess.Popen(
            [sys.executable, ROOT / "orchestrate" / "run_audience.py", *arguments],
            env={
                **os.environ,
                "FLEET_AUDIENCES": str(tmp_path / "audiences.txt"),
                "FLEET_BUCKET": "s3://fleet/sandbox",
                "FLEET_STORAGE": box.storage_url,
                "TAP_LYTICS_AUDIENCE_API_URL": box.lytics_url,
                "TARGET_CORDIAL_API_URL": box.cordial_url,
                "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
                **variables,
            },
            stderr=subprocess.PIPE,
            text=True,
        )

    return start


def ended(process):
    _, log = process.communicate(timeout=SECONDS)
    return process.returncode, log


def test_two_audiences_at_once_share_no_file_and_one_that_is_gone_needs_a_person(box, begin, s3):
    pod = {"FLEET_COMPLETIONS": "2", "JOB_COMPLETION_INDEX": "1"}
    runs = [begin("vip_customers"), begin(**pod), begin("nobody")]
    (vip, vip_log), (lapsed, lapsed_log), (nobody, nobody_log) = map(ended, runs)
    assert (vip, lapsed, nobody) == (0, 0, 2), vip_log + lapsed_log + nobody_log
    assert "Lytics has no audience 'nobody'" in nobody_log
    assert box.verify("vip_customers", "Lytics_VIP_Customers").ok
    assert box.verify("lapsed", "Lytics_Lapsed").ok
    keys = [item["Key"] for item in s3.list_objects_v2(Bucket="fleet")["Contents"]]
    for audience in ("vip_customers", "lapsed"):
        assert [key for key in keys if key.startswith(f"sandbox/ledger/{audience}/")]
        assert [key for key in keys if key.startswith(f"sandbox/journal/{audience}/")]
        assert [key for key in keys if key.startswith("sandbox/state/") and f":{audience}/" in key]
