"""`python -m bench [NAME ...]`: everything is measured side by side, in one run, and the table printed."""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from bench import difference, pipeline, receiver, shapes, tap, target
from bench.peers import Peers
from bench.setting import Setting
from bench.table import Line, markdown

BENCHMARKS: dict[str, Callable[[Setting], Iterator[Line]]] = {
    "target": target.speed,
    "target-memory": target.memory,
    "target-shapes": shapes.speed,
    "target-start": shapes.start,
    "tap": tap.speed,
    "tap-workers": tap.workers,
    "pipeline": pipeline.speed,
    "meltano": pipeline.meltano,
    "difference": difference.speed,
    "receiver": receiver.speed,
    "receiver-freshness": receiver.freshness,
}


def main() -> None:
    """Measure what is named, or everything."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all by default"
    )
    parser.add_argument(
        "--members",
        type=int,
        default=1_000_000,
        help="records of the target's input; a tenth for the tap, ten times as many for the difference",
    )
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHMARKS)
    if unknown:
        parser.error(f"there is no benchmark {', '.join(sorted(unknown))}")
    folder = Path(".bench").absolute()
    folder.mkdir(exist_ok=True)
    peers = Peers(folder / "peers")
    lines: list[Line] = []
    for name in arguments.names or BENCHMARKS:
        print(f"{name}:", file=sys.stderr)
        with tempfile.TemporaryDirectory(dir=folder) as scratch:
            setting = Setting(folder, Path(scratch), arguments.members, arguments.rounds, peers)
            lines += BENCHMARKS[name](setting)
    print(f"Python {platform.python_version()}, medians of {arguments.rounds} rounds in alternation:\n")
    print(markdown(lines))


if __name__ == "__main__":
    main()
