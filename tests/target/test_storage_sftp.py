"""Import files on an SFTP server: login, host key, files that are never seen half-written, and what goes wrong."""

import pytest

from lytics_to_cordial.errors import TransientError
from target_cordial.settings import Settings
from target_cordial.storage import sftp
from target_cordial.storage.storage import Storage
from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, import_calls, run, started, state
from tests.target.servers import USERNAME, new_key, public_line, sftp_server

BEFORE = {"at": 0}
MESSAGES = [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada"), state({"at": 1})]


@pytest.fixture
def host_key():
    return new_key()


def config_for(box, server, **overrides):
    """The target writes to `server`; Cordial reads the same folder with its own login from the sandbox's server."""
    return box.target_config(
        storage_url=f"sftp://127.0.0.1:{server.port}/import",
        storage_username=USERNAME,
        import_username=box.storage_username,
        import_password=box.storage_password,
        import_source={"port": int(box.storage_url.split(":")[2].split("/")[0])},
        **overrides,
    )


def home_with_known_hosts(tmp_path, text):
    (tmp_path / ".ssh").mkdir(exist_ok=True)
    (tmp_path / ".ssh" / "known_hosts").write_text(text)
    return {"HOME": str(tmp_path)}


def assert_nothing_happened(box, result, code=2):
    assert result.code == code
    assert [state for state in result.states if state != BEFORE] == []
    assert box.contacts() == {}
    assert box.jobs() == []


def test_a_server_that_answers_nothing_is_not_waited_for_without_end(box, host_key, monkeypatch):
    monkeypatch.setattr(sftp, "CALL_TIMEOUT_SECONDS", 0.3)
    folder = box.folder / "slow"
    with sftp_server(folder, host_key=host_key, password="p", write_seconds=3600) as server:
        config = box.target_config(
            storage_url=f"sftp://127.0.0.1:{server.port}/import",
            storage_username=USERNAME,
            storage_password="p",
            storage_host_key=public_line(host_key),
        )
        with pytest.raises(TransientError, match="Could not write"):
            Storage(Settings.from_config(config)).put("people.csv", b"email")


def test_a_password_and_a_pinned_host_key_are_enough(box, host_key):
    with sftp_server(box.folder / "sftp", host_key=host_key, password="pass word#1") as server:
        config = config_for(
            box, server, storage_password="pass word#1", storage_host_key=public_line(host_key)
        )
        result = run(config, MESSAGES)
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {"ada@example.com"}


@pytest.mark.parametrize("kind", ["ssh-ed25519", "ecdsa-sha2-nistp256", "ssh-rsa"])
@pytest.mark.parametrize("given_as", ["text", "one line", "path"])
def test_a_private_key_logs_in_and_cordial_has_a_login_of_its_own(box, host_key, tmp_path, kind, given_as):
    user_key = new_key(kind)
    text = user_key.export_private_key().decode()
    path = tmp_path / "id"
    path.write_text(text)
    given = {"text": text, "one line": text.replace("\n", "\\n"), "path": str(path)}[given_as]
    with sftp_server(box.folder / "sftp", host_key=host_key, user_key=user_key) as server:
        config = config_for(
            box,
            server,
            storage_password=None,
            storage_private_key=given,
            storage_host_key=public_line(host_key),
        )
        result = run(config, MESSAGES)
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {"ada@example.com"}


def test_a_saved_key_is_named_to_cordial_instead_of_a_password(box):
    config = box.target_config(import_source={"savedKey": "lytics"})
    run(config, MESSAGES)  # The sandbox has no saved keys, so it refuses; what it was told is what counts.
    source = next(request.body["source"] for request in box.requests if request.path == "/v2/contactimports")
    assert source["savedKey"] == "lytics"
    assert "password" not in source


def test_a_private_key_without_a_way_in_for_cordial_is_refused_before_anything_is_sent(box):
    config = box.target_config(
        storage_password=None, storage_private_key=new_key().export_private_key().decode()
    )
    result = run(config, MESSAGES)
    assert_nothing_happened(box, result)
    assert "set storage_password, or import_password or import_source.savedKey" in result.message
    assert "PRIVATE KEY" not in result.log


@pytest.mark.parametrize("given", ["no-such-file", "-----BEGIN PRIVATE KEY-----\nsecret\n", ""])
def test_a_private_key_that_is_none_is_one_sentence_without_the_key(box, given):
    key = given or new_key("ssh-rsa").export_private_key("pkcs8-pem", passphrase="hidden").decode()
    result = run(box.target_config(storage_private_key=key), arguments=["--check"])
    assert result.code == 2
    assert "storage_private_key is neither a private key in PEM nor a path to one" in result.message
    assert "secret" not in result.log
    assert key.splitlines()[-1] not in result.log


def test_an_unknown_host_is_refused_with_the_line_to_pin(box, host_key, tmp_path):
    with sftp_server(box.folder / "sftp", host_key=host_key, password="password-1") as server:
        config = config_for(box, server, storage_password="password-1", storage_host_key=None)
        result = run(config, MESSAGES, env={"HOME": str(tmp_path)})
        assert_nothing_happened(box, result)
        assert f"set storage_host_key to: {public_line(host_key)}" in result.message
        assert "password-1" not in result.log

        pinned = result.message.rpartition("storage_host_key to: ")[2]
        again = run({**config, "storage_host_key": pinned}, MESSAGES, env={"HOME": str(tmp_path)})
    assert again.code == 0, again.log


def test_a_host_in_known_hosts_needs_no_pin(box, host_key, tmp_path):
    with sftp_server(box.folder / "sftp", host_key=host_key, password="p") as server:
        config = config_for(box, server, storage_password="p", storage_host_key=None)
        env = home_with_known_hosts(tmp_path, f"[127.0.0.1]:{server.port} {public_line(host_key)}\n")
        result = run(config, MESSAGES, env=env)
    assert result.code == 0, result.log


@pytest.mark.parametrize("other_kind", ["ssh-ed25519", "ssh-rsa"])
@pytest.mark.parametrize("known_from", ["pin", "known_hosts"])
def test_a_changed_host_key_is_refused_before_the_password_is_sent(
    box, host_key, tmp_path, known_from, other_kind
):
    other = public_line(new_key(other_kind))
    with sftp_server(box.folder / "sftp", host_key=host_key, password="p") as server:
        is_pinned = known_from == "pin"
        config = config_for(box, server, storage_password="p", storage_host_key=other if is_pinned else None)
        env = home_with_known_hosts(tmp_path, "" if is_pinned else f"[127.0.0.1]:{server.port} {other}\n")
        result = run(config, MESSAGES, env=env)
    assert_nothing_happened(box, result)
    assert "somebody may be in between" in result.message
    assert (
        "is not storage_host_key" if is_pinned else "is not the one in ~/.ssh/known_hosts"
    ) in result.message
    assert f"(it shows {public_line(host_key)})" in result.message


@pytest.mark.parametrize(
    "line", ["{key}", "{key} a comment", "sftp.example.com,10.0.0.1 {key}", "# keys\nh {other}\nh {key} x\n"]
)
def test_a_host_key_may_be_pinned_as_ssh_keyscan_prints_it(box, host_key, line):
    pinned = line.format(key=public_line(host_key), other=public_line(new_key("ecdsa-sha2-nistp256")))
    with sftp_server(box.folder / "sftp", host_key=host_key, password="p") as server:
        config = config_for(box, server, storage_password="p", storage_host_key=pinned)
        result = run(config, arguments=["--check"])
    assert result.code == 0, result.log


@pytest.mark.parametrize("pinned", ["SHA256:abcdef", "ssh-ed25519 not+base64", "ssh-ed25519"])
def test_a_host_key_that_is_none_is_one_sentence(box, pinned):
    result = run(box.target_config(storage_host_key=pinned), arguments=["--check"])
    assert result.code == 2
    assert "The setting storage_host_key is not a public key" in result.message


def test_a_wrong_password_is_told_as_a_refused_login(box):
    result = run(box.target_config(storage_password="wrong-password"), MESSAGES)
    assert_nothing_happened(box, result)
    assert "refuses the login: check storage_username, storage_password" in result.message
    assert "wrong-password" not in result.log


def test_a_password_that_is_wrong_on_cordials_side_only_is_told_with_cordials_own_words(box):
    result = run(box.target_config(import_password="wrong-password"), MESSAGES)
    assert result.code == 2
    assert result.states == []
    assert box.contacts() == {}
    assert "Can't login to the server" in result.message
    assert "import_password" in result.message
    assert "wrong-password" not in result.log


@pytest.mark.parametrize("posix_rename", [True, False])
def test_a_file_appears_under_its_name_only_when_it_is_whole(box, host_key, posix_rename):
    people = [enter(f"p{number}@example.com", first_name="x" * 100) for number in range(5_000)]
    with sftp_server(
        box.folder / "sftp", host_key=host_key, password="p", posix_rename=posix_rename
    ) as server:
        config = config_for(
            box, server, storage_password="p", storage_host_key=public_line(host_key), keep_files=True
        )
        result = run(config, [AUDIENCE_SCHEMA, *people, state({"at": 1})])
    assert result.code == 0, result.log
    assert server.written
    assert all(name.endswith(".part") for name in server.written if name != "lease.json")
    (kept,) = box.files()
    assert kept.startswith("kept-")
    assert server.appeared[kept.removeprefix("kept-")] == (box.folder / "sftp/import" / kept).stat().st_size
    assert len(box.list_members(LIST)) == 5_000


@pytest.mark.parametrize(
    ("fault", "code"), [("storage_full", 1), ("storage_read_only", 2), ("storage_cut", 1)]
)
def test_a_storage_that_cannot_be_written_is_one_sentence_and_nothing_is_half_done(box, fault, code):
    box.fault(fault)
    result = run(box.target_config(), MESSAGES)
    assert_nothing_happened(box, result, code)
    assert f"the storage at {box.storage_url}".lower() in result.message.lower()
    assert "Traceback" not in result.log
    box.clear_faults()
    assert [name for name in box.files() if not name.endswith(".part")] == []
    again = run(box.target_config(), MESSAGES)
    assert again.code == 0, again.log
    assert box.list_members(LIST) == {"ada@example.com"}
    assert box.files() == []


@pytest.mark.parametrize(
    ("fault", "code"), [("storage_full", 1), ("storage_read_only", 2), ("storage_cut", 1)]
)
def test_a_storage_that_breaks_after_the_check_acknowledges_nothing(box, fault, code):
    people = [enter(f"p{number}@example.com", first_name="x" * 100) for number in range(2_000)]
    with started(box.target_config()) as running:
        running.write([AUDIENCE_SCHEMA, state(BEFORE), enter("ada@example.com")])
        running.wait_for_log("the storage was written, read back and deleted")
        box.fault(fault)
        running.write([*people, state({"at": 1})])
        running.end_input()
        result = running.result()
    assert_nothing_happened(box, result, code)
    assert box.storage_url in result.message


def test_a_file_of_which_half_is_missing_is_never_registered(box):
    people = [enter(f"p{number}@example.com", first_name="x" * 100) for number in range(2_000)]
    with started(box.target_config()) as running:
        running.write([AUDIENCE_SCHEMA, state(BEFORE), enter("ada@example.com")])
        running.wait_for_log("the storage was written, read back and deleted")
        box.fault("storage_short")
        running.write([*people, state({"at": 1})])
        running.end_input()
        result = running.result()
    assert_nothing_happened(box, result, code=1)
    assert box.storage_url in result.message
    assert box.files() == []


def test_a_connection_that_is_cut_while_writing_is_made_again(box):
    box.fault("storage_cut", nth=2)
    people = [enter(f"p{number}@example.com", first_name="x" * 100) for number in range(5_000)]
    result = run(box.target_config(), [AUDIENCE_SCHEMA, *people, state({"at": 1})])
    assert result.code == 0, result.log
    assert len(box.list_members(LIST)) == 5_000
    assert box.files() == []


def test_a_server_that_is_not_there_is_one_sentence(box, host_key):
    with sftp_server(box.folder / "sftp", host_key=host_key, password="p") as server:
        port = server.port
    result = run(box.target_config(storage_url=f"sftp://127.0.0.1:{port}/import"), arguments=["--check"])
    assert result.code == 1
    assert f"in the storage at sftp://127.0.0.1:{port}/import (ConnectionRefusedError)" in result.message


def test_a_folder_that_does_not_exist_is_made(box):
    result = run(box.target_config(storage_url=f"{box.storage_url}/new/one%20two"), MESSAGES)
    assert result.code == 0, result.log
    assert (box.folder / "sftp/import/new/one two").is_dir()


def test_files_go_when_their_import_is_done_and_stay_when_they_are_to_be_kept(box):
    assert run(box.target_config(), MESSAGES).code == 0
    assert box.files() == []
    assert run(box.target_config(keep_files=True), MESSAGES).code == 0
    (kept,) = box.files()
    assert kept.startswith("kept-cordial-")


def test_the_user_name_may_be_in_the_url(box):
    url = box.storage_url.replace("sftp://", f"sftp://{box.storage_username}@")
    result = run(box.target_config(storage_url=url, storage_username=None), MESSAGES)
    assert result.code == 0, result.log
    source = next(request.body["source"] for request in box.requests if request.path == "/v2/contactimports")
    assert source["username"] == box.storage_username


def test_cordial_is_told_where_an_sftp_file_is_as_its_swagger_wants(box):
    assert run(box.target_config(), MESSAGES).code == 0
    body = next(request.body for request in box.requests if request.path == "/v2/contactimports")
    port = int(box.storage_url.split(":")[2].split("/")[0])
    name = f"{body['importName']}.csv"
    assert body["source"] == {
        "transport": "sftp",
        "server": "127.0.0.1",
        "port": port,
        "username": box.storage_username,
        "password": box.storage_password,
        "path": f"/import/{name}",
        "url": f"sftp://127.0.0.1:{port}/import/{name}",
    }


def test_a_configuration_or_agent_of_this_machines_user_decides_nothing(box, tmp_path):
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  Port 1\n  User nobody\n")
    result = run(
        box.target_config(), arguments=["--check"], env={"HOME": str(tmp_path), "SSH_AUTH_SOCK": "/nowhere"}
    )
    assert result.code == 0, result.log


def test_no_secret_of_the_storage_is_in_a_log_even_at_debug_level(box):
    result = run(box.target_config(), MESSAGES, env={"TARGET_CORDIAL_LOGLEVEL": "DEBUG"})
    assert result.code == 0, result.log
    assert "DEBUG" in result.log
    assert box.storage_password not in result.log
    assert box.api_key not in result.log
    assert "ada@example.com" not in result.log


def test_a_lease_of_which_half_is_missing_is_no_lease_and_not_waited_for(box):
    box.fault("storage_short", path="lease.json")
    result = run(box.target_config(), MESSAGES)
    assert result.code == 1
    assert "lease.json" in result.message
    assert result.states == []
    assert import_calls(box) == []
