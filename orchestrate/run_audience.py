"""One audience as a run of its own, wherever an engine starts it: `python orchestrate/run_audience.py vip_customers`.

The exit code says what helps: 0 it is done, 1 another try may help, 2 a person has to act.
"""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from lytics_to_cordial.errors import TransientError, UserError
from target_cordial.history.journal import read_history

PROJECT = Path(__file__).resolve().parents[1]
ENVIRONMENT = Path(sys.prefix)
"""Holds Meltano and both plugins, so that nothing is installed at start."""
PLUGINS = {"tap-lytics-audience": "extractors", "target-cordial": "loaders"}


def main() -> int:
    """Run the audience that is named, or that of this pod of an Indexed Job."""
    try:
        audience = sys.argv[1] if len(sys.argv) > 1 else audience_of_pod()
        settings = settings_of(audience)
    except UserError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    began = dt.datetime.now(dt.timezone.utc)
    with tempfile.TemporaryDirectory(prefix="run-") as folder:
        code, plugin_codes = run_meltano(audience, {**settings, **meltano_folder(Path(folder))})
    if code == 0:
        return 0
    needs_person = UserError.exit_code in plugin_codes or "person" in failure_classes(
        settings["TARGET_CORDIAL_JOURNAL_URL"], began
    )
    return UserError.exit_code if needs_person else TransientError.exit_code


def audience_of_pod() -> str:
    """The line of the list of audiences that belongs to this pod."""
    path = Path(os.environ.get("FLEET_AUDIENCES", PROJECT / "orchestrate" / "audiences.txt"))
    audiences = path.read_text(encoding="utf-8").split()
    if len(audiences) != int(variable("FLEET_COMPLETIONS")):
        raise UserError(
            f"{path} names {len(audiences)} audiences: set completions and FLEET_COMPLETIONS to that number, or some would never run."
        )
    return audiences[int(variable("JOB_COMPLETION_INDEX"))]


def settings_of(audience: str) -> dict[str, str]:
    """What differs between audiences; all else is in meltano.yml. No folder is shared, so that no two runs meet."""
    bucket, storage = variable("FLEET_BUCKET").rstrip("/"), variable("FLEET_STORAGE").rstrip("/")
    return {
        "TAP_LYTICS_AUDIENCE_AUDIENCES": json.dumps([audience]),
        "TAP_LYTICS_AUDIENCE_LEDGER_URL": f"{bucket}/ledger/{audience}",
        "TARGET_CORDIAL_STORAGE_URL": f"{storage}/{audience}",
        "TARGET_CORDIAL_JOURNAL_URL": f"{bucket}/journal/{audience}/",
        "TARGET_CORDIAL_REJECTS_URL": f"{bucket}/rejects/{audience}",
        "MELTANO_STATE_BACKEND_URI": f"{bucket}/state",
    }


def variable(name: str) -> str:
    """A variable of the environment that has to be there."""
    if not (value := os.environ.get(name)):
        raise UserError(f"The variable {name} is not set: orchestrate/README.md says what it holds.")
    return value


def meltano_folder(folder: Path) -> dict[str, str]:
    """Prepare a folder for what Meltano writes, such as the catalog, which two runs in one folder would overwrite each other."""
    for plugin, kind in PLUGINS.items():
        venv = folder / kind / plugin / "venv"
        venv.mkdir(parents=True)
        # Not the whole: where Meltano installs after all, it deletes what a link in that place leads to.
        (venv / "bin").symlink_to(ENVIRONMENT / "bin")
    return {"MELTANO_SYS_DIR_ROOT": str(folder)}


def run_meltano(audience: str, variables: dict[str, str]) -> tuple[int, set[int]]:
    """Run it, with its log shown: its exit code, which is 1 whatever failed, and the plugins' own, which are in its log alone."""
    command = [str(ENVIRONMENT / "bin" / "meltano"), "--log-format=json", "run", "--no-install"]
    command += [f"--state-id-suffix={audience}", *PLUGINS]
    codes: set[int] = set()
    with subprocess.Popen(
        command, cwd=PROJECT, env={**os.environ, **variables}, stderr=subprocess.PIPE, text=True
    ) as process:
        for number in (signal.SIGINT, signal.SIGTERM):
            # As the first process of a container it would get none, and Meltano none from it.
            signal.signal(number, lambda number, _: process.send_signal(number))
        for line in process.stderr or ():
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": line.rstrip()}
            codes.update(entry.get("exit_codes", {}).values())
            shown = ("timestamp", "level", "name", "event", "exception")
            print(*(entry[key] for key in shown if key in entry), file=sys.stderr, flush=True)
    return process.returncode, codes


def failure_classes(journal_url: str, since: dt.datetime) -> set[str | None]:
    """What the journal says of the runs that began since then; nothing of one that was killed."""
    try:
        return {run.failure_class for run in read_history(journal_url).real_runs if run.started >= since}
    except UserError:
        return set()


if __name__ == "__main__":
    sys.exit(main())
