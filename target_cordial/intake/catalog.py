"""A tap's catalog: which streams will come, and with which fields."""

from __future__ import annotations

import json
import typing as t

from singer_sdk.singerlib import Catalog

from lytics_to_cordial.errors import UserError
from target_cordial.intake.schema import modern_schema

Streams: t.TypeAlias = t.Mapping[str, t.Mapping[str, t.Any]]
"""The schemas of the streams that will come, by name."""


def selected_streams(file: t.IO[str]) -> Streams:
    """The selected streams of a tap's catalog, with their selected fields.

    Raises:
        UserError: If it is not a catalog.
    """
    try:
        catalog = json.load(file)
        for stream in catalog["streams"]:
            stream["schema"] = modern_schema(stream["schema"])
        entries = Catalog.from_dict(catalog).values()
    except (ValueError, AttributeError, KeyError, TypeError, RecursionError) as error:
        raise UserError(
            f"The file {file.name} is not a Singer catalog: give --catalog the output of a tap's --discover."
        ) from error
    streams = {}
    for entry in entries:
        mask = entry.metadata.resolve_selection()
        if mask[()]:
            schema = entry.schema.to_dict()
            properties = schema.get("properties") or {}
            streams[entry.tap_stream_id] = {
                **schema,
                "properties": {name: rule for name, rule in properties.items() if mask["properties", name]},
            }
    return streams
