"""One writer a folder, on this machine, by SFTP, in S3 and in Google Cloud Storage: who waits, who takes over, who stops."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from http import HTTPStatus

import fsspec
import msgspec
import pytest
import requests
from gcp_storage_emulator.exceptions import NotFound
from gcp_storage_emulator.handlers import objects
from gcp_storage_emulator.server import create_server
from sshfs import SSHFileSystem

from lytics_to_cordial import lease as lease_module
from lytics_to_cordial.checklist import Checklist
from lytics_to_cordial.errors import TransientError
from lytics_to_cordial.files import Folder
from lytics_to_cordial.lease import BEAT_VARIABLE, NAME, Holder, Lease, LeaseHeldError, LeaseLostError
from lytics_to_cordial.shared_file import SharedFile

BUCKET = "one-writer"
QUICK = 0.1
NEVER = 1000


@pytest.fixture
def bucket():
    """A Google bucket whose emulator takes no conditions."""
    server = create_server("127.0.0.1", 0, in_memory=True)
    server.start()
    endpoint = f"http://127.0.0.1:{server._api._httpd.server_address[1]}"
    answer = requests.post(f"{endpoint}/storage/v1/b?project=test", json={"name": BUCKET}, timeout=10)
    answer.raise_for_status()

    def opened():
        options = {"endpoint_url": endpoint, "token": "anon", "project": "test", "skip_instance_cache": True}
        return fsspec.filesystem("gs", **options), f"{BUCKET}/folder"

    yield Folder(f"gs://{BUCKET}/folder", setting="storage_url", open_files=opened)
    server.stop()


@pytest.fixture
def conditions(monkeypatch):
    """Teach the emulator what Google's storage does with `ifGenerationMatch`."""
    upload = objects._media_upload
    lock = threading.Lock()

    def conditional(request, response, storage):
        wanted = request.query.get("ifGenerationMatch", [None])[0]
        with lock:
            try:
                found = storage.get_file_obj(BUCKET, request.query["name"][0])["generation"]
            except NotFound:
                found = "0"
            if wanted in {None, found}:
                upload(request, response, storage)
            else:
                response.status = HTTPStatus.PRECONDITION_FAILED
                response.json({"error": {"code": 412, "message": "conditionNotMet"}})

    monkeypatch.setattr(objects, "_media_upload", conditional)


@pytest.fixture(params=["local", "sftp", "s3", "gs"])
def folder(request, tmp_path):
    if request.param == "local":
        return Folder(str(tmp_path / "a" / "b"), setting="ledger_url")
    if request.param == "s3":
        request.getfixturevalue("s3").create_bucket(Bucket=BUCKET)
        return Folder(f"s3://{BUCKET}/folder", setting="ledger_url")
    if request.param == "gs":
        request.getfixturevalue("conditions")
        return request.getfixturevalue("bucket")
    box = request.getfixturevalue("box")
    login = {"username": box.storage_username, "password": box.storage_password, "client_keys": None}
    port = int(box.storage_url.split(":")[2].split("/")[0])
    return Folder(
        box.storage_url,
        setting="storage_url",
        open_files=lambda: (
            SSHFileSystem("127.0.0.1", port=port, known_hosts=None, skip_instance_cache=True, **login),
            "/import/inner",
        ),
    )


@pytest.fixture
def lease_of(monkeypatch):
    """Makes leases of a folder that beat so often; they are released in the end."""
    made = []

    def make(folder, beat=QUICK):
        monkeypatch.setenv(BEAT_VARIABLE, str(beat))
        made.append(Lease(folder))
        return made[-1]

    yield make
    for lease in made:
        lease.release()


def left_by(folder, process, boot):
    holder = Holder("r", socket.gethostname(), boot, process, "2026-01-02 03:04:05 UTC", "00")
    folder.put(NAME, msgspec.json.encode(holder))


def test_the_lease_is_gone_once_it_is_released(folder, lease_of):
    with lease_of(folder):
        assert folder.names() == [NAME]
    assert folder.names() == []


def test_a_second_run_waits_and_goes_on_when_the_first_one_ends(folder, lease_of):
    first, second = lease_of(folder), lease_of(folder)
    first.take()
    waiting = threading.Thread(target=second.take)
    waiting.start()
    waiting.join(4 * QUICK)
    assert waiting.is_alive()
    first.release()
    waiting.join(10)
    second.check()


def test_a_second_run_is_refused_with_host_and_time_when_the_first_one_lives_on(folder, lease_of):
    first = lease_of(folder)
    first.take()
    since = msgspec.json.decode(folder.read(NAME))["since"]
    with pytest.raises(LeaseHeldError) as told:
        lease_of(folder).take()
    assert f"on {socket.gethostname()} since {since}" in str(told.value)
    assert told.value.exit_code == 1
    first.check()


def test_a_stalled_run_is_taken_over_and_knows_it_when_it_wakes(folder, lease_of):
    stalled = lease_of(folder, beat=20 * QUICK)
    stalled.take()
    began = time.monotonic()
    second = lease_of(folder)
    second.take()
    assert time.monotonic() - began >= 4 * QUICK
    with pytest.raises(LeaseLostError):
        stalled.check()
    # Its next beat comes, and changes nothing.
    time.sleep(max(0, began + 22 * QUICK - time.monotonic()))
    second.check()
    stalled.release()
    second.check()


def test_a_run_that_was_killed_on_this_machine_is_taken_over_at_once(folder, lease_of):
    killed = subprocess.Popen(["true"])
    killed.wait()
    left_by(folder, killed.pid, lease_module._boot())
    began = time.monotonic()
    lease = lease_of(folder, beat=15)
    lease.take()
    assert time.monotonic() - began < 10
    lease.check()


def test_a_process_of_another_boot_or_container_is_not_known_to_be_dead(folder, lease_of):
    killed = subprocess.Popen(["true"])
    killed.wait()
    left_by(folder, killed.pid, "another boot")
    began = time.monotonic()
    lease_of(folder).take()
    assert time.monotonic() - began >= 4 * QUICK


def test_a_lease_that_is_not_whole_is_waited_for_like_any_other(folder, lease_of):
    folder.put(NAME, b"")
    began = time.monotonic()
    lease_of(folder).take()
    assert time.monotonic() - began >= 4 * QUICK


def test_of_many_that_take_over_at_the_same_time_one_holds_the_lease(folder, lease_of):
    left_by(folder, 1, "another boot")
    leases = [lease_of(folder) for _ in range(4)]
    refused = []

    def take(lease):
        try:
            lease.take()
        except LeaseHeldError:
            refused.append(lease)

    threads = [threading.Thread(target=take, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    holders = []
    for lease in set(leases) - set(refused):
        with contextlib.suppress(LeaseLostError):
            lease.check()
            holders.append(lease)
    assert len(holders) == 1


def test_no_write_goes_over_a_file_that_is_not_the_one_that_was_read(folder):
    file = SharedFile(folder, NAME)
    assert file.read() is None
    assert file.create(b"first")
    assert not file.create(b"other")
    first = file.read()
    assert file.update(first, b"First")
    second = file.read()
    assert not file.update(first, b"FIRST")
    assert file.replace(second, b"taken over")
    assert not file.update(second, b"fIRST")
    assert file.read().content == b"taken over"


def test_a_file_is_not_written_anew_by_a_run_that_stood_still_since_it_read_it(folder):
    file = SharedFile(folder, "ledger.json")
    file.rewrite(None, b"first")
    first = file.read()
    file.rewrite(first, b"newer, and longer")
    for stale in (first, None):
        with pytest.raises(
            TransientError, match="while this one stood still, so nothing was sent: run again"
        ):
            file.rewrite(stale, b"older")
    assert file.read().content == b"newer, and longer"
    assert folder.names() == ["ledger.json"]


def test_whoever_takes_the_lease_clears_away_what_killed_runs_left_half_written(folder, lease_of):
    left = [f"{NAME}.0123456789abcdef", "ledger.json.01234567.part", "runs.json.89abcdef.part"]
    others = ["audit-1.json", "ledger.json", "x.csv.01234567.part"]
    for name in [*left, *others]:
        folder.put(name, b"{")
    with lease_of(folder):
        assert folder.names() == sorted([*others, NAME])


def test_a_check_says_that_two_runs_are_kept_apart_and_leaves_nothing(folder, lease_of):
    assert shown(lease_of(folder)) == ["ok"]
    assert folder.names() == []
    with lease_of(folder):
        assert shown(lease_of(folder)) == ["ok", "note"]


def test_a_check_warns_where_a_storage_cannot_refuse_a_write(bucket, lease_of):
    assert shown(lease_of(bucket)) == ["note"]
    assert shown(lease_of(Folder("memory://one/writer", setting="ledger_url"))) == ["note"]
    fsspec.filesystem("memory").store.clear()


def shown(lease):
    lines = []
    lease.show(Checklist(lambda status, topic, text: lines.append((status, topic, text))))
    assert {topic for _, topic, _ in lines} == {"lease"}
    return [status for status, _, _ in lines]
