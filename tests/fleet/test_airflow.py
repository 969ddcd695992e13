"""Airflow runs twelve audiences, four at a time, while workers are killed: each list equals its audience."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sqlite3
import subprocess
import time

import pytest

from tests.fleet.fleet import AT_ONCE, ROOT, SECONDS

DAG = "lytics_to_cordial"
IMPORTS_OF_ONE = 4


@pytest.fixture
def airflow(fleet):
    """The command of an Airflow that runs, with its own defaults: LocalExecutor, SQLite."""
    command = fleet.environment("apache-airflow>=3") / "airflow"
    port, *log_ports = free_ports(3)
    fleet.variables |= {
        "PATH": f"{command.parent}:{fleet.variables['PATH']}",
        "AIRFLOW_HOME": str(fleet.folder / "home"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "orchestrate" / "airflow"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "false",
        "AIRFLOW__API__HOST": "127.0.0.1",
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
        "AIRFLOW__LOGGING__WORKER_LOG_SERVER_PORT": str(log_ports[0]),
        "AIRFLOW__LOGGING__TRIGGER_LOG_SERVER_PORT": str(log_ports[1]),
    }
    fleet.command(command, "db", "migrate")
    fleet.command(
        command, "pools", "set", "cordial_imports", str(AT_ONCE * IMPORTS_OF_ONE), "imports of the account"
    )
    with (fleet.folder / "standalone.log").open("wb") as log:
        running = subprocess.Popen(
            [command, "standalone"], env=fleet.variables, stdout=log, stderr=log, start_new_session=True
        )
        yield command
        os.killpg(running.pid, signal.SIGTERM)
        try:
            running.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(running.pid, signal.SIGKILL)


def test_all_lists_equal_their_audiences_though_workers_are_killed(fleet, airflow):
    start(fleet, airflow)
    for number in range(1, 3):
        with fleet.killer(number):
            assert ended_runs(fleet, number) == ["success"] * number
        assert fleet.unequal() == []
        assert fleet.most_at_once == AT_ONCE
        for slug in fleet.audiences:
            fleet.box.world.advance(slug, enter=9, leave=7, change=20)
        if number == 1:
            fleet.command(airflow, "dags", "trigger", DAG)
    assert len(fleet.killed) > AT_ONCE, fleet.killed


def test_what_only_a_person_can_mend_is_not_tried_again(fleet, airflow):
    fleet.list_audiences([fleet.audiences[0], "nobody"])
    start(fleet, airflow)
    assert ended_runs(fleet, 1) == ["failed"]
    attempts = sorted(path.name for path in (fleet.folder / "home" / "logs").rglob("attempt=*.log"))
    assert attempts == ["attempt=1.log"] * 3, "one of each audience, one of their list"


def start(fleet, airflow):
    """Let the DAG's first run begin, which is the one that its schedule wants today."""
    until(lambda: rows(fleet, "SELECT dag_id FROM dag") == [DAG])
    fleet.command(airflow, "dags", "unpause", DAG)


def ended_runs(fleet, number):
    """Wait until so many runs ended; how they did."""
    query = "SELECT state FROM dag_run WHERE state IN ('success', 'failed')"
    until(lambda: len(rows(fleet, query)) >= number)
    return rows(fleet, query)


def rows(fleet, query):
    """What Airflow's database says; its command takes half a minute to say the same."""
    with contextlib.closing(sqlite3.connect(fleet.folder / "home" / "airflow.db", timeout=60)) as database:
        return [value for (value,) in database.execute(query)]


def until(holds):
    end = time.monotonic() + SECONDS
    while not holds():
        assert time.monotonic() < end
        time.sleep(5)


def free_ports(number):
    """Ports that nobody listens at."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(number)]
        return [each.getsockname()[1] for each in sockets]
