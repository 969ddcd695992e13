"""The stream of the audiences that are followed."""

from __future__ import annotations

import typing as t
from collections.abc import Iterator

from singer_sdk import Tap
from singer_sdk import typing as th
from singer_sdk.helpers.types import Context
from singer_sdk.singerlib import Catalog
from typing_extensions import override

from tap_lytics_audience.streams.mapped import MappedStream
from tap_lytics_audience.streams.source import Source


class AudiencesStream(MappedStream):
    """The audiences that are followed."""

    name = "audiences"
    primary_keys: t.ClassVar[list[str]] = ["id"]
    schema = th.PropertiesList(
        th.Property("id", th.StringType, required=True, description="The audience's id in Lytics."),
        th.Property("slug", th.StringType, description="Its slug."),
        th.Property("name", th.StringType, description="Its name."),
        th.Property("description", th.StringType, description="Its description."),
        th.Property(
            "size", th.IntegerType, description="How many profiles it has now, as Lytics counts them."
        ),
        th.Property("created", th.DateTimeType, description="When it was created."),
        th.Property("updated", th.DateTimeType, description="When its definition last changed."),
    ).to_dict()

    def __init__(self, tap: Tap, source: Source) -> None:
        super().__init__(tap)
        self._source = source

    @override
    def get_records(self, context: Context | None) -> Iterator[dict[str, t.Any]]:
        for audience in self._source.audiences:
            yield {name: getattr(audience, name) for name in self.schema["properties"]}

    @override
    def apply_catalog(self, catalog: Catalog) -> None:
        super().apply_catalog(catalog)
        # Meltano's `metadata` can name a key for all streams; there is none among the columns of this one.
        self.replication_key, self.forced_replication_method = None, "FULL_TABLE"
