"""Stream maps: that exits pass them is seen before a run, a record that they fail on is one sentence, and a change of them is known."""

from __future__ import annotations

import contextlib
import fnmatch
import hashlib
import re
import typing as t
from collections.abc import Iterable, Iterator, Mapping

import msgspec
from singer_sdk import Stream
from singer_sdk.mapper import PluginMapper, RemoveRecordTransform, StreamMap

from lytics_to_cordial.errors import UserError

_WORD = re.compile(r"\w+")
_SETTINGS = (
    "stream_maps",
    "stream_map_config",
    "faker_config",
    "flattening_enabled",
    "flattening_max_depth",
    "flattening_max_key_length",
)
_NO_FIELDS = frozenset({"__source__", "__alias__", "__else__", "__key_properties__"})


class StreamMapError(UserError):
    """A stream map cannot be computed for a record."""


def fingerprint(config: Mapping[str, t.Any]) -> str:
    """A short hash of all settings that make other records of what the tap reads."""
    values = {name: config[name] for name in _SETTINGS if config.get(name)}
    return hashlib.sha256(msgspec.json.encode(values, order="deterministic")).hexdigest()[:16]


@contextlib.contextmanager
def explained(stream: Stream, record: dict[str, t.Any]) -> Iterator[None]:
    """Make a `StreamMapError` of whatever the stream maps of a stream raise for a record, without a value of it."""
    try:
        yield
    except Exception as error:
        name = next(filter(None, (_failing_rule(stream, one, record) for one in stream.stream_maps)), None)
        what = "A stream map" if name is None else f"The stream map of {name!r}"
        raise StreamMapError(
            f"{what} in {stream.name!r} cannot be computed for a record ({type(error).__name__}), so that it and those after it were not "
            "sent: correct stream_maps, and the next run sends them."
        ) from error


def made_by(stream: Stream, stream_map: StreamMap) -> list[str]:
    """The columns that a stream map computes."""
    return [name for name, rule in _rules(stream, stream_map).items() if isinstance(rule, str)]


def _failing_rule(stream: Stream, stream_map: StreamMap, record: dict[str, t.Any]) -> str | None:
    """The field, or `__filter__`, whose rule cannot be computed by itself."""
    for name, rule in _rules(stream, stream_map).items():
        if name in _NO_FIELDS or not isinstance(rule, str):
            continue
        config = {**stream.config, "stream_maps": {stream.name: {name: rule}}}
        mapper = PluginMapper(config, stream.logger)
        try:
            mapper.register_raw_stream_schema(stream.name, stream.schema, None)
            mapped = mapper.stream_maps[stream.name][0].transform(dict(record))
            msgspec.json.encode(mapped, enc_hook=str)
        except Exception:  # noqa: BLE001 - a rule can raise anything
            return name
    return None


def _rules(stream: Stream, stream_map: StreamMap) -> dict[str, t.Any]:
    settings = stream.config.get("stream_maps") or {}
    names = [stream_map.stream_alias, *(name for name in settings if fnmatch.fnmatch(stream.name, name))]
    found = (settings[name] for name in names if isinstance(settings.get(name), dict))
    return next(found, {})


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
    for stream_map in stream.stream_maps:
        if isinstance(stream_map, RemoveRecordTransform):
            continue
        words = set(_WORD.findall(str(_rules(stream, stream_map).get("__filter__", ""))))
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
