"""The setting storage_url: what it may be, and that no secret in it is shown."""

import pytest

from tests.target.running import AUDIENCE_SCHEMA, enter, run, state

MESSAGES = [AUDIENCE_SCHEMA, enter("ada@example.com"), state({"at": 1})]


PASSWORDS = [
    "sftp://user:hush-hush@host/folder",
    "sftp://user:hush-hush@host:22/folder",
    "sftp://user:hush/-hush@host/folder",
    "sftp://user:hush#-hush@host/folder",
    "sftp://user:hush?-hush@host/folder",
    "sftp://user:hush@-hush@host/folder",
    "sftp://user:12/-hush@host/folder",
    "sftp://user:@host/folder",
    "sftp://:hush-hush@host/folder",
    "s3://key:hush-hush@bucket/folder",
    "gs://key:hush/hush@bucket",
]


@pytest.mark.parametrize(
    ("setting", "url"),
    [
        *[("storage_url", url) for url in PASSWORDS],
        *[(setting, PASSWORDS[2]) for setting in ("rejects_url", "journal_url", "api_url")],
    ],
)
def test_a_password_in_a_url_is_refused_and_not_shown_however_it_is_written(box, setting, url):
    result = run(box.target_config(**{setting: url}), MESSAGES)
    assert result.code == 2
    assert f"The setting {setting} holds a password: take it out" in result.message
    assert "hush" not in result.log
    assert result.states == []
    assert box.requests == []


@pytest.mark.parametrize(
    "url",
    [
        "imports",
        "/srv/imports",
        "ftp://host/folder",
        "https://host/folder",
        "sftp:///folder",
        "s3:///folder",
        "gs://",
        "sftp://",
        "file://",
        "file:///",
        "file://host/folder",
        "sftp://host:port/folder",
        "sftp://host:99999/folder",
        "sftp://host/folder?x=1",
        "s3://bucket/folder#1",
        "nonsense://host/folder",
    ],
)
def test_a_storage_url_that_cannot_work_is_one_sentence(box, url):
    result = run(box.target_config(storage_url=url), MESSAGES)
    assert result.code == 2
    assert "The setting storage_url" in result.message
    assert "Traceback" not in result.log
    assert result.states == []
    assert box.contacts() == {}


def test_an_at_sign_in_a_folder_is_written_with_a_percent_sign(box):
    result = run(box.target_config(storage_url=f"{box.storage_url}/a%40b"), MESSAGES)
    assert result.code == 0, result.log
    assert (box.folder / "sftp" / "import" / "a@b").is_dir()


@pytest.mark.parametrize(
    ("setting", "value", "cure"),
    [
        ("import_source", {"password": "hush-hush"}, "import_password"),
        ("import_source", {"aws_secret_access_key": "hush-hush"}, "import_password"),
        ("import_source", {"transport": "https", "url": "https://u:hush@host/"}, "import_password"),
        ("storage_options", {"password": "hush-hush"}, "storage_password"),
        ("storage_options", {"secret": "hush-hush"}, "storage_password"),
    ],
)
def test_a_secret_in_an_object_setting_is_refused_and_not_shown(box, setting, value, cure):
    result = run(box.target_config(**{setting: value}), MESSAGES)
    assert result.code == 2
    assert f"The setting {setting}" in result.message
    assert cure in result.message
    assert "hush" not in result.log


def test_two_spellings_of_a_folder_are_one_pipeline(box):
    names = []
    for url in (box.storage_url, f"{box.storage_url}/", box.storage_url.replace("sftp://", "sftp://lytics@")):
        box.clear_requests()
        assert run(box.target_config(storage_url=url), MESSAGES).code == 0
        body = next(request.body for request in box.requests if request.path == "/v2/contactimports")
        names.append(body["importName"].split("-")[1])
    assert len(set(names)) == 1
