"""The SDK's sink: one stream under one schema, whose records take the intake's way."""

from __future__ import annotations

import functools
import typing as t
from collections.abc import Sequence

from referencing.exceptions import Unresolvable
from singer_sdk.exceptions import InvalidRecord, MapExpressionError
from singer_sdk.mapper import SameRecordTransform, StreamMap
from singer_sdk.sinks import Sink
from singer_sdk.sinks.core import BaseJSONSchemaValidator
from typing_extensions import override

from target_cordial.intake.cells import RejectedError
from target_cordial.intake.mapping import DELETED_FIELD, Mapping, MisfitError
from target_cordial.intake.messages import Message
from target_cordial.intake.streams import Record, Route
from target_cordial.intake.validation import RecordValidator
from target_cordial.settings import Settings


class CordialSink(Sink):
    """Says what records of its stream go through; it takes none itself.

    Records of all sinks go to one delivery, so order survives when a schema changes in mid-stream.
    """

    def __init__(
        self, target: t.Any, stream_name: str, schema: dict[str, t.Any], key_properties: Sequence[str] | None
    ) -> None:
        # The SDK's constructor already asks for a validator.
        self._settings: Settings = target.settings
        super().__init__(target, stream_name, schema, key_properties)
        self.mapping = Mapping(stream_name, self.schema, self._settings)

    @override
    def get_validator(self) -> RecordValidator | None:
        return RecordValidator(self.schema) if self._settings.validate_records else None

    @override
    def process_record(self, record: dict[str, t.Any], context: dict[str, t.Any]) -> None:
        raise NotImplementedError

    @override
    def process_batch(self, context: dict[str, t.Any]) -> None:
        """Nothing is left to do here."""

    def route(self, stream_map: StreamMap, line: int) -> Route:
        """What records that come through this stream map go through, by a schema in this line of the input."""
        is_same = type(stream_map) is SameRecordTransform and not stream_map.flattening_enabled

        def transform(record: Record, message: Message) -> Record | RejectedError | None:
            try:
                # Other stream maps may get the same record.
                transformed = t.cast("Record | None", stream_map.transform(record.copy()))
            except Exception as error:  # noqa: BLE001 - an expression can fail in any way
                cause = error.__cause__ if isinstance(error, MapExpressionError) else error
                return RejectedError(f"the stream map fails on it ({type(cause).__name__})")
            if transformed is not None and self.include_sdc_metadata_properties:
                extracted = {"time_extracted": message.time_extracted, "version": message.version}
                self._add_sdc_metadata_to_record(transformed, extracted, {})
            return transformed

        return Route(
            name=self.stream_name,
            line=line,
            mapping=self.mapping,
            key_properties=self._key_properties,
            transform=None if is_same and not self.include_sdc_metadata_properties else transform,
            misfit=None if self._validator is None else functools.partial(_misfit, self._validator, line),
            count=self.record_counter_metric.increment,
            sets_mark=any(
                DELETED_FIELD in (rules or ()) for rules in self.config.get("stream_maps", {}).values()
            ),
        )


def _misfit(validator: BaseJSONSchemaValidator, line: int, record: Record) -> RejectedError | None:
    try:
        validator.validate(record)
    except InvalidRecord as error:
        # The SDK's own words hold the value.
        path = getattr(error.__cause__, "path", None)
        return RejectedError("does not fit the stream's schema", str(path[0]) if path else None)
    except Unresolvable as error:
        raise MisfitError(
            f"The SCHEMA message in line {line} of the input has a $ref to what is not in it: correct the tap, or switch "
            "validate_records off."
        ) from error
    except Exception as error:  # noqa: BLE001 - NaN is neither less nor more than anything, a pattern may be none, a $ref a circle
        return RejectedError(f"cannot be held against the stream's schema ({type(error).__name__})")
    return None
