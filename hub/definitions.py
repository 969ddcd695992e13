"""Meltano's definitions of both plugins, made from what `--about` says of them.

`python -m hub.definitions` writes them beside this file, as MeltanoHub keeps them, and brings `meltano.yml` and
`docs/settings.md` up to date; tests compare them all.
"""

from __future__ import annotations

import functools
import importlib.metadata
import json
import re
import subprocess
import sys
import textwrap
import typing as t
from pathlib import Path

import yaml

from hub.pages import PAGES

PLUGINS = tuple(PAGES)
PACKAGE = "lytics-to-cordial"
_UNKNOWN_TO_MELTANO = {"validate-records"}
"""Capabilities that the SDK reports, MeltanoHub knows, and Meltano's schema of a project refuses."""
_KINDS = {
    "integer": "integer",
    # Not decimal: Meltano cannot hand on a decimal that comes from an environment variable.
    "number": "string",
    "boolean": "boolean",
    "object": "object",
    "array": "array",
}


@functools.cache
def about(plugin: str) -> dict[str, t.Any]:
    """The JSON of a plugin's `--about`."""
    command = [str(Path(sys.executable).with_name(plugin)), "--about", "--format=json"]
    reply = subprocess.run(command, check=True, capture_output=True)  # noqa: S603 - our own plugins
    return t.cast("dict[str, t.Any]", json.loads(reply.stdout))


def settings_of(about: dict[str, t.Any]) -> list[dict[str, t.Any]]:
    """A plugin's settings as Meltano wants them."""
    return [_setting(name, rule) for name, rule in about["settings"]["properties"].items()]


def capabilities_of(about: dict[str, t.Any]) -> list[str]:
    """A plugin's capabilities as `meltano.yml` may name them."""
    return sorted(set(about["capabilities"]) - _UNKNOWN_TO_MELTANO)


def groups_of(plugin: str, about: dict[str, t.Any]) -> list[list[str]]:
    """The groups of settings of which one has to be set whole."""
    required, either = about["settings"]["required"], PAGES[plugin].get("either")
    return [[*required, name] for name in either] if either else [required]


def definition(plugin: str) -> dict[str, t.Any]:
    """A plugin's definition as MeltanoHub keeps it."""
    described, page = about(plugin), PAGES[plugin]
    urls = dict(url.split(", ") for url in importlib.metadata.metadata(PACKAGE).get_all("Project-URL") or [])
    kind = "extractors" if plugin.startswith("tap-") else "loaders"
    texts = {
        key: page[key].replace("REPOSITORY", urls["Repository"])
        for key in ("next_steps", "prereq", "settings_preamble", "usage")
    }
    return {
        "name": plugin,
        "namespace": plugin.replace("-", "_"),
        # MeltanoHub names a variant for the owner of its repository.
        "variant": urls["Repository"].split("/")[-2],
        "label": page["label"],
        "description": described["description"],
        "docs": urls["Documentation"],
        "domain_url": page["domain_url"],
        "logo_url": f"/assets/logos/{kind}/{page['label'].lower().replace(' ', '-')}.png",
        "repo": urls["Repository"],
        "pip_url": f"{PACKAGE}[{page['extras']}]",
        "executable": plugin,
        "capabilities": sorted(described["capabilities"]),
        "commands": page["commands"],
        "keywords": page["keywords"],
        "log_parser": "singer-sdk",
        "maintenance_status": "active",
        # MeltanoHub rates by use, of which it has seen none yet.
        "quality": "unknown",
        "settings_group_validation": groups_of(plugin, described),
        "settings": settings_of(described),
        "supported_python_versions": described["supported_python_versions"],
        **texts,
        **page["own"],
    }


def hub_file(plugin: str) -> str:
    """A plugin's definition as the text of a file of MeltanoHub, whose linter wants keys in order."""
    return as_yaml(definition(plugin), sort_keys=True)


def as_yaml(content: t.Any, *, sort_keys: bool = False) -> str:
    """Definitions as text."""
    return yaml.dump(content, Dumper=_Dumper, sort_keys=sort_keys, allow_unicode=True, width=120)


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


def with_generated(project: str, plugin: str) -> str:
    """A Meltano project with a plugin's commands and settings declared anew; all else stays, comments too."""
    for key, content in (("commands", PAGES[plugin]["commands"]), ("settings", settings_of(about(plugin)))):
        text = textwrap.indent(as_yaml(content), "      " if isinstance(content, dict) else "    ")
        block = re.compile(rf"(^  - name: {plugin}\n(?:.+\n)*?    {key}:\n)(?:    [ -] .*\n)+", re.MULTILINE)
        project = block.sub(lambda match, text=text: match[1] + text, project)  # type: ignore[misc]
    return project


def main() -> None:
    """Write the definitions, the page of settings, and what `meltano.yml` says of the plugins."""
    root = Path(__file__).parents[1]
    project = (root / "meltano.yml").read_text(encoding="utf-8")
    for plugin in PLUGINS:
        project = with_generated(project, plugin)
    (root / "meltano.yml").write_text(project, encoding="utf-8")
    (root / "docs" / "settings.md").write_text(settings_page(), encoding="utf-8")
    for plugin in PLUGINS:
        Path(__file__).with_name(f"{plugin}.yml").write_text(hub_file(plugin), encoding="utf-8")


class _Dumper(yaml.SafeDumper):
    """Writes texts of several lines as they are."""


def _represent_text(dumper: _Dumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _represent_text)


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
