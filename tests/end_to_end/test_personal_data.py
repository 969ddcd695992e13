"""A canary's address, name and the secrets appear in no log line, state, journal or error message, also when things fail."""

from __future__ import annotations

import datetime as dt
import json

import pytest

from sandbox import AudienceSpec
from target_cordial.history.journal import read_history
from target_cordial.history.page import render
from tests.end_to_end.pipeline import Pipeline

CANARY = {
    "email": "Canary.Bird@Example.com",
    "first_name": "Canarybird",
    "last_name": "Tweetyson",
    "city": "Cageville",
}
NEEDLES = ("canary", "tweetyson", "cageville")

FAULTS = {
    "nothing": None,
    "lytics stumbles": ("lytics_status", 500),
    "lytics refuses": ("lytics_status", 403),
    "lytics answers garbage": ("lytics_garbage", True),
    "cordial refuses": ("cordial_status", 422),
    "an import fails": ("job_fails", True),
    "rows are rejected": ("job_rejects", 5),
    "cordial cannot read the file": ("jobid_error", True),
    "the storage is full": ("storage_full", True),
    "the storage is read only": ("storage_read_only", True),
    "control members do not come back": ("filter_blind", True),
}


@pytest.mark.parametrize("what", FAULTS)
@pytest.mark.parametrize("leaves", [False, True], ids=["enters", "leaves"])
def test_personal_data_and_secrets_stay_out_of_logs_and_states(make_box, tmp_path, monkeypatch, what, leaves):
    monkeypatch.setenv("TAP_LYTICS_AUDIENCE_LOGLEVEL", "DEBUG")
    monkeypatch.setenv("TARGET_CORDIAL_LOGLEVEL", "DEBUG")
    box = make_box([AudienceSpec("VIP Customers", 20)])
    journal = tmp_path / "journal.jsonl"
    pipeline = Pipeline(
        box, tmp_path, tap={"request_timeout_seconds": 5}, target={"journal_url": str(journal)}
    )
    if leaves:
        canary = box.world.enter("vip_customers", CANARY)
        assert pipeline.run().is_clean
        box.world.leave("vip_customers", canary)
    else:
        # One that fits, and one that goes to the reject file.
        box.world.enter("vip_customers", CANARY)
        box.world.enter("vip_customers", {**CANARY, "email": "canary without domain@"})
    fault = FAULTS[what]
    if fault is not None:
        name, value = fault
        # The first call of each kind is let through, so that the run gets somewhere.
        path = {"lytics_status": "/scan", "lytics_garbage": "/scan", "cordial_status": "/contactimports"}.get(
            name
        )
        box.fault(name, value, path=path)
    run = pipeline.run()
    assert "DEBUG" in run.log
    history = read_history(str(journal))
    assert len(history.runs) == (2 if leaves else 1)
    page = render(history, dt.datetime.now(dt.timezone.utc))
    said = (run.log + json.dumps(run.states) + journal.read_text(encoding="utf-8") + page).lower()
    for needle in (*NEEDLES, box.api_token, box.api_key, box.storage_password):
        assert needle.lower() not in said, f"{needle} in: " + next(
            line for line in said.splitlines() if needle.lower() in line
        )
    assert "traceback" not in said
    names = " ".join(str(path) for path in tmp_path.rglob("*")).lower()
    assert not any(needle in names for needle in NEEDLES)
    if what == "nothing":
        assert run.is_clean, run.log
    if what == "nothing" and not leaves:
        assert "canary.bird@example.com" in box.list_members("Lytics_VIP_Customers")
        rejects = list((box.folder / "rejects").rglob("*.jsonl"))
        assert any("canary without domain@" in path.read_text(encoding="utf-8") for path in rejects)
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in rejects)
