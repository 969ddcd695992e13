"""Settings of folders, of both plugins: each mistake is one sentence at the start, the same whatever setting it is in."""

from __future__ import annotations

import pytest

from lytics_to_cordial.errors import UserError
from tap_lytics_audience.settings import CONFIG_JSONSCHEMA as TAP_SCHEMA
from tap_lytics_audience.tap import TapLyticsAudience
from target_cordial.settings import CONFIG_JSONSCHEMA as TARGET_SCHEMA
from target_cordial.target import TargetCordial
from tests.tap.running import run_process
from tests.target.running import quick_config
from tests.target.running import run as run_target

TAP = {"api_token": "t", "audiences": ["vips"], "ledger_url": "ledger"}
TARGET = {"api_key": "k", "storage_url": "sftp://127.0.0.1/imports"}
PLUGINS = {
    name: (plugin, base)
    for plugin, base, schema in (
        (TapLyticsAudience, TAP, TAP_SCHEMA),
        (TargetCordial, TARGET, TARGET_SCHEMA),
    )
    for name in schema["properties"]
    if name.endswith("_url") and name not in {"api_url", "notify_url"}
}
OTHERS = [name for name in PLUGINS if name != "storage_url"]
MISTAKES = {
    "s3:/bucket/x": "looks like a mistyped URL: write it as s3://..., or as ./s3... if it is",
    "s3//bucket/x": "looks like a mistyped URL: write it as s3://..., or as ./s3... if it is",
    "s3:bucket/x": "looks like a mistyped URL: write it as s3://..., or as ./s3... if it is",
    "s3:///x": "looks like a mistyped URL: write it as s3://..., or as ./s3... if it is",
    "data:,x": "looks like a mistyped URL: write it as data://..., or as ./data... if it is",
    "file:/srv/x": "looks like a mistyped URL: write it as file://..., or as ./file... if it is",
    "s3://": "must name the bucket, such as s3://bucket/folder.",
    "S3://": "must name the bucket, such as s3://bucket/folder.",
    "gs://": "must name the bucket, such as gs://bucket/folder.",
    "s3://key@/x": "must name the bucket, such as s3://bucket/folder.",
    "sftp://": "must name the server, such as sftp://sftp.example.com/folder.",
    "sftp://me@": "must name the server, such as sftp://sftp.example.com/folder.",
    "sftp://me@/x": "must name the server, such as sftp://sftp.example.com/folder.",
    "sftp://:22/x": "must name the server, such as sftp://sftp.example.com/folder.",
    "sftp://h:ssh/x": "is not a URL, or has a port that is not a number: correct it.",
    "sftp://h:99999/x": "is not a URL, or has a port that is not a number: correct it.",
    "sftp://[/x": "is not a URL, or has a port that is not a number: correct it.",
    "file://host/x": "must name an absolute folder of this machine, such as file:///srv/folder.",
    "file://~/x": "must name an absolute folder of this machine, such as file:///srv/folder.",
    "file://": "must name an absolute folder of this machine, such as file:///srv/folder.",
    "file:///": "must name an absolute folder of this machine, such as file:///srv/folder.",
    "s3://bucket/x?y": "holds ? or #: write them as %3F and %23.",
    "sftp://h/x#y": "holds ? or #: write them as %3F and %23.",
    "sftp://me:pw@h/x": "holds a password: take it out and ",
    "S3://key:pw@bucket": "holds a password: take it out and ",
    "a\0b": "holds a sign that cannot be seen: write it anew.",
    "s3://bucket/a\u200bb": "holds a sign that cannot be seen: write it anew.",
    "file:///srv/a%00b": "holds a sign that cannot be seen: write it anew.",
    "x" * 300: "holds a name of more than 255 bytes, which no file can have: make it shorter.",
    f"file:///srv/{'x' * 300}": "holds a name of more than 255 bytes, which no file can have: make it shorter.",
    "/srv/" + "ü" * 200: "holds a name of more than 255 bytes, which no file can have: make it shorter.",
}
KINDS = {
    "sfpt://h/x": "has a URL of a kind that is not known: set it to a path, or a URL that fsspec knows",
    "simplecache::s3://b/x": "looks like a mistyped URL",
    "memory://x": "is a memory:// URL, where no run can leave files for the next: set it to a path, or a URL",
    "http://h/x": "is a http:// URL, where no run can leave files for the next: set it to a path, or a URL",
    "~no-such-user/x": "begins with the home folder of a user whom this machine does not know: write out the path.",
}
CORDIALS = "must be sftp://host:22/folder, s3://bucket/prefix, gs://bucket/prefix or file:///folder."


def settings_of(setting, url):
    plugin, base = PLUGINS[setting]
    # Without the streams of the tap, for which it asks Lytics.
    return plugin(config={**base, setting: url}, setup_mapper=False).settings


def test_the_table_below_has_all_settings_of_folders():
    assert sorted(PLUGINS) == [
        "audits_url",
        "journal_url",
        "ledger_url",
        "rejects_url",
        "storage_url",
        "triggers_url",
    ]


@pytest.mark.parametrize("setting", PLUGINS)
@pytest.mark.parametrize("url", MISTAKES)
def test_a_mistake_is_one_sentence_whatever_setting_it_is_in(setting, url):
    with pytest.raises(UserError) as caught:
        settings_of(setting, url)
    assert str(caught.value).startswith(f"The setting {setting} {MISTAKES[url]}")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("setting", OTHERS)
@pytest.mark.parametrize("url", KINDS)
def test_a_place_that_no_run_finds_again_is_refused(setting, url):
    with pytest.raises(UserError) as caught:
        settings_of(setting, url)
    assert str(caught.value).startswith(f"The setting {setting} {KINDS[url]}")


@pytest.mark.parametrize(
    "url",
    ["imports", "~/imports", "/srv/x", "ftp://h/x", "sfpt://h/x", "memory://x", "local:///x", "http://h/x"],
)
def test_cordial_fetches_from_few_kinds_of_places(url):
    with pytest.raises(UserError) as caught:
        settings_of("storage_url", url)
    assert str(caught.value) == f"The setting storage_url {CORDIALS}"


@pytest.mark.parametrize("setting", OTHERS)
@pytest.mark.parametrize(
    ("url", "taken"),
    [
        ("S3://Bucket/X", "s3://Bucket/X"),
        ("SFTP://Host:22/X", "sftp://Host:22/X"),
        ("FILE:///srv/X", "file:///srv/X"),
        ("~/x/", "/home/ada/x/"),
        ("~", "/home/ada"),
        ("./~/x", "./~/x"),
        ("./s3:x", "./s3:x"),
        ("/srv/a?b#c", "/srv/a?b#c"),
        ("sftp://[::1]:22/x", "sftp://[::1]:22/x"),
        ("hdfs://node/x", "hdfs://node/x"),
    ],
)
def test_what_can_work_is_taken_in_one_spelling(monkeypatch, setting, url, taken):
    monkeypatch.setenv("HOME", "/home/ada")
    assert getattr(settings_of(setting, url), setting) == taken


@pytest.mark.parametrize("url", ["SFTP://127.0.0.1/imports", "File:///srv/imports", "S3://Bucket/x"])
def test_the_storages_scheme_may_be_written_in_any_case(url):
    scheme, _, rest = url.partition("://")
    assert settings_of("storage_url", url).storage_url == f"{scheme.lower()}://{rest}"


@pytest.mark.parametrize("setting", PLUGINS)
def test_a_run_ends_with_the_sentence_before_anything_is_read_or_sent(box, setting):
    plugin, _ = PLUGINS[setting]
    if plugin is TapLyticsAudience:
        ended = run_process(box.tap_config(**{setting: "s3://"}))
        code, log, output = ended.code, ended.log, ended.output.decode()
    else:
        result = run_target(quick_config(box, **{setting: "s3://"}), [])
        code, log, output = result.code, result.log, result.output
    assert code == 2
    assert log.count(f"The setting {setting} must name the bucket") == 1
    assert output == ""
    assert box.requests == []


@pytest.mark.parametrize("command", [["--status"], ["--report", "page.html"]])
@pytest.mark.parametrize("url", ["s3://", "memory://x", "x" * 300])
def test_what_needs_the_journal_alone_knows_the_same_mistakes(tmp_path, monkeypatch, command, url):
    monkeypatch.chdir(tmp_path)
    result = run_target({"journal_url": url}, arguments=command)
    assert result.code == 2
    assert "The setting journal_url " in result.message
    assert "fault of the program" not in result.log


def test_a_journal_in_the_home_folder_is_written_there(box, tmp_path):
    run_target(quick_config(box, journal_url="~/runs.jsonl"), [], env={"HOME": str(tmp_path)})
    assert (tmp_path / "runs.jsonl").exists()
