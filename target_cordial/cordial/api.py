"""A Cordial account behind its API key: the calls that the target makes, by what they are about."""

from __future__ import annotations

from target_cordial.cordial.attributes import AttributeCalls
from target_cordial.cordial.connection import Connection
from target_cordial.cordial.contacts import ContactCalls
from target_cordial.cordial.exports import ExportCalls
from target_cordial.cordial.imports import ImportCalls
from target_cordial.cordial.jobs import JobCalls
from target_cordial.cordial.lists import ListCalls


class Cordial:
    """Cordial's API v2. Several threads may use it; how calls fail, `Connection` says.

    Args:
        api_url: Its base URL.
        api_key: Its key.
        is_patient: Whether a call that Cordial does not answer is tried for a minute or more.
    """

    def __init__(self, api_url: str, api_key: str, *, is_patient: bool = True) -> None:
        connection = Connection(api_url, api_key, is_patient=is_patient)
        self.metrics = connection.metrics
        self.attributes = AttributeCalls(connection)
        self.contacts = ContactCalls(connection)
        self.lists = ListCalls(connection)
        self.imports = ImportCalls(connection)
        self.exports = ExportCalls(connection)
        self.jobs = JobCalls(connection)
