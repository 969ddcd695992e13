"""Faults and unknowns of the two services, switched on by name, also while the sandbox runs."""

from __future__ import annotations

import contextlib
import contextvars
import difflib
import random
import threading
import typing as t
from dataclasses import dataclass, field

from sandbox.fault_kinds import KINDS


@dataclass
class _Active:
    value: t.Any
    path: str | None
    nth: int | None
    once: bool
    chance: float | None
    random: random.Random
    calls: int = 0
    strikes: int = 0


@dataclass
class _Call:
    """A call that a service is answering; a fault acts on all of it or not at all."""

    path: str
    decided: dict[str, t.Any] = field(default_factory=dict)


_call: contextvars.ContextVar[_Call | None] = contextvars.ContextVar("call", default=None)


class Faults:
    """The faults that are on. Several threads may use it."""

    def __init__(self, seed: int = 0) -> None:
        self._lock = threading.Lock()
        self._seed = seed
        self._active: dict[str, _Active] = {}

    def set(
        self,
        name: str,
        value: t.Any = True,  # noqa: FBT002 - most faults have no other value
        *,
        path: str | None = None,
        nth: int | None = None,
        once: bool = False,
        chance: float | None = None,
    ) -> None:
        """Switch a fault on. Set again, it starts anew.

        It acts only on calls whose method and path, such as `GET /v2/jobs`, hold the text `path`; only on the `nth` such
        call, from 1; only `once`; only with the probability `chance`, by the seed. Only calls at which it could act
        count: for `job_fails`, those that register an import. Raises `ValueError` if there is no such fault, or it does
        not take that value.
        """
        if name not in KINDS:
            near = difflib.get_close_matches(name, KINDS, 3)
            raise ValueError(
                f"There is no fault {name!r}" + (f"; did you mean {' or '.join(near)}?" if near else ".")
            )
        if nth is not None and nth < 1:
            raise ValueError(f"nth counts from 1, so it cannot be {nth}.")
        if chance is not None and not 0 <= chance <= 1:
            raise ValueError(f"chance is from 0 to 1, so it cannot be {chance}.")
        active = _Active(
            KINDS[name].checked(value),
            path,
            nth,
            once,
            chance,
            random.Random(f"{self._seed}/{name}"),  # noqa: S311 - chance, not keys
        )
        with self._lock:
            self._active[name] = active

    def clear(self, name: str | None = None) -> None:
        """Switch a fault off."""
        with self._lock:
            if name is None:
                self._active.clear()
            else:
                self._active.pop(name, None)

    @contextlib.contextmanager
    def call(self, path: str) -> t.Iterator[None]:
        """Answer a call: until the end, and in the tasks that begin meanwhile, `get` means this one."""
        token = _call.set(_Call(path))
        try:
            yield
        finally:
            _call.reset(token)

    def get(self, name: str, path: str | None = None) -> t.Any:
        """Whether a fault acts; within one call the answer is always the same."""
        call = _call.get() if path is None else None
        if call is None:
            return self._decide(name, path or "")
        if name not in call.decided:
            call.decided[name] = self._decide(name, call.path)
        return call.decided[name]

    def is_on(self, name: str) -> bool:
        """Whether a fault has not been cleared, whether it acts or not."""
        return name in self._active

    def describe(self) -> list[dict[str, t.Any]]:
        """The faults that are on, as JSON has them."""
        with self._lock:
            return [
                {
                    "name": name,
                    "value": active.value,
                    "path": active.path,
                    "nth": active.nth,
                    "once": active.once,
                    "chance": active.chance,
                    "strikes": active.strikes,
                }
                for name, active in self._active.items()
            ]

    def _decide(self, name: str, path: str) -> t.Any:
        with self._lock:
            active = self._active.get(name)
            if active is None or (active.path is not None and active.path not in path):
                return None
            active.calls += 1
            strikes = (
                (active.nth is None or active.calls == active.nth)
                and not (active.once and active.strikes)
                and (active.chance is None or active.random.random() < active.chance)
            )
            active.strikes += strikes
            return active.value if strikes else None
