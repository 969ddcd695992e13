"""Acknowledgement: states on the standard output, each as soon as everything before it is in Cordial."""

from __future__ import annotations

import sys
from collections.abc import Callable

import simplejson

from lytics_to_cordial.errors import UserError
from target_cordial.delivery.outbox import Outbox, State
from target_cordial.delivery.rejects import Rejects


class Acknowledger:
    """Writes the newest state that may be acknowledged.

    Args:
        outbox: Knows which one that is.
        rejects: Reported before a state that stands for them.
        has_too_many_rejects: Whether states have to wait for better records.
        stamp: Puts into a state what is remembered of the delivery.
        is_plan: Whether none is ever written.
    """

    def __init__(
        self,
        outbox: Outbox,
        rejects: Rejects,
        has_too_many_rejects: Callable[[], bool],
        stamp: Callable[[State], State],
        *,
        is_plan: bool,
    ) -> None:
        self._outbox = outbox
        self._rejects = rejects
        self._has_too_many_rejects = has_too_many_rejects
        self._stamp = stamp
        self._is_closed = is_plan
        self._newest: State | None = None
        self._written: State | None = None

    def acknowledge(self) -> None:
        """Write the newest state that may be acknowledged, if it is new or there is more to remember than it says.

        Raises:
            UserError: If it cannot be written, or the rejects before it cannot be reported; no state is written from then on.
        """
        # With too many rejects states wait: the rest of the input may be better, and if it is not, none of them is written.
        if self._is_closed or self._has_too_many_rejects():
            return
        newer = self._outbox.acknowledged()
        if newer is not None:
            self._newest = newer
        if self._newest is None:
            return
        state = self._stamp(self._newest)
        if newer is None and state == self._written:
            return
        try:
            self._rejects.flush()
            _write(state)
            self._written = state
        except UserError:
            self.close()
            raise

    def close(self) -> None:
        """Write no state any more."""
        self._is_closed = True


def _write(state: State) -> None:
    # Bytes of ASCII: text would depend on the locale's encoding, which need not hold the letters of a state.
    line = simplejson.dumps(state, use_decimal=True, allow_nan=True).encode("ascii") + b"\n"
    sys.stdout.buffer.write(line)
    sys.stdout.buffer.flush()
