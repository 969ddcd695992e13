"""Chunks of records and states: what becomes of each is found stream by stream, and sent in the order of the input."""

from __future__ import annotations

import itertools
import logging
import operator
import typing as t
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from singer_sdk.exceptions import MissingKeyPropertiesError

from lytics_to_cordial.errors import UserError
from target_cordial.bookmark.bookmarks import Bookmarks
from target_cordial.delivery.rejects import Reject
from target_cordial.intake.lists import Lists
from target_cordial.intake.mapping import EXIT_AGAIN, MisfitError
from target_cordial.intake.marks import Marks
from target_cordial.intake.messages import InputError, Message, RecordBeforeSchemaError
from target_cordial.intake.receiver import Receiver
from target_cordial.intake.rows import RowWriter
from target_cordial.intake.streams import Outcomes, Route, Stream
from target_cordial.settings import Settings

TEST_STREAM = "meltano_test_stream"
"""The made-up stream that `meltano config test` sends (Meltano: plugin test service)."""

MAX_SHOWN_FIELDS = 20
MAX_SHOWN_CHARACTERS = 60

logger = logging.getLogger("target-cordial")


class MissingKeyError(UserError, MissingKeyPropertiesError):
    """Records lack a property of their stream's key."""


@dataclass(frozen=True, eq=False)
class _State:
    value: dict[str, t.Any]


class Intake:
    """Takes chunks of records and states, and sends what becomes of them.

    The columns of each stream's records are made into rows together, whatever comes between the records. Then all of the
    chunk goes to the delivery in its order.

    Attributes:
        marks: What came last of each stream, and what closes it.

    Args:
        settings: What to send.
        delivery: Takes enters, exits, rejects and states.
        prepare: Makes what rows and lists need; called at the first record of a stream that has the identifier.
        bookmarks: Take streams, and states before the delivery does.
    """

    def __init__(
        self,
        settings: Settings,
        delivery: Receiver,
        prepare: Callable[[], tuple[RowWriter, Lists | None]],
        bookmarks: Bookmarks,
    ) -> None:
        self.bookmarks = bookmarks
        self.marks = Marks()
        self._settings = settings
        self._delivery = delivery
        self._prepare = prepare
        self._may_leave = settings.list_action == "sync" and settings.mode == "changes"
        self._routes: dict[str, Sequence[Route]] = {}
        self._all_routes: list[Route] = []
        self._streams: dict[str, Stream | None] = {}
        self._skipped: dict[str, str] = {}

    def open(self, stream: str, routes: Sequence[Route], fields: Iterable[str] = ()) -> None:
        """Let a stream's records go through those of these routes that have the identifier; it has these fields."""
        former = {route.name: route for route in self._routes.get(stream, ())}
        # A stream that had the identifier is not skipped once it lacks it: its records are no longer understood.
        routes = [route for route in routes if route.mapping.has_identifier or route.name in former]
        for route in routes:
            if route.name in former:
                route.follow(former[route.name])
        self._streams.pop(stream, None)
        self._routes[stream] = routes
        self._all_routes += routes
        self.bookmarks.open(stream, has_identifier=bool(routes))
        if stream == TEST_STREAM:
            return
        if routes:
            self.marks.records.setdefault(stream, 0)
        if any(self._routes.values()):
            self._delivery.release()
        else:
            self._delivery.hold()
        if not routes and stream not in self._skipped:
            self._skipped[stream] = _named(fields)
            logger.warning(
                "The stream %s has no field %s, so it is skipped.", stream, self._settings.identifier_field
            )

    def take(self, messages: Sequence[Message], line: int) -> None:
        """Send a chunk of RECORD and STATE messages, of any streams.

        Args:
            messages: The messages, at least one.
            line: The number of the first one's line in the input; the others follow.

        Raises:
            InputError: If one is not what a tap writes; what came before it is sent.
            UserError: If the run cannot go on.
        """
        good = len(messages)
        states: list[Outcomes] = []
        decoded: list[tuple[Stream, Sequence[int], Sequence[Message], list[t.Any]]] = []
        for name, numbers in _by_stream(messages).items():
            own = messages if len(numbers) == len(messages) else [messages[number] for number in numbers]
            if name is None:
                blank = [""] * len(own)
                results = [_State(message.value) for message in own]
                states = [Outcomes(numbers, results, blank, [()] * len(own), blank)]
                self.marks.state, self.marks.state_line = own[-1].value, line + numbers[-1]
            elif name not in self._routes:
                good = min(good, numbers[0])
            elif (stream := self._stream(name)) is not None:
                records = stream.decode(own)
                decoded.append((stream, numbers, own, records))
                self.marks.records[name] = line + numbers[-1]
                if len(records) < len(own):
                    good = min(good, numbers[len(records)])
        if good < len(messages):
            if good:
                self.take(messages[:good], line)
            raise self._error(messages[good], line + good)
        try:
            parts = [part for stream, *own in decoded for part in stream.outcomes(*own)]
        except MisfitError:
            if len(messages) == 1:
                raise
            # What is good before the record that ends the run still goes.
            half = len(messages) // 2
            self.take(messages[:half], line)
            self.take(messages[half:], line + half)
            return
        before = self._delivery.records
        for part in parts:
            self._delivery.count_values(part.values, part.skipped)
        if states or parts:
            self._deliver(_merged(states + [part.outcomes for part in parts]), before)
        self._delivery.records = before + len(messages) - sum(len(part.numbers) for part in states)
        self._delivery.tick()

    def finish(self) -> None:
        """See that the input had something to send, and keys in all records.

        Raises:
            UserError: If not.
        """
        if self._skipped and not any(self._routes.values()):
            streams = "; ".join(f"{stream}: {fields}" for stream, fields in sorted(self._skipped.items()))
            raise UserError(
                f"None of the streams has the field {self._settings.identifier_field!r}, so nothing could be sent and no state is "
                f"acknowledged: correct identifier_field, or select the field in the tap. They have these fields ({streams})."
            )
        keyless = {route.name for route in self._all_routes if route.lacks_key_property}
        if keyless:
            raise MissingKeyError(
                f"Records of {', '.join(sorted(keyless))} lack a property of their key and are in the reject report: correct the tap."
            )

    def _stream(self, name: str) -> Stream | None:
        """What makes rows of a stream's records; None if they are skipped."""
        if name not in self._streams:
            routes = self._routes[name]
            stream = None
            if routes or name == TEST_STREAM:
                rows, lists = self._prepare()
                stream = Stream(name, routes, rows, lists) if routes else None
            self._streams[name] = stream
        return self._streams[name]

    def _error(self, message: Message, line: int) -> InputError:
        """What is wrong with a record's message."""
        if message.stream and message.stream not in self._routes:
            return RecordBeforeSchemaError(
                f"Line {line} of the input is a record of stream {message.stream!r} before its schema: correct the tap."
            )
        return InputError(
            f"The RECORD message in line {line} of the input lacks its stream or its record: correct the tap."
        )

    def _deliver(self, outcomes: Outcomes, before: int) -> None:
        """Hand over a chunk, which follows `before` records: neighbours with the same outcome at once."""
        delivery = self._delivery
        numbers, results, keys, rows, reasons = outcomes
        for result, start, end in _stretches(results):
            if isinstance(result, _State):
                delivery.records = before + numbers[start]
                self.bookmarks.take(result.value)
                delivery.state(result.value)
                # It has a number, too, but is no record.
                before -= 1
                continue
            delivery.records = before + numbers[end - 1] + 1
            position = before + numbers[start] + 1
            if isinstance(result, Reject):
                self._reject(result)
                continue
            kind, target_list = result
            if kind == "enter":
                updates = reasons[start:end].count("update")
                delivery.enter(
                    target_list, keys[start:end], rows[start:end], position=position, updates=updates
                )
            elif target_list is None or self._settings.list_action != "sync":
                delivery.totals.ignored_exits += end - start
            else:
                delivery.exit(target_list, keys[start:end], position=position, again=kind == EXIT_AGAIN)

    def _reject(self, reject: Reject) -> None:
        """Hand over a reject; where nobody is to leave, an exit is none, and what may be one counts as an enter."""
        if reject.may_enter and not self._may_leave:
            self._delivery.reject(replace(reject, exit_from=None))
        elif reject.exit_from is None or self._settings.list_action == "sync":
            self._delivery.reject(reject)
        else:
            self._delivery.totals.ignored_exits += 1


def _named(fields: Iterable[str]) -> str:
    """Field names for people: quoted, and with codes for what is invisible; in a file without a header they are values."""
    names = [
        repr(name) if len(name) <= MAX_SHOWN_CHARACTERS and "@" not in name else "..." for name in fields
    ]
    return (
        ", ".join([*names[:MAX_SHOWN_FIELDS], *(["..."] if len(names) > MAX_SHOWN_FIELDS else [])]) or "none"
    )


def _by_stream(messages: Sequence[Message]) -> dict[str | None, Sequence[int]]:
    """The numbers of each stream's records within the chunk, and of states, which have no stream."""
    names = [message.stream if message.type == "RECORD" else None for message in messages]
    if names.count(names[0]) == len(names):
        return {names[0]: range(len(names))}
    numbers: defaultdict[str | None, list[int]] = defaultdict(list)
    for number, name in enumerate(names):
        numbers[name].append(number)
    return {**numbers}


def _merged(parts: Sequence[Outcomes]) -> Outcomes:
    """Outcomes in the order of the chunk; those of one record in the order of the parts."""
    if len(parts) == 1:
        return parts[0]
    items = itertools.chain.from_iterable(zip(*part, strict=True) for part in parts)
    return Outcomes(*zip(*sorted(items, key=operator.itemgetter(0)), strict=True))


def _stretches(results: Sequence[t.Any]) -> Iterator[tuple[t.Any, int, int]]:
    """Neighbours with the same outcome: the outcome, the place of the first and the place after the last."""
    if results.count(results[0]) == len(results):
        yield results[0], 0, len(results)
        return
    for result, group in itertools.groupby(range(len(results)), key=results.__getitem__):
        places = list(group)
        yield result, places[0], places[-1] + 1
