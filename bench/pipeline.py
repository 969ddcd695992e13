"""Tap and target together."""

from __future__ import annotations

import shutil
import typing as t

from bench.runs import Contestant, measure, ratio
from bench.servers import cordial, lytics
from bench.setting import plugin
from bench.table import at_least

if t.TYPE_CHECKING:
    from bench.setting import Setting
    from bench.table import Line

AIM_OF_PIPE = 0.85
FIELDS = {
    "first_name": "first_name",
    "last_name": "last_name",
    "city": "city",
    "visit_count": "visit_count",
    "last_visit": "last_visit",
}


def speed(setting: Setting) -> t.Iterator[Line]:
    """What the pipe costs.

    Args:
        setting: How much to measure.

    Yields:
        Lines of the table.
    """
    with lytics(setting.scratch, setting.members) as source, cordial(setting.scratch / "cordial") as server:
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
        f"tap piped into target, {setting.members:,} members, against the slower alone ({slower.name})",
        ratio(slower, found["pipe"]),
        AIM_OF_PIPE,
    )
