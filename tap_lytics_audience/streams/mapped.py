"""A stream whose records pass stream maps one by one."""

from __future__ import annotations

import typing as t

from singer_sdk import Stream
from singer_sdk.singerlib.json import serialize_json
from typing_extensions import override

from tap_lytics_audience import messages
from tap_lytics_audience.stream_maps import explained


class MappedStream(Stream):
    """A stream that says which stream map cannot be computed for a record; a `StreamMapError`."""

    @override
    def _write_record_message(self, record: dict[str, t.Any]) -> None:
        with explained(self, record):
            lines = [serialize_json(message.to_dict()) for message in self._generate_record_messages(record)]
        messages.write("".join(f"{line}\n" for line in lines).encode())
