"""Each audience of `orchestrate/audiences.txt` as a step of its own, daily; the pool `cordial_imports` limits how many run at once."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import dagster as dg

PROJECT = Path(os.environ.get("FLEET_PROJECT", Path(__file__).resolve().parents[2]))
A_PERSON_HAS_TO_ACT = 2


@dg.op(out=dg.DynamicOut(str))
def audiences() -> Iterator[dg.DynamicOutput[str]]:
    """Read which audiences there are."""
    path = os.environ.get("FLEET_AUDIENCES", PROJECT / "orchestrate/audiences.txt")
    for audience in Path(path).read_text(encoding="utf-8").split():
        # A key takes no hyphen.
        yield dg.DynamicOutput(audience, mapping_key=audience.replace("-", "__"))


@dg.op(
    pool="cordial_imports",
    retry_policy=dg.RetryPolicy(max_retries=3, delay=60 * float(os.environ.get("FLEET_RETRY_MINUTES", "5"))),
)
def run_audience(audience: str) -> None:
    """Run one audience; what only a person can mend is not tried again."""
    command = [PROJECT / ".venv/bin/python", PROJECT / "orchestrate/run_audience.py", audience]
    with subprocess.Popen(command) as process:
        try:
            code = process.wait()
        except BaseException:
            # Whoever ends this step: the run ends in order, and is waited for.
            process.terminate()
            raise
    if code:
        raise dg.Failure(
            f"{audience}: {'a person has to act' if code == A_PERSON_HAS_TO_ACT else 'another try may help'}; the log says what happened.",
            allow_retries=code != A_PERSON_HAS_TO_ACT,
        )


@dg.job(executor_def=dg.multiprocess_executor.configured({"max_concurrent": 64}))
def lytics_to_cordial() -> None:
    """Read which audiences there are, then run them side by side."""
    audiences().map(run_audience)


definitions = dg.Definitions(
    jobs=[lytics_to_cordial],
    schedules=[dg.ScheduleDefinition(job=lytics_to_cordial, cron_schedule="@daily")],
)
