"""Audits for tests: the input of all members, and what an audit found.

from tests.target.auditing import audit, ended, fill

fill(box, PEOPLE)
found = audit(box, PEOPLE)
assert found.code == 0, found.log
"""

from __future__ import annotations

import csv
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.target.running import AUDIENCE_SCHEMA, STREAM, Result, enter, quick_config, run, state

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from sandbox import Sandbox

People = dict[str, dict[str, Any]]
"""Fields by address."""
VIP = "VIP Customers"


def records(people: People, audience: str = VIP) -> list[dict[str, Any]]:
    return [enter(address, audience, **fields) for address, fields in people.items()]


def ended(members: Mapping[str, int] | None = None) -> list[dict[str, Any]]:
    """How a snapshot of the tap ends, by audience name and number of members."""
    snapshot = {
        name.encode().hex()[:32].ljust(32, "0"): {
            "slug": name.lower().replace(" ", "_"),
            "name": name,
            "members": count,
        }
        for name, count in (members or {}).items()
    }
    entry = {
        "run": {"ledger": "l", "number": 3, "audiences": []},
        "ended": 3,
        "audiences": {},
        "snapshot": snapshot,
    }
    return [
        state({"bookmarks": {STREAM: entry}}),
        {"type": "ACTIVATE_VERSION", "stream": STREAM, "version": 1},
    ]


def fill(box: Sandbox, people: People, audience: str = VIP, **settings: Any) -> None:
    """Put people on a list, as a run of changes does."""
    config = quick_config(box, **{"null_values": "clear", **settings})
    result = run(config, [AUDIENCE_SCHEMA, *records(people, audience), state({})])
    assert result.code == 0, result.log


@dataclass
class Audit:
    """What an audit, or a mirror, was like.

    Attributes:
        result: Of the process.
        differences: The rows of the last file.
        receipt: The last one; empty if there is none.
    """

    result: Result
    differences: list[dict[str, str]]
    receipt: dict[str, Any]

    @property
    def code(self) -> int:
        return self.result.code

    @property
    def log(self) -> str:
        return self.result.log

    @property
    def kinds(self) -> set[tuple[str, str, str]]:
        """Kind, address and attribute of each difference."""
        return {(row["kind"], row["identifier"], row["attribute"]) for row in self.differences}

    @property
    def verdicts(self) -> dict[str, str]:
        return {each["name"]: each["verdict"] for each in self.receipt.get("lists", ())}

    @property
    def has_verdict(self) -> bool:
        return re.search(r"Audit of list .*: (EQUAL|MOVING|DIFFERENT)", self.log) is not None


def audits_folder(box: Sandbox) -> Path:
    return box.folder / "audits"


def config(box: Sandbox, **settings: Any) -> dict[str, Any]:
    return quick_config(
        box, **{"mode": "audit", "null_values": "clear", "audits_url": str(audits_folder(box)), **settings}
    )


def audit(
    box: Sandbox,
    people: People,
    messages: Iterable[Mapping[str, Any] | bytes] | None = None,
    **settings: Any,
) -> Audit:
    """Audit the list against people, or a whole input against its lists."""
    if messages is None:
        messages = [AUDIENCE_SCHEMA, *records(people), *ended({VIP: len(people)})]
    before = set(audits_folder(box).glob("*.json"))
    result = run(config(box, **settings), messages)
    receipts = sorted(set(audits_folder(box).glob("*.json")) - before)
    if not receipts:
        return Audit(result, [], {})
    receipt = json.loads(receipts[-1].read_bytes())
    with (audits_folder(box) / receipt["differences"]).open(newline="", encoding="utf-8") as file:
        return Audit(result, list(csv.DictReader(file)), receipt)


def exports_left(box: Sandbox) -> list[str]:
    """Files in the storage, but for those of leases and runs; an export that is left holds the whole account."""
    return [name for name in box.files() if name not in {"lease.json", "runs.json"}]
