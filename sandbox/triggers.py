"""Audience triggers: what happens in the account, as messages that Lytics would post; to a receiver, or as files in a folder."""

from __future__ import annotations

import datetime as dt
import gzip
import hashlib
import random
import threading
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from sandbox.faults import Faults
from sandbox.scans import Scans
from sandbox.webhook import Webhook
from sandbox.world import Audience, Move, World

Shape: t.TypeAlias = t.Literal["default", "cloudevents", "older"]
SHAPES: tuple[Shape, ...] = t.get_args(Shape)
NEVER = "2099-01-01T00:00:00Z"


@dataclass
class _Message:
    """What happened to one profile; in several audiences, if it was at once."""

    profile_id: str
    profile: dict[str, t.Any]
    time: str
    events: list[dict[str, t.Any]] = field(default_factory=list)


class Triggers:
    """Tells each move in a message. Several threads may use it.

    Args:
        place: A folder where messages land as files, or who is posted to.
        world: The account.
        scans: Shows profiles.
        faults: What goes wrong; each message is a call, its path such as `exit vip_customers`.
        seed: Decides the order of messages that land out of order.
    """

    def __init__(self, place: Path | Webhook, world: World, scans: Scans, faults: Faults, seed: int) -> None:
        if isinstance(place, Path):
            place.mkdir(parents=True, exist_ok=True)
        self._place = place
        self._scans = scans
        self._faults = faults
        self._order = random.Random(seed)  # noqa: S311 - order, not keys
        self._lock = threading.Lock()
        self._waiting: list[_Message] = []
        self._late: list[_Message] = []
        self._cut: dict[Path, bytes] = {}
        self._files = 0
        world.on_move = self._note

    def land(
        self, *, shape: Shape = "default", batch: int = 1, lines: bool = False, compress: bool = False
    ) -> list[str]:
        """Let the messages about all moves since the last time go out, and those that were late then; a name for each file or post.

        Who is posted to gets each message by itself, or arrays of them; what it does not take waits for the next time.
        """
        if shape not in SHAPES or batch < 1:
            raise ValueError(f"A shape is one of {', '.join(SHAPES)}, and a batch has at least 1 message.")
        if lines and isinstance(self._place, Webhook):
            raise ValueError("Lytics posts no JSON lines: leave out --lines.")
        with self._lock:
            for path, whole in self._cut.items():
                _write(path, whole)
            self._cut.clear()
            bodies = [msgspec.json.encode(_shaped(message, shape)) for message in self._landing()]
            if batch > 1 and not lines:
                parts = [b"[" + b",".join(part) + b"]" for part in _batches(bodies, batch)]
            else:
                parts = [b"\n".join(part) + b"\n" * lines for part in _batches(bodies, batch)]
            if isinstance(self._place, Webhook):
                pack = gzip.compress if compress else bytes
                return [f"post {number}" for number in range(self._place.deliver([*map(pack, parts)]))]
            return [self._land_file(self._place, part, lines=lines, compress=compress) for part in parts]

    @property
    def posts_waiting(self) -> list[bytes]:
        """The posts that nobody took yet."""
        return self._place.waiting if isinstance(self._place, Webhook) else []

    def _note(self, move: Move, audience: Audience, id_: str) -> None:
        if not audience.emit_trigger:
            return
        time = f"{dt.datetime.now(dt.timezone.utc):%Y-%m-%dT%H:%M:%S.%f}000Z"
        event = {"id": audience.id, "event": move, "slug": audience.slug}
        if move != "change":
            event[move] = time
        profile = {name: value for name, value in self._scans.row(id_).items() if not name.startswith("_")}
        with self._lock:
            last = self._waiting[-1] if self._waiting else None
            known = {event["id"] for event in last.events} if last is not None else set()
            if last is None or last.profile_id != id_ or audience.id in known:
                last = _Message(id_, profile, time)
                self._waiting.append(last)
            last.profile, last.time = profile, time
            last.events.append(event)

    def _landing(self) -> list[_Message]:
        landing, self._late = self._late, []
        twice = []
        for message in self._waiting:
            path = ", ".join(f"{event['event']} {event['slug']}" for event in message.events)
            if self._faults.get("trigger_lost", path) is not None:
                continue
            if self._faults.get("trigger_late", path) is not None:
                self._late.append(message)
                continue
            landing.append(message)
            if self._faults.get("trigger_twice", path) is not None:
                twice.append(message)
        self._waiting = []
        landing += twice
        if self._faults.get("trigger_shuffled") is not None:
            self._order.shuffle(landing)
        return landing

    def _land_file(self, folder: Path, content: bytes, *, lines: bool, compress: bool) -> str:
        pack = gzip.compress if compress else bytes
        self._files += 1
        now = dt.datetime.now(dt.timezone.utc)
        suffix = (".jsonl" if lines else ".json") + (".gz" if compress else "")
        path = folder / f"{now:%Y%m%dT%H%M%S}.{now.microsecond:06d}-{self._files:06d}{suffix}"
        if lines and self._faults.get("trigger_cut", path.name) is not None:
            self._cut[path] = pack(content)
            last_line = content.rstrip(b"\n").rpartition(b"\n")[2]
            content = content[: -1 - len(last_line) // 2]
        _write(path, pack(content))
        return path.name


def _batches(bodies: list[bytes], size: int) -> t.Iterator[list[bytes]]:
    for start in range(0, len(bodies), size):
        yield bodies[start : start + size]


def _shaped(message: _Message, shape: Shape) -> dict[str, t.Any]:
    data = {**message.profile, "segment_events": message.events}
    digest = hashlib.blake2b(
        f"{message.profile_id} {message.time}".encode(), digest_size=16, usedforsecurity=False
    ).hexdigest()
    if shape == "cloudevents":
        return {
            "specversion": "1.0",
            "id": digest,
            "source": "https://sandbox.invalid/audience-triggers",
            "type": "com.lytics.audience.user.event",
            "time": message.time,
            "data": data,
        }
    meta = {"object": "user", "subscription_id": digest, "timestamp": message.time}
    if shape == "older":
        data["segment_events"] = [_older(event, message.time) for event in message.events]
        return {"data": data, "meta": meta}
    return {"id": message.profile_id, "data": data, "meta": meta}


def _older(event: dict[str, t.Any], time: str) -> dict[str, t.Any]:
    """An event with both times, whatever happened: only `event` tells."""
    return {**event, "enter": event.get("enter", time), "exit": event.get("exit", NEVER)}


def _write(path: Path, content: bytes) -> None:
    """Nobody sees half a file: it gets its name when it is whole."""
    part = path.with_name(f".{path.name}.part")
    part.write_bytes(content)
    part.replace(path)
