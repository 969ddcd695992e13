"""The definitions as MeltanoHub takes them: its rules, the fields that its best pages fill, and what `--about` says.

The rules are those of meltano/hub: `schemas/plugin_definitions`, `schemas/common`, `.yamllint.yaml` and
`utility_scripts/plugin_definitions/yaml_check_names.py`.
"""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hub.definitions import PLUGINS, about, hub_file

ROOT = Path(__file__).parents[1]

TEXTS = {
    *(
        "name",
        "namespace",
        "variant",
        "label",
        "description",
        "pip_url",
        "executable",
        "repo",
        "docs",
        "logo_url",
    ),
    *(
        "python",
        "domain_url",
        "definition",
        "next_steps",
        "settings_preamble",
        "usage",
        "prereq",
        "log_parser",
    ),
    *("maintenance_status", "quality"),
}
LISTS = {"capabilities", "keywords", "settings", "settings_group_validation", "supported_python_versions"}
OF_ONE_KIND = {
    "tap-lytics-audience": {"metadata", "schema", "select"},
    "target-cordial": {"dialect", "target_schema"},
}
REQUIRED = {"name", "namespace", "variant", "quality"}
FILLED = (TEXTS - {"python", "definition"}) | LISTS | {"commands"}
"""What MeltanoHub does not insist on, and a page is poorer without."""
CAPABILITIES = {
    "tap-lytics-audience": {
        *("properties", "catalog", "discover", "state", "about", "stream-maps", "schema-flattening"),
        *("activate-version", "batch", "test", "log-based", "structured-logging"),
    },
    "target-cordial": {
        *("about", "stream-maps", "activate-version", "batch", "soft-delete", "hard-delete"),
        *(
            "datatype-failsafe",
            "schema-flattening",
            "target-schema",
            "validate-records",
            "structured-logging",
        ),
    },
}
SETTING_TEXTS = {"name", "label", "placeholder", "description", "tooltip", "documentation", "env", "docs"}
SETTING_KEYS = SETTING_TEXTS | {"aliases", "value", "kind", "options", "hidden", "sensitive"}
KINDS = {
    *(
        "oauth",
        "hidden",
        "password",
        "date_iso8601",
        "file",
        "email",
        "integer",
        "options",
        "object",
        "array",
    ),
    *("boolean", "string", "decimal"),
}


@pytest.fixture(params=PLUGINS)
def plugin(request):
    return request.param


@pytest.fixture
def told(plugin) -> dict[str, Any]:
    return yaml.safe_load((ROOT / "hub" / f"{plugin}.yml").read_text(encoding="utf-8"))


def keys_in_order(content) -> bool:
    if isinstance(content, dict):
        return list(content) == sorted(content) and all(map(keys_in_order, content.values()))
    return all(map(keys_in_order, content)) if isinstance(content, list) else True


def test_the_file_is_what_the_plugin_says_of_itself(plugin):
    text = (ROOT / "hub" / f"{plugin}.yml").read_text(encoding="utf-8")
    assert text == hub_file(plugin), "run `python -m hub.definitions`"


def test_a_definition_has_the_hubs_keys_alone_and_of_the_right_types(plugin, told):
    assert set(told) >= REQUIRED
    assert set(told) <= TEXTS | LISTS | {"commands", "hidden", "requires"} | OF_ONE_KIND[plugin]
    assert all(isinstance(told[key], str) for key in TEXTS & set(told))
    assert all(isinstance(told[key], list) for key in (LISTS | {"select"}) & set(told))
    assert told["quality"] in {"gold", "silver", "bronze", "unknown"}
    assert told["maintenance_status"] in {"active", "beta", "development", "inactive", "unknown"}
    assert set(told["capabilities"]) <= CAPABILITIES[plugin]
    assert all(re.fullmatch(r"3\.\d+", version) for version in told["supported_python_versions"])
    for setting in told["settings"]:
        assert {"name"} <= set(setting) <= SETTING_KEYS, setting
        assert all(isinstance(setting[key], str) for key in SETTING_TEXTS & set(setting)), setting
        assert setting["kind"] in KINDS, setting
        for option in setting.get("options", []):
            assert all(isinstance(text, str) for text in option.values()), setting


def test_a_definition_is_formatted_as_the_hubs_linter_wants_it(plugin, told):
    text = (ROOT / "hub" / f"{plugin}.yml").read_text(encoding="utf-8")
    assert keys_in_order(told)
    assert not re.search(r": \{.", text), "maps stand on lines of their own"
    assert not text.startswith("---")


def test_a_page_of_the_hub_is_filled(plugin, told):
    assert {key for key, value in told.items() if value} >= FILLED
    assert told["name"] == plugin
    assert "meltano_sdk" in told["keywords"]
    assert told["log_parser"] == "singer-sdk"
    assert "structured-logging" in told["capabilities"]
    for key in ("repo", "docs", "domain_url"):
        assert told[key].startswith("https://"), key
    assert "REPOSITORY" not in str(told)
    kind = "extractors" if plugin.startswith("tap-") else "loaders"
    assert re.fullmatch(rf"/assets/logos/{kind}/[a-z-]+\.png", told["logo_url"])


def test_a_definition_has_all_that_about_says(plugin, told):
    described = about(plugin)
    assert [setting["name"] for setting in told["settings"]] == list(described["settings"]["properties"])
    assert set(told["capabilities"]) == set(described["capabilities"])
    assert told["supported_python_versions"] == described["supported_python_versions"] == python_versions()
    for group in told["settings_group_validation"]:
        assert (
            set(described["settings"]["required"]) <= set(group) <= set(described["settings"]["properties"])
        )


def python_versions() -> list[str]:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    return re.findall(r"Programming Language :: Python :: (3\.\d+)", text)


def test_pip_url_installs_what_the_urls_of_its_settings_need(plugin, told):
    extras = set(told["pip_url"].partition("[")[2].strip("]").split(","))
    assert extras == {"gcs", "s3"} | ({"sftp"} if plugin == "target-cordial" else set())
    declared = set(
        re.findall(r"^(\w+) = \[", (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert extras <= declared


def test_commands_are_options_of_the_plugin_and_those_that_meltano_tests_with_change_nothing(plugin, told):
    helped = subprocess.run(
        [Path(sys.executable).with_name(plugin), "--help"],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    ).stdout
    for command in told["commands"].values():
        assert all(option.partition("=")[0] in helped for option in command["args"].split()), command
    tests = [command["args"] for name, command in told["commands"].items() if name.startswith("test")]
    assert tests == ["--config=ENV --test" if plugin.startswith("tap-") else "--config=ENV --check"]
