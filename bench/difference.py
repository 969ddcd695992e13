"""The difference of a large ledger and a large scan with 1 % changes, without HTTP: time and peak memory.

`python bench/difference.py [MEMBERS]`; the input is made once, under .bench.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from tap_lytics_audience.changes import BLOCKS, MAX_BLOCK_ROWS, Changes, Rules
from tap_lytics_audience.ledger import Ledger

FIELDS = ["city", "first_name"]
CHANGED = 100
"""Every so many-th member left, entered or changed, in equal parts."""


class Blocks:
    """A scan as the spool gives it: table files that were made before."""

    def __init__(self, folder: Path, members: int) -> None:
        self.table = folder
        count = max(BLOCKS, members // MAX_BLOCK_ROWS)
        self.paths = [folder / f"scan-{members}-{number}-of-{count}.jsonl" for number in range(count)]

    def flush(self) -> None:
        """Nothing to do: the files are complete."""


def make(folder: Path, members: int) -> tuple[Path, Blocks]:
    """Make the ledger's base and the scan's blocks, unless they are there."""
    base, blocks = folder / f"base-{members}.parquet", Blocks(folder, members)
    if not base.exists():
        database = duckdb.connect()
        row = "'person.' || n || '@example.com' AS key, key AS raw, lpad(n::VARCHAR, 16, '0') AS speaker"
        database.execute(
            f"COPY (SELECT {row}, hash(n)::HUGEINT % 1000000007 AS digest, TRUE AS sent, FALSE AS gone FROM range({members}) t(n)) "
            f"TO '{base}' (FORMAT parquet, COMPRESSION zstd)"
        )
        for number, path in enumerate(blocks.paths):
            database.execute(
                f"""COPY (
                    SELECT speaker AS id, key, raw, speaker, hash(n + (n % {3 * CHANGED} = 1)::INTEGER)::HUGEINT % 1000000007 AS digest,
                        [] AS older, 0 AS start, 100 AS size
                    FROM (SELECT n, {row} FROM range({number}, {members} + {members} // {3 * CHANGED}, {len(blocks.paths)}) t(n))
                    WHERE n % {3 * CHANGED} <> 0 OR n >= {members}
                ) TO '{path}' (FORMAT json)"""
            )
    return base, blocks


def main() -> None:
    """Measure, and print a line."""
    members = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000_000
    cache = Path(".bench")
    cache.mkdir(exist_ok=True)
    base, blocks = make(cache, members)
    with tempfile.TemporaryDirectory(dir=cache) as folder:
        ledger = Ledger(f"{folder}/ledger", "bench", "audience", Path(folder))
        ledger.open(None)
        ledger.add_part(
            lambda path: Path(path).write_bytes(base.read_bytes()) and members, FIELDS, is_base=True
        )
        begun = time.monotonic()
        changes = Changes(
            Path(folder), FIELDS, Rules(existing_users=True, profile_updates=True, is_first_pass=False)
        )
        changes.load(ledger)
        loaded = time.monotonic()
        sent = 0
        for path in blocks.paths:
            blocks.table = path
            changes.look_at(blocks)  # type: ignore[arg-type] - only the table is read
            sent += changes.write_part(f"{folder}/part.parquet")
        changes.find_candidates(among_touched=False)
        left = changes.count_candidates()
        ended = time.monotonic()
        changes.close()
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{members:,} members: {sent:,} entered or changed, {left:,} may have left; ledger read in {loaded - begun:.1f} s, "
        f"{ended - begun:.1f} s in all, {memory:,.0f} MB at most"
    )


if __name__ == "__main__":
    main()
