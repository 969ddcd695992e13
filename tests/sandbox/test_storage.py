"""The sandbox's SFTP server: a real one, that lets in who knows the password or has the key, and that breaks on demand."""

import asyncio
import contextlib
import threading

import asyncssh
import pytest

from sandbox import Sandbox


def on_server(box, work, **login):
    """Do something with the server's files."""

    async def run():
        port = int(box.storage_url.split(":")[2].split("/")[0])
        host_keys = asyncssh.import_known_hosts(f"[127.0.0.1]:{port} {box.storage_host_key}")
        login.setdefault("password", box.storage_password)
        options = {
            "username": box.storage_username,
            "known_hosts": host_keys,
            "client_keys": None,
            "agent_path": None,
        }
        async with (
            asyncssh.connect("127.0.0.1", port, **{**options, **login}) as connection,
            connection.start_sftp_client() as files,
        ):
            return await work(files)

    return asyncio.run(asyncio.wait_for(run(), 30))


async def write(files, size=100_000):
    with contextlib.suppress(asyncssh.SFTPFailure):
        await files.mkdir("/import")
    async with files.open("/import/a.csv", "wb") as file:
        await file.write(b"x" * size)


def test_a_file_is_written_with_the_password_and_the_pinned_host_key(box):
    on_server(box, write)
    assert box.files() == ["a.csv"]
    assert (box.folder / "sftp" / "import" / "a.csv").stat().st_size == 100_000


def test_a_file_is_written_with_the_key(box):
    key = asyncssh.import_private_key(box.storage_private_key)
    on_server(box, write, client_keys=[key], password=None)
    assert box.files() == ["a.csv"]


@pytest.mark.parametrize("login", [{"password": "wrong"}, {"username": "other"}, {"password": None}])
def test_nobody_else_is_let_in(box, login):
    with pytest.raises(asyncssh.PermissionDenied):
        on_server(box, write, **login)


def test_another_key_is_not_let_in(box):
    key = asyncssh.generate_private_key("ssh-ed25519")
    with pytest.raises(asyncssh.PermissionDenied):
        on_server(box, write, client_keys=[key], password=None)


def test_the_host_key_is_always_the_same(make_box):
    assert make_box().storage_host_key == make_box(seed=2).storage_host_key


def test_nobody_leaves_the_folder(box):
    async def list_above(files):
        return await files.listdir("/../..")

    assert set(on_server(box, list_above)) <= {".", "..", "import"}


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("storage_read_only", asyncssh.SFTPPermissionDenied),
        ("storage_full", asyncssh.SFTPError),
        ("storage_cut", (asyncssh.SFTPError, asyncssh.DisconnectError, OSError)),
    ],
)
def test_writing_fails(box, fault, error):
    box.fault(fault)
    with pytest.raises(error):
        on_server(box, write)
    box.clear_faults()
    on_server(box, write)


def test_a_read_only_storage_keeps_its_files(box):
    on_server(box, write)
    box.fault("storage_read_only")
    with pytest.raises(asyncssh.SFTPPermissionDenied):
        on_server(box, lambda files: files.remove("/import/a.csv"))
    assert box.files() == ["a.csv"]


def test_only_half_of_a_file_arrives_and_nobody_is_told(box):
    box.fault("storage_short", path="a.csv", once=True)
    on_server(box, write)
    assert (box.folder / "sftp" / "import" / "a.csv").stat().st_size == 50_000
    on_server(box, write)
    assert (box.folder / "sftp" / "import" / "a.csv").stat().st_size == 100_000


def test_the_sandbox_ends_though_a_client_does_not_go(tmp_path):
    sandbox = Sandbox(tmp_path / "box")
    ended = threading.Event()

    def end():
        sandbox.__exit__()
        ended.set()

    async def stay(_):
        threading.Thread(target=end, daemon=True).start()
        await asyncio.to_thread(ended.wait, 20)

    box = sandbox.__enter__()
    with contextlib.suppress(asyncssh.Error):
        on_server(box, stay)
    assert ended.is_set()
