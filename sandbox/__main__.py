"""python -m sandbox: start and stop the sandbox, let time pass in it, and compare audience and list."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

from sandbox import report
from sandbox.box import HOST, PortTakenError, Sandbox
from sandbox.fault_kinds import KINDS
from sandbox.triggers import SHAPES
from sandbox.world import AudienceSpec

READY_SECONDS = 120
STOP_SECONDS = 15
MOVES = {
    "enter": "new people come in",
    "leave": "members leave",
    "return": "people who had left come back",
    "change": "members' fields change",
    "readdress": "members change their address",
    "merge": "pairs of members become one",
}
FAULT = "NAME[=VALUE][@PATH][#NTH][~CHANCE]"


class CommandError(Exception):
    """A command cannot be carried out; the text says why."""


def main() -> int:
    """Run a command."""
    arguments = _parser().parse_args()
    try:
        code = int(arguments.run(arguments) or 0)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads the output, such as `head`, has seen enough; Python must not complain of it when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CommandError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1
    return code


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path(".sandbox"), help="where its data is kept (%(default)s)"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name, run, text in (
        ("up", _up, "start it in the background"),
        ("serve", _serve, "run it in the foreground"),
    ):
        _add_options(commands.add_parser(name, help=text), run)
    commands.add_parser("down", help="stop it; its data stays").set_defaults(run=_down)
    advance = commands.add_parser("advance", help="let people enter, leave and change")
    advance.set_defaults(run=_advance)
    advance.add_argument("--audience", help="the slug or name; the first audience by default")
    for kind, text in MOVES.items():
        advance.add_argument(f"--{kind}", type=int, default=0, metavar="N", help=text)
    advance.add_argument(
        "--shape", choices=SHAPES, default="default", help="of trigger messages (%(default)s)"
    )
    advance.add_argument(
        "--batch", type=int, default=1, metavar="N", help="the most trigger messages a file (%(default)s)"
    )
    advance.add_argument("--lines", action="store_true", help="trigger messages as JSON lines")
    advance.add_argument("--compress", action="store_true", help="trigger messages with gzip")
    verify = commands.add_parser(
        "verify", help="show what is on the list, and whether it equals the audience"
    )
    verify.set_defaults(run=_verify)
    verify.add_argument(
        "--audience", action="append", help="the slug or name; all that hold people by default"
    )
    verify.add_argument("--list", help="Lytics_<audience name> by default")
    fault = commands.add_parser("fault", help="switch faults on while it runs, and show those that are on")
    fault.set_defaults(run=_fault)
    fault.add_argument("fault", nargs="*", metavar=FAULT)
    fault.add_argument("--clear", action="store_true", help="switch all faults off first")
    commands.add_parser("faults", help="list all faults").set_defaults(run=_faults)
    return parser


def _add_options(up: argparse.ArgumentParser, run: t.Callable[[argparse.Namespace], None]) -> None:
    up.set_defaults(run=run)
    up.add_argument(
        "--audience",
        action="append",
        metavar="NAME=MEMBERS",
        help="an audience; 'VIP Customers=100000' by default",
    )
    up.add_argument(
        "--shape",
        choices=["people", "recorded"],
        default="people",
        help="what profiles look like (%(default)s)",
    )
    up.add_argument("--seed", type=int, default=7, help="of the people, and of what is left to chance")
    up.add_argument("--fresh", action="store_true", help="forget what Cordial and the storage hold")
    up.add_argument(
        "--triggers", metavar="URL", help="where trigger messages go: a folder, or http://... to be posted to"
    )
    for name, port in (("lytics", 18701), ("cordial", 18702), ("sftp", 18722)):
        up.add_argument(
            f"--{name}-port", type=int, default=port, metavar="PORT", help="0 for any (%(default)s)"
        )
    up.add_argument(
        "--fault",
        action="append",
        default=[],
        metavar=FAULT,
        help="switch a fault on: on calls with this in method and path, on the n-th of them, by chance",
    )
    up.add_argument("--foreground", action="store_true", help=argparse.SUPPRESS)


def _up(arguments: argparse.Namespace) -> None:
    if arguments.foreground:
        _serve(arguments)
        return
    folder: Path = arguments.folder
    _asked_for(arguments)
    if _running(folder) is None:
        _start(folder)
    else:
        print(f"The sandbox in {folder} is up already.")
    state = _state(folder)
    print(f"Lytics   {state['lytics']}\nCordial  {state['cordial']}\nSFTP     {state['storage']}")
    for audience in _call(folder, "GET", "/sandbox/audiences"):
        print(f"Audience {audience['slug']} ({audience['name']}): {audience['members']:,} members")


def _start(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    log_path = folder / "sandbox.log"
    with log_path.open("w", encoding="utf-8") as log:
        command = [sys.executable, "-m", "sandbox", *sys.argv[1:], "--foreground"]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    end = time.monotonic() + READY_SECONDS
    while not (_running(folder) == process.pid or process.poll() is not None or time.monotonic() > end):
        time.sleep(0.05)
    if _running(folder) != process.pid:
        process.kill()
        process.wait()
        reason = log_path.read_text(encoding="utf-8").strip().splitlines()[-1:]
        raise CommandError(f"The sandbox does not start: {''.join(reason) or f'see {log_path}'}")


def _serve(arguments: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.WARNING)
    folder: Path = arguments.folder
    if _running(folder) is not None:
        raise CommandError(f"The sandbox in {folder} is up already.")
    audiences, faults = _asked_for(arguments)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    if arguments.fresh:
        _forget(folder)
    box = Sandbox(
        folder,
        audiences,
        seed=arguments.seed,
        shape=arguments.shape,
        lytics_port=arguments.lytics_port,
        cordial_port=arguments.cordial_port,
        sftp_port=arguments.sftp_port,
        triggers_url=arguments.triggers,
    )
    for fault in faults:
        box.faults.set(**fault)
    path = folder / "state.json"
    try:
        with box:
            state = {
                "pid": os.getpid(),
                "lytics": box.lytics_url,
                "cordial": box.cordial_url,
                "storage": box.storage_url,
            }
            path.with_suffix(".part").write_text(json.dumps(state), encoding="utf-8")
            path.with_suffix(".part").replace(path)
            stop.wait()
        # Last of all: `down` waits for it.
        path.unlink(missing_ok=True)
    except PortTakenError as error:
        raise CommandError(
            f"{error} Choose another with --lytics-port, --cordial-port or --sftp-port, or stop what uses it."
        ) from error


def _asked_for(arguments: argparse.Namespace) -> tuple[list[AudienceSpec], list[dict[str, t.Any]]]:
    """The audiences and the faults to start with."""
    audiences = [_audience(text) for text in arguments.audience or ["VIP Customers=100000"]]
    return audiences, [_parsed_fault(text) for text in arguments.fault]


def _forget(folder: Path) -> None:
    for path in folder.glob("cordial.sqlite*"):
        path.unlink()
    shutil.rmtree(folder / "sftp", ignore_errors=True)


def _down(arguments: argparse.Namespace) -> None:
    process = _running(arguments.folder)
    path = arguments.folder / "state.json"
    if process is None:
        path.unlink(missing_ok=True)
        print(f"No sandbox is up in {arguments.folder}.")
        return
    os.kill(process, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while path.exists() and time.monotonic() < end:
        time.sleep(0.02)
    if path.exists():
        os.kill(process, signal.SIGKILL)
        path.unlink()
    print("The sandbox is down.")


def _advance(arguments: argparse.Namespace) -> None:
    body = {name: getattr(arguments, name) for name in (*MOVES, "shape", "batch", "lines", "compress")}
    body["audience"] = arguments.audience or _audiences(arguments.folder)[0]["slug"]
    done = _call(arguments.folder, "POST", "/sandbox/advance", body)
    landed, waiting = done.pop("landed"), done.pop("posts_waiting", 0)
    moves = ", ".join(f"{kind} {count:,}" for kind, count in done.items() if count) or "nothing moved"
    told = f"; trigger files or posts: {landed:,}" if landed else ""
    print(moves + told + (f"; posts that wait for a receiver: {waiting:,}" if waiting else ""))


def _verify(arguments: argparse.Namespace) -> int:
    known = _audiences(arguments.folder)
    names = {audience["slug"]: audience["name"] for audience in known if audience["kind"] == "user"}
    slugs = {audience["name"]: audience["slug"] for audience in known}
    all_equal = True
    for given in arguments.audience or names:
        slug = slugs.get(given, given)
        list_name = arguments.list or "Lytics_" + names.get(slug, slug).replace(" ", "_")
        found = _call(arguments.folder, "POST", "/sandbox/verify", {"audience": slug, "list": list_name})
        all_equal &= report.is_equal(found)
        print(*report.comparison(slug, list_name, found), "", sep="\n")
    print(*report.jobs(_call(arguments.folder, "GET", "/sandbox/jobs")), sep="\n")
    return 0 if all_equal else 1


def _fault(arguments: argparse.Namespace) -> None:
    faults = [_parsed_fault(text) for text in arguments.fault]
    if arguments.clear:
        _call(arguments.folder, "DELETE", "/sandbox/faults")
    for fault in faults:
        _call(arguments.folder, "POST", "/sandbox/faults", fault)
    for fault in _call(arguments.folder, "GET", "/sandbox/faults")["faults"]:
        print(json.dumps(fault))


def _faults(_: argparse.Namespace) -> None:
    for kind in KINDS.values():
        value = f"={kind.takes}" if kind.takes else ""
        print(f"{kind.server:<9}{kind.name + value:<46}{kind.description}")


def _audience(text: str) -> AudienceSpec:
    name, _, members = text.rpartition("=")
    if not (name and members.isdecimal()):
        raise CommandError(f"An audience is NAME=MEMBERS, such as 'VIP Customers=1000', not {text!r}.")
    return AudienceSpec(name, int(members))


def _parsed_fault(text: str) -> dict[str, t.Any]:
    found = re.fullmatch(
        r"(?P<name>\w+)(=(?P<value>[^@#~]*))?(@(?P<path>[^#~]*))?(#(?P<nth>\d+))?(~(?P<chance>[\d.]+))?", text
    )
    if found is None:
        raise CommandError(f"A fault is {FAULT}, such as cordial_status=500@/v2/jobs#2, not {text!r}.")
    given = {name: value for name, value in found.groupdict().items() if value is not None}
    fault: dict[str, t.Any] = {"name": given["name"], "path": given.get("path")}
    if given["name"] not in KINDS:
        raise CommandError(f"There is no fault {given['name']!r}: `python -m sandbox faults` lists them.")
    if "value" in given:
        fault["value"] = given["value"]
        with contextlib.suppress(json.JSONDecodeError):
            fault["value"] = json.loads(given["value"])
        KINDS[given["name"]].checked(fault["value"])
    if "nth" in given:
        fault["nth"] = int(given["nth"])
    if "chance" in given:
        fault["chance"] = float(given["chance"])
    return fault


def _audiences(folder: Path) -> list[dict[str, t.Any]]:
    return t.cast("list[dict[str, t.Any]]", _call(folder, "GET", "/sandbox/audiences"))


def _state(folder: Path) -> dict[str, t.Any]:
    try:
        return t.cast("dict[str, t.Any]", json.loads((folder / "state.json").read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError) as error:
        raise CommandError(f"No sandbox is up in {folder}: start it with `python -m sandbox up`.") from error


def _running(folder: Path) -> int | None:
    """The process of the sandbox that is up; its own answer proves that the number is not another's by now."""
    try:
        process = int(_state(folder)["pid"])
        return process if _call(folder, "GET", "/sandbox/health") == {"pid": process} else None
    except CommandError:
        return None


def _call(folder: Path, method: str, path: str, body: dict[str, t.Any] | None = None) -> t.Any:
    """The sandbox's own calls go to Cordial's port."""
    port = int(_state(folder)["cordial"].rsplit(":", 1)[1].split("/")[0])
    connection = http.client.HTTPConnection(HOST, port, timeout=300)
    try:
        connection.request(
            method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"}
        )
        reply = connection.getresponse()
        answer = json.loads(reply.read())
    except (OSError, http.client.HTTPException, json.JSONDecodeError) as error:
        raise CommandError(
            f"The sandbox in {folder} does not answer: start it again with `python -m sandbox up`."
        ) from error
    finally:
        connection.close()
    if reply.status >= http.HTTPStatus.BAD_REQUEST:
        raise CommandError(f"The sandbox refuses: {answer.get('error')}")
    return answer


if __name__ == "__main__":
    sys.exit(main())
