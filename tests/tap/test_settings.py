"""Settings from files and the environment: blanks are unset, faults are one sentence without the value."""

from __future__ import annotations

import json

import pytest

from tests.tap.running import run, run_process


def environment(box, **more):
    return {
        f"TAP_LYTICS_AUDIENCE_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in box.tap_config(**more).items()
    }


def test_all_settings_can_come_from_the_environment(box):
    ended = run_process({}, arguments=["--config", "ENV"], env=environment(box, scan_shortfall_percent=0.5))
    assert ended.code == 0, ended.log
    assert len(ended.result.records) == len(box.world.keys("vip_customers"))


def test_a_blank_variable_leaves_what_a_file_says(box):
    blanks = {f"TAP_LYTICS_AUDIENCE_{name}": "" for name in ("API_TOKEN", "USER_AGENT", "PAGE_SIZE")}
    ended = run_process(box.tap_config(), arguments=["--config", "ENV"], env=blanks)
    assert ended.code == 0, ended.log


def test_a_later_file_wins_over_an_earlier(box, tmp_path):
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"audiences": ["nobody"]}), encoding="utf-8")
    ended = run_process(box.tap_config(), arguments=["--config", str(other)])
    assert ended.code == 2
    assert "no audience 'nobody'" in ended.sentence


def test_a_setting_that_does_not_exist_is_told(box):
    ended = run_process(box.tap_config(audience=["vip_customers"]))
    assert ended.code == 0
    assert "There is no setting audience: it is passed over" in ended.log


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"{'secret'", "is not JSON"),
        (b'{"secret": "\xff"}', "is not JSON"),
        (b"[1]", "must hold one JSON object"),
    ],
)
def test_a_file_that_is_no_configuration_is_one_sentence(content, sentence):
    ended = run_process(content)
    assert ended.code == 2
    assert sentence in ended.sentence
    assert "secret" not in ended.log
    assert "Traceback" not in ended.log


def test_a_file_that_is_not_there_is_one_sentence(box):
    ended = run_process(box.tap_config(), arguments=["--config", "nowhere.json"])
    assert ended.code == 2
    assert "nowhere.json cannot be read" in ended.sentence
    assert "Traceback" not in ended.log


def test_numbers_may_come_as_text(box):
    ended = run_process(box.tap_config(page_size=" 5 ", max_exit_percent="12.5"))
    assert ended.code == 0, ended.log


def test_a_value_of_the_wrong_type_is_told_without_the_value(box):
    ended = run_process(box.tap_config(page_size="canary"))
    assert ended.code == 2
    assert "The setting page_size must be of type integer" in ended.sentence
    assert "TAP_LYTICS_AUDIENCE_PAGE_SIZE" in ended.sentence
    assert "canary" not in ended.log


@pytest.mark.parametrize(
    ("field", "kind"),
    [("lifetime_value", "number"), ("is_customer", "bool"), ("birthday", "date"), ("last_visit", "datetime")],
)
def test_a_field_whose_type_cannot_identify_is_refused_by_its_type(box, field, kind):
    assert box.world.fields[field][0] == kind
    ended = run_process(box.tap_config(identifier_field=field))
    assert ended.result.records == []
    assert f"The profile field {field!r} is of type {kind}, which cannot identify a person" in ended.sentence


@pytest.mark.parametrize("name", ["ledger_url", "triggers_url"])
@pytest.mark.parametrize(
    "url",
    [
        "s3//bucket/x",
        "s3:/bucket/x",
        "s3:bucket/x",
        "S3//bucket/x",
        "s3:///bucket",
        "s3;//b",
        "gs:\\\\b",
        "sftp//h/x",
        "sfpt:/h/x",
    ],
)
def test_a_path_that_looks_like_a_mistyped_url_is_refused(box, name, url):
    result = run(box.tap_config(**{"triggers_url": None, name: url}))
    assert f"The setting {name} looks like a mistyped URL" in result.error
    assert result.messages == []


@pytest.mark.parametrize("path", ["s3/x", "gs-x", "a//b", "./s3//x", "file.d/x"])
def test_a_path_that_is_one_is_taken(box, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    assert run(box.tap_config(ledger_url=path)).error == ""
    assert list((tmp_path / path).glob("*/*.parquet"))
