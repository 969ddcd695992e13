"""python -m sandbox: start and stop the sandbox, let time pass in it, and compare audience and list."""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import logging
import os
import signal
import subprocess
import sys
import threading
import time
import typing as t
from pathlib import Path

from sandbox.box import HOST, Sandbox
from sandbox.faults import KINDS
from sandbox.world import AudienceSpec

READY_SECONDS = 120
STOP_SECONDS = 15


class CommandError(Exception):
    """A command cannot be carried out; the text says why."""


def main() -> int:
    """Run a command.

    Returns:
        The exit code.
    """
    arguments = _parser().parse_args()
    try:
        return int(arguments.run(arguments) or 0)
    except (CommandError, ValueError) as error:
        print(error, file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m sandbox", description=__doc__)
    parser.add_argument(
        "--folder", type=Path, default=Path(".sandbox"), help="where its data is kept (%(default)s)"
    )
    commands = parser.add_subparsers(required=True)
    for name, run, text in (
        ("up", _up, "start it in the background"),
        ("serve", _serve, "run it in the foreground"),
    ):
        up = commands.add_parser(name, help=text)
        up.set_defaults(run=run)
        up.add_argument(
            "--audience",
            action="append",
            metavar="NAME=MEMBERS",
            help="an audience; VIP Customers=100000 by default",
        )
        up.add_argument(
            "--shape", choices=["people", "recorded"], default="people", help="what profiles look like"
        )
        up.add_argument("--seed", type=int, default=7, help="of the people")
        up.add_argument("--lytics-port", type=int, default=18701)
        up.add_argument("--cordial-port", type=int, default=18702)
        up.add_argument("--sftp-port", type=int, default=18722)
        up.add_argument(
            "--fault",
            action="append",
            default=[],
            metavar="NAME[=VALUE][@PATH][#NTH]",
            help="switch a fault on",
        )
    commands.add_parser("down", help="stop it").set_defaults(run=_down)
    advance = commands.add_parser("advance", help="let people enter, leave and change")
    advance.set_defaults(run=_advance)
    advance.add_argument("--audience", default="vip_customers")
    for kind in ("enter", "leave", "change", "merge", "readdress"):
        advance.add_argument(f"--{kind}", type=int, default=0, metavar="N")
    verify = commands.add_parser(
        "verify", help="show what is on the list, and whether it equals the audience"
    )
    verify.set_defaults(run=_verify)
    verify.add_argument("--audience", action="append", help="all by default")
    verify.add_argument("--list", help="Lytics_<audience name> by default")
    fault = commands.add_parser("fault", help="switch a fault on while it runs")
    fault.set_defaults(run=_fault)
    fault.add_argument("fault", nargs="*", metavar="NAME[=VALUE][@PATH][#NTH]")
    fault.add_argument("--clear", action="store_true", help="switch all faults off first")
    commands.add_parser("faults", help="list all faults").set_defaults(run=_faults)
    return parser


def _up(arguments: argparse.Namespace) -> None:
    folder: Path = arguments.folder
    if _running(folder):
        print(f"The sandbox in {folder} is up already.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "sandbox.log").open("w", encoding="utf-8") as log:
        command = [
            sys.executable,
            "-m",
            "sandbox",
            *(word if word != "up" else "serve" for word in sys.argv[1:]),
        ]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and arguments
            command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
    end = time.monotonic() + READY_SECONDS
    while not (_running(folder) or process.poll() is not None or time.monotonic() > end):
        time.sleep(0.05)
    if not _running(folder):
        process.kill()
        reason = (folder / "sandbox.log").read_text(encoding="utf-8").strip().splitlines()[-1:]
        msg = f"The sandbox does not start: {''.join(reason) or 'no reason given'}"
        raise CommandError(msg)
    state = _state(folder)
    print(f"Lytics   {state['lytics']}\nCordial  {state['cordial']}\nSFTP     {state['storage']}")
    for audience in _call(folder, "GET", "/sandbox/audiences"):
        print(f"Audience {audience['slug']} ({audience['name']}): {audience['members']:,} members")


def _serve(arguments: argparse.Namespace) -> None:
    logging.basicConfig(level=logging.WARNING)
    folder: Path = arguments.folder
    audiences = [_audience(text) for text in arguments.audience or ["VIP Customers=100000"]]
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    box = Sandbox(
        folder,
        audiences,
        seed=arguments.seed,
        shape=arguments.shape,
        lytics_port=arguments.lytics_port,
        cordial_port=arguments.cordial_port,
        sftp_port=arguments.sftp_port,
    )
    for text in arguments.fault:
        name, options = _parsed_fault(text)
        box.fault(name, **options)
    try:
        box.__enter__()
    except OSError as error:
        msg = f"a port is taken ({error.strerror}): choose others with --lytics-port, --cordial-port and --sftp-port"
        raise CommandError(msg) from error
    try:
        state = {
            "pid": os.getpid(),
            "lytics": box.lytics_url,
            "cordial": box.cordial_url,
            "storage": box.storage_url,
        }
        path = folder / "state.json"
        path.with_suffix(".part").write_text(json.dumps(state), encoding="utf-8")
        path.with_suffix(".part").replace(path)
        stop.wait()
        path.unlink()
    finally:
        box.__exit__()


def _down(arguments: argparse.Namespace) -> None:
    if not _running(arguments.folder):
        print(f"No sandbox is up in {arguments.folder}.")
        return
    process = int(_state(arguments.folder)["pid"])
    os.kill(process, signal.SIGTERM)
    end = time.monotonic() + STOP_SECONDS
    while _is_alive(process) and time.monotonic() < end:
        time.sleep(0.05)
    if _is_alive(process):
        os.kill(process, signal.SIGKILL)
    (arguments.folder / "state.json").unlink(missing_ok=True)
    print("The sandbox is down.")


def _advance(arguments: argparse.Namespace) -> None:
    moves = {kind: getattr(arguments, kind) for kind in ("enter", "leave", "change", "merge", "readdress")}
    done = _call(arguments.folder, "POST", "/sandbox/advance", {"audience": arguments.audience, **moves})
    print(", ".join(f"{kind} {count}" for kind, count in done.items()))


def _verify(arguments: argparse.Namespace) -> int:
    names = {
        audience["slug"]: audience["name"]
        for audience in _call(arguments.folder, "GET", "/sandbox/audiences")
        if audience["kind"] == "user"
    }
    is_equal = True
    for slug in arguments.audience or names:
        list_name = arguments.list or "Lytics_" + names.get(slug, slug).replace(" ", "_")
        found = _call(arguments.folder, "POST", "/sandbox/verify", {"audience": slug, "list": list_name})
        print(f"\n{'audience ' + slug:<40}{'list ' + list_name}")
        print(f"{found['members']:>10,} members with an address{'':6}{found['contacts']:>10,} contacts")
        print(f"{found['without_address']:>10,} profiles without an address (not sent)")
        equal = not (found["missing"] or found["extra"] or found["different"])
        is_equal &= equal
        print(
            "           " + ("equal, member by member and attribute by attribute" if equal else "NOT EQUAL")
        )
        for name in ("missing", "extra", "different"):
            if found[name]:
                print(f"{found[name]:>10,} {name}")
        for example in found["examples"]:
            print(f"           {example}")
    print("\nimports")
    for job in _call(arguments.folder, "GET", "/sandbox/jobs"):
        result = job.get("result", {})
        counts = ", ".join(
            f"{result[name]:,} {name}"
            for name in ("inserted", "updated", "ignored", "rejected", "error")
            if result.get(name)
        )
        print(
            f"  {job['metadata']['importName']:<52}{job['status']:<11}{result.get('totalRecords', 0):>8,} rows: {counts}"
        )
    return 0 if is_equal else 1


def _fault(arguments: argparse.Namespace) -> None:
    if arguments.clear:
        _call(arguments.folder, "DELETE", "/sandbox/faults")
    for text in arguments.fault:
        name, options = _parsed_fault(text)
        _call(arguments.folder, "POST", "/sandbox/faults", {"name": name, **options})
    for fault in _call(arguments.folder, "GET", "/sandbox/faults")["faults"]:
        print(json.dumps(fault))


def _faults(_: argparse.Namespace) -> None:
    for kind in KINDS.values():
        print(f"{kind.name:<22}{kind.server:<9}{kind.description}")


def _audience(text: str) -> AudienceSpec:
    name, _, members = text.partition("=")
    if not members.isdigit():
        msg = f"An audience is NAME=MEMBERS, such as 'VIP Customers=1000', not {text!r}."
        raise CommandError(msg)
    return AudienceSpec(name, int(members))


def _parsed_fault(text: str) -> tuple[str, dict[str, t.Any]]:
    """NAME[=VALUE][@PATH][#NTH]."""
    text, _, nth = text.partition("#")
    text, _, path = text.partition("@")
    name, _, value = text.partition("=")
    if name not in KINDS:
        msg = f"There is no fault {name!r}: `python -m sandbox faults` lists them."
        raise CommandError(msg)
    options: dict[str, t.Any] = {}
    if value:
        with contextlib.suppress(json.JSONDecodeError):
            value = json.loads(value)
        options["value"] = value
    if path:
        options["path"] = path
    if nth:
        options["nth"] = int(nth)
    return name, options


def _state(folder: Path) -> dict[str, t.Any]:
    try:
        return t.cast("dict[str, t.Any]", json.loads((folder / "state.json").read_text(encoding="utf-8")))
    except (OSError, json.JSONDecodeError) as error:
        msg = f"No sandbox is up in {folder}: start it with `python -m sandbox up`."
        raise CommandError(msg) from error


def _running(folder: Path) -> bool:
    try:
        return _is_alive(int(_state(folder)["pid"]))
    except CommandError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except OSError:
        return False
    # A child that has ended but was not waited for still has a number.
    with contextlib.suppress(ChildProcessError):
        return os.waitpid(process, os.WNOHANG) == (0, 0)
    return True


def _call(folder: Path, method: str, path: str, body: dict[str, t.Any] | None = None) -> t.Any:
    """The sandbox's own calls go to Cordial's port, with Cordial's key."""
    port = int(_state(folder)["cordial"].rsplit(":", 1)[1].split("/")[0])
    connection = http.client.HTTPConnection(HOST, port, timeout=300)
    connection.request(
        method, path, json.dumps(body) if body is not None else None, {"Content-Type": "application/json"}
    )
    reply = connection.getresponse()
    answer = json.loads(reply.read())
    if reply.status >= http.HTTPStatus.BAD_REQUEST:
        msg = f"The sandbox refuses: {answer.get('error')}"
        raise CommandError(msg)
    return answer


if __name__ == "__main__":
    sys.exit(main())
