"""The head of the input: lines up to the first STATE are held, as that STATE says what earlier runs delivered, and how.

The Meltano SDK's taps write the state that they were given before any record. A tap of another kind may write its first STATE
after records. These wait for it, as rows wait for a full batch; so nothing is looked up, created or registered in ignorance. They do
not wait for longer: where the head is full, or the input ends, the run goes on, and a STATE that comes later is held against what was
done.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence

from target_cordial.bookmark.bookmarks import Bookmarks
from target_cordial.intake.messages import read_message

MAX_BYTES = 16 * 1024 * 1024


class Head:
    """Holds lines up to the first STATE.

    Args:
        bookmarks: Take the first STATE.
        max_records: So many records fill the head.
        max_seconds: So old is the oldest line at most; looked at when more lines come.
    """

    def __init__(self, bookmarks: Bookmarks, *, max_records: int, max_seconds: float) -> None:
        self._bookmarks = bookmarks
        self._max_records = max_records
        self._max_seconds = max_seconds

    def hold(self, chunks: Iterable[Sequence[bytes]]) -> Iterator[Sequence[bytes]]:
        """Give all chunks of lines as they come, the first ones once the head is complete."""
        chunks = iter(chunks)
        held: list[Sequence[bytes]] = []
        records = size = 0
        started = time.monotonic()
        for lines in chunks:
            held.append(lines)
            for line in lines:
                message = read_message(line)
                if message.type == "STATE" and isinstance(message.value, dict):
                    self._bookmarks.begin(message.value, is_before_records=not records)
                    yield from held
                    yield from chunks
                    return
                records += message.type == "RECORD"
                size += len(line)
            if (
                records >= self._max_records
                or size >= MAX_BYTES
                or time.monotonic() - started > self._max_seconds
            ):
                break
        yield from held
        yield from chunks
