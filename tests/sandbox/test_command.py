"""python -m sandbox: up, down, advance, verify, fault and faults, as people type them."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time

import pytest
import requests

from sandbox.__main__ import main
from sandbox.fault_kinds import KINDS
from sandbox.people import FIELD_MAPPING

ANY_PORTS = ["--lytics-port", "0", "--cordial-port", "0", "--sftp-port", "0"]


@pytest.fixture
def command(monkeypatch, capsys, tmp_path):
    """Runs a command: its exit code, and what it prints."""
    folder = tmp_path / "box"

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["sandbox", "--folder", str(folder), *words])
        code = main()
        return code, "".join(capsys.readouterr())

    yield run
    run("down")


@pytest.fixture
def up(command):
    """Starts the sandbox; what it prints."""

    def start(*words):
        code, text = command("up", *ANY_PORTS, *(words or ["--audience", "VIP Customers=50"]))
        assert code == 0, text
        return text

    return start


def state_of(tmp_path):
    return json.loads((tmp_path / "box" / "state.json").read_text(encoding="utf-8"))


def is_answered(url):
    with contextlib.suppress(requests.ConnectionError):
        return requests.get(url, timeout=10).status_code == 401
    return False


def test_up_tells_where_everything_is_and_down_leaves_nothing_running(command, up, tmp_path):
    text = up("--audience", "VIP Customers=50", "--audience", "Others = too=20")
    state = state_of(tmp_path)
    for place in (state["lytics"], state["cordial"], state["storage"]):
        assert place in text
        assert "127.0.0.1" in place
    assert "Audience vip_customers (VIP Customers): 50 members" in text
    assert "Audience others_too (Others = too): 20 members" in text
    assert is_answered(f"{state['lytics']}/api/segment")
    assert is_answered(f"{state['cordial']}/jobs")
    assert command("down") == (0, "The sandbox is down.\n")
    assert not is_answered(f"{state['lytics']}/api/segment")
    assert not is_answered(f"{state['cordial']}/jobs")
    assert not (tmp_path / "box" / "state.json").exists()
    code, text = command("down")
    assert code == 0
    assert text.startswith("No sandbox is up in")


def test_up_twice_is_fine(up, tmp_path):
    first = up()
    state = state_of(tmp_path)
    again = up()
    assert "is up already" in again
    assert again.endswith(first)
    assert state_of(tmp_path) == state


def test_up_after_a_kill_starts_again(command, up, tmp_path):
    up()
    killed = state_of(tmp_path)["pid"]
    os.kill(killed, signal.SIGKILL)
    os.waitpid(killed, 0)
    code, text = command("advance", "--enter", "1")
    assert (code, text.count("\n")) == (1, 1)
    assert "does not answer" in text
    up()
    assert state_of(tmp_path)["pid"] != killed


def test_down_kills_nobody_who_has_the_number_of_a_sandbox_that_is_gone(command, up, tmp_path):
    up()
    state = state_of(tmp_path)
    os.kill(state["pid"], signal.SIGKILL)
    os.waitpid(state["pid"], 0)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        state["pid"] = other.pid
        (tmp_path / "box" / "state.json").write_text(json.dumps(state), encoding="utf-8")
        assert command("down")[1].startswith("No sandbox is up in")
        assert other.poll() is None
        other.communicate(b"\n")


@pytest.mark.parametrize("server", ["lytics", "cordial", "sftp"])
def test_a_port_that_is_taken_is_one_clear_sentence(command, server):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ports = list(ANY_PORTS)
        ports[ports.index(f"--{server}-port") + 1] = port
        code, text = command("up", *ports, "--audience", "A=1")
    assert (code, text.count("\n")) == (1, 1)
    assert f"Port {port} on 127.0.0.1 cannot be had" in text
    assert "--sftp-port" in text


def test_serve_runs_in_the_foreground_until_it_is_told_to_stop(tmp_path):
    words = [sys.executable, "-m", "sandbox", "--folder", str(tmp_path / "box"), "serve", *ANY_PORTS]
    with subprocess.Popen([*words, "--audience", "A=1"], stderr=subprocess.PIPE) as process:
        end = time.monotonic() + 60
        while not (tmp_path / "box" / "state.json").exists():
            assert process.poll() is None
            assert time.monotonic() < end, "it never came up"
            time.sleep(0.02)
        second = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
        assert (second.returncode, second.stderr) == (
            1,
            f"The sandbox in {tmp_path / 'box'} is up already.\n",
        )
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=30)[1] == b""
    assert process.returncode == 0
    assert not (tmp_path / "box" / "state.json").exists()


def test_people_move_and_messages_land(command, up, tmp_path):
    folder = tmp_path / "triggers"
    up("--audience", "VIP Customers=50", "--audience", "B=1", "--triggers", str(folder))
    assert command("advance") == (0, "nothing moved\n")
    moves = ["--enter", "3", "--leave", "2", "--change", "1", "--readdress", "1", "--merge", "1"]
    code, text = command("advance", *moves)
    assert (code, text) == (
        0,
        "enter 3, leave 2, change 1, readdress 1, merge 1; trigger files or posts: 8\n",
    )
    options = ["--lines", "--batch", "10", "--compress", "--shape", "cloudevents"]
    code, text = command("advance", "--audience", "VIP Customers", "--return", "2", *options)
    assert text == "return 2; trigger files or posts: 1\n"
    assert len(list(folder.glob("*.json"))) == 8
    assert len(list(folder.glob("*.jsonl.gz"))) == 1


def test_verify_tells_the_difference_by_its_exit_code_and_shows_nobody(command, up):
    up("--audience", "VIP Customers=50", "--audience", "Empty=0")
    code, text = command("verify")
    assert code == 1
    assert "NOT EQUAL: 48 missing" in text
    assert "EQUAL: 0 members one by one" in text
    assert "person." not in text
    assert command("verify", "--audience", "Empty")[0] == 0
    code, text = command("verify", "--audience", "nobody")
    assert (code, text.splitlines()[-1]) == (1, "The sandbox refuses: There is no audience nobody.")


def test_verify_shows_what_is_on_the_list_and_the_jobs_of_any_kind(command, up, tmp_path):
    up("--audience", "VIP Customers=0")
    state = state_of(tmp_path)
    auth = ("sandbox-cordial-key", "")
    requests.post(f"{state['cordial']}/accountlists", json={"name": "Mine"}, auth=auth, timeout=30)
    contact = {"channels": {"email": {"address": "ada@example.com"}}, "first_name": "Ada", "Mine": True}
    requests.post(f"{state['cordial']}/contacts", json=contact, auth=auth, timeout=30)
    export = {"destination": {"type": "AWS"}, "fields": [], "accountId": 1}
    requests.post(f"{state['cordial']}/contactexports", json=export, auth=auth, timeout=30)
    code, text = command("verify", "--list", "Mine")
    assert code == 1
    lines = [line.split() for line in text.splitlines()]
    assert ["contact", *list(FIELD_MAPPING.values())[:5]] in lines
    assert ["a***@example.com", "A***"] in lines
    assert "a***@example.com is on the list but not a member" in text
    assert any(line[:3] == ["ExportContacts", "(no", "name)"] for line in lines)


def test_faults_are_switched_on_from_the_command_line(command, up):
    up("--audience", "A=1", "--fault", "cordial_status=503@/jobs#2", "--fault", "slow_jobs=0.5~0.1")
    code, text = command("fault")
    assert code == 0
    first, second = map(json.loads, text.splitlines())
    assert (first["name"], first["value"], first["path"], first["nth"]) == (
        "cordial_status", 503, "/jobs", 2,
    )  # fmt: skip
    assert (second["name"], second["value"], second["chance"]) == ("slow_jobs", 0.5, 0.1)
    code, text = command("fault", "--clear", "jobid_error=Can't login", "empty_cells=ignored@POST /v2")
    assert [json.loads(line)["value"] for line in text.splitlines()] == ["Can't login", "ignored"]
    assert command("fault", "--clear") == (0, "")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["up", "--audience", "VIP"],
            "An audience is NAME=MEMBERS, such as 'VIP Customers=1000', not 'VIP'.",
        ),
        (
            ["up", "--fault", "jobs_fail"],
            "There is no fault 'jobs_fail': `python -m sandbox faults` lists them.",
        ),
        (["up", "--fault", "slow_jobs=x"], "The fault slow_jobs takes seconds, not 'x'."),
        (["up", "--fault", "slow jobs"], "A fault is NAME[=VALUE][@PATH][#NTH][~CHANCE]"),
        (["fault", "job_fails~7"], "No sandbox is up in"),
        (["advance", "--enter", "1"], "No sandbox is up in"),
        (["verify"], "No sandbox is up in"),
    ],
)
def test_a_mistake_is_one_clear_sentence(command, words, message):
    code, text = command(*words)
    assert (code, text.count("\n")) == (1, 1)
    assert message in text
    assert "Traceback" not in text


def test_all_faults_are_listed(command):
    code, text = command("faults")
    assert code == 0
    assert len(text.splitlines()) == len(KINDS)
    for line, kind in zip(text.splitlines(), KINDS.values(), strict=True):
        assert line.startswith(f"{kind.server:<9}{kind.name}")
        assert line.endswith(kind.description)


def test_fresh_forgets_what_cordial_and_the_storage_hold(command, up, tmp_path):
    up()
    state = state_of(tmp_path)
    auth = ("sandbox-cordial-key", "")
    requests.post(f"{state['cordial']}/accountlists", json={"name": "Old"}, auth=auth, timeout=30)
    (tmp_path / "box" / "sftp" / "leftover.csv").write_text("x", encoding="utf-8")
    command("down")
    up("--audience", "A=1")
    assert requests.get(f"{state_of(tmp_path)['cordial']}/accountlists", auth=auth, timeout=30).ok
    command("down")
    up("--audience", "A=1", "--fresh")
    reply = requests.get(f"{state_of(tmp_path)['cordial']}/accountlists", auth=auth, timeout=30)
    assert reply.status_code == 404
    assert not (tmp_path / "box" / "sftp" / "leftover.csv").exists()
