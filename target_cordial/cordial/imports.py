"""Registering import files."""

from __future__ import annotations

import typing as t
from http import HTTPStatus

import msgspec

from target_cordial.cordial.answers import job_id_of, mapping, message_of
from target_cordial.cordial.connection import Connection, decoded, raise_for_status
from target_cordial.cordial.errors import CordialError, SourceUnreadableError, UnansweredError

_PATH = "/contactimports"


class ImportCalls:
    """Calls of `/contactimports`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def start(self, body: dict[str, t.Any]) -> str:
        """Register an import file (Cordial Swagger v2: ContactImportJob), and give the job's id.

        Raises:
            SourceUnreadableError: If Cordial could not read the file; nothing was registered.
            UnansweredError: If nobody knows whether it was registered.
            CordialError: If Cordial refused it; nothing was registered.
        """
        status, reply = self._connection.post(_PATH, body)
        message = message_of(reply)
        if status == HTTPStatus.NOT_ACCEPTABLE and "subscribe" in body and "subscribe" in message:
            raise CordialError(
                f"Cordial does not take the field subscribe of an import ({message}), which asks that known contacts keep their subscribe "
                "status: set keep_subscribe_status to false, and ask Cordial's support what an import does to them then."
            )
        raise_for_status(status, reply, _PATH)
        answer = mapping(decoded(reply)).get("jobId")
        job_id = job_id_of(answer)
        if job_id:
            return job_id
        # In place of the id there may be an error.
        if isinstance(answer, dict):
            raise SourceUnreadableError(
                f"Cordial cannot read the import file ({message_of(msgspec.json.encode(answer))}): check storage_url, "
                "import_source, import_username and import_password as seen from Cordial's side."
            )
        raise UnansweredError(
            "Cordial answered an import call without a job id: look at the jobs in Cordial, then run again."
        )
