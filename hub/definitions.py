"""Meltano's definitions of both plugins, made from what `--about` says of them.

`python -m hub.definitions` writes them beside this file, as MeltanoHub keeps them, and brings `meltano.yml` and
`docs/settings.md` up to date; tests compare them all.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import typing as t
from pathlib import Path

import yaml

PLUGINS: dict[str, dict[str, t.Any]] = {
    "tap-lytics-audience": {
        "label": "Lytics Audience",
        "keywords": ["CDP", "Lytics", "audience", "reverse ETL"],
        # Without a ledger there is a snapshot alone.
        "either": ["ledger_url", "snapshot"],
        "more": {"select": ["audience_members.*"]},
    },
    "target-cordial": {
        "label": "Cordial",
        "keywords": ["Cordial", "e-mail marketing", "reverse ETL"],
        "more": {},
    },
}
_UNKNOWN_TO_MELTANO = {"validate-records"}
"""Capabilities that the SDK reports and Meltano's schema of a project refuses."""
_KINDS = {
    "integer": "integer",
    # Not decimal: Meltano cannot hand on a decimal that comes from an environment variable.
    "number": "string",
    "boolean": "boolean",
    "object": "object",
    "array": "array",
}


def about(plugin: str) -> dict[str, t.Any]:
    """The JSON of a plugin's `--about`."""
    command = [str(Path(sys.executable).with_name(plugin)), "--about", "--format=json"]
    reply = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own plugins
    return t.cast("dict[str, t.Any]", json.loads(reply.stdout))


def settings_of(about: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """A plugin's settings as Meltano wants them."""
    return [_setting(name, rule) for name, rule in about["settings"]["properties"].items()]


def capabilities_of(about: dict[str, t.Any]) -> list[str]:
    """A plugin's capabilities as Meltano wants them."""
    return sorted(set(about["capabilities"]) - _UNKNOWN_TO_MELTANO)


def groups_of(plugin: str, about: dict[str, t.Any]) -> list[list[str]]:
    """The groups of settings of which one has to be set whole."""
    required, either = about["settings"]["required"], PLUGINS[plugin].get("either")
    return [[*required, name] for name in either] if either else [required]


def definition(plugin: str) -> dict[str, t.Any]:
    """A plugin's definition as MeltanoHub keeps it."""
    described, own = about(plugin), PLUGINS[plugin]
    return {
        "name": plugin,
        "namespace": plugin.replace("-", "_"),
        "variant": "lytics-to-cordial",
        "label": own["label"],
        "description": described["description"],
        "pip_url": "lytics-to-cordial[sftp]",
        "executable": plugin,
        "capabilities": capabilities_of(described),
        "keywords": own["keywords"],
        "maintenance_status": "active",
        "settings_group_validation": groups_of(plugin, described),
        "settings": settings_of(described),
        **own["more"],
    }


def as_yaml(content: t.Any) -> str:
    """Definitions as text."""
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def settings_table(plugin: str) -> str:
    """A plugin's settings for people, as a table in Markdown."""
    described = about(plugin)
    lines = [f"## {plugin}", "", "| setting | default | what it does |", "|---|---|---|"]
    for setting in settings_of(described):
        default = f"`{json.dumps(setting['value'])}`" if "value" in setting else ""
        if setting["name"] in described["settings"]["required"]:
            default = "**required**"
        text = setting["description"].replace("|", "\\|")
        if setting.get("sensitive"):
            text += " Secret."
        if "options" in setting:
            choices = [f"`{option['value']}`" for option in setting["options"]]
            text += f" One of {', '.join(choices)}."
        lines.append(f"| `{setting['name']}` | {default} | {text} |")
    return "\n".join(lines)


def settings_page() -> str:
    """The settings of both plugins for people."""
    head = (
        "# Settings\n\nMade from `--about` by `python -m hub.definitions`. In `meltano.yml` they stand under `config`; as environment "
        "variables they are\n`TAP_LYTICS_AUDIENCE_<SETTING>` and `TARGET_CORDIAL_<SETTING>`, lists and objects as JSON.\n\n"
    )
    return head + "\n\n".join(map(settings_table, PLUGINS)) + "\n"


def with_settings(project: str, plugin: str) -> str:
    """A Meltano project with a plugin's settings declared anew; all else stays, comments too."""
    settings = textwrap.indent(as_yaml(settings_of(about(plugin))), "    ")
    block = re.compile(rf"(^  - name: {plugin}\n(?:.+\n)*?    settings:\n)(?:    .*\n)+", re.MULTILINE)
    return block.sub(lambda match: match[1] + settings, project)


def main() -> None:
    """Write the definitions, the page of settings, and the settings in `meltano.yml`."""
    root = Path(__file__).parents[1]
    project = (root / "meltano.yml").read_text(encoding="utf-8")
    for plugin in PLUGINS:
        project = with_settings(project, plugin)
    (root / "meltano.yml").write_text(project, encoding="utf-8")
    (root / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
    for plugin in PLUGINS:
        path = Path(__file__).with_name(f"{plugin}.yml")
        path.write_text(as_yaml(definition(plugin)), encoding="utf-8")


def _setting(name: str, rule: dict[str, t.Any]) -> dict[str, t.Any]:
    setting: dict[str, t.Any] = {"name": name, "label": rule["title"]}
    if "enum" in rule:
        setting["options"] = [{"label": value, "value": value} for value in rule["enum"]]
        setting["kind"] = "options"
    else:
        setting["kind"] = next((kind for word, kind in _KINDS.items() if word in rule["type"]), "string")
    if rule.get("secret"):
        setting["sensitive"] = True
    setting["description"] = rule["description"]
    if rule.get("default") not in (None, {}):
        setting["value"] = rule["default"]
    return setting


if __name__ == "__main__":
    main()
