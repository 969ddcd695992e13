"""Stream maps meet exits, which have no profile fields. See before a run that exits pass them."""

from __future__ import annotations

import re
import typing as t

from singer_sdk.mapper import RemoveRecordTransform

from lytics_to_cordial.errors import UserError

if t.TYPE_CHECKING:
    from collections.abc import Iterable

    from singer_sdk import Stream
    from singer_sdk.mapper import StreamMap

_WORD = re.compile(r"\w+")


def check_exits_pass(stream: Stream, exits: Iterable[dict[str, t.Any]], filterable: set[str]) -> None:
    """See that the stream maps of a stream let exits through, with their key.

    Args:
        stream: The stream.
        exits: An exit of each audience.
        filterable: Columns by which a filter may drop exits on purpose, as all records of a member have the same value in them.

    Raises:
        UserError: If nobody would ever leave; the sentence says what to change.
    """
    samples = list(exits)
    filtered_by = set(stream.schema["properties"]) - filterable
    settings = stream.config.get("stream_maps") or {}
    for stream_map in stream.stream_maps:
        if isinstance(stream_map, RemoveRecordTransform):
            continue
        rules = settings.get(stream_map.stream_alias) or settings.get(stream.name) or {}
        words = set(_WORD.findall(str(rules.get("__filter__", ""))))
        for sample in samples:
            _check(stream_map, sample, may_drop=not words & filtered_by)


def _check(stream_map: StreamMap, sample: dict[str, t.Any], *, may_drop: bool) -> None:
    alias = stream_map.stream_alias
    try:
        mapped = stream_map.transform(dict(sample))
    except Exception as error:
        raise UserError(
            f"The stream map of {alias!r} cannot be computed for an exit, which has no profile fields: in stream_maps write "
            'record.get("field") in place of field.'
        ) from error
    if mapped is None:
        if may_drop:
            return
        raise UserError(
            f"The stream map of {alias!r} drops exits, so that nobody would ever leave: in stream_maps add "
            "`or audience_state == 'exit'` to __filter__."
        )
    lost = [key for key in stream_map.transformed_key_properties or () if mapped.get(key) is None]
    if lost or mapped.get("audience_state", "exit") != "exit":
        raise UserError(
            f"The stream map of {alias!r} changes {lost[0] if lost else 'audience_state'} of exits, so that nobody would ever leave: in "
            "stream_maps keep it as it is for exits."
        )
