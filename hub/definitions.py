"""Meltano's definitions of both plugins, made from what `--about` says of them.

`python -m hub.definitions` writes them beside this file, as MeltanoHub keeps them. The settings in `meltano.yml` are the
same ones; a test compares all three.
"""

from __future__ import annotations

import json
import subprocess
import sys
import typing as t
from pathlib import Path

import yaml

REPOSITORY = "https://github.com/lytics-to-cordial/lytics-to-cordial"
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
_KINDS = {
    "integer": "integer",
    "number": "decimal",
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
        "repo": REPOSITORY,
        "pip_url": "lytics-to-cordial[sftp]",
        "executable": plugin,
        "capabilities": sorted(said["capabilities"]),
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


def main() -> None:
    """Write the definitions."""
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
