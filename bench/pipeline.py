"""Tap and target together."""

from __future__ import annotations

import json
import shutil
import typing as t
from pathlib import Path

from bench.runs import Contestant, measure, ratio
from bench.servers import cordial, lytics
from bench.setting import BIN, Setting, plugin
from bench.table import Line, at_least, at_most

AIM_OF_PIPE = 0.85
MOST_OF_MELTANO = 1.1
FEW = 13
"""Members of an audience that takes no time beside the start-up."""
LEAST_SECONDS = 5
"""What is shorter than this is lost in the start-up's own ups and downs."""
FIELDS = {
    "first_name": "first_name",
    "last_name": "last_name",
    "city": "city",
    "visit_count": "visit_count",
    "last_visit": "last_visit",
}


def meltano(setting: Setting) -> t.Iterator[Line]:
    """What `meltano run` costs beside the bare pipe, start-up aside: what a run of a few members takes is taken off.

    Args:
        setting: How much to measure.

    Yields:
        Lines of the table.
    """
    seconds: dict[tuple[str, int], float] = {}
    for members in (FEW, setting.served):
        with (
            lytics(setting.scratch, members) as source,
            cordial(setting.scratch / f"cordial-{members}") as server,
        ):
            tap, target = source.config(), server.config(field_mapping=FIELDS)
            project = setting.scratch / f"meltano-{members}"
            _make_project(project, tap, target)

            def forget() -> None:
                shutil.rmtree(setting.scratch / "ledger", ignore_errors=True)

            first = plugin("tap-lytics-audience", "--config", setting.config(f"tap-{members}", tap))
            second = plugin("target-cordial", "--config", setting.config(f"target-{members}", target))
            pair = ["tap-lytics-audience", "target-cordial"]
            found = measure(
                [
                    Contestant(
                        "pipe", ["sh", "-c", f"{' '.join(first)} | {' '.join(second)}"], prepare=forget
                    ),
                    Contestant(
                        "meltano run",
                        [str(BIN / "meltano"), "--cwd", str(project), "run", "--full-refresh", *pair],
                        prepare=forget,
                    ),
                ],
                setting.rounds,
            )
        seconds.update({(name, members): figures.seconds for name, figures in found.items()})
    bare, run = (seconds[name, setting.served] - seconds[name, FEW] for name in ("pipe", "meltano run"))
    what = f"`meltano run`, {setting.served:,} members, in times of the bare pipe, start-up aside"
    if bare < LEAST_SECONDS:
        yield Line(what, "too few members to tell")
    else:
        yield at_most(what, run / bare, MOST_OF_MELTANO, "x")


def _make_project(folder: Path, tap: dict[str, t.Any], target: dict[str, t.Any]) -> None:
    """A Meltano project that runs the plugins of this environment."""
    folder.mkdir()

    def defined(name: str, config: dict[str, t.Any], **more: t.Any) -> dict[str, t.Any]:
        settings = [{"name": key} for key in config]
        executable = str(BIN / name)
        namespace = name.replace("-", "_")
        return {
            "name": name,
            "namespace": namespace,
            "executable": executable,
            "settings": settings,
            "config": config,
            **more,
        }

    project = {
        "version": 1,
        "default_environment": "bench",
        "environments": [{"name": "bench"}],
        "send_anonymous_usage_stats": False,
        "plugins": {
            "extractors": [
                defined("tap-lytics-audience", tap, capabilities=["catalog", "discover", "state"])
            ],
            "loaders": [defined("target-cordial", target)],
        },
    }
    (folder / "meltano.yml").write_text(json.dumps(project), encoding="utf-8")


def speed(setting: Setting) -> t.Iterator[Line]:
    """What the pipe costs.

    Args:
        setting: How much to measure.

    Yields:
        Lines of the table.
    """
    with lytics(setting.scratch, setting.served) as source, cordial(setting.scratch / "cordial") as server:
        tap = plugin("tap-lytics-audience", "--config", setting.config("tap", source.config()))
        target = plugin(
            "target-cordial", "--config", setting.config("target", server.config(field_mapping=FIELDS))
        )
        messages = setting.scratch / "messages.jsonl"

        def forget() -> None:
            shutil.rmtree(setting.scratch / "ledger", ignore_errors=True)

        shell = ["sh", "-c"]
        found = measure(
            [
                Contestant("tap", [*shell, f"{' '.join(tap)} > {messages}"], prepare=forget),
                Contestant("target", [*shell, f"{' '.join(target)} < {messages}"]),
                Contestant("pipe", [*shell, f"{' '.join(tap)} | {' '.join(target)}"], prepare=forget),
            ],
            setting.rounds,
        )
        messages.unlink()
    slower = max(found["tap"], found["target"], key=lambda figures: figures.seconds)
    yield at_least(
        f"tap piped into target, {setting.served:,} members, against the slower alone ({slower.name})",
        ratio(slower, found["pipe"]),
        AIM_OF_PIPE,
    )
