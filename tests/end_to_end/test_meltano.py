"""The project as Meltano sees it: every setting declared, definitions true, and a run from a subfolder."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from hub.definitions import (
    PLUGINS,
    about,
    capabilities_of,
    definition,
    groups_of,
    settings_of,
    settings_page,
)
from lytics_to_cordial.config import settings_schema
from sandbox import AudienceSpec
from tap_lytics_audience.triggers.receiver.settings import ReceiverSettings
from tests.target.running import AUDIENCE_SCHEMA, LIST, enter, line, quick_config, state

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
GROUPS = {"tap-lytics-audience": "extractors", "target-cordial": "loaders"}


def misfits(project):
    """What Meltano's schema of a project has against one."""
    text = (resources.files("meltano") / "schemas" / "meltano.schema.json").read_text(encoding="utf-8")
    return [
        f"{error.json_path}: {error.message}"
        for error in Draft202012Validator(json.loads(text)).iter_errors(project)
    ]


def meltano(folder, *arguments, **variables):
    return subprocess.run(
        [BIN / "meltano", *arguments],
        cwd=folder,
        env={
            **os.environ,
            "PATH": f"{BIN}:{os.environ['PATH']}",
            "MELTANO_SEND_ANONYMOUS_USAGE_STATS": "false",
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def project():
    return yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("plugin", PLUGINS)
def test_meltano_declares_exactly_the_settings_that_the_plugin_has(project, plugin):
    declared, described = project["plugins"][GROUPS[plugin]][0], about(plugin)
    assert declared["settings"] == settings_of(described)
    assert declared["capabilities"] == capabilities_of(described)
    assert declared["settings_group_validation"] == groups_of(plugin, described)
    assert declared["commands"] == definition(plugin)["commands"]


def test_the_project_fits_meltanos_own_schema(project):
    assert misfits(project) == []


def test_the_page_of_settings_is_what_the_plugins_say_of_themselves():
    text = (ROOT / "docs" / "settings.md").read_text(encoding="utf-8")
    assert text == settings_page(), "run `python -m hub.definitions`"


def test_the_daily_schedule_runs_the_whole_pipeline(project):
    jobs = {job["name"]: job["tasks"] for job in project["jobs"]}
    schedule = project["schedules"][0]
    assert schedule["interval"] == "@daily"
    assert jobs[schedule["job"]] == ["tap-lytics-audience target-cordial"]


def test_every_environment_has_a_ledger_of_its_own(project):
    assert project["default_environment"] == "sandbox"
    assert [environment["name"] for environment in project["environments"]] == ["sandbox", "dev", "prod"]
    assert "${MELTANO_ENVIRONMENT}" in project["plugins"]["extractors"][0]["config"]["ledger_url"]


def test_secrets_of_real_accounts_are_named_in_the_example_and_set_in_the_sandbox_alone(project):
    names = {
        line.partition("=")[0].strip("# ")
        for line in (ROOT / ".env.example").read_text(encoding="utf-8").splitlines()
        if "=" in line
    }
    for plugin, group in GROUPS.items():
        declared = project["plugins"][group][0]
        for setting in declared["settings"]:
            if setting.get("sensitive"):
                assert f"{plugin}_{setting['name']}".upper().replace("-", "_") in names
                assert setting["name"] not in declared["config"]
    assert set(project["environments"][0]["env"]) == names, (
        "a blank in .env would be taken for the sandbox's own"
    )


def write_project(folder, box, **settings):
    """The project's own file, with the plugins that are installed already in place of environments of their own."""
    content = yaml.safe_load((ROOT / "meltano.yml").read_text(encoding="utf-8"))
    for group in content["plugins"].values():
        group[0].pop("pip_url", None)
    tap, target = box.tap_config(), box.target_config(**settings)
    plugins = content["environments"][0]["config"]["plugins"]
    del tap["ledger_url"], target["rejects_url"]
    plugins["extractors"][0]["config"], plugins["loaders"][0]["config"] = tap, target
    (folder / "meltano.yml").write_text(yaml.safe_dump(content), encoding="utf-8")
    # Secrets of real accounts, which the sandbox must not be shown.
    secrets = "".join(f"{name}=real\n" for name in content["environments"][0]["env"])
    (folder / ".env").write_text(secrets, encoding="utf-8")


def test_a_full_refresh_by_other_settings_leaves_nothing_of_the_earlier_ones_in_the_state(make_box, tmp_path):
    """Meltano lays the state of a full refresh over the older one."""
    box = make_box([AudienceSpec("VIP Customers", 30)])
    whole = box.target_config()["field_mapping"]
    write_project(tmp_path, box)
    run = ("run", "tap-lytics-audience", "target-cordial")
    first = meltano(tmp_path, *run)
    assert first.returncode == 0, first.stderr
    write_project(tmp_path, box, field_mapping=dict(list(whole.items())[1:]))
    full = meltano(tmp_path, "run", "--full-refresh", *run[1:])
    assert full.returncode == 0, full.stderr
    ordinary = meltano(tmp_path, *run)
    assert ordinary.returncode == 0, ordinary.stderr
    assert "nothing changed" in ordinary.stderr
    assert "since members were sent" not in full.stderr + ordinary.stderr
    write_project(tmp_path, box)
    back = meltano(tmp_path, *run)
    assert back.returncode != 0
    assert f"field_mapping (new: {next(iter(whole))})" in back.stderr


def test_meltano_runs_the_pipeline_from_a_subfolder_and_only_differences_the_second_time(make_box, tmp_path):
    box = make_box([AudienceSpec("VIP Customers", 50)])
    write_project(tmp_path, box)
    below = tmp_path / "some" / "folder"
    below.mkdir(parents=True)
    first = meltano(below, "run", "tap-lytics-audience", "target-cordial")
    assert first.returncode == 0, first.stderr
    assert box.verify("vip_customers", "Lytics_VIP_Customers").ok
    assert (tmp_path / "ledger" / "sandbox").is_dir(), (
        "the ledger is in the project, not where the command ran"
    )
    box.clear_requests()
    box.world.advance("vip_customers", enter=1, leave=1)
    # As the messages about limits say: a variable for one run.
    limits = {"TARGET_CORDIAL_MAX_REMOVAL_PERCENT": "100", "TAP_LYTICS_AUDIENCE_MAX_EXIT_PERCENT": "99.5"}
    second = meltano(below, "run", "tap-lytics-audience", "target-cordial", **limits)
    assert second.returncode == 0, second.stderr
    assert box.verify("vip_customers", "Lytics_VIP_Customers").ok
    imports = [request for request in box.requests if request.path.endswith("/contactimports")]
    assert len(imports) == 2, "one file of enters, one of exits"
    assert "person." not in first.stderr + second.stderr

    taken = meltano(below, "invoke", "tap-lytics-audience--snapshot")
    assert taken.returncode == 0, taken.stderr
    messages = [json.loads(line) for line in taken.stdout.splitlines()]
    records = [
        message["record"]
        for message in messages
        if message["type"] == "RECORD" and message["stream"] == "audience_members"
    ]
    assert sorted(record["email"] for record in records) == sorted(box.world.keys("vip_customers"))
    assert {"first_name", "interests"} <= set(records[0])
    [ledger] = (tmp_path / "ledger" / "sandbox").iterdir()
    assert ledger.name == "tap-lytics-audience", "the pipeline's own"
    assert json.loads((ledger / "ledger.json").read_text(encoding="utf-8"))["run"] == 3


def test_a_run_that_meltano_ends_for_its_timeout_keeps_the_state_of_all_that_was_done(box, tmp_path):
    messages = [
        AUDIENCE_SCHEMA,
        enter("ada@example.com"),
        state({"bookmarks": {"at": 1}}),
        enter("bob@example.com"),
        state({"bookmarks": {"at": 2}}),
    ]
    (tmp_path / "messages").write_bytes(b"".join(map(line, messages)))
    tap = tmp_path / "tap-endless"
    tap.write_text(f"#!/bin/sh\ncat {tmp_path / 'messages'}\nexec sleep 3600\n", encoding="utf-8")
    tap.chmod(0o700)
    target = {"name": "target-cordial", "namespace": "target_cordial"}
    target["config"] = quick_config(box, batch_size_rows=1, max_concurrent_imports=1)
    target["settings"] = settings_of(about("target-cordial"))
    project = {
        "project_id": "7a6f7d1c-0000-4000-8000-000000000000",
        "default_environment": "dev",
        "environments": [{"name": "dev"}],
        "plugins": {
            "extractors": [{"name": "tap-endless", "namespace": "tap_endless", "executable": str(tap)}],
            "loaders": [target],
        },
    }
    (tmp_path / "meltano.yml").write_text(yaml.safe_dump(project), encoding="utf-8")
    # How long Meltano takes to start is the machine's affair; the second import never ends, however long it has.
    for seconds in (15, 60, 240):
        box.fault("job_never_ends", path="POST /v2/contactimports", nth=2)
        run = meltano(tmp_path, "run", "tap-endless", "target-cordial", f"--timeout={seconds}")
        assert run.returncode != 0
        if any(job["status"] == "Processing" for job in box.jobs()):
            break
        box.clear_faults()
    assert box.list_members(LIST) == {"ada@example.com"}, run.stderr
    found = meltano(tmp_path, "state", "get", "dev:tap-endless-to-target-cordial")
    assert json.loads(found.stdout)["singer_state"] == {"bookmarks": {"at": 1}}, run.stderr
    box.clear_faults()


def test_the_receiver_is_a_utility_with_its_own_settings(project, tmp_path):
    [utility] = project["plugins"]["utilities"]
    rules = settings_schema(ReceiverSettings)["properties"]
    assert {setting["name"]: setting["description"] for setting in utility["settings"]} == {
        name: rule["description"] for name, rule in rules.items()
    }
    result = meltano(
        ROOT,
        "invoke",
        "lytics-trigger-receiver:check",
        LYTICS_TRIGGER_RECEIVER_TRIGGERS_URL=str(tmp_path / "landed"),
    )
    assert result.returncode == 0, result.stderr
    assert f"Messages can land in {tmp_path / 'landed'}" in result.stderr + result.stdout
