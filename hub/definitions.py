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

PLUGINS = {
    "tap-lytics-audience": {
        "kind": "extractor",
        "label": "Lytics Audience",
        "keywords": ["CDP", "Lytics", "audience", "reverse ETL"],
        "extra": {"select": ["audience_members.*"]},
        "required": [["api_token", "audiences", "ledger_url"]],
    },
    "target-cordial": {
        "kind": "loader",
        "label": "Cordial",
        "keywords": ["Cordial", "e-mail marketing", "reverse ETL"],
        "extra": {},
        "required": [["api_key", "storage_url"]],
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
    """What a plugin says of itself.

    Args:
        plugin: Its name.

    Returns:
        The JSON of `--about`.
    """
    command = [str(Path(sys.executable).with_name(plugin)), "--about", "--format=json"]
    reply = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own plugins
    return t.cast("dict[str, t.Any]", json.loads(reply.stdout))


def settings_of(said: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """A plugin's settings as Meltano wants them.

    Args:
        said: What the plugin says of itself.

    Returns:
        One definition a setting, in its order.
    """
    return [_setting(name, rule) for name, rule in said["settings"]["properties"].items()]


def capabilities_of(said: dict[str, t.Any]) -> list[str]:
    """A plugin's capabilities as Meltano wants them.

    Args:
        said: What the plugin says of itself.

    Returns:
        Those that Meltano knows, sorted.
    """
    return sorted(set(said["capabilities"]) - _UNKNOWN_TO_MELTANO)


def definition(plugin: str) -> dict[str, t.Any]:
    """A plugin's definition as MeltanoHub keeps it.

    Args:
        plugin: Its name.

    Returns:
        The definition.
    """
    said, own = about(plugin), PLUGINS[plugin]
    return {
        "name": plugin,
        "namespace": plugin.replace("-", "_"),
        "variant": "lytics-to-cordial",
        "label": own["label"],
        "description": said["description"],
        "pip_url": "lytics-to-cordial[sftp]",
        "executable": plugin,
        "capabilities": capabilities_of(said),
        "keywords": own["keywords"],
        "maintenance_status": "active",
        "settings_group_validation": own["required"],
        "settings": settings_of(said),
        **t.cast("dict[str, t.Any]", own["extra"]),
    }


def as_yaml(content: t.Any) -> str:
    """Definitions as text.

    Args:
        content: What to write.

    Returns:
        YAML in the order given.
    """
    return yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=120)


def settings_table(plugin: str) -> str:
    """A plugin's settings for people.

    Args:
        plugin: Its name.

    Returns:
        A table in Markdown.
    """
    said = about(plugin)
    required = set(said["settings"].get("required", ()))
    lines = [f"## {plugin}", "", "| setting | default | what it does |", "|---|---|---|"]
    for setting in settings_of(said):
        name = setting["name"]
        default = (
            json.dumps(setting["value"]) if "value" in setting else "required" if name in required else ""
        )
        marks = " Secret." if setting.get("sensitive") else ""
        choices = ", ".join(f"`{option['value']}`" for option in setting.get("options", ()))
        text = setting["description"].replace("|", "\\|") + marks + (f" One of {choices}." if choices else "")
        lines.append(
            f"| `{name}` | {default and f'`{default}`'.replace('`required`', '**required**')} | {text} |"
        )
    return "\n".join(lines)


def settings_page() -> str:
    """The settings of both plugins for people.

    Returns:
        A page in Markdown.
    """
    head = (
        "# Settings\n\nMade from `--about` by `python -m hub.definitions`. In `meltano.yml` they stand under `config`; as environment "
        "variables they are\n`TAP_LYTICS_AUDIENCE_<SETTING>` and `TARGET_CORDIAL_<SETTING>`, lists and objects as JSON.\n\n"
    )
    return head + "\n\n".join(map(settings_table, PLUGINS)) + "\n"


def with_settings(project: str, plugin: str) -> str:
    """A Meltano project with a plugin's settings declared anew; all else stays, comments too.

    Args:
        project: The text of `meltano.yml`.
        plugin: The plugin's name.

    Returns:
        The new text.
    """
    settings = textwrap.indent(as_yaml(settings_of(about(plugin))), "    ")
    block = re.compile(rf"(^  - name: {plugin}\n(?:.+\n)*?    settings:\n)(?:    .*\n)+", re.MULTILINE)
    return block.sub(lambda found: found[1] + settings, project)


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
    types = rule.get("type", [])
    kind = next(
        (_KINDS[word] for word in ([types] if isinstance(types, str) else types) if word in _KINDS), "string"
    )
    found: dict[str, t.Any] = {"name": name, "label": rule.get("title", name)}
    if "enum" in rule:
        kind = "options"
        found["options"] = [
            {"label": str(value), "value": value} for value in rule["enum"] if value is not None
        ]
    found["kind"] = kind
    if rule.get("secret"):
        found["sensitive"] = True
    found["description"] = rule.get("description", "")
    if rule.get("default") not in (None, {}):
        found["value"] = rule["default"]
    return found


if __name__ == "__main__":
    main()
