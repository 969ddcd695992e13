"""What Cordial refuses in a call that begins an export (Cordial Swagger v2: SourceCE, DestinationObject)."""

from __future__ import annotations

import typing as t

from sandbox.account import Account
from sandbox.exporting import ADDRESS, TYPES
from sandbox.faults import Faults
from sandbox.transports import SAVED_KEY

_KINDS: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "exportType": (str,),
    "delimiter": (str,),
    "lists": (list,),
    "audience-key": (str,),
    "showHeader": (bool,),
    "compress": (bool,),
    "confirmEmail": (str,),
}
_NEEDED: dict[str, tuple[str, ...]] = {
    # To be fetched with a browser, from Cordial's own pages.
    "AWS": (),
    "FTP": ("server", "port", "username", "path"),
    "SFTP": ("server", "port", "username", "path"),
    "S3": ("aws_bucket", "aws_region", "path"),
    "GCS": ("gcs_bucket", "path"),
    "AZUREBLOB": ("account", "container", "path"),
}


def problem_of_export(body: dict[str, t.Any], account: Account, faults: Faults) -> str | None:
    """What is wrong with a call."""
    required: dict[str, tuple[type, ...]] = {"destination": (dict,), "fields": (list,), "accountId": (int,)}
    if faults.get("export_account_optional") is not None:
        del required["accountId"]
    for name, kinds in required.items():
        if type(body.get(name)) not in kinds:
            return f"The {name} field is required."
    for name, kinds in _KINDS.items():
        if name in body and type(body[name]) not in kinds:
            return f"The {name} field is invalid."
    if not all(isinstance(field, str) for field in body["fields"]):
        return "The fields field is invalid."
    if ADDRESS in body["fields"] and faults.get("export_identifier") == "refused":
        return f"The field {ADDRESS} does not exist."
    if str(body.get("exportType") or "csv").lower() not in TYPES:
        return "The selected export type is invalid."
    if len(body.get("delimiter") or ",") != 1:
        return "The delimiter field is invalid."
    return _problem_of_destination(body["destination"]) or _problem_of_contacts(body, account)


def _problem_of_destination(destination: dict[str, t.Any]) -> str | None:
    kind = str(destination.get("type")).upper()
    if kind not in _NEEDED:
        return "The selected destination.type is invalid."
    for name in _NEEDED[kind]:
        if not destination.get(name):
            return f"The destination.{name} field is required."
    for name, value in destination.items():
        is_port = name == "port" and (type(value) is int or (isinstance(value, str) and value.isdecimal()))
        if not (is_port or (name != "port" and isinstance(value, str))):
            return f"The destination.{name} field is invalid."
    saved_key = destination.get("savedKey")
    if saved_key and saved_key != SAVED_KEY:
        return f"SSH key with such Name/ID: {saved_key} does not exist."
    return None


def _problem_of_contacts(body: dict[str, t.Any], account: Account) -> str | None:
    for name in body.get("lists", ()):
        if type(name) not in {int, str} or account.list_id(str(name)) is None:
            return f"List {name} does not exist."
    audience = body.get("audience-key")
    if audience and audience not in account.saved_audiences:
        return f"Audience with name: '{audience}' does not exist."
    return None
