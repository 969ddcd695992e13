"""What Cordial's Swagger (v2) lets a client ask, for the calls that the target makes; in our own words.

`problems` tells what in a call is not by the book. The Swagger marks what every call must have; what a source needs
it says in words, by transport.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

if TYPE_CHECKING:
    from collections.abc import Iterable

Rule = tuple[Any, ...]

JOB_NAMES = (
    "ImportContacts", "SendBatchMessage", "ExportContacts", "ImportSupplements", "ImportIntegrationSupplements",
    "AudienceSplit", "ExportEvents", "DeleteContacts", "DeleteAudience", "SendFbCustomAudienceJob",
    "ExportMessageAnalytics", "DeleteContact", "ExportContactProfile", "ExportBlocks", "ImportBlocks",
    "ImportSculptTemplates", "ExportSculptTemplates", "DataAutomationProcessAudience", "DataAutomationProcessList",
    "ExportDataAutomationLog", "ExportDataTransformationRecords", "ImportOrders", "DataAutomationUpdateIntegration",
    "ExportClientsLogs",
)  # fmt: skip
STATUSES = ("Scheduled", "Pending", "Processing", "Throttled", "Failed", "Done")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ|\d\d-\d\d-\d{4}"
"""The Swagger names no form; an article shows the second."""


@dataclass(frozen=True)
class Text:
    """A string, of a pattern or of some values."""

    pattern: str = r"(?s).+"
    values: tuple[str, ...] = ()

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, str):
            return "is not text"
        if self.values and value not in self.values:
            return f"is not one of {', '.join(self.values)}"
        return None if re.fullmatch(self.pattern, value) else "has another form"


@dataclass(frozen=True)
class Kind:
    """A boolean, an integer, or a list of texts."""

    kind: type

    def problem(self, value: Any) -> str | None:
        if type(value) is not self.kind:
            return f"is not a {self.kind.__name__}"
        if self.kind is list and not (value and all(isinstance(item, str) and item for item in value)):
            return "is not a list of texts"
        return None


@dataclass(frozen=True)
class Fields:
    """An object with these fields and no others."""

    known: dict[str, Any]
    required: tuple[str, ...] = ()

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, dict):
            return "is not an object"
        for name in self.required:
            if name not in value:
                return f"lacks {name}"
        for name, found in value.items():
            if name not in self.known:
                return f"has {name}, which the Swagger does not know"
            problem = self.known[name].problem(found)
            if problem:
                return f"{name} {problem}"
        return None


SOURCE = Fields(
    {
        **dict.fromkeys(
            (
                "aws_access_key_id", "aws_secret_access_key", "aws_bucket", "aws_region", "server", "username", "password",
                "savedKey", "path", "buket", "account", "container", "database", "schema", "source",
            ),
            Text(),
        ),
        "transport": Text(values=("http", "https", "ftp", "sftp", "s3", "gcs", "azureblob", "snowflake")),
        "url": Text(r"\S+"),
        "port": Kind(int),
        # Not the Swagger's, which spells it `buket`: nobody knows which of the two the service reads.
        "bucket": Text(),
    },
    required=("transport",),
)  # fmt: skip
NEEDED_BY_TRANSPORT = {
    "http": ("url",),
    "https": ("url",),
    "ftp": ("server", "port", "username", "path"),
    "sftp": ("server", "port", "username", "path"),
    "s3": ("aws_bucket", "aws_region", "path"),
    "gcs": ("buket", "path"),
    "azureblob": ("account", "container", "path"),
}


class Source:
    def problem(self, value: Any) -> str | None:
        problem = SOURCE.problem(value)
        if problem:
            return problem
        lacking = [name for name in NEEDED_BY_TRANSPORT[value["transport"]] if name not in value]
        if lacking:
            return f"lacks {lacking[0]}, which {value['transport']} needs"
        if value["transport"] in {"ftp", "sftp"} and not {"password", "savedKey"} & set(value):
            return "has neither password nor savedKey"
        return None


LIST_NAMES = Fields({"addTo": Kind(list), "removeFrom": Kind(list)})
IMPORT = Fields(
    {
        "importName": Text(),
        "source": Source(),
        "hasHeader": Kind(bool),
        "columns": Kind(list),
        "delimiter": Text("."),
        "confirmEmail": Text(r"\S+@\S+"),
        "strategy": Text(values=("insertOnly", "updateOnly")),
        "suppressTriggers": Kind(bool),
        "jobStatusWebhookUrl": Text(r"https?://\S+"),
        "lists": LIST_NAMES,
        "nullMarker": Text(),
        # Not the Swagger's, but an article's (203886058): false keeps the subscribe status of known contacts.
        "subscribe": Kind(bool),
    },
    required=("source",),
)


class Numbers:
    """A list of numbers."""

    def problem(self, value: Any) -> str | None:
        if not isinstance(value, list) or not all(type(item) is int for item in value):
            return "is not a list of numbers"
        return None


EXPORT = Fields(
    {
        "name": Text(),
        "exportType": Text(values=("CSV", "JSON", "TXT")),
        "destination": Fields(
            {
                **dict.fromkeys(
                    (
                        "aws_access_key_id", "aws_secret_access_key", "aws_bucket", "aws_region", "server", "username",
                        "password", "savedKey", "path", "gcs_bucket", "account", "container",
                    ),
                    Text(),
                ),
                "type": Text(values=("FTP", "SFTP", "S3", "GCS", "AZUREBLOB")),
                "port": Kind(int),
            },
            required=("type", "path"),
        ),
        "fields": Kind(list),
        "lists": Numbers(),
        "audience-key": Text(),
        "accountId": Kind(int),
        "showHeader": Kind(bool),
        "compress": Kind(bool),
    },
    required=("destination", "fields", "accountId"),
)  # fmt: skip


@dataclass(frozen=True)
class Call:
    """A call that the Swagger knows.

    Attributes:
        method: Its method.
        path: A pattern of its path.
        query: What its query may hold.
        body: What its body must be; None for no body.
    """

    method: str
    path: str
    query: Fields = field(default_factory=lambda: Fields({}))
    body: Any = None


TIME_FILTERS = {
    f"times[{what}][{how}]": Text(TIME) for what in ("start", "end") for how in ("gt", "gte", "lt", "lte")
}
CALLS = (
    Call("POST", "/v2/contactimports", body=IMPORT),
    Call("POST", "/v2/contactexports", body=EXPORT),
    Call(
        "GET",
        "/v2/jobs",
        Fields(
            {
                "jobName": Text(values=JOB_NAMES),
                "status": Text(values=STATUSES),
                "page": Text("[1-9][0-9]*"),
                "per_page": Text("[1-9][0-9]*"),
                **TIME_FILTERS,
            }
        ),
    ),
    Call("GET", "/v2/jobs/[^/]+", Fields({"fields": Text()})),
    Call("GET", "/v2/accountlists", Fields({"name": Text()})),
    Call(
        "POST", "/v2/accountlists", body=Fields({"name": Text(), "enhanced": Kind(bool)}, required=("name",))
    ),
    Call("GET", "/v2/accountlists/[0-9]+"),
    Call("GET", "/v2/accountlists/[0-9]+/count"),
    # A contact's id, its primary key, or another key with the key's name before a colon.
    Call("GET", "/v2/contacts/.+"),
    Call("GET", "/v2/accountcontactattributes/.+"),
    Call(
        "GET",
        "/v2/accountcontactattributes",
        Fields({"type": Text(values=("string", "number", "date", "geo", "array")), "indexed": Text("[01]")}),
    ),
)


def assert_by_the_book(boxes: Iterable[Any]) -> None:
    """Fail if sandboxes were asked something that is not as Cordial's Swagger has it."""
    wrong = [
        problem
        for box in boxes
        for call in box.requests
        if call.server == "cordial" and not call.path.startswith("/sandbox/")
        for problem in problems(call.method, call.path, call.query, call.body)
    ]
    assert not wrong, f"not as Cordial's Swagger has it: {wrong[:3]}"


def problems(method: str, path: str, query: dict[str, str], body: Any) -> list[str]:
    """What in a call is not as Cordial's Swagger has it.

    Args:
        method: The call's method.
        path: Its path.
        query: Its query.
        body: Its JSON body; None if it has none.

    Returns:
        One sentence for each; empty if all is well.
    """
    call = next(
        (
            call
            for call in CALLS
            if call.method == method and re.fullmatch(call.path, unquote(path), re.DOTALL)
        ),
        None,
    )
    if call is None:
        return [f"{method} {path} is not a call that the target may make"]
    found = [("query", call.query.problem(query))]
    if call.body is None:
        found.append(("body", None if body is None else "is not expected"))
    else:
        found.append(("body", call.body.problem(body)))
        if call.body is IMPORT and isinstance(body, dict):
            is_described = body.get("hasHeader") is True or "columns" in body
            found.append(("body", None if is_described else "has neither hasHeader nor columns"))
    return [f"{method} {path}: the {part} {problem}" for part, problem in found if problem]
