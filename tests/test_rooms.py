"""The structure of the code: which room may use which, no circles of any kind, and files of a size that one idea needs."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLUGINS = ("tap_lytics_audience", "target_cordial")
PACKAGES = (*PLUGINS, "lytics_to_cordial", "sandbox")
MOST_LINES = 350

TIES = {
    "tap_lytics_audience": {
        "lytics": {"settings"},
        "triggers": set(),
        "bookmark": set(),
        "members": {"bookmark", "lytics", "settings", "triggers"},
        "messages": {"members"},
        "stream_maps": set(),
        "streams": {"bookmark", "lytics", "members", "messages", "settings", "stream_maps"},
        "check": {"lytics", "settings", "triggers"},
        "input_files": set(),
        "__main__": {"tap"},
        "tap": {"check", "input_files", "lytics", "settings", "stream_maps", "streams"},
        "settings": set(),
    },
    "target_cordial": {
        "bookmark": {"cordial", "settings"},
        "closing": {"bookmark", "cordial", "history", "settings"},
        "cordial": set(),
        "storage": {"settings"},
        "history": {"cordial", "run_name"},
        "readback": {"cordial", "settings", "storage"},
        "delivery": {"cordial", "history", "readback", "run_name", "settings", "storage"},
        "intake": {"bookmark", "cordial", "delivery", "history", "settings"},
        "audit": {"bookmark", "cordial", "delivery", "history", "intake", "readback", "settings", "storage"},
        "sink": {"intake", "settings"},
        "check": {"consent", "cordial", "delivery", "intake", "readback", "settings", "storage", "trial"},
        "trial": {"cordial", "delivery", "intake", "readback", "settings", "storage"},
        "consent": {"settings"},
        "run": {
            "audit",
            "bookmark",
            "check",
            "closing",
            "consent",
            "cordial",
            "delivery",
            "history",
            "intake",
            "readback",
            "run_name",
            "settings",
            "storage",
        },
        "__main__": {"target"},
        "target": {"check", "clear_text", "history", "intake", "run", "settings", "sink", "storage"},
        "run_name": set(),
        "clear_text": set(),
        "settings": {"clear_text"},
    },
}
"""What each room, or file beside the rooms, may import of its own plugin. Data flows from right to left: what a room feeds, it does
not know."""


def imports(path: Path) -> set[str]:
    """The modules of this project that a file imports, those for type checking alone too."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: a relative import"
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                is_module = (ROOT / full.replace(".", "/")).with_suffix(".py").exists()
                modules.add(full if is_module else str(node.module))
    return {module for module in modules if module.partition(".")[0] in PACKAGES}


def modules_of(package: str) -> dict[str, set[str]]:
    """What each module of a package imports."""
    return {
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): imports(path)
        for path in sorted((ROOT / package).rglob("*.py"))
    }


def room(module: str) -> str:
    return module.split(".")[1]


@pytest.mark.parametrize("plugin", PLUGINS)
def test_each_room_imports_only_the_rooms_that_it_may(plugin):
    modules = modules_of(plugin)
    ties: dict[str, set[str]] = {}
    for module, used in modules.items():
        if "." in module:
            own = {room(other) for other in used if other.startswith(f"{plugin}.")}
            ties.setdefault(room(module), set()).update(own - {room(module)})
    assert len(ties) == len(TIES[plugin])
    for name, used in ties.items():
        assert used <= TIES[plugin][name], f"{plugin}.{name} uses {used - TIES[plugin][name]}"


def test_neither_plugin_imports_the_other_or_the_sandbox_and_what_they_share_imports_neither():
    foreign = {
        "tap_lytics_audience": {"target_cordial", "sandbox"},
        "target_cordial": {"tap_lytics_audience", "sandbox"},
        "lytics_to_cordial": {"tap_lytics_audience", "target_cordial", "sandbox"},
        "sandbox": {"tap_lytics_audience", "target_cordial", "lytics_to_cordial"},
    }
    for package, others in foreign.items():
        modules = modules_of(package)
        assert len(modules) > 5
        for module, used in modules.items():
            assert not {other.partition(".")[0] for other in used} & others, module


@pytest.mark.parametrize("package", PACKAGES)
def test_there_is_no_circle_of_imports_of_files_or_of_rooms_typing_included(package):
    modules = modules_of(package)
    rooms: dict[str, set[str]] = {}
    for module, used in modules.items():
        if "." in module:
            own = {room(other) for other in used if other.startswith(f"{package}.")}
            rooms.setdefault(room(module), set()).update(own - {room(module)})
    for graph in (modules, rooms):
        assert graph
        assert not circle(graph)


def circle(graph: dict[str, set[str]]) -> list[str]:
    """What is left of a graph when whatever uses nothing that is left is taken away, again and again."""
    left = {name: used & graph.keys() - {name} for name, used in graph.items()}
    while free := {name for name, used in left.items() if not used}:
        left = {name: used - free for name, used in left.items() if name not in free}
    return sorted(left)


def test_no_file_of_the_plugins_is_longer_than_one_idea_needs():
    files = [path for package in (*PLUGINS, "lytics_to_cordial") for path in (ROOT / package).rglob("*.py")]
    assert len(files) > 50
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: length for path, length in lengths.items() if length > MOST_LINES} == {}
