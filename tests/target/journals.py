"""Makes up journals of many runs, as target-cordial writes them."""

from __future__ import annotations

import datetime as dt
import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

START = dt.datetime(2024, 2, 3, 4, 0, tzinfo=dt.timezone.utc)
LISTS = {"Lytics_VIP_Customers": 95_500, "Lytics_Lapsed": 1_240}
FAILURE = "Cordial answered /contactimports with 500: no message."


def encoded(lines: Iterable[dict[str, Any]]) -> list[bytes]:
    return [json.dumps(line).encode() + b"\n" for line in lines]


def runs(
    number: int, every: dt.timedelta = dt.timedelta(days=1), lists: dict[str, int] = LISTS
) -> Iterator[dict[str, Any]]:
    """The lines of so many runs: the first fills the lists, the others move some; one in thirty fails.

    `lists` is the size of each list by its name.
    """
    luck = random.Random(1)
    sizes = dict.fromkeys(lists, 0)
    for index in range(number):
        started = START + index * every
        name = f"{started:%Y%m%d%H%M%S}{index % 65_536:04x}"
        fails = index % 30 == 17
        counts: dict[str, dict[str, Any]] = {}
        seconds = 2.0
        imports = []
        for list_name, full in lists.items():
            enters = luck.randint(0, max(full // 400, 2)) if index else full
            exits = luck.randint(0, max(full // 500, 2)) if index and not fails else 0
            before = sizes[list_name]
            sizes[list_name] = max(before + enters - exits, 0)
            after = None if fails else sizes[list_name]
            counts[list_name] = {
                "enters": enters,
                "exits": exits,
                "size_before": before,
                "size_after": after,
            }
            for kind, rows in {"enter": enters, "exit": exits}.items():
                if rows:
                    took = round(luck.uniform(4, 9) + rows / 900, 3)
                    seconds += took
                    imports.append({"list_name": list_name, "kind": kind, "rows": rows, "seconds": took})
        ended = stamp(started + dt.timedelta(seconds=seconds))
        yield from ({"time": ended, "run": name, "event": "import", **line} for line in imports)
        rejects = (
            {"email: the identifier is not an e-mail address": luck.randint(1, 6)} if index % 3 == 0 else {}
        )
        yield {
            "time": ended,
            "run": name,
            "event": "run",
            "started": stamp(started),
            "ended": ended,
            "outcome": "failed" if fails else "done",
            "failure": FAILURE if fails else None,
            "records": sum(rows["enters"] + rows["exits"] for rows in counts.values())
            + sum(rejects.values()),
            "lists": counts,
            "imports": len(imports),
            "rejects": rejects | ({"age: not a number": 2} if index % 10 == 4 else {}),
            "rejected_by_cordial": 0,
        }


def stamp(time: dt.datetime) -> str:
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
