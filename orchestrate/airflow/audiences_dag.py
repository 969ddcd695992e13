"""Each audience of `orchestrate/audiences.txt` as a task of its own, daily; the pool `cordial_imports` limits imports of the whole account."""

from __future__ import annotations

import datetime as dt
import os
from pathlib import Path
from typing import Any

from airflow.providers.standard.hooks.subprocess import SubprocessHook
from airflow.sdk import BaseOperator, dag, task
from airflow.sdk.exceptions import AirflowException, AirflowFailException

PROJECT = Path(os.environ.get("FLEET_PROJECT", Path(__file__).resolve().parents[2]))
IMPORTS = 4
"""Imports under way of one audience, and slots of the pool that its task takes."""
A_PERSON_HAS_TO_ACT = 2


class RunAudience(BaseOperator):
    """Runs one audience; what only a person can mend is not tried again."""

    def __init__(self, audience: str, **options: Any) -> None:
        super().__init__(**options)
        self.audience = audience
        self.hook = SubprocessHook()

    def execute(self, context: Any) -> None:  # noqa: ARG002 - Airflow's
        command = [
            str(PROJECT / ".venv/bin/python"),
            str(PROJECT / "orchestrate/run_audience.py"),
            self.audience,
        ]
        code = self.hook.run_command(
            command, env={**os.environ, "TARGET_CORDIAL_MAX_CONCURRENT_IMPORTS": str(IMPORTS)}
        ).exit_code
        if code == A_PERSON_HAS_TO_ACT:
            raise AirflowFailException(
                f"{self.audience}: a person has to act; the critical line of the log says what to do."
            )
        if code:
            raise AirflowException(f"{self.audience}: failed; another try may help.")

    def on_kill(self) -> None:
        self.hook.send_sigterm()


@dag(
    schedule="@daily",
    start_date=dt.datetime(2026, 1, 1, tzinfo=dt.timezone.utc),
    catchup=False,
    max_active_runs=1,
)
def lytics_to_cordial() -> None:
    """Read which audiences there are, then run them side by side."""

    @task
    def audiences() -> list[str]:
        path = os.environ.get("FLEET_AUDIENCES", PROJECT / "orchestrate/audiences.txt")
        return Path(path).read_text(encoding="utf-8").split()

    RunAudience.partial(
        task_id="run_audience",
        map_index_template="{{ task.audience }}",
        pool="cordial_imports",
        pool_slots=IMPORTS,
        retries=3,
        retry_delay=dt.timedelta(minutes=float(os.environ.get("FLEET_RETRY_MINUTES", "5"))),
    ).expand(audience=audiences())


lytics_to_cordial()
