"""The files that a run is given: the state and the catalog."""

from __future__ import annotations

import typing as t

import msgspec
from singer_sdk.singerlib import Catalog

from lytics_to_cordial.errors import UserError

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MOST_LEVELS = 50
"""A state or catalog has some ten; Python's own limit is met somewhere in the copies that the SDK makes."""
_TWO_RUNS = "Where two runs of one plugin in one project folder wrote it at the same time, run again, one after the other"


def read_state(file: t.IO[bytes] | None) -> dict[str, t.Any] | None:
    """The state in the file of `--state`; None without a file.

    Raises:
        UserError: If the file is blank or holds no state.
    """
    if file is None:
        return None
    place = f"The state file {file.name}"
    cure = "give the last line that the target wrote, or no --state for a run that sends everybody"
    state = _read(file, place, cure)
    bookmarks = state.get("bookmarks", None if state else {}) if isinstance(state, dict) else None
    if not isinstance(bookmarks, dict) or not all(isinstance(entry, dict) for entry in bookmarks.values()):
        raise UserError(f"{place} holds no bookmarks, as a state does: {cure}.")
    return t.cast("dict[str, t.Any]", state)


def read_catalog(file: t.IO[bytes] | None, streams: t.Collection[str]) -> Catalog | None:
    """The catalog in the file of `--catalog`; None without a file.

    Raises:
        UserError: If the file is blank, or holds no catalog of the tap's streams.
    """
    if file is None:
        return None
    place = f"The catalog file {file.name}"
    cure = "make it anew with --discover; with Meltano, run with --refresh-catalog"
    content = _read(file, place, cure)
    try:
        catalog = Catalog.from_dict(content)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise UserError(f"{place} holds no catalog ({type(error).__name__}): {cure}.") from error
    if not catalog:
        raise UserError(f"{place} lists no streams: {cure}.")
    if not catalog.keys() & set(streams):
        raise UserError(
            f"{place} is of another tap, as {' and '.join(sorted(streams))} are not in it, so nothing would be read: {cure}."
        )
    for name in streams:
        if name in catalog and not catalog[name].schema.properties:
            raise UserError(f"{place} has no columns of {name}: {cure}.")
    return catalog


def _read(file: t.IO[bytes], place: str, cure: str) -> t.Any:
    content = file.read().removeprefix(_BYTE_ORDER_MARK)
    if not content.strip():
        raise UserError(f"{place} is blank: {cure}.")
    try:
        found = msgspec.json.decode(content)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise UserError(f"{place} is not JSON: {cure}. {_TWO_RUNS}.") from error
    except RecursionError as error:
        raise _too_deep(place, cure) from error
    level = [found]
    for _ in range(_MOST_LEVELS):
        level = [inner for outer in level for inner in _inside(outer)]
    if level:
        raise _too_deep(place, cure)
    return found


def _inside(value: t.Any) -> t.Iterable[t.Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _too_deep(place: str, cure: str) -> UserError:
    return UserError(f"{place} has more than {_MOST_LEVELS} levels of brackets: {cure}.")
