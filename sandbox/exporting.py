"""What Cordial writes in an export file: contacts, their attributes, and who is on which list."""

from __future__ import annotations

import csv
import gzip
import io
import typing as t

import msgspec

if t.TYPE_CHECKING:
    from sandbox.account import Account, Contact

TYPES = frozenset({"csv", "json", "txt"})


def export_name(body: dict[str, t.Any], job_id: str) -> str:
    """The name of an export file.

    Args:
        body: The export call (Cordial Swagger v2: SourceCE).
        job_id: Its job.
    """
    kind = str(body.get("exportType", "csv")).lower()
    return f"{body.get('name', job_id)}.{kind}" + (".gz" if body.get("compress") else "")


def export(account: Account, body: dict[str, t.Any]) -> bytes:
    """Write the contacts.

    Args:
        account: The account.
        body: The export call (Cordial Swagger v2: SourceCE).

    Returns:
        The file.
    """
    fields = [str(name) for name in body["fields"]]
    lists = {str(name): account.list_id(str(name)) for name in body.get("lists", ())}
    names = account.lists()
    rows = [
        [_cell(address, contact, field) for field in fields]
        + [str(int(names.get(id_ or 0) in contact.lists)) for id_ in lists.values()]
        for address, contact in account.contacts().items()
    ]
    header = [*fields, *lists]
    kind = str(body.get("exportType", "csv")).lower()
    if kind == "json":
        content = msgspec.json.encode([dict(zip(header, row, strict=True)) for row in rows])
    else:
        text = io.StringIO()
        delimiter = body.get("delimiter") or "," if kind == "txt" else ","
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
        writer.writerows([header, *rows] if body.get("showHeader", True) else rows)
        content = text.getvalue().encode()
    return gzip.compress(content) if body.get("compress") else content


def _cell(address: str, contact: Contact, field: str) -> str:
    if field == "channels.email.address":
        return address
    if field == "channels.email.subscribeStatus":
        return contact.subscribe_status
    key, _, part = field.partition(".")
    value = contact.attributes.get(key, "")
    if part:
        value = value.get(part, "") if isinstance(value, dict) else ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
