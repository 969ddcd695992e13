"""A full scan of an audience: in one piece, or in slices of which several are read at once."""

from __future__ import annotations

import contextlib
import itertools
import logging
import queue
import threading
import typing as t
from dataclasses import replace

from lytics_to_cordial.errors import TransientError
from tap_lytics_audience.lytics.api import CursorError, Lytics
from tap_lytics_audience.lytics.profiles import Page, Profiles

SPLITS = 100
SLICES = 20
"""The fewest slices of a large audience. Small slices make it cheap when one has to start again."""
PLAIN_SCAN_BELOW = 10_000
"""An audience with fewer members is read in one slice."""
RESTARTS = 5
WAITING_PAGES = 8
_NO_SLICE = range(0)

logger = logging.getLogger("tap-lytics-audience")


class OverlapError(Exception):
    """Lytics sends profiles of other slices, or does not say which slice a profile is in."""


def scan(
    lytics: Lytics, audience_id: str, profiles: Profiles, *, size: int | None, concurrency: int
) -> t.Iterator[Page]:
    """Yield all pages of an audience. A profile can come more than once.

    Args:
        lytics: The account.
        audience_id: The audience.
        profiles: The fields to ask for. Slices need `_split` among them.
        size: How many members the audience has, if that is known.
        concurrency: How many slices to read at once.

    Raises:
        UserError: If the audience cannot be read to its end.
    """
    if concurrency > 1 and size is not None and size >= PLAIN_SCAN_BELOW and "_split" in profiles.names:
        try:
            yield from _read(lytics, audience_id, profiles, _slices(concurrency), concurrency)
        except OverlapError:
            logger.warning(
                "Lytics does not keep the slices of audience %s apart: reading it in one piece.", audience_id
            )
        else:
            return
    # A thread reads one slice, too: the next page is on its way while the last one is worked on.
    yield from _read(lytics, audience_id, profiles, [None], 1)


def _slices(concurrency: int) -> list[range]:
    """All splits in slices. Each reader gets as many, so that none is idle at the end."""
    count = min(SPLITS, -(-SLICES // concurrency) * concurrency)
    bounds = [number * SPLITS // count for number in range(count + 1)]
    return [range(start, end) for start, end in itertools.pairwise(bounds)]


def _slice(
    lytics: Lytics, audience_id: str, profiles: Profiles, splits: t.Sequence[int] | None
) -> t.Iterator[Page]:
    """Read a slice; from its start again when its cursor has expired."""
    for restarts_left in range(RESTARTS - 1, -1, -1):
        most = 0
        try:
            for page in lytics.scan(audience_id, profiles, splits):
                most = max(most, page.total or 0)
                yield page if page.total in {None, most} else replace(page, has_shrunk=True)
        except CursorError as error:
            if not restarts_left:
                raise TransientError(
                    f"The scan of audience {audience_id} broke off {RESTARTS} times, run again later: {error}"
                ) from error
            logger.warning("A scan of audience %s lost its place in Lytics and starts again.", audience_id)
        else:
            return


def _read(
    lytics: Lytics,
    audience_id: str,
    profiles: Profiles,
    slices: t.Sequence[range | None],
    concurrency: int,
) -> t.Iterator[Page]:
    waiting: queue.SimpleQueue[range | None] = queue.SimpleQueue()
    for splits in (*slices, *[_NO_SLICE] * concurrency):
        waiting.put(splits)
    pages: queue.Queue[Page | BaseException | None] = queue.Queue(WAITING_PAGES * concurrency)
    is_stopped = threading.Event()
    split_of = profiles.getter("_split")

    def read_slices() -> None:
        try:
            for splits in iter(waiting.get, _NO_SLICE):
                for page in _slice(lytics, audience_id, profiles, splits):
                    if is_stopped.is_set():
                        return
                    if splits is not None:
                        _check_slice(map(split_of, page.profiles), splits)
                    pages.put(page)
            pages.put(None)
        except BaseException as error:  # noqa: BLE001 - raised again where the pages are read
            pages.put(error)

    for number in range(concurrency):
        threading.Thread(target=read_slices, name=f"scan-{number}", daemon=True).start()
    try:
        readers = concurrency
        while readers:
            page = pages.get()
            if isinstance(page, BaseException):
                raise page
            if page is None:
                readers -= 1
            else:
                yield page
    finally:
        is_stopped.set()
        # A thread that waits for room in the queue gets it, puts its page, and ends at the next.
        with contextlib.suppress(queue.Empty):
            while True:
                pages.get_nowait()


def _check_slice(values: t.Iterable[t.Any], splits: range) -> None:
    try:
        is_apart = all(int(value) in splits for value in values)
    except (TypeError, ValueError):
        is_apart = False
    if not is_apart:
        raise OverlapError
