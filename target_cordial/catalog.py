"""A tap's catalog: which streams and fields will come."""

from __future__ import annotations

import json
import typing as t

from singer_sdk.singerlib import Catalog

from lytics_to_cordial.errors import UserError


def selected_streams(file: t.IO[str]) -> dict[str, dict[str, t.Any]]:
    """The schemas of the streams that are selected, with their selected fields.

    Args:
        file: The catalog, such as `meltano invoke --dump=catalog tap-lytics-audience` gives.

    Returns:
        Schema by stream.

    Raises:
        UserError: If it is not a catalog.
    """
    try:
        entries = Catalog.from_dict(json.load(file)).values()
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        msg = (
            f"The file {file.name} is not a Singer catalog: give --catalog the output of a tap's --discover."
        )
        raise UserError(msg) from error
    streams = {}
    for entry in entries:
        mask = entry.metadata.resolve_selection()
        if mask[()]:
            properties = entry.schema.to_dict().get("properties") or {}
            streams[entry.tap_stream_id] = {
                "properties": {name: rule for name, rule in properties.items() if mask["properties", name]}
            }
    return streams
