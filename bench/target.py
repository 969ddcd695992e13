"""target-cordial against others that turn Singer messages into CSV files."""

from __future__ import annotations

import shutil
import typing as t

from bench.messages import repeated, write_messages
from bench.runs import Contestant, measure, ratio
from bench.servers import cordial
from bench.setting import Setting, plugin
from bench.table import Line, at_least, at_most

AIM_OF_SDK = 12
AIM_OF_LOOP = 0.8
MOST_CALLS = 20
ROWS_OF_AN_IMPORT = 30_000
MANY_TIMES = 5
MOST_MEGABYTES = 150
MOST_GROWTH_PERCENT = 10


def speed(setting: Setting) -> t.Iterator[Line]:
    """How fast messages become registered import files, identifier and cells checked, and how many calls that takes.

    Args:
        setting: How much to measure.

    Yields:
        Lines of the table.
    """
    messages = write_messages(setting.folder / f"messages-{setting.members}.jsonl", setting.members)
    out = setting.scratch / "out.csv"
    peers = setting.peers
    csv_folder = setting.scratch / "target-csv"
    jsonl = {"destination_path": str(setting.scratch), "do_timestamp_file": False}
    config_of_csv = setting.config("target-csv", {"output_path": str(csv_folder)})
    config_of_jsonl = setting.config("target-jsonl", jsonl)

    def clean() -> None:
        out.unlink(missing_ok=True)
        shutil.rmtree(csv_folder, ignore_errors=True)
        csv_folder.mkdir()
        (setting.scratch / "audience_members.jsonl").unlink(missing_ok=True)

    with cordial(setting.scratch / "cordial") as server:
        ours = plugin("target-cordial", "--config", setting.config("target", server.config()))
        found = measure(
            [
                Contestant("target-cordial", ours, messages, lambda: server.calls() and None),
                Contestant("SDK's default target", peers.python("default_target", str(out)), messages, clean),
                Contestant("orjson loop", peers.python("orjson_csv", str(out)), messages, clean),
                Contestant("msgspec loop", peers.python("msgspec_csv", str(out)), messages, clean),
                Contestant(
                    "target-csv",
                    peers.command("sdk", "target-csv", "--config", config_of_csv),
                    messages,
                    clean,
                ),
                Contestant(
                    "target-jsonl",
                    peers.command("jsonl", "target-jsonl", "--config", config_of_jsonl),
                    messages,
                    clean,
                ),
            ],
            setting.rounds,
        )
        calls = server.calls()
    mine = found["target-cordial"]
    yield Line(
        f"target-cordial, {setting.members:,} records to registered import files",
        f"{mine.seconds:.1f} s, {setting.members / mine.seconds:,.0f} records/s",
    )
    yield at_least(
        "against the SDK's default target, writing CSV",
        ratio(found["SDK's default target"], mine),
        AIM_OF_SDK,
    )
    yield at_least(
        "against a bare loop of `orjson` and `csv.writer`", ratio(found["orjson loop"], mine), AIM_OF_LOOP
    )
    yield Line(
        "against a bare loop of typed `msgspec` and `csv.writer`",
        f"{ratio(found['msgspec loop'], mine):.2f} x",
    )
    yield Line("against `meltanolabs-target-csv`", f"{ratio(found['target-csv'], mine):.2f} x")
    yield Line("against `target-jsonl`", f"{ratio(found['target-jsonl'], mine):.2f} x")
    imports, polls = calls.pop("POST /v2/contactimports"), calls.pop("poll")
    most_imports = -(-setting.members // ROWS_OF_AN_IMPORT)
    yield at_most(f"imports of a backfill of {setting.members:,}", imports, most_imports, "imports")
    yield at_most("polls of them", polls, most_imports, "polls")
    yield at_most("other calls", sum(calls.values()), MOST_CALLS, "calls")


def memory(setting: Setting) -> t.Iterator[Line]:
    """How much memory a large input takes, and a tenth of it.

    Args:
        setting: How much to measure: five times its members.

    Yields:
        Lines of the table.
    """
    messages = write_messages(setting.folder / f"messages-{setting.members}.jsonl", setting.members)
    large = repeated(messages, setting.scratch / "large.jsonl", MANY_TIMES)
    tenth = setting.members * MANY_TIMES // 10
    small = write_messages(setting.folder / f"messages-{tenth}.jsonl", tenth)
    with cordial(setting.scratch / "cordial") as server:
        ours = plugin("target-cordial", "--config", setting.config("target", server.config()))
        found = measure([Contestant("large", ours, large), Contestant("small", ours, small)], 1)
    large.unlink()
    most, least = found["large"].megabytes, found["small"].megabytes
    yield at_most(
        f"target-cordial's memory, {setting.members * MANY_TIMES:,} records", most, MOST_MEGABYTES, "MB"
    )
    yield at_most(f"more than at {tenth:,}", (most / least - 1) * 100, MOST_GROWTH_PERCENT, "%")
