"""The difference of a large ledger and a large scan with 1 % changes, without HTTP.

`python -m bench.difference MEMBERS FOLDER` makes the input in the folder, unless it is there, and `... MEMBERS FOLDER compute`
computes the difference: a process of its own, as what starts it counts as its memory.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
import typing as t
from contextlib import closing
from pathlib import Path

import duckdb

from bench.runs import Contestant, measure
from bench.setting import Setting
from bench.table import Line, at_most
from lytics_to_cordial.database import Database
from lytics_to_cordial.files import Folder
from tap_lytics_audience.members.changes import BLOCKS, MAX_BLOCK_ROWS, Changes, Rules
from tap_lytics_audience.members.exits import Exits
from tap_lytics_audience.members.known import Known
from tap_lytics_audience.members.ledger import Ledger
from tap_lytics_audience.members.touched import Touched

MOST_SECONDS = 20
MOST_MEGABYTES = 1000
FIELDS = ["city", "first_name"]
CHANGED = 100
"""Every so many-th member left, entered or changed, in equal parts."""


class Blocks:
    """A scan as blocks give it: table files that were made before."""

    def __init__(self, folder: Path, members: int) -> None:
        self.table = folder
        count = max(BLOCKS, members // MAX_BLOCK_ROWS)
        self.paths = [folder / f"block-{members}-{number}-of-{count}.jsonl" for number in range(count)]

    def flush(self) -> None:
        """Nothing to do: the files are complete."""


def make(folder: Path, members: int) -> tuple[Path, Blocks]:
    """Make the ledger's base and the scan's blocks, unless they are there."""
    base, blocks = folder / f"base-{members}.parquet", Blocks(folder, members)
    if not blocks.paths[-1].exists():
        database = duckdb.connect()
        row = "'person.' || n || '@example.com' AS key, key AS identifier, lpad(n::VARCHAR, 16, '0') AS representative"
        database.execute(
            f"COPY (SELECT {row}, hash(n)::HUGEINT % 1000000007 AS digest, TRUE AS sent, FALSE AS gone, FALSE AS has_record FROM range({members}) t(n)) "
            f"TO '{base}' (FORMAT parquet, COMPRESSION zstd)"
        )
        for number, path in enumerate(blocks.paths):
            database.execute(
                f"""COPY (
                    SELECT representative AS id, key, hash(n + (n % {3 * CHANGED} = 1)::INTEGER)::HUGEINT % 1000000007 AS digest,
                        0 AS start, 100 AS size
                    FROM (SELECT n, {row} FROM range({number}, {members} + {members} // {3 * CHANGED}, {len(blocks.paths)}) t(n))
                    WHERE n % {3 * CHANGED} <> 0 OR n >= {members}
                ) TO '{path}' (FORMAT json)"""
            )
    return base, blocks


def speed(setting: Setting) -> t.Iterator[Line]:
    """How long the difference takes of ten times as many members as the other benchmarks have.

    Args:
        setting: How much to measure.

    Yields:
        Lines of the table.
    """
    members = setting.members * 10
    run = [sys.executable, "-m", "bench.difference", str(members), str(setting.folder)]
    subprocess.run(run, check=True)
    found = measure([Contestant("difference", [*run, "compute"])], setting.rounds)["difference"]
    what = f"difference of a ledger and a scan of {members:,} members, 1 % changed"
    yield at_most(what, found.seconds, MOST_SECONDS, "s")
    yield at_most("its memory", found.megabytes, MOST_MEGABYTES, "MB")


def main() -> None:
    """Make the input, or compute one difference and print a line."""
    members, cache = int(sys.argv[1]), Path(sys.argv[2])
    base, blocks = make(cache, members)
    if "compute" not in sys.argv[3:]:
        return
    with tempfile.TemporaryDirectory(dir=cache) as name:
        folder = Path(name)
        ledger = Ledger(Folder(str(folder / "ledger"), setting="ledger_url"), "audience", folder)
        ledger.add_part(
            lambda path: Path(path).write_bytes(base.read_bytes()) and members, FIELDS, replaces_all=True
        )
        ledger.update(is_complete=True)
        begun = time.monotonic()
        with closing(Database(folder)) as database:
            tables = database.tables()
            known = Known(tables)
            known.load(ledger)
            Touched(tables, folder)
            loaded = time.monotonic()
            rules = Rules(existing_users=True, profile_updates=True, is_first_pass=False, is_scanned=True)
            changes = Changes(tables, known, FIELDS, rules)
            sent = 0
            for path in blocks.paths:
                blocks.table = path
                decisions = changes.judge(blocks)  # type: ignore[arg-type] - only the table is read
                sent += decisions.write(str(folder / "part.parquet"))
            exits = Exits(tables)
            exits.find_candidates(among_touched=False)
            left = exits.count()
            ended = time.monotonic()
    print(
        f"{members:,} members: {sent:,} entered or changed, {left:,} may have left; ledger read in {loaded - begun:.1f} s, "
        f"{ended - begun:.1f} s in all"
    )


if __name__ == "__main__":
    main()
