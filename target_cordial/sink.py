"""One stream's way into the delivery: many records at once become enters, exits and rejects."""

from __future__ import annotations

import itertools
import typing as t

import msgspec
from singer_sdk.exceptions import InvalidRecord
from singer_sdk.sinks import Sink

from target_cordial.intake.cells import RejectedError
from target_cordial.intake.mapping import CHANGE_FIELD, DELETED_FIELD, Mapping

if t.TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from target_cordial.intake.columns import Rejects, Values
    from target_cordial.run import Run
    from target_cordial.settings import Settings


class CordialSink(Sink):
    """Takes the records of one stream and one schema.

    All sinks share one delivery, so order survives when a schema changes in mid-stream.
    """

    MAX_SIZE_DEFAULT = 30_000

    def __init__(
        self, target: t.Any, stream_name: str, schema: dict[str, t.Any], key_properties: Sequence[str] | None
    ) -> None:
        # The SDK's constructor already asks whether to validate.
        self.settings: Settings = target.settings
        super().__init__(target, stream_name, schema, key_properties)
        self.mapping = Mapping(stream_name, self.schema, self.settings)
        self.lacks_key_property = False
        self._is_checked = False

    @property
    def validate_schema(self) -> bool:
        """Whether records are checked against the stream's schema; the SDK would do so unless told otherwise."""
        return self.settings.validate_records

    def fields(self, run: Run) -> list[str]:
        """The fields that are read of each record."""
        names = [] if run.lists is None else [*run.lists.fields, "audience_id"]
        return list(
            dict.fromkeys(
                [
                    *self.mapping.fields,
                    *self._key_properties,
                    *names,
                    *run.rows.fields,
                    DELETED_FIELD,
                    CHANGE_FIELD,
                ]
            )
        )

    def process_record(self, record: dict[str, t.Any], context: dict[str, t.Any]) -> None:
        """The SDK's own way in, which has no use here: `take` is the one."""
        raise NotImplementedError

    def process_batch(self, context: dict[str, t.Any]) -> None:
        """Nothing is left to do here: rows go to the delivery as they come."""

    def take(self, run: Run, records: Sequence[dict[str, t.Any]], *, deleted: Values, position: int) -> None:
        """Send decoded records, as stream maps left them."""
        values: dict[str, Values] = {
            name: [record.get(name, msgspec.UNSET) for record in records] for name in self.fields(run)
        }
        values[DELETED_FIELD] = deleted
        rejects: Rejects = {}
        if self._validator is not None:
            for number, record in enumerate(records):
                try:
                    self._validator.validate(record)
                except InvalidRecord as error:
                    # The SDK's own words hold the value.
                    path = getattr(error.__cause__, "path", None)
                    reason = "does not fit the stream's schema"
                    rejects[number] = RejectedError(reason, str(path[0]) if path else None)
        self.take_values(run, values, records.__getitem__, position=position, rejects=rejects)

    def take_values(
        self,
        run: Run,
        values: t.Mapping[str, Values],
        record: Callable[[int], dict[str, t.Any]],
        *,
        position: int,
        rejects: Rejects,
    ) -> None:
        """Send records, or report why not.

        Args:
            run: Where rows and exits go.
            values: Values of each of `fields`.
            record: A whole record by its place, for the reject report.
            position: That of the first record; the others follow.
            rejects: What is known already to be wrong.

        Raises:
            UserError: If the run cannot go on.
        """
        if not self._is_checked:
            self.mapping.check(run.rows.columns)
            self._is_checked = True
        for name in self._key_properties:
            if msgspec.UNSET in values[name]:
                self.lacks_key_property = True
                for number, value in enumerate(values[name]):
                    if value is msgspec.UNSET:
                        rejects[number] = RejectedError("a key property is missing")
        exits = self.mapping.exits(values, rejects)
        keys = self.mapping.keys(values, rejects)
        lists = [None] * len(keys) if run.lists is None else run.lists.lists_for(values, rejects)
        unfit: Rejects = {}
        rows = run.rows.rows(keys, values, unfit)
        for number, reject in unfit.items():
            if not exits[number]:
                rejects.setdefault(number, reject)
        delivery = run.delivery
        ways: list[t.Any] = list(zip(exits, lists, strict=True))
        for number, reject in rejects.items():
            ways[number] = reject
        for way, start, end in _stretches(ways):
            delivery.records = position + end - 1
            if isinstance(way, RejectedError):
                delivery.reject(self.stream_name, record(start), way.reason, way.field)
                continue
            is_exit, target_list = way
            if not is_exit:
                updates = values[CHANGE_FIELD][start:end].count("update")
                delivery.enter(
                    target_list, keys[start:end], rows[start:end], position=position + start, updates=updates
                )
            elif target_list is None or self.settings.list_action != "sync":
                delivery.totals.ignored_exits += end - start
            else:
                delivery.exit(target_list, keys[start:end], position=position + start)
        self.record_counter_metric.increment(len(keys))


def _stretches(ways: list[t.Any]) -> t.Iterator[tuple[t.Any, int, int]]:
    """Records in a row that go the same way: the way, the first one and the one after the last."""
    if ways.count(ways[0]) == len(ways):
        yield ways[0], 0, len(ways)
        return
    for way, group in itertools.groupby(range(len(ways)), key=ways.__getitem__):
        found = list(group)
        yield way, found[0], found[-1] + 1
