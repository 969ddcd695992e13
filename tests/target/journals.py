"""Makes up journals of many runs, as target-cordial writes them."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

START = dt.datetime(2024, 2, 3, 4, 0, tzinfo=dt.timezone.utc)
LISTS = {"Lytics_VIP_Customers": 95_500, "Lytics_Lapsed": 1_240}


def write_journal(path: Path, lines: Iterable[dict[str, Any]]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")


def runs(
    number: int, every: dt.timedelta = dt.timedelta(days=1), lists: dict[str, int] = LISTS, seed: int = 1
) -> Iterator[dict[str, Any]]:
    """The lines of so many runs: the first fills the lists, the others move some; one in thirty fails.

    Args:
        number: How many runs.
        every: From one to the next.
        lists: Size by name.
        seed: Of what happens.
    """
    luck = random.Random(seed)
    sizes = dict.fromkeys(lists, 0)
    for index in range(number):
        started = START + index * every
        name = f"{started:%Y%m%d%H%M%S}{index % 65_536:04x}"
        fails = index % 30 == 17
        done: dict[str, dict[str, Any]] = {}
        spent = 2.0
        imports = 0
        for list_name, full in lists.items():
            enters = full if index == 0 else luck.randint(0, max(full // 400, 2))
            exits = 0 if index == 0 or fails else luck.randint(0, max(full // 500, 2))
            before = sizes[list_name]
            sizes[list_name] = max(before + enters - exits, 0)
            after = None if fails else sizes[list_name]
            done[list_name] = {"enters": enters, "exits": exits, "size_before": before, "size_after": after}
            for kind, rows in (("enter", enters), ("exit", exits)):
                seconds = round(luck.uniform(4, 9) + rows / 900, 3)
                if rows:
                    imports += 1
                    spent += seconds
                    yield {
                        "time": stamp(started + dt.timedelta(seconds=spent)),
                        "run": name,
                        "event": "import",
                        "import_name": f"p-{name}-{imports:04d}",
                        "job_id": f"{index:024x}",
                        "list_id": 1,
                        "list_name": list_name,
                        "kind": kind,
                        "rows": rows,
                        "inserted": rows,
                        "updated": 0,
                        "ignored": 0,
                        "rejected": 0,
                        "seconds": seconds,
                    }
        rejects = (
            {"email: the identifier is not an e-mail address": luck.randint(1, 6)} if index % 3 == 0 else {}
        )
        if index % 10 == 4:
            rejects["age: not a number"] = luck.randint(1, 3)
        yield {
            "time": stamp(started + dt.timedelta(seconds=spent + 1)),
            "run": name,
            "event": "run",
            "started": stamp(started),
            "ended": stamp(started + dt.timedelta(seconds=spent + 1)),
            "outcome": "failed" if fails else "done",
            "failure": "Cordial answered /contactimports with 500: no message." if fails else None,
            "records": sum(rows["enters"] + rows["exits"] for rows in done.values()) + sum(rejects.values()),
            "lists": done,
            "imports": imports,
            "rejects": rejects,
            "rejected_by_cordial": 0,
        }


def stamp(time: dt.datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
