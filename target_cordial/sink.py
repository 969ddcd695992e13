"""One stream's way into the delivery: each record becomes an enter, an exit or a reject."""

from __future__ import annotations

import typing as t

from singer_sdk.exceptions import InvalidRecord
from singer_sdk.sinks import Sink

from target_cordial.lists import UnnamedListError
from target_cordial.mapping import CHANGE_FIELD, Mapping, RejectedError

if t.TYPE_CHECKING:
    from target_cordial.target import TargetCordial


class CordialSink(Sink):
    """Takes the records of one stream and one schema.

    All sinks share one delivery, so order survives when a schema changes in mid-stream.
    """

    MAX_SIZE_DEFAULT = 30_000

    def __init__(
        self,
        target: TargetCordial,
        stream_name: str,
        schema: dict[str, t.Any],
        key_properties: t.Sequence[str] | None,
    ) -> None:
        # The SDK's constructor already asks whether to validate.
        self._target = target
        super().__init__(target, stream_name, schema, key_properties)
        self.mapping = Mapping(stream_name, self.schema, target.settings)
        self.lacks_key_property = False
        self._is_checked = False

    @property
    def validate_schema(self) -> bool:
        """Whether records are checked against the stream's schema; the SDK would do so unless told otherwise."""
        return self._target.settings.validate_records

    def process_record(self, record: dict[str, t.Any], context: dict[str, t.Any]) -> None:
        """Send a record to Cordial, or report why not.

        Args:
            record: The record, after stream maps.
            context: `is_deleted`: whether the source marks the record as deleted.

        Raises:
            UserError: If the run cannot go on.
        """
        run = self._target.run
        if not self._is_checked:
            self.mapping.check(run.rows.columns)
            self._is_checked = True
        try:
            self._check_record(record)
            is_exit = self.mapping.is_exit(record, is_deleted=context["is_deleted"])
            key = self.mapping.key(record)
            target_list = None if run.lists is None else run.lists.list_for(record)
            if not is_exit:
                is_update = record.get(CHANGE_FIELD) == "update"
                run.delivery.enter(target_list, key, run.rows.cells(key, record), is_update=is_update)
            elif target_list is None or self._target.settings.list_action != "sync":
                run.delivery.totals.ignored_exits += 1
            else:
                run.delivery.exit(target_list, key)
        except RejectedError as rejected:
            run.delivery.reject(self.stream_name, record, rejected.reason, rejected.field)
        except UnnamedListError as unnamed:
            run.delivery.reject(self.stream_name, record, str(unnamed))

    def process_batch(self, context: dict[str, t.Any]) -> None:
        """Nothing is left to do here: rows go to the delivery as they come.

        Args:
            context: Not used.
        """

    def _check_record(self, record: dict[str, t.Any]) -> None:
        if any(name not in record for name in self._key_properties):
            self.lacks_key_property = True
            reason = "a key property is missing"
            raise RejectedError(reason)
        if self._validator is not None:
            try:
                self._validator.validate(record)
            except InvalidRecord as error:
                # The SDK's own words hold the value.
                path = getattr(error.__cause__, "path", None)
                reason = "does not fit the stream's schema"
                raise RejectedError(reason, str(path[0]) if path else None) from None
