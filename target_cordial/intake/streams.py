"""One stream's records under one schema: decoded into columns of values, then into what becomes of each record."""

from __future__ import annotations

import decimal
import typing as t
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import msgspec

from target_cordial.delivery.importfile import Cells
from target_cordial.delivery.rejects import Reject, SkippedValue
from target_cordial.intake.cells import RejectedError
from target_cordial.intake.columns import Rejects, Values
from target_cordial.intake.identifiers import UnidentifiedError
from target_cordial.intake.lists import Lists
from target_cordial.intake.mapping import CHANGE_FIELD, DELETED_FIELD, EXITS, Mapping, MisfitError
from target_cordial.intake.messages import MAX_DEPTH, Message, whole_record
from target_cordial.intake.rows import RowWriter

Record: t.TypeAlias = dict[str, t.Any]

_TOO_DEEP = RejectedError(f"nested deeper than {MAX_DEPTH} levels")


@dataclass
class Route:
    """What records of a stream go through; a stream that stream maps duplicate has several.

    Attributes:
        name: The stream's name after its stream map.
        line: The line of its schema in the input.
        mapping: What the records mean.
        key_properties: Fields that each record has to have.
        transform: Makes of a record what its stream map wants, None to drop it, or says why it cannot; None if records stay as
            they are.
        misfit: Says why a record does not fit the stream's schema; None if nobody asks.
        count: Counts records, for the SDK's metrics.
        sets_mark: Whether a stream map says which rows are gone at the source.
        is_later: Whether the stream had another schema before.
        lacks_key_property: Whether a record that lacks one came.
        is_checked: Whether the schema was held against the settings: at the first record that no stream map drops.
    """

    name: str
    line: int
    mapping: Mapping
    key_properties: Sequence[str]
    transform: Callable[[Record, Message], Record | RejectedError | None] | None
    misfit: Callable[[Record], RejectedError | None] | None
    count: Callable[[int], None]
    sets_mark: bool = False
    is_later: bool = False
    lacks_key_property: bool = False
    is_checked: bool = False

    def follow(self, former: Route) -> None:
        """Come after a route of the same name, whose schema was another one."""
        self.is_later = True
        self.mapping.needs_state |= former.mapping.needs_state


class Outcomes(t.NamedTuple):
    """What becomes of records, with one item for each.

    Attributes:
        numbers: Their places among all messages of the chunk.
        results: A `Reject`, or the kind of change and the list; None for the contact alone.
        keys: The contacts.
        rows: The contacts' rows.
        reasons: Why they were sent, for the summary alone.
    """

    numbers: Sequence[int]
    results: Sequence[t.Any]
    keys: Sequence[str]
    rows: Sequence[Cells]
    reasons: Values


class Part(t.NamedTuple):
    """What becomes of the records of one route.

    Attributes:
        outcomes: One for each record.
        skipped: The values that enters go without.
        values: How many values there were for each column, by its header.
    """

    outcomes: Outcomes
    skipped: Sequence[SkippedValue]
    values: Counter[str]


class Stream:
    """Says what becomes of a stream's records.

    Args:
        name: The stream's name.
        routes: What the records go through, at least one.
        rows: Writes the rows of enters.
        lists: Finds lists; None if contacts go on none.
    """

    def __init__(self, name: str, routes: Sequence[Route], rows: RowWriter, lists: Lists | None) -> None:
        self._name = name
        self._routes = routes
        self._rows = rows
        self._lists = lists
        needs_all = len(routes) > 1 or routes[0].transform is not None or routes[0].misfit is not None
        self._fields = None if needs_all else self._fields_of(routes[0])
        self._decode = whole_record if self._fields is None else _decoder(self._fields)

    def decode(self, messages: Sequence[Message]) -> list[t.Any]:
        """The records of messages, decoded as far as they are needed; none from the first on that is no object."""
        decode = self._decode
        records: list[t.Any] = []
        for message in messages:
            try:
                records.append(decode(message.record))
            except (ValueError, RecursionError):
                break
        return records

    def outcomes(
        self, numbers: Sequence[int], messages: Sequence[Message], records: Sequence[t.Any]
    ) -> Iterator[Part]:
        """What becomes of records, by route.

        Args:
            numbers: Their places among all messages of the chunk.
            messages: Their messages.
            records: What `decode` made of these.

        Raises:
            UserError: If the run cannot go on.
        """
        if self._fields is not None:
            columns: dict[str, Values] = dict(zip(self._fields, zip(*records, strict=True), strict=True))
            cut = {place: _TOO_DEEP for place, message in enumerate(messages) if message.is_cut}
            yield self._outcomes(
                self._routes[0],
                numbers,
                columns,
                lambda place: whole_record(messages[place].record),
                cut,
                {},
            )
            return
        for route in self._routes:
            places: Sequence[int] = range(len(records))
            own: Sequence[Record] = records
            failed: Rejects = {}
            if route.transform is not None:
                transformed = list(map(route.transform, records, messages))
                places = [place for place, record in enumerate(transformed) if record is not None]
                own = []
                for place in places:
                    found = transformed[place]
                    if isinstance(found, RejectedError):
                        failed[len(own)] = found
                        # Whether it is an exit is judged as it came.
                        found = records[place]
                    own.append(t.cast("Record", found))
            if not own:
                continue
            columns = {
                name: [record.get(name, msgspec.UNSET) for record in own] for name in self._fields_of(route)
            }
            # A stream map may set it; one that drops it does not bring a row back.
            columns[DELETED_FIELD] = [
                record.get(DELETED_FIELD, records[place].get(DELETED_FIELD))
                for place, record in zip(places, own, strict=True)
            ]
            if route.sets_mark and failed:
                marks = enumerate(columns[DELETED_FIELD])
                columns[DELETED_FIELD] = [failed.get(number, mark) for number, mark in marks]
            unfit: Rejects = {}
            if route.misfit is not None:
                misfits = map(route.misfit, own)
                unfit = {number: error for number, error in enumerate(misfits) if error is not None}
            unfit |= {number: _TOO_DEEP for number, place in enumerate(places) if messages[place].is_cut}
            yield self._outcomes(
                route, [numbers[place] for place in places], columns, own.__getitem__, unfit, failed
            )

    def _fields_of(self, route: Route) -> list[str]:
        names = [] if self._lists is None else [*self._lists.fields, "audience_id"]
        names += [
            *route.mapping.fields,
            *route.key_properties,
            *self._rows.fields,
            DELETED_FIELD,
            CHANGE_FIELD,
        ]
        return list(dict.fromkeys(names))

    def _outcomes(
        self,
        route: Route,
        numbers: Sequence[int],
        columns: dict[str, Values],
        record: Callable[[int], Record],
        unfit: Rejects,
        failed: Rejects,
    ) -> Part:
        """What becomes of records, by their values; `unfit` ones may still be exits, `failed` ones can be nothing."""
        self._check(route)
        rejects = {**failed}
        # Exit or not comes before all else: an exit that cannot be done leaves somebody on a list.
        kinds = route.mapping.kinds(columns, rejects)
        for name in route.key_properties:
            if msgspec.UNSET in columns[name]:
                for place, value in enumerate(columns[name]):
                    if value is msgspec.UNSET and place not in failed:
                        self._check_key(route, name)
                        route.lacks_key_property = True
                        rejects.setdefault(place, RejectedError("a key property is missing"))
        keys = route.mapping.keys(kinds, columns, rejects)
        lists = (
            [None] * len(keys) if self._lists is None else self._lists.lists_for(self._name, columns, rejects)
        )
        rows = self._rows.rows(keys, columns)
        for place, error in [*unfit.items(), *rows.rejects.items()]:
            if kinds[place] == "enter":
                rejects.setdefault(place, error)
        going = {place for place, kind in enumerate(kinds) if kind == "enter" and place not in rejects}
        results: list[t.Any] = list(zip(kinds, lists, strict=True))
        for place, error in rejects.items():
            exit_from = None
            if kinds[place] != "enter":
                target_list = lists[place]
                exit_from = route.name if target_list is None else target_list.name
            results[place] = Reject(
                route.name,
                record(place),
                error.reason,
                error.field,
                lacks_contact=isinstance(error, UnidentifiedError),
                exit_from=exit_from,
                may_enter=kinds[place] not in EXITS,
            )
        skipped = [
            SkippedValue(route.name, record(place), error.reason, error.field, column)
            for (place, column), error in rows.skipped.items()
            if place in going
        ]
        route.count(len(numbers))
        outcomes = Outcomes(numbers, results, keys, rows.cells, columns[CHANGE_FIELD])
        return Part(outcomes, skipped, self._rows.count_values(rows, going))

    def _check(self, route: Route) -> None:
        """Hold the schema against the settings, once."""
        if route.is_checked:
            return
        try:
            route.mapping.check(self._rows.columns, [] if self._lists is None else self._lists.fields)
        except MisfitError as error:
            if not route.is_later:
                raise
            raise MisfitError(
                f"A later SCHEMA message of stream {route.name!r}, in line {route.line} of the input, does not fit the settings; "
                f"what came before it is delivered. {error}"
            ) from error
        route.is_checked = True

    @staticmethod
    def _check_key(route: Route, name: str) -> None:
        """See that a key property, which a record lacks, is in the schema: else all records lack it."""
        if not route.mapping.has_field(name):
            raise MisfitError(
                f"The SCHEMA message of stream {route.name!r}, in line {route.line} of the input, has {name!r} among its key_properties, "
                "but no such property: correct the tap."
            )


def _decoder(fields: Sequence[str]) -> Callable[[t.Any], tuple[t.Any, ...]]:
    """Reads just these fields: to decode all of each record takes most of the time."""

    def values_of_whole(record: t.Any) -> tuple[t.Any, ...]:
        whole = whole_record(record)
        return tuple(whole.get(field, msgspec.UNSET) for field in fields)

    def values(record: t.Any) -> tuple[t.Any, ...]:
        try:
            return msgspec.structs.astuple(decode(record))
        except (ValueError, ArithmeticError, TypeError):
            # No JSON text, as it is decoded already, or more than this decoder has room for.
            return values_of_whole(record)

    # Field names are anything, those of Python are not.
    names = {f"field_{number}": field for number, field in enumerate(fields)}
    try:
        record = msgspec.defstruct(
            "Record", [(name, t.Any, msgspec.UNSET) for name in names], rename=names, gc=False
        )
        decode = msgspec.json.Decoder(record, float_hook=decimal.Decimal).decode
    except ValueError:
        # This decoder knows no name that holds a quote, a backslash, a line break or half of a character.
        return values_of_whole
    return values
