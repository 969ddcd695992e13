"""Runs of the target one after the other, each with the state that the last one acknowledged, as a tap that keeps it hands it back."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tests.target.running import AUDIENCE_SCHEMA, STREAM, record, run, schema, state

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.target.running import Result


def audience_id(name: str) -> str:
    """The id of an audience of that name, as records of `enter` have it."""
    return name.encode().hex()[:32].ljust(32, "0")


@dataclass
class AudienceRuns:
    """Runs on lines as tap-lytics-audience writes them.

    Attributes:
        config: Settings of the target.
        state: The last acknowledged state; None for a run without one.
        last: How the last run ended.
    """

    config: dict[str, Any]
    state: dict[str, Any] | None = None
    last: Result | None = None
    _number: int = 0

    def run(
        self,
        *records: Mapping[str, Any],
        members: Mapping[str, int],
        is_ended: bool = True,
        env: Mapping[str, str] | None = None,
        **settings: Any,
    ) -> Result:
        """Run once on records.

        Args:
            records: The records.
            members: The audiences of the run by name, and how many members each has after it.
            is_ended: Whether the tap does all of its work.
            env: More environment variables.
            settings: Settings that differ in this run.
        """
        self._number += 1
        before = copy.deepcopy(self.state or {"bookmarks": {STREAM: {}}})
        mark = before["bookmarks"][STREAM]
        ids = [audience_id(name) for name in members]
        mark.pop("ended", None)
        mark["run"] = {"ledger": "0" * 32, "number": self._number, "audiences": ids}
        mark.setdefault("audiences", {})
        after = copy.deepcopy(before)
        after["bookmarks"][STREAM]["audiences"] |= {
            audience_id(name): {
                "slug": name.lower().replace(" ", "_"),
                "name": name,
                "position": f"g/m-{self._number}",
                "members": count,
            }
            for name, count in members.items()
        }
        ends = [state(after)]
        if is_ended:
            ended = copy.deepcopy(after)
            ended["bookmarks"][STREAM]["ended"] = self._number
            ends.append(state(ended))
        lines = [state(before), AUDIENCE_SCHEMA, *records, *ends]
        return self._take(run({**self.config, **settings}, lines, env=env))

    def _take(self, result: Result) -> Result:
        if result.states:
            self.state = result.states[-1]
        self.last = result
        return result

    @property
    def entry(self) -> dict[str, Any]:
        """What the target keeps in the state."""
        return self.state["bookmarks"][STREAM]["target_cordial"]


PEOPLE = schema({"email": "string", "first_name": "string", "_sdc_deleted_at": "string"}, "people")


@dataclass
class PeopleRuns:
    """Runs on lines of a tap that knows no audiences.

    Attributes:
        config: Settings of the target.
        is_late: Whether its first STATE comes after the records, as with taps that are not made with the SDK.
        keeps: Whether it hands back what others put into the state.
        state: The last acknowledged state; None for a run without one.
    """

    config: dict[str, Any]
    is_late: bool = False
    keeps: bool = True
    state: dict[str, Any] | None = None
    _at: int = 0
    results: list[Result] = field(default_factory=list)

    def run(self, *addresses: str, **settings: Any) -> Result:
        """Run once; an address that begins with a minus is of a deleted row."""
        self._at += 1
        before = copy.deepcopy(self.state) or {"bookmarks": {"people": {}}}
        if not self.keeps:
            before["bookmarks"]["people"].pop("target_cordial", None)
        after = copy.deepcopy(before)
        after["bookmarks"]["people"]["replication_key_value"] = self._at
        records = [
            record(
                {
                    "email": address.lstrip("-"),
                    "first_name": "Ada",
                    "_sdc_deleted_at": "2026-01-01" if address.startswith("-") else None,
                },
                "people",
            )
            for address in addresses
        ]
        first = [] if self.is_late or self.state is None else [state(before)]
        result = run({**self.config, **settings}, [*first, PEOPLE, *records, state(after)])
        self.results.append(result)
        if result.states:
            self.state = result.states[-1]
        return result
