"""Asking for exports of contacts."""

from __future__ import annotations

import typing as t

from target_cordial.cordial.answers import job_id_of, mapping
from target_cordial.cordial.connection import Connection, decoded, raise_for_status
from target_cordial.cordial.errors import UnansweredError

_PATH = "/contactexports"


class ExportCalls:
    """Calls of `/contactexports`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(self, body: dict[str, t.Any]) -> str:
        """Ask for an export (Cordial Swagger v2: SourceCE), and give the job's id.

        Raises:
            UnansweredError: If nobody knows whether it was begun.
            CordialError: If Cordial refused it.
        """
        status, reply = self._connection.post(_PATH, body)
        raise_for_status(status, reply, _PATH)
        job_id = job_id_of(mapping(decoded(reply)).get("jobId"))
        if not job_id:
            raise UnansweredError("Cordial answered an export call without a job id: run again.")
        return job_id
