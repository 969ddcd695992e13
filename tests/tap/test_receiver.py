"""The receiver of trigger messages, as a process: a post is answered with 200 once its messages are durable, and never before."""

from __future__ import annotations

import concurrent.futures
import contextlib
import gzip
import itertools
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import requests
import uvicorn

from lytics_to_cordial.file_errors import FolderError
from lytics_to_cordial.files import Folder
from tap_lytics_audience.triggers.events import TriggerFiles
from tap_lytics_audience.triggers.receiver import posts, service
from tests.tap.running import AUDIENCE, run
from tests.tap.test_trigger_files import LONG_AGO, cloud_event, default, item, older

COMMAND = str(Path(sys.executable).with_name("lytics-trigger-receiver"))
SECRET = "sandbox-triggers-secret"
HEADERS = {"X-Triggers-Secret": SECRET}
CANARY = "canary.person@example.com"
LOAD_SECONDS = float(os.environ.get("RECEIVER_SECONDS", "4"))
"""How long the load test posts; `RECEIVER_SECONDS=60` for a minute of 2,000 messages a second."""
VIPS = "efdcc4da20554be02e90c563f69bc0ec"


class Process:
    """A receiver that runs, and what it logged."""

    def __init__(self, folder, port=0, **variables):
        environment = {
            **os.environ,
            "LYTICS_TRIGGER_RECEIVER_SECRET": SECRET,
            "LYTICS_TRIGGER_RECEIVER_TRIGGERS_URL": str(folder),
            "LYTICS_TRIGGER_RECEIVER_BIND": f"127.0.0.1:{port}",
            **variables,
        }
        self.process = subprocess.Popen([COMMAND], env=environment, stderr=subprocess.PIPE, text=True)
        self.log = ""
        self._listening = threading.Event()
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        assert self._listening.wait(60), self.log
        found = re.search(r"Listening on \S+ port (\d+)", self.log)
        assert found is not None, self.log
        self.port = int(found[1])
        self.base = f"http://127.0.0.1:{self.port}"
        self.url = f"{self.base}/triggers"
        wait_until(self.answers)

    def _read(self):
        for line in self.process.stderr:
            self.log += line
            if "Listening" in line:
                self._listening.set()
        self._listening.set()

    def answers(self):
        with contextlib.suppress(requests.ConnectionError):
            return requests.get(f"{self.base}/health", timeout=10).ok
        return False

    def post(self, body, **headers):
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return requests.post(self.url, content, headers={**HEADERS, **headers}, timeout=30)

    def end(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        return self.wait()

    def wait(self):
        code = self.process.wait(60)
        self._reading.join(30)
        return code


def wait_until(is_so):
    end = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.02)


@pytest.fixture
def receive(tmp_path):
    """Starts receivers, which end with the test."""
    started = []

    def start(folder=None, **options):
        started.append(Process(folder or tmp_path / "landed", **options))
        return started[-1]

    yield start
    for receiver in started:
        if receiver.process.poll() is None:
            receiver.end(signal.SIGKILL)


@pytest.fixture
def receiver(receive):
    return receive()


def people(folder):
    """Whom the tap reads of in a folder."""
    files = TriggerFiles(str(folder), audiences={VIPS: VIPS}, identifier_field="email")
    found = [event.identifier for event in files.events(LONG_AGO)]
    assert (files.unread, files.unfinished_since) == (0, None)
    return found


def message(address):
    return default({"email": address, "segment_events": [item()]})


@pytest.mark.parametrize("shape", [default, cloud_event, older])
def test_each_shape_alone_and_in_arrays_plain_and_packed_is_read_by_the_tap(receiver, tmp_path, shape):
    sent = []
    for number, (count, pack) in enumerate(itertools.product([1, 1000], [bytes, gzip.compress])):
        addresses = [f"{number}-{who}\u2028é@example.com" for who in range(count)]
        messages = [shape({"email": address, "segment_events": [item()]}) for address in addresses]
        body = json.dumps(messages if count > 1 else messages[0], indent=1, ensure_ascii=False).encode()
        assert receiver.post(pack(body)).status_code == 200
        sent += addresses
    assert sorted(people(tmp_path / "landed")) == sorted(sent)


def test_messages_of_the_same_time_are_one_file_of_its_owners(receiver, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(30) as pool:
        answers = list(pool.map(lambda n: receiver.post(message(f"{n}@example.com")).status_code, range(300)))
    assert answers == [200] * 300
    assert sorted(people(tmp_path / "landed")) == sorted(f"{n}@example.com" for n in range(300))
    files = [path for path in (tmp_path / "landed").rglob("*") if path.is_file()]
    assert len(files) < 50
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_who_does_not_know_the_secret_lands_nothing(receiver, tmp_path):
    for secret in [None, "", "sandbox-triggers-secreT", "sandbox-triggers-secret2", "é"]:
        headers = {} if secret is None else {"X-Triggers-Secret": secret.encode()}
        answer = requests.post(receiver.url, json.dumps(message(CANARY)), headers=headers, timeout=30)
        assert answer.status_code == 401
    assert list((tmp_path / "landed").iterdir()) == []


def test_what_nobody_can_read_is_refused_once_and_for_all(receiver, tmp_path):
    for body in [
        b"",
        b"null",
        b'"text"',
        b"7",
        b'{"data": ',
        b"[{]",
        b"\xff\xfe",
        b"\x1f\x8b\x08 cut",
        b"[" * 5000,
    ]:
        assert receiver.post(body).status_code == 400, body
    assert list((tmp_path / "landed").iterdir()) == []
    assert receiver.post([message("a@example.com")]).status_code == 200


def test_what_the_tap_may_not_understand_is_landed_for_it_to_judge(receiver, tmp_path):
    assert receiver.post([message("a@example.com"), {"of another": "version"}, 7]).status_code == 200
    files = TriggerFiles(str(tmp_path / "landed"), audiences={VIPS: VIPS}, identifier_field="email")
    assert [event.identifier for event in files.events(LONG_AGO)] == ["a@example.com"]
    assert files.unread == 2


def test_an_empty_array_is_taken_and_lands_nothing(receiver, tmp_path):
    assert receiver.post([]).status_code == 200
    assert list((tmp_path / "landed").iterdir()) == []


def test_a_storage_that_fails_is_a_503_and_the_post_is_taken_later(receiver, tmp_path):
    folder = tmp_path / "landed"
    folder.rmdir()
    folder.write_text("in the way")
    for _ in range(3):
        answer = receiver.post(message(CANARY))
        assert answer.status_code == 503
        assert int(answer.headers["Retry-After"]) > 0
    assert requests.get(f"{receiver.base}/health", timeout=30).json() == {"status": "ok", "storage": "failed"}
    folder.unlink()
    assert receiver.post(message(CANARY)).status_code == 200
    assert requests.get(f"{receiver.base}/health", timeout=30).json() == {"status": "ok", "storage": "ok"}
    assert people(folder) == [CANARY]
    receiver.end()
    assert receiver.log.count("is not a folder") == 1, receiver.log
    assert CANARY not in receiver.log


@pytest.fixture
def small_receiver(tmp_path, monkeypatch):
    """The URL of a receiver in this process, which takes no post over 8 MB, and 2 MB of several."""
    monkeypatch.setattr(posts, "MAX_POST_BYTES", 8 << 20)
    monkeypatch.setattr(service, "POSTS_BYTES", 2 << 20)
    folder = Folder(str(tmp_path / "landed"), setting="triggers_url")
    app = service.Receiver(SECRET, folder).service()
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off"))
    listening = socket.create_server(("127.0.0.1", 0))
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join(60)


def post(url, body):
    return requests.post(f"{url}/triggers", body, headers=HEADERS, timeout=60)


def test_posts_that_find_no_room_beside_others_are_a_503(small_receiver, tmp_path):
    go_on = threading.Event()

    def slow():
        yield b"[" + b" " * (3 << 20)
        go_on.wait(60)
        yield json.dumps(message("slow@example.com")).encode() + b"]"

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, small_receiver, slow())
        wait_until(lambda: metrics(small_receiver)["lytics_trigger_held_bytes"] > 3 << 20)
        refused = post(small_receiver, json.dumps(message("small@example.com")))
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        go_on.set()
        assert answer.result(60).status_code == 200
    assert people(tmp_path / "landed") == ["slow@example.com"]
    assert metrics(small_receiver)["lytics_trigger_held_bytes"] == 0
    assert post(small_receiver, json.dumps(message("small@example.com"))).status_code == 200


def test_a_storage_that_fails_is_told_once_a_minute_whatever_file_it_is_about(
    small_receiver, monkeypatch, caplog
):
    def put(_, name, __):
        raise FolderError(f"Could not write {name}.")

    monkeypatch.setattr(Folder, "put", put)
    for _ in range(3):
        assert post(small_receiver, json.dumps(message(CANARY))).status_code == 503
    assert caplog.text.count("Could not write") == 1


def test_a_post_that_does_not_end_is_a_408(small_receiver, tmp_path, monkeypatch):
    monkeypatch.setattr(service, "POST_SECONDS", 0.3)
    go_on = threading.Event()

    def slow():
        yield b"["
        go_on.wait(60)
        yield b"]"

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(post, small_receiver, slow())
        wait_until(lambda: metrics(small_receiver).get('lytics_trigger_posts_total{status="408"}'))
        go_on.set()
        assert answer.result(60).status_code == 408
    assert list(tmp_path.iterdir()) == []
    assert metrics(small_receiver)["lytics_trigger_held_bytes"] == 0


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_post_that_is_larger_than_any_of_lytics_is_refused_while_it_comes(small_receiver, tmp_path, pack):
    assert post(small_receiver, pack(b"[" + b" " * (8 << 20) + b"]")).status_code == 413
    assert list(tmp_path.iterdir()) == []
    assert metrics(small_receiver)["lytics_trigger_held_bytes"] == 0


def metrics(url):
    lines = requests.get(f"{url}/metrics", timeout=30).text.splitlines()
    return {line.split()[0]: float(line.split()[1]) for line in lines if not line.startswith("#")}


def test_metrics_count_posts_and_hold_nobody(receiver):
    receiver.post(message(CANARY))
    receiver.post([message(CANARY)] * 3)
    receiver.post(b"{")
    requests.post(receiver.url, b"", timeout=30)
    found = metrics(receiver.base)
    assert found['lytics_trigger_posts_total{status="200"}'] == 2
    assert found['lytics_trigger_posts_total{status="400"}'] == 1
    assert found['lytics_trigger_posts_total{status="401"}'] == 1
    assert found["lytics_trigger_messages_total"] == 4
    assert CANARY not in requests.get(f"{receiver.base}/metrics", timeout=30).text


def test_a_graceful_stop_answers_what_is_under_way(receiver, tmp_path):
    sent = threading.Event()

    def slow():
        yield b"["
        sent.set()
        yield json.dumps(message("late@example.com")).encode()
        wait_until(lambda: not receiver.answers())
        yield b"]"

    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        answer = pool.submit(requests.post, receiver.url, slow(), headers=HEADERS, timeout=60)
        assert sent.wait(30)
        wait_until(lambda: metrics(receiver.base)["lytics_trigger_held_bytes"] > 1)
        receiver.process.send_signal(signal.SIGTERM)
        assert answer.result(60).status_code == 200
    assert receiver.wait() in {-signal.SIGTERM, 128 + signal.SIGTERM}
    assert people(tmp_path / "landed") == ["late@example.com"]
    assert "Traceback" not in receiver.log


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"SECRET": ""}, "The setting secret is missing: set it in .env as LYTICS_TRIGGER_RECEIVER_SECRET."),
        ({"SECRET": "short"}, "shorter than 16 characters"),
        ({"TRIGGERS_URL": ""}, "The setting triggers_url is missing"),
        ({"TRIGGERS_URL": "ftp//x?y"}, "triggers_url"),
        ({"TRIGGERS_URL": "/proc/none"}, "triggers folder at /proc/none"),
        ({"BIND": "here"}, "The setting bind must be an address and a port"),
        ({"BIND": "127.0.0.1:99999"}, "The setting bind must be an address and a port"),
        ({"BIND": "203.0.113.1:80"}, "cannot listen on 203.0.113.1:80"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, variables, sentence):
    given = {"SECRET": SECRET, "TRIGGERS_URL": str(tmp_path / "landed"), "BIND": "127.0.0.1:0", **variables}
    environment = {f"LYTICS_TRIGGER_RECEIVER_{name}": value for name, value in given.items()}
    result = subprocess.run(
        [COMMAND], env={**os.environ, **environment}, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    [line] = result.stderr.splitlines()
    assert "CRITICAL" in line
    assert sentence in line
    assert SECRET not in line


def test_a_port_that_is_taken_is_named(receiver, tmp_path):
    environment = {**os.environ, "LYTICS_TRIGGER_RECEIVER_SECRET": SECRET}
    environment |= {
        "LYTICS_TRIGGER_RECEIVER_TRIGGERS_URL": str(tmp_path),
        "LYTICS_TRIGGER_RECEIVER_BIND": f"127.0.0.1:{receiver.port}",
    }
    result = subprocess.run(
        [COMMAND], env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert result.returncode == 2
    assert f"cannot listen on 127.0.0.1:{receiver.port}" in result.stderr


def test_a_check_lands_nothing(tmp_path):
    environment = {**os.environ, "LYTICS_TRIGGER_RECEIVER_SECRET": SECRET}
    environment["LYTICS_TRIGGER_RECEIVER_TRIGGERS_URL"] = str(tmp_path / "landed")
    result = subprocess.run(
        [COMMAND, "--check"], env=environment, capture_output=True, text=True, timeout=60, check=True
    )
    assert "Messages can land in" in result.stderr
    assert list((tmp_path / "landed").iterdir()) == []


def test_what_the_sandbox_posts_late_twice_and_shuffled_reaches_the_list_of_changes(
    make_box, receiver, tmp_path
):
    box = make_box(triggers_url=receiver.url)
    config = box.tap_config(
        change_detection="triggers", triggers_url=str(tmp_path / "landed"), max_exit_percent=100
    )
    first = run(config)
    view = {record["email"] for record in first.records}
    state = first.state
    for fault in ("trigger_late", "trigger_twice", "trigger_shuffled"):
        box.fault(fault, once=fault == "trigger_late")
    for shape, options in [
        ("default", {}),
        ("cloudevents", {"batch": 3}),
        ("older", {"batch": 10, "compress": True}),
    ]:
        moved = box.advance(AUDIENCE, enter=3, leave=2, change=1, shape=shape, **options)
        assert "posts_waiting" not in moved
    box.clear_faults()
    box.land_triggers()
    second = run(config, state)
    for record in second.records:
        (view.discard if record["audience_state"] == "exit" else view.add)(record["email"])
    assert view == set(box.world.members(AUDIENCE))
    assert not [
        request for request in box.requests if request.path.endswith("/scan") and request.method == "GET"
    ][2:]


def test_what_was_answered_200_is_read_by_the_tap_through_kills_and_failing_storage(receive, tmp_path):
    folder = tmp_path / "landed"
    (tmp_path / "in the way").write_text("no folder")
    (tmp_path / "real").mkdir()

    def point_to(place):
        """At once: there is never nothing under the folder's name."""
        (tmp_path / "link").symlink_to(place)
        (tmp_path / "link").replace(folder)

    point_to(tmp_path / "real")
    receiver = receive()
    port = receiver.port
    taken: set[str] = set()
    lock = threading.Lock()
    numbers = iter(range(10**9))
    end = time.monotonic() + LOAD_SECONDS
    pace = 2000 / 8

    def client(seed):
        chance = random.Random(seed)
        begun = time.monotonic()
        sent = 0
        with requests.Session() as session:
            while time.monotonic() < end:
                with lock:
                    batch = [f"{next(numbers)}@example.com" for _ in range(chance.choice([1, 10, 10, 100]))]
                body = json.dumps([message(address) for address in batch])
                with contextlib.suppress(requests.RequestException):
                    answer = session.post(receiver.url, body, headers=HEADERS, timeout=30)
                    assert answer.status_code in {200, 503}
                    if answer.status_code == 200:
                        with lock:
                            taken.update(batch)
                sent += len(batch)
                time.sleep(max(0.0, min(begun + sent / pace, end) - time.monotonic()))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        clients = [pool.submit(client, seed) for seed in range(8)]
        chance = random.Random(7)
        while time.monotonic() < end:
            time.sleep(chance.uniform(0.3, 1.0))
            if chance.random() < 0.5:
                receiver.end(signal.SIGKILL)
                receiver = receive(port=port)
            else:
                point_to(tmp_path / "in the way")
                time.sleep(chance.uniform(0.1, 0.5))
                point_to(tmp_path / "real")
        for done in clients:
            done.result(60)
    assert taken
    assert taken <= set(people(folder))


def test_messages_land_in_a_bucket(receive, s3):
    s3.create_bucket(Bucket="triggers")
    receiver = receive("s3://triggers/of lytics")
    assert receiver.post([message("a@example.com"), message("b@example.com")]).status_code == 200
    assert sorted(people("s3://triggers/of lytics")) == ["a@example.com", "b@example.com"]
