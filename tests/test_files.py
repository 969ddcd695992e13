"""Folders of files, on this machine and elsewhere: whole files, private files, and one sentence for each error."""

from __future__ import annotations

import datetime as dt
import errno
import logging
import os
import re
import stat
import subprocess
import threading
from pathlib import Path

import fsspec
import pytest
from sshfs import SSHFileSystem

from lytics_to_cordial import files
from lytics_to_cordial.file_errors import (
    FolderError,
    HostKeyError,
    LoginError,
    MissingFileError,
    NoFolderError,
    NoRoomError,
    NotAllowedError,
)
from lytics_to_cordial.files import Folder
from lytics_to_cordial.filesystems import PrivateFileSystem
from tests.target.servers import new_key, public_line, sftp_server

SETTINGS = ["ledger_url", "triggers_url", "storage_url", "journal_url", "rejects_url"]


@pytest.fixture
def local(tmp_path):
    return Folder(str(tmp_path / "a" / "b"), setting="ledger_url")


@pytest.fixture
def bucket(s3):
    s3.create_bucket(Bucket="ledgers")
    return Folder("s3://ledgers/prod", setting="ledger_url")


@pytest.fixture
def memory():
    yield Folder("memory://ledgers/prod", setting="ledger_url")
    fsspec.filesystem("memory").store.clear()


@pytest.fixture
def sftp(box):
    return Folder(box.storage_url, setting="storage_url", open_files=lambda: opened(box))


def opened(box):
    port = int(box.storage_url.split(":")[2].split("/")[0])
    login = {"username": box.storage_username, "password": box.storage_password, "client_keys": None}
    return SSHFileSystem(
        "127.0.0.1", port=port, known_hosts=None, skip_instance_cache=True, **login
    ), "/import"


@pytest.mark.parametrize("kind", ["local", "bucket", "memory", "sftp"])
def test_files_are_written_listed_read_renamed_and_deleted(request, tmp_path, kind):
    folder = request.getfixturevalue(kind)
    assert folder.names() == folder.folders() == []
    (tmp_path / "source").write_bytes(b"from a file")
    folder.put("two", tmp_path / "source")
    folder.put("one", b"bytes")
    folder.put("one", b"other bytes")
    inner = folder.child("inner")
    inner.put("three", b"3")
    assert folder.names() == ["one", "two"]
    assert folder.folders() == ["inner"]
    assert inner.names() == ["three"]
    assert folder.read("one") == b"other bytes"
    assert folder.get("two", tmp_path / "fetched").read_bytes() == b"from a file"
    folder.rename("two", "one")
    assert folder.read("one") == b"from a file"
    folder.delete("one")
    folder.delete("one")
    assert folder.names() == []
    folder.check()
    assert folder.names() == []
    assert str(inner) == f"{folder}/inner"


@pytest.mark.parametrize("kind", ["local", "bucket", "memory", "sftp"])
def test_all_files_are_told_with_size_and_time_and_read_at_once(request, kind):
    folder = request.getfixturevalue(kind)
    before = dt.datetime.now(dt.timezone.utc) - dt.timedelta(seconds=2)
    folder.put("one", b"11")
    folder.child("inner").put("two", b"2")
    found = sorted(folder.files(), key=lambda file: file.size)
    assert [(file.name, file.size) for file in found] == [("inner/two", 1), ("one", 2)]
    assert all(before <= file.modified_at <= before + dt.timedelta(minutes=5) for file in found)
    folder.put("one", b"1111")
    folder.delete("inner/two")
    gone, cut = folder.read_many(found)
    assert isinstance(gone, MissingFileError)
    assert cut == b"11"
    assert folder.read_many([]) == []


@pytest.mark.parametrize("kind", ["local", "bucket", "memory", "sftp"])
def test_what_is_appended_comes_after_what_was_there(request, kind):
    folder = request.getfixturevalue(kind)
    for _ in range(3):
        folder.append("runs.jsonl", b"{}\n")
    assert folder.read("runs.jsonl") == b"{}\n" * 3


@pytest.mark.parametrize("kind", ["local", "sftp"])
def test_runs_that_add_to_one_file_at_once_lose_no_line(request, kind):
    first = request.getfixturevalue(kind)
    second = (
        first
        if kind == "local"
        else Folder("sftp://h/x", setting="journal_url", open_files=first._open_files)
    )
    lines = [b"%d\n" % number for number in range(40)]
    first.append("runs.jsonl", b"")
    writers = [
        threading.Thread(
            target=lambda folder=folder, own=own: [folder.append("runs.jsonl", line) for line in own]
        )
        for folder, own in ((first, lines[:20]), (second, lines[20:]))
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert sorted(first.read("runs.jsonl").splitlines(keepends=True)) == sorted(lines)


def test_a_file_on_this_machine_and_new_folders_are_their_owners_alone(local, tmp_path):
    local.put("one", b"1")
    local.append("two", b"2")
    for name in ("one", "two"):
        assert stat.S_IMODE((tmp_path / "a/b" / name).stat().st_mode) == 0o600
    for name in ("a", "a/b"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


def test_a_file_and_its_name_are_on_the_disk_before_put_returns(local, tmp_path, monkeypatch):
    synced = []
    sync = os.fsync

    def note_sync(descriptor):
        names = sorted(path.name for path in (tmp_path / "a/b").iterdir())
        synced.append((str(Path(f"/proc/self/fd/{descriptor}").readlink()), names))
        sync(descriptor)

    local.put("first", b"1")
    monkeypatch.setattr(os, "fsync", note_sync)
    local.put("one", b"1")
    folder = str(tmp_path / "a" / "b")
    [(part, names), (last, names_after)] = synced
    assert re.fullmatch(rf"{re.escape(folder)}/one\.[0-9a-f]{{8}}\.part", part)
    assert names == ["first", Path(part).name]
    assert (last, names_after) == (folder, ["first", "one"])


@pytest.mark.parametrize("kind", ["local", "bucket"])
def test_half_a_file_is_taken_away_again(request, kind):
    folder = request.getfixturevalue(kind)
    # It is said to be of size 0 and holds more: what arrives is not what was sent.
    with pytest.raises(FolderError, match=r"Could not write x in the \w+ at .* \(OSError\): check \w+_url"):
        folder.put("x", Path("/proc/self/status"))
    assert folder.names() == []


def test_a_path_may_be_relative_or_a_file_url(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    for url in ("a", f"file://{tmp_path}/a/", "~/a"):
        Folder(url, setting="ledger_url").put("one", url.encode())
        assert (tmp_path / "a" / "one").read_bytes() == url.encode()


@pytest.mark.parametrize(
    ("url", "folder", "name"),
    [
        ("runs.jsonl", ".", "runs.jsonl"),
        ("/runs.jsonl", "/", "runs.jsonl"),
        ("~/j/runs.jsonl", "~/j", "runs.jsonl"),
        ("s3://bucket/runs.jsonl", "s3://bucket", "runs.jsonl"),
    ],
)
def test_a_files_folder_and_name_are_known_from_its_url(url, folder, name):
    found = Folder.of_file(url, setting="journal_url")
    assert (str(found[0]), found[1]) == (folder, name)


@pytest.mark.parametrize("url", ["s3://bucket", "folder/"])
def test_a_url_without_a_file_is_one_sentence(url):
    with pytest.raises(NoFolderError, match="The setting journal_url must name a file"):
        Folder.of_file(url, setting="journal_url")


@pytest.mark.parametrize("setting", SETTINGS)
def test_one_mistake_is_one_sentence_whichever_setting_it_is_in(setting):
    with pytest.raises(NoFolderError) as caught:
        Folder("sfpt://h/x", setting=setting).put("one", b"")
    sentence = str(caught.value)
    assert sentence.endswith(
        f" at sfpt://h/x cannot be opened: {setting} must be a path, or a URL that fsspec knows, such as s3://bucket/folder."
    )


def test_an_extra_that_is_not_installed_is_named(monkeypatch):
    def fail(*_, **__):
        raise ImportError

    monkeypatch.setattr(fsspec, "url_to_fs", fail)
    for scheme, cure in [
        ("s3", r"lytics-to-cordial\[s3\]"),
        ("gs", r"lytics-to-cordial\[gcs\]"),
        ("hdfs", "what"),
    ]:
        with pytest.raises(
            NoFolderError, match=f"A {scheme}:// journal_url needs more packages: install {cure}"
        ):
            Folder(f"{scheme}://x/y", setting="journal_url").names()


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize("setting", SETTINGS)
def test_a_bucket_without_a_login_is_told_as_a_login(setting, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", "/nowhere")
    with pytest.raises(
        LoginError, match="refuses the login: check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    ):
        Folder("s3://ledgers/x", setting=setting).put("one", b"1")


@pytest.mark.usefixtures("s3")
def test_a_bucket_that_is_not_there_is_one_sentence():
    folder = Folder("s3://nowhere/prod", setting="ledger_url")
    with pytest.raises(
        MissingFileError, match="has no place to write one: check that the folder or bucket in ledger_url"
    ):
        folder.put("one", b"1")
    with pytest.raises(MissingFileError, match="The ledger at s3://nowhere/prod is missing: create it"):
        folder.files()


def test_what_is_missing_is_told(local, tmp_path):
    for call in (local.read, lambda name: local.get(name, tmp_path / "x")):
        with pytest.raises(
            MissingFileError, match=rf"The ledger at {local} does not hold one: restore it, or correct"
        ):
            call("one")
    with pytest.raises(
        MissingFileError, match=f"The ledger at {local} is missing: create it, or correct ledger_url"
    ):
        local.files()


def test_an_address_in_a_name_is_not_shown(local):
    with pytest.raises(MissingFileError) as caught:
        local.read("deep/ada@example.com.json")
    assert "deep/(address)" in str(caught.value)
    assert "example" not in str(caught.value)


def test_a_file_in_place_of_the_folder_is_one_sentence(tmp_path):
    (tmp_path / "file").write_text("a file")
    for url in (tmp_path / "file", tmp_path / "file" / "deeper"):
        folder = Folder(str(url), setting="rejects_url")
        for call in (
            lambda folder=folder: folder.put("one", b"1"),
            lambda folder=folder: folder.append("one", b"1"),
        ):
            with pytest.raises(
                NoFolderError, match=f"The reject report at {url} is not a folder: set rejects_url"
            ):
                call()
    with pytest.raises(NoFolderError):
        Folder(str(tmp_path / "file"), setting="triggers_url").files()


def test_a_missing_right_and_a_full_disk_are_told_apart(local, tmp_path, monkeypatch):
    def fail_with(number):
        def fail(*_, **__):
            raise OSError(number, os.strerror(number))

        return fail

    monkeypatch.setattr(PrivateFileSystem, "pipe_file", fail_with(errno.EACCES))
    with pytest.raises(NotAllowedError, match="does not let the plugin write one: give it the rights"):
        local.put("one", b"1")
    monkeypatch.setattr(PrivateFileSystem, "pipe_file", fail_with(errno.ENOSPC))
    with pytest.raises(
        NoRoomError, match=r"has no room to write one \(No space left on device\): make room there"
    ):
        local.put("one", b"1")
    # It is not the ledger that is full when a file cannot be fetched.
    monkeypatch.setattr(PrivateFileSystem, "get_file", fail_with(errno.ENOSPC))
    with pytest.raises(OSError, match="No space left on device"):
        local.get("one", tmp_path / "x")


def test_folders_that_cannot_be_listed_are_an_error(local, monkeypatch):
    local.child("inner").put("one", b"1")
    scandir = os.scandir

    def refuse(path):
        if str(path).endswith("inner"):
            raise PermissionError(errno.EACCES, "denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(NotAllowedError, match="does not let the plugin list the files"):
        local.files()


def test_what_a_broken_connection_prevented_is_tried_again_on_a_new_one(tmp_path, caplog, monkeypatch):
    (tmp_path / "one").write_bytes(b"1")
    made = []

    def open_files():
        made.append(_Working() if made else _Cut())
        return made[-1], str(tmp_path)

    folder = Folder("sftp://h/x", setting="storage_url", open_files=open_files)
    monkeypatch.setattr(files.time, "sleep", lambda _: None)
    with caplog.at_level(logging.WARNING):
        assert folder.child("inner").read("one") == b"one"
        assert folder.read("one") == b"one"
    assert len(made) == 2, "the new connection serves both"
    [line] = caplog.messages
    assert line.startswith(
        "The storage at sftp://h/x/inner failed (ConnectionResetError): trying to read one again in 0."
    )
    assert line.endswith("s (try 2).")


class _Cut:
    protocol = "sftp"

    def cat_file(self, path):
        raise ConnectionResetError(path)


class _Working(_Cut):
    def cat_file(self, path):
        return Path(path).name.encode()


def test_a_line_is_never_appended_a_second_time(tmp_path):
    tries = []

    class Lost(_Cut):
        def open(self, path, mode):
            tries.append((path, mode))
            raise ConnectionResetError

    folder = Folder("sftp://h/x", setting="journal_url", open_files=lambda: (Lost(), str(tmp_path)))
    with pytest.raises(
        FolderError, match=r"Could not add to runs in the journal at sftp://h/x \(ConnectionResetError\)"
    ):
        folder.append("runs", b"1")
    assert len(tries) == 1


def test_a_storage_that_gives_back_other_bytes_fails_the_check(local, monkeypatch):
    monkeypatch.setattr(PrivateFileSystem, "cat_file", lambda *_, **__: b"other")
    with pytest.raises(
        FolderError, match="gives back other bytes than were written: set ledger_url to another folder"
    ):
        local.check("check.csv")
    assert local.names() == []


def test_a_server_whose_host_key_is_not_known_gets_nothing(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    key = new_key()
    with sftp_server(tmp_path / "served", host_key=key, password="p") as server:
        url = f"sftp://writer@127.0.0.1:{server.port}/ledger"
        with pytest.raises(
            HostKeyError, match=r"The host key of the server of the ledger at sftp://.* is not known"
        ):
            Folder(url, setting="ledger_url").put("one", b"1")
        (tmp_path / ".ssh").mkdir()
        line = f"[127.0.0.1]:{server.port} {public_line(key)}\n"
        (tmp_path / ".ssh" / "known_hosts").write_text(line)
        # The server is the right one; the login is another matter.
        with pytest.raises(
            LoginError, match="refuses the login: check the user name in the URL and the keys of"
        ):
            Folder(url, setting="ledger_url").put("one", b"1")
    assert server.written == []


def test_git_takes_nothing_from_a_folder_that_is_made_in_a_work_tree(tmp_path):
    """In a project of somebody else's, no ignored folder is called as ours are."""
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "file").write_text("theirs", encoding="utf-8")
    for place in ("rejects", "ledger/prod/pipeline", "theirs/rejects"):
        folder = Folder(str(tmp_path / place), setting="rejects_url")
        folder.put("0001.jsonl", b"ada@example.com")
        folder.child("inner").append("0002.jsonl", b"ada@example.com")
        assert folder.files(), place
    taken = subprocess.run(
        ["git", "ls-files", "--others", "--exclude-standard"],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        text=True,
    )
    assert taken.stdout.split() == ["theirs/file"]
