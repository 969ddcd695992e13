"""A full scan of an audience: as one, or in slices of which several are read at once."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import typing as t

from lytics_to_cordial.errors import UserError
from tap_lytics_audience.lytics.api import CursorError

if t.TYPE_CHECKING:
    from tap_lytics_audience.lytics.api import Lytics
    from tap_lytics_audience.lytics.profiles import Page, Profiles

SPLITS = 100
SLICES = 20
"""At least, of a large audience: one that has to start again costs little then."""
PLAIN_SCAN_BELOW = 10_000
"""Members; so small an audience is read in one slice."""
RESTARTS = 5
WAITING_PAGES = 8

logger = logging.getLogger("tap-lytics-audience")


class OverlapError(Exception):
    """Lytics does not keep slices apart, or does not say which slice a profile is in."""


def scan(
    lytics: Lytics, audience_id: str, profiles: Profiles, *, size: int | None, concurrency: int
) -> t.Iterator[Page]:
    """All pages of an audience. A profile can come more than once.

    Args:
        lytics: The account.
        audience_id: The audience.
        profiles: What to ask for; `_split` is among it if the account has it.
        size: How many members there are, if known.
        concurrency: How many slices to read at once.

    Yields:
        Pages.

    Raises:
        UserError: If the audience cannot be read to its end.
    """
    if concurrency > 1 and size is not None and size >= PLAIN_SCAN_BELOW and "_split" in profiles.names:
        try:
            yield from _read(lytics, audience_id, profiles, _slices(concurrency), concurrency)
        except OverlapError:
            logger.warning(
                "Lytics does not keep the slices of audience %s apart: reading it as one.", audience_id
            )
        else:
            return
    # One slice too is read by a thread of its own: while a page is on its way, the last one is worked on.
    yield from _read(lytics, audience_id, profiles, [None], 1)


def _slices(concurrency: int) -> list[range]:
    """All splits in slices, as many for each of those who read at once: else some would have nothing to do at the end."""
    count = min(SPLITS, -(-SLICES // concurrency) * concurrency)
    bounds = [number * SPLITS // count for number in range(count + 1)]
    return [range(start, end) for start, end in itertools.pairwise(bounds)]


def _slice(
    lytics: Lytics, audience_id: str, profiles: Profiles, splits: t.Sequence[int] | None
) -> t.Iterator[Page]:
    """One slice, from its start again when its cursor has expired."""
    for restarts_left in range(RESTARTS - 1, -1, -1):
        try:
            yield from lytics.scan(audience_id, profiles, splits)
        except CursorError as error:
            if not restarts_left:
                msg = (
                    f"The scan of audience {audience_id} broke off {RESTARTS} times, run again later: {error}"
                )
                raise UserError(msg) from error
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
    for splits in slices:
        waiting.put(splits)
    pages: queue.Queue[Page | BaseException | None] = queue.Queue(WAITING_PAGES * concurrency)
    stop = threading.Event()

    split_of = profiles.getter("_split")

    def work() -> None:
        try:
            while not stop.is_set():
                try:
                    splits = waiting.get_nowait()
                except queue.Empty:
                    break
                for page in _slice(lytics, audience_id, profiles, splits):
                    if splits is not None:
                        _check_slice(map(split_of, page.profiles), splits)
                    if not _put(pages, page, stop):
                        return
            _put(pages, None, stop)
        except BaseException as error:  # noqa: BLE001 - raised again where the pages are read
            _put(pages, error, stop)

    for number in range(concurrency):
        threading.Thread(target=work, name=f"scan-{number}", daemon=True).start()
    try:
        working = concurrency
        while working:
            page = pages.get()
            if isinstance(page, BaseException):
                raise page
            if page is None:
                working -= 1
            else:
                yield page
    finally:
        stop.set()


def _check_slice(found: t.Iterable[object], splits: range) -> None:
    for split in found:
        try:
            inside = int(split) in splits  # type: ignore[call-overload]
        except (TypeError, ValueError):
            inside = False
        if not inside:
            raise OverlapError


def _put(
    pages: queue.Queue[Page | BaseException | None], page: Page | BaseException | None, stop: threading.Event
) -> bool:
    """Put a page in the queue, unless nobody reads it any more."""
    while not stop.is_set():
        try:
            pages.put(page, timeout=0.5)
        except queue.Full:
            continue
        return True
    return False
