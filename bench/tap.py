"""tap-lytics-audience against others that read the same pages."""

from __future__ import annotations

import collections
import json
import shutil
import subprocess
import typing as t

from bench.runs import Contestant, measure, ratio
from bench.servers import Lytics, lytics
from bench.setting import Setting, plugin
from bench.table import Line, at_least, at_most

AIM_OF_LOOP = 0.7
AIM_OF_WORKERS = 10
WORKERS = 16
SLOW_SECONDS = 0.05
MOST_OF_NO_CHANGE = 1.2


def speed(setting: Setting) -> t.Iterator[Line]:
    """How fast one slice is read, and how a run goes that finds no change.

    Args:
        setting: How much to measure.

    Yields:
        Lines of the table.
    """
    with lytics(setting.scratch, setting.served) as server:
        config = setting.config("tap", server.config(scan_concurrency=1))
        fields = _fields(config)
        loop = [server.url, server.audience, server.token, fields]
        state = _synced(setting, server)
        again = setting.config(
            "tap-again", server.config(scan_concurrency=1, ledger_url=str(setting.scratch / "ledger-again"))
        )

        def forget() -> None:
            shutil.rmtree(setting.scratch / "ledger", ignore_errors=True)

        ours = plugin("tap-lytics-audience", "--config", config)
        found = measure(
            [
                Contestant("tap-lytics-audience", ours, prepare=forget),
                Contestant("requests loop", setting.peers.python("requests_loop", *loop)),
                Contestant("default stream", setting.peers.python("default_tap", *loop)),
                Contestant("no change", plugin("tap-lytics-audience", "--config", again, "--state", state)),
            ],
            setting.rounds,
        )
    mine, bare = found["tap-lytics-audience"], found["requests loop"]
    yield Line(
        f"tap-lytics-audience, one slice of {setting.served:,} members",
        f"{mine.seconds:.1f} s, {setting.served / mine.seconds:,.0f} members/s, {mine.megabytes:,.0f} MB",
    )
    yield at_least("against a bare loop of `requests` and `orjson`", ratio(bare, mine), AIM_OF_LOOP)
    yield Line("against the SDK's default `RESTStream`", f"{ratio(found['default stream'], mine):.2f} x")
    yield at_most(
        "a run without changes, in times of the bare loop",
        ratio(found["no change"], bare),
        MOST_OF_NO_CHANGE,
        "x",
    )


def workers(setting: Setting) -> t.Iterator[Line]:
    """What reading slices side by side is worth where a page takes a while.

    Args:
        setting: How much to measure.

    Yields:
        Lines of the table.
    """
    with lytics(setting.scratch, setting.served, f"lytics_slow={SLOW_SECONDS}") as server:

        def forget() -> None:
            shutil.rmtree(setting.scratch / "ledger", ignore_errors=True)

        found = measure(
            [
                Contestant(
                    str(count),
                    plugin(
                        "tap-lytics-audience",
                        "--config",
                        setting.config(f"tap-{count}", server.config(scan_concurrency=count)),
                    ),
                    prepare=forget,
                )
                for count in (1, WORKERS)
            ],
            setting.rounds,
        )
    what = f"{WORKERS} slices side by side against one, {setting.served:,} members, {SLOW_SECONDS * 1000:.0f} ms a page"
    yield at_least(what, ratio(found["1"], found[str(WORKERS)]), AIM_OF_WORKERS)


def _fields(config: str) -> str:
    """The profile fields that the tap asks for, so that the others read the same pages."""
    found = subprocess.run(
        plugin("tap-lytics-audience", "--config", config, "--discover"), check=True, capture_output=True
    )
    [stream] = [one for one in json.loads(found.stdout)["streams"] if one["stream"] == "audience_members"]
    return ",".join(name for name in stream["schema"]["properties"] if not name.startswith("audience_"))


def _synced(setting: Setting, server: Lytics) -> str:
    """The state of a first run, whose ledger is kept."""
    first = server.config(ledger_url=str(setting.scratch / "ledger-again"))
    output = setting.scratch / "first.jsonl"
    # Not held in memory: that of the benchmark itself would count as that of what it starts.
    with output.open("wb") as stdout:
        command = plugin("tap-lytics-audience", "--config", setting.config("tap-first", first))
        subprocess.run(command, check=True, stdout=stdout, stderr=subprocess.DEVNULL)
    with output.open("rb") as lines:
        [last] = collections.deque((line for line in lines if b'"STATE"' in line[:30]), maxlen=1)
    output.unlink()
    return setting.config("state", json.loads(last)["value"])
