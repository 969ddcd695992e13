"""Import files in a folder of this machine that a web server serves to Cordial."""

import os
import resource
import stat
from pathlib import Path

import pytest

from lytics_to_cordial.file_errors import FolderError
from target_cordial.settings import Settings
from target_cordial.storage.storage import Storage
from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, run, started, state
from tests.target.servers import web_server

MESSAGES = [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada"), state({"at": 1})]


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "srv" / "im ports"
    made.mkdir(parents=True)
    return made


@pytest.fixture
def web(folder):
    with web_server(folder.parent) as address:
        yield f"{address}/im%20ports/"


def config_for(box, folder, url, **overrides):
    return box.target_config(
        **{
            "storage_url": folder.as_uri(),
            "storage_username": None,
            "storage_password": None,
            "storage_host_key": None,
            "import_source": {"transport": "http", "url": url},
            **overrides,
        }
    )


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def mode_of(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_contacts_arrive_through_a_folder_that_a_web_server_serves(box, folder, web):
    result = run(config_for(box, folder, web), MESSAGES)
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {"ada@example.com"}
    assert files_of(folder) == []


def test_cordial_is_told_the_files_address_and_no_login_of_the_storage(box, folder, web):
    config = config_for(box, folder, web, storage_username="u", storage_password="p")
    assert run(config, MESSAGES).code == 0
    body = next(request.body for request in box.requests if request.path == "/v2/contactimports")
    name = f"{body['importName']}.csv"
    assert body["source"] == {"transport": "http", "url": f"{web}{name}", "path": f"/im ports/{name}"}


def test_a_login_at_the_web_server_is_told_when_it_is_set(box, folder, web):
    config = config_for(box, folder, web, import_username="reader", import_password="reads")
    assert run(config, MESSAGES).code == 0
    source = next(request.body["source"] for request in box.requests if request.path == "/v2/contactimports")
    assert (source["username"], source["password"]) == ("reader", "reads")


def test_import_files_are_for_their_owner_alone(box, folder, web):
    assert run(config_for(box, folder, web, keep_files=True), MESSAGES).code == 0
    (kept,) = folder.iterdir()
    assert mode_of(kept) == 0o600


def test_import_files_in_a_setgid_folder_are_for_its_group_too(box, folder, web):
    folder.chmod(0o2750)
    assert run(config_for(box, folder, web, keep_files=True), MESSAGES).code == 0
    (kept,) = folder.iterdir()
    assert mode_of(kept) == 0o640


def test_a_folder_that_does_not_exist_is_made_for_its_owner_alone(box, folder, web):
    inner = folder / "new"
    assert run(config_for(box, inner, f"{web}new"), MESSAGES).code == 0
    assert mode_of(inner) == 0o700


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is read-only for root")
def test_a_folder_that_cannot_be_written_is_one_sentence(box, folder, web):
    folder.chmod(0o500)
    result = run(config_for(box, folder, web), MESSAGES)
    assert result.code == 2
    assert "does not let the plugin write" in result.message
    assert box.contacts() == {}


def test_a_file_in_place_of_the_folder_is_one_sentence(box, tmp_path):
    (tmp_path / "imports").write_text("a file")
    result = run(config_for(box, tmp_path / "imports", "http://127.0.0.1/"), MESSAGES)
    assert result.code == 2
    assert f"file://{tmp_path}/imports" in result.message
    assert "storage_url" in result.message


def test_a_disk_that_fills_up_is_one_sentence_and_leaves_nothing(box, folder, web):
    people = [enter(f"p{number}@example.com", first_name="x" * 100) for number in range(5_000)]
    with started(config_for(box, folder, web)) as running:
        running.write([state({"at": 0}), AUDIENCE_SCHEMA, enter("ada@example.com")])
        running.wait_for_log("the storage was written, read back and deleted")
        # No file of this process may grow past 100 kB from here on: the nearest thing to a full disk.
        limit(running.process.pid, 100_000)
        running.write([*people, state({"at": 1})])
        running.end_input()
        result = running.result()
    assert result.code == 2
    assert result.states == [{"at": 0}]
    assert "There is no room for temporary files" in result.message
    assert files_of(folder) == []
    assert result.leftovers == []
    assert box.contacts() == {}


def limit(process, size):
    resource.prlimit(process, resource.RLIMIT_FSIZE, (size, size))


def test_a_file_that_does_not_arrive_whole_is_taken_away_again(box, folder, web):
    storage = Storage(Settings.from_config(config_for(box, folder, web)))
    endless = Path(
        "/proc/self/status"
    )  # It is said to be of size 0 and holds more: what arrives is not what was sent.
    with pytest.raises(FolderError, match=r"Could not write x\.csv in the storage"):
        storage.put("x.csv", endless)
    assert files_of(folder) == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ({}, "Cordial needs the address at which a web server serves the import files"),
        ({"transport": "https"}, "Cordial needs the address"),
        ({"transport": "https", "url": "srv/imports"}, "Cordial needs the address"),
        ({"transport": "file", "url": "https://x/"}, "Cordial cannot fetch a file by 'file'"),
        ({"transport": "sftp"}, "Cordial needs password, port, server, username to fetch a file by sftp"),
        ({"transport": "snowflake"}, "Cordial cannot fetch a file by 'snowflake'"),
        ({"transport": "azureblob", "path": "in"}, "Cordial needs account, container"),
    ],
)
def test_a_folder_that_cordial_cannot_reach_is_one_sentence(box, folder, source, words):
    result = run(config_for(box, folder, "", import_source=source), arguments=["--check"])
    assert result.code == 2
    assert words in result.message


def test_another_transport_may_serve_the_folder(box):
    """What the sandbox's SFTP server serves is a folder of this machine."""
    host, _, port = box.storage_url.removeprefix("sftp://").removesuffix("/import").partition(":")
    config = config_for(
        box,
        box.folder / "sftp" / "import",
        "",
        import_source={"transport": "SFTP", "server": host, "port": int(port), "path": "/import/"},
        import_username=box.storage_username,
        import_password=box.storage_password,
    )
    result = run(config, MESSAGES)
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {"ada@example.com"}
