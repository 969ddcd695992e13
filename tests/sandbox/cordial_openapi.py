"""The calls of Cordial's API that the sandbox serves, as its Swagger (v2) tells them, in our own words.

Bodies may hold more than what is named here, as the Swagger forbids nothing; so may answers.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
SOME_TEXT: Schema = {"type": "string", "minLength": 1}
FLAG: Schema = {"type": "boolean"}
WHOLE: Schema = {"type": "integer"}
TEXTS: Schema = {"type": "array", "items": TEXT}
MOMENT: Schema = {"type": "string", "format": "date-time"}


def one_of(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def fields(required: str = "", **known: Schema) -> Schema:
    """An object; the names of what it must have stand in one text."""
    return {"type": "object", "properties": known, **({"required": required.split()} if required else {})}


def list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


REFUSAL = fields(
    "error errorKey message", error=FLAG, errorKey=TEXT, message=TEXT, messages={"type": "object"}
)
DONE = fields("success", success=FLAG)
STATUS = one_of("subscribed", "unsubscribed", "none")
CHANNELS = fields("email", email=fields("address", address=TEXT, subscribeStatus=STATUS))
CONTACT = fields("channels", channels=CHANNELS)
ATTRIBUTE_TYPE = one_of("string", "number", "date", "geo", "array")
ATTRIBUTE = fields(
    key=TEXT,
    name=TEXT,
    type=ATTRIBUTE_TYPE,
    index=FLAG,
    unique=FLAG,
    validators={"type": "object"},
    ct=MOMENT,
    lm=MOMENT,
)
LIST = fields("name", id=WHOLE, name=TEXT, enhanced=FLAG)
JOB_STATUSES = ("Scheduled", "Pending", "Processing", "Failed", "Done")
JOB = fields(
    status=one_of(*JOB_STATUSES),
    jobName=TEXT,
    totalItems=WHOLE,
    completedItems=WHOLE,
    times=fields(start=MOMENT, end=MOMENT),
    result=fields(
        totalRecords=WHOLE, updated=WHOLE, rejected=WHOLE, inserted=WHOLE, error=WHOLE, ignored=WHOLE
    ),
    metadata=fields(
        name=TEXT, exportType=TEXT, lists=TEXTS, fileName=TEXT, importName=TEXT, parentJobId=TEXT
    ),
)
SOURCE = fields(
    "transport",
    transport=one_of("HTTP", "HTTPS", "FTP", "SFTP", "S3", "GCS", "AZUREBLOB", "SNOWFLAKE", "sftp", "https"),
    port=WHOLE,
    **dict.fromkeys(
        (
            "aws_access_key_id", "aws_secret_access_key", "aws_bucket", "aws_region", "url", "server", "username",
            "password", "savedKey", "path", "buket", "account", "container", "database", "schema", "source",
        ),
        TEXT,
    ),
)  # fmt: skip
IMPORT = fields(
    "source",
    importName=TEXT,
    source=SOURCE,
    hasHeader=FLAG,
    columns=TEXTS,
    delimiter=TEXT,
    confirmEmail=TEXT,
    strategy=one_of("insertOnly", "updateOnly"),
    suppressTriggers=FLAG,
    jobStatusWebhookUrl=TEXT,
    lists=fields(addTo=TEXTS, removeFrom=TEXTS),
    nullMarker=TEXT,
)
COMPLETE_IMPORT = fields(
    "source hasHeader",
    importName=TEXT,
    source=fields(
        "transport server port username password path",
        transport=one_of("SFTP", "sftp"),
        port={**WHOLE, "minimum": 1},
        server=SOME_TEXT,
        username=SOME_TEXT,
        password=SOME_TEXT,
        path=SOME_TEXT,
    )
    | {"additionalProperties": False},
    hasHeader={"type": "boolean", "enum": [True]},
    strategy=one_of("insertOnly", "updateOnly"),
) | {"additionalProperties": False}
"""One that is taken: the Swagger says in words what each transport needs."""
IMPORTED = fields("jobId", jobId={"anyOf": [TEXT, REFUSAL]})
EXPORT = fields(
    "destination fields accountId",
    name=TEXT,
    exportType=one_of("CSV", "JSON", "TXT", "csv"),
    delimiter=TEXT,
    destination=fields(
        "type",
        type=one_of("AWS", "FTP", "SFTP", "S3", "GCS", "AZUREBLOB"),
        port=WHOLE,
        **dict.fromkeys(
            ("aws_bucket", "aws_region", "server", "username", "password", "savedKey", "path", "gcs_bucket"),
            TEXT,
        ),
    ),
    fields=TEXTS,
    lists=list_of({"anyOf": [TEXT, WHOLE]}),
    accountId=WHOLE,
    showHeader=FLAG,
    compress=FLAG,
    **{"audience-key": TEXT},
)
LIST_BODY = fields("name", name=TEXT, enhanced=FLAG)
ATTRIBUTE_BODY = fields(
    "key name type",
    key=TEXT,
    name=TEXT,
    type=ATTRIBUTE_TYPE,
    index=FLAG,
    validators={"type": "object"},
    options={"type": "object"},
)
PAGE = {"page": TEXT, "per_page": TEXT}
TIMES = {f"times[{what}][{how}]": TEXT for what in ("start", "end") for how in ("gt", "gte", "lt", "lte")}


def call(
    answers: dict[int, Schema],
    *,
    path: Schema | None = None,
    query: dict[str, Schema] | None = None,
    body: Schema | None = None,
) -> Schema:
    """A call: its answers by status, what stands in its path, in its query, and its body."""
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": kind} for name, kind in (path or {}).items()
    ]
    parameters += [{"name": name, "in": "query", "schema": kind} for name, kind in (query or {}).items()]
    described: Schema = {"parameters": parameters, "responses": {}}
    # The Swagger forgets the 401 of most calls.
    for status, schema in {**answers, 401: fields("error", error=TEXT)}.items():
        described["responses"][str(status)] = {
            "description": "",
            "content": {"application/json": {"schema": schema}},
        }
    if body is not None:
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": body}}}
    return described


def described() -> Schema:
    """All calls, as OpenAPI."""
    key, number = {"key": TEXT}, {"id": WHOLE}
    return {
        "openapi": "3.0.3",
        "info": {"title": "Cordial, as far as the sandbox serves it", "version": "2"},
        "paths": {
            "/accountcontactattributes": {
                "get": call(
                    {200: list_of(ATTRIBUTE), 404: REFUSAL, 422: REFUSAL},
                    query={"type": ATTRIBUTE_TYPE, "indexed": one_of("0", "1")},
                ),
                "post": call({200: DONE, 422: REFUSAL}, body=ATTRIBUTE_BODY),
            },
            "/accountcontactattributes/{key}": {
                "get": call({200: ATTRIBUTE, 422: REFUSAL}, path=key),
                "put": call({200: DONE, 422: REFUSAL}, path=key, body=fields(name=TEXT)),
                "delete": call({200: DONE, 404: REFUSAL}, path=key),
            },
            "/accountlists": {
                "get": call({200: list_of(LIST), 404: REFUSAL}, query={"name": TEXT}),
                "post": call(
                    {200: {**DONE, "properties": {"success": FLAG, "id": WHOLE}}, 422: REFUSAL},
                    body=LIST_BODY,
                ),
            },
            "/accountlists/{id}": {
                "get": call({200: LIST, 404: REFUSAL}, path=number),
                "put": call({200: list_of(LIST), 404: REFUSAL, 422: REFUSAL}, path=number, body=LIST_BODY),
                "delete": call({200: DONE, 404: REFUSAL}, path={"id": TEXT}),
            },
            "/accountlists/{id}/count": {
                "get": call({200: fields("name count", name=TEXT, count=WHOLE), 404: REFUSAL}, path=number)
            },
            "/accountlists/{id}/clear": {"put": call({200: DONE, 404: REFUSAL}, path=number)},
            "/contactexports": {
                "post": call({200: fields("jobId", jobId=TEXT), 400: REFUSAL, 415: REFUSAL}, body=EXPORT)
            },
            "/contactimports": {
                "post": call({201: IMPORTED, 406: REFUSAL}, body={"anyOf": [COMPLETE_IMPORT, IMPORT]})
            },
            "/contacts": {
                "get": call(
                    {200: list_of(CONTACT), 404: REFUSAL},
                    query={"email": TEXT, **PAGE, "sort_by": TEXT, "sort_dir": one_of("asc", "desc")},
                ),
                "post": call(
                    {201: fields("success message cID", success=FLAG, message=TEXT, cID=TEXT), 422: REFUSAL},
                    body=CONTACT,
                ),
            },
            "/contacts/{primary_key}": {
                "get": call({200: CONTACT, 404: REFUSAL}, path={"primary_key": TEXT}),
                "put": call(
                    {200: DONE, 404: REFUSAL, 422: REFUSAL},
                    path={"primary_key": TEXT},
                    body={**CONTACT, "properties": {"channels": CHANNELS, "forceSubscribe": FLAG}},
                ),
                "delete": call({200: DONE, 404: REFUSAL}, path={"primary_key": TEXT}),
            },
            "/jobs": {
                "get": call(
                    {200: list_of(JOB), 400: REFUSAL, 404: REFUSAL, 422: REFUSAL},
                    query={
                        "jobName": one_of("ImportContacts", "ExportContacts"),
                        "status": one_of(*JOB_STATUSES, "Throttled"),
                        **PAGE,
                        **TIMES,
                        "include": one_of("statistic"),
                    },
                )
            },
            "/jobs/{id}": {"get": call({200: JOB, 404: REFUSAL}, path={"id": TEXT}, query={"fields": TEXT})},
        },
    }
