"""Settings: from files and the environment, told wrong without their values, and shown truly by --about."""

import dataclasses
import json
import subprocess

import pytest

from lytics_to_cordial.config import config_errors
from tap_lytics_audience.settings import CONFIG_JSONSCHEMA as TAP_SCHEMA
from target_cordial.settings import CONFIG_JSONSCHEMA, Settings
from tests.target.running import AUDIENCE_SCHEMA, COMMAND, LIST, TIMEOUT_SECONDS, enter, run, state

MESSAGES = [AUDIENCE_SCHEMA, enter("ada@example.com", first_name="Ada"), state({"at": 1})]
OF_THE_DESIGN = {
    "api_key", "api_url", "identifier_field", "identifier_column", "field_mapping", "list_name", "list_action", "state_field",
    "batch_size_rows", "batch_wait_seconds", "storage_url", "storage_username", "storage_password", "storage_private_key",
    "storage_host_key", "storage_options", "import_source", "import_username", "import_password", "import_options", "keep_files",
    "subscribe_status", "suppress_triggers", "import_strategy", "null_values", "require_all_fields", "max_removal_percent",
    "max_reject_percent", "rejects_url", "journal_url", "max_concurrent_imports", "import_timeout_seconds",
    "poll_interval_seconds", "plan_only",
}  # fmt: skip
SECRETS = {
    "api_key",
    "storage_password",
    "storage_private_key",
    "import_password",
    "export_password",
    "notify_url",
}


def about():
    reply = subprocess.run(
        [COMMAND, "--about", "--format=json"], check=True, capture_output=True, timeout=TIMEOUT_SECONDS
    )
    return json.loads(reply.stdout)


def environment(config):
    """Settings as variables, as somebody would write them."""
    return {
        f"TARGET_CORDIAL_{name.upper()}": value if isinstance(value, str) else json.dumps(value)
        for name, value in config.items()
    }


def run_with_environment(variables, arguments=("--config", "ENV", "--check"), lines=b""):
    reply = subprocess.run(
        [COMMAND, *arguments],
        input=lines,
        env=variables,
        capture_output=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    return reply.returncode, reply.stdout.decode(), reply.stderr.decode()


def test_about_shows_every_setting_with_title_and_description():
    properties = about()["settings"]["properties"]
    assert set(properties) >= OF_THE_DESIGN
    for name, rule in properties.items():
        assert rule["title"], name
        assert rule["description"], name


def test_about_tells_which_settings_are_required_and_which_are_secret():
    settings = about()["settings"]
    assert set(settings["required"]) == {"api_key", "storage_url"}
    assert {name for name, rule in settings["properties"].items() if rule.get("secret")} == SECRETS


def test_every_default_is_the_one_that_about_shows():
    properties = about()["settings"]["properties"]
    settings = Settings(api_key="k", storage_url="sftp://host/folder")
    for field in dataclasses.fields(Settings):
        if field.name not in {"api_key", "storage_url"}:
            assert getattr(settings, field.name) == properties[field.name].get("default"), field.name


@pytest.mark.parametrize("schema", [CONFIG_JSONSCHEMA, TAP_SCHEMA])
def test_every_default_is_a_value_that_a_user_may_give(schema):
    defaults = {
        name: rule["default"]
        for name, rule in schema["properties"].items()
        if rule.get("default") is not None
    }
    assert len(defaults) > 10
    assert config_errors(defaults, schema, "X_") == []


def test_about_has_no_setting_that_means_nothing_here():
    said = about()
    assert not {"load_method", "batch_config", "batch_size", "process_activate_version_messages"} & set(
        said["settings"]["properties"]
    )
    assert "batch" not in said["capabilities"]
    assert "activate-version" not in said["capabilities"]


@pytest.mark.parametrize(
    "arguments", [["--about"], ["--about", "--format=markdown"], ["--about", "--format=json"]]
)
def test_about_names_every_setting_in_every_format(arguments):
    reply = subprocess.run(
        [COMMAND, *arguments], check=True, capture_output=True, text=True, timeout=TIMEOUT_SECONDS
    )
    assert all(name in reply.stdout for name in CONFIG_JSONSCHEMA["properties"])


def test_all_settings_may_come_from_the_environment(box):
    config = box.target_config(
        keep_files=True, batch_wait_seconds=0.5, max_removal_percent=12.5, batch_size_rows=7
    )
    lines = b"".join(json.dumps(message).encode() + b"\n" for message in MESSAGES)
    code, output, log = run_with_environment(environment(config), ["--config", "ENV"], lines)
    assert code == 0, log
    assert json.loads(output) == {"at": 1}
    assert box.list_members(LIST) == {"ada@example.com"}
    assert box.files() != []


@pytest.mark.parametrize("text", ["", " ", "\t"])
def test_a_blank_variable_counts_as_unset(box, text):
    blank = {f"TARGET_CORDIAL_{name.upper()}": text for name in CONFIG_JSONSCHEMA["properties"]}
    code, _, log = run_with_environment({**blank, **environment(box.target_config())})
    assert code == 0, log
    code, _, log = run_with_environment(blank)
    assert code == 2
    for name, place in (("api_key", ".env"), ("storage_url", "meltano.yml, or in .env")):
        assert f"The setting {name} is missing: set it in {place} as TARGET_CORDIAL_{name.upper()}." in log


@pytest.mark.parametrize(
    ("text", "keeps"), [("true", True), ("1", True), ("Yes", True), ("FALSE", False), ("0", False)]
)
def test_a_boolean_may_be_written_in_the_usual_ways(box, text, keeps):
    variables = environment(box.target_config()) | {"TARGET_CORDIAL_KEEP_FILES": text}
    lines = b"".join(json.dumps(message).encode() + b"\n" for message in MESSAGES)
    code, _, log = run_with_environment(variables, ["--config", "ENV"], lines)
    assert code == 0, log
    assert bool(box.files()) is keeps


WRONG = {
    "batch_wait_seconds": ("hush-hush", "must be of type number"),
    "max_concurrent_imports": ("hush\udcff", "must be of type integer"),
    "keep_files": ("hush-hush", "must be of type boolean"),
    "field_mapping": ('{"hush": 1', "must be of type object"),
    "storage_options": ("hush=hush", "must be of type object"),
    "list_action": ("hush-hush", "must be one of sync, add, none"),
    "max_removal_percent": ("101", "must be at most 100"),
    "max_reject_percent": ("NaN", "must be of type number"),
    "batch_size_rows": ("0", "must be at least 1"),
    "poll_interval_seconds": ("0", "must be more than 0"),
    "api_url": ("hush-hush", "must be an http(s) URL"),
    "identifier_column": ("hush-hush", "must name the address of a channel"),
    "import_options": ('{"nullMarker": "hush"}', "cannot hold nullMarker: target-cordial fills these itself"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_in_the_environment_is_one_sentence_without_the_value(box, name):
    text, words = WRONG[name]
    variables = environment(box.target_config()) | {f"TARGET_CORDIAL_{name.upper()}": text}
    code, _, log = run_with_environment(variables)
    assert code == 2
    assert f"The setting {name} {words}" in log
    assert "hush" not in log
    assert "Traceback" not in log
    assert box.requests == []


@pytest.mark.parametrize(
    ("overrides", "sentence"),
    [
        (
            {"batch_size_rows": "hush"},
            "The setting batch_size_rows must be of type integer: correct it in meltano.yml or TARGET_CORDIAL_BATCH_SIZE_ROWS.",
        ),
        ({"batch_size_rows": 1.5}, "The setting batch_size_rows must be of type integer"),
        ({"batch_size_rows": True}, "The setting batch_size_rows must be of type integer"),
        ({"field_mapping": {"hush": 1}}, "The setting field_mapping.hush must be of type string"),
        ({"field_mapping": ["hush"]}, "The setting field_mapping must be of type object"),
        ({"api_key": {"hush": 1}}, "The setting api_key must be of type string"),
        ({"api_key": None}, "The setting api_key is missing"),
        ({"api_url": "http://[hush"}, "The setting api_url must be an http(s) URL"),
        ({"storage_url": " "}, "The setting storage_url is missing"),
        (
            {"subscribe_status": "hush"},
            "The setting subscribe_status must be one of subscribed, unsubscribed, none",
        ),
    ],
)
def test_a_wrong_value_in_a_file_is_one_sentence_with_the_place(box, overrides, sentence):
    result = run(box.target_config(**overrides), MESSAGES)
    assert result.code == 2
    assert sentence in result.message
    assert "hush-hush" not in result.log
    assert box.requests == []


def test_all_wrong_values_are_told_at_once(box):
    result = run(box.target_config(batch_size_rows="x", keep_files="x", null_values="x"), MESSAGES)
    assert all(name in result.message for name in ("batch_size_rows", "keep_files", "null_values"))


def test_of_several_files_the_later_wins_and_the_environment_over_both(box, tmp_path):
    config = box.target_config()
    (tmp_path / "1.json").write_text(json.dumps({**config, "list_name": "first", "list_action": "none"}))
    (tmp_path / "2.json").write_text(json.dumps({"list_name": "second", "list_action": "sync"}))
    files = ["--config", str(tmp_path / "1.json"), "--config", str(tmp_path / "2.json"), "--check"]
    assert "second: will be created" in run_with_environment({}, files)[1]
    variables = {"TARGET_CORDIAL_LIST_NAME": "third"}
    assert "second: will be created" in run_with_environment(variables, files)[1]
    assert "third: will be created" in run_with_environment(variables, ["--config", "ENV", *files])[1]
    blank = {"TARGET_CORDIAL_LIST_NAME": " "}
    assert "second: will be created" in run_with_environment(blank, ["--config", "ENV", *files])[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read (No such file or directory): correct --config."),
        ('{"api_key": "hush-hush"', "is not JSON: correct it."),
        ('["hush-hush"]', "must hold one JSON object"),
    ],
)
def test_a_configuration_file_that_is_none_is_one_sentence(tmp_path, content, words):
    path = tmp_path / "config.json"
    if content is not None:
        path.write_text(content)
    code, _, log = run_with_environment({}, ["--config", str(path), "--check"])
    assert code == 2
    assert words in log
    assert "hush" not in log
    assert "Traceback" not in log


def test_a_setting_that_does_not_exist_is_told_and_passed_over(box):
    result = run(box.target_config(batch_size_row=1), arguments=["--check"])
    assert result.code == 0, result.log
    assert "There is no setting batch_size_row" in result.log


def test_a_fraction_in_an_object_setting_is_a_number_for_the_storage(box):
    result = run(box.target_config(storage_options={"login_timeout": 12.5}), arguments=["--check"])
    assert result.code == 0, result.log


def test_null_means_unset_and_a_whole_number_may_have_a_point(box):
    config = box.target_config(list_action=None, identifier_field=None, batch_size_rows=2.0)
    result = run(config, MESSAGES)
    assert result.code == 0, result.log
    assert box.list_members(LIST) == {"ada@example.com"}


def test_no_secret_is_in_the_representation_of_the_settings():
    config = dict.fromkeys(SECRETS, "hush-hush") | {
        "storage_url": "sftp://host/folder",
        "notify_url": "https://hush-hush",
        "storage_options": {"client_kwargs": {"x": "hush-hush"}},
    }
    assert "hush" not in repr(Settings.from_config(config))
