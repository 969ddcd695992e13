"""What Cordial refuses in a call that registers an import (Cordial Swagger v2: ContactImportJob)."""

from __future__ import annotations

import re
import typing as t

_KINDS: dict[str, type] = {
    "importName": str,
    "source": dict,
    "hasHeader": bool,
    "columns": list,
    "delimiter": str,
    "confirmEmail": str,
    "strategy": str,
    "suppressTriggers": bool,
    "jobStatusWebhookUrl": str,
    "lists": dict,
    "nullMarker": str,
    # Not the Swagger's, but an article's (203886058): false keeps the subscribe status of known contacts.
    "subscribe": bool,
}
_NEEDED: dict[str, tuple[str, ...]] = {
    "http": ("url",),
    "https": ("url",),
    "ftp": ("server", "port", "username", "path"),
    "sftp": ("server", "port", "username", "path"),
    "s3": ("aws_bucket", "aws_region", "path"),
    "gcs": ("buket", "path"),
    "azureblob": ("account", "container", "path"),
    "snowflake": ("account", "database", "schema", "source"),
}
_SOURCE_FIELDS = frozenset(
    [
        "transport",
        "aws_access_key_id",
        "aws_secret_access_key",
        "aws_bucket",
        "aws_region",
        "url",
        "server",
        "port",
        "username",
        "password",
        "savedKey",
        "path",
        "buket",
        # Callers cannot know whether the Swagger's spelling is the service's.
        "bucket",
        "account",
        "container",
        "database",
        "schema",
        "source",
    ]
)


def problem_of(body: dict[str, t.Any]) -> str | None:
    """What is wrong with a call."""
    unknown = sorted(set(body) - set(_KINDS))
    if unknown:
        return f"The {unknown[0]} field is not allowed."
    for name, kind in _KINDS.items():
        if name in body and not isinstance(body[name], kind):
            return f"The {name} field is invalid."
    return _problem_of_source(body.get("source")) or _problem_of_options(body)


def _problem_of_source(source: dict[str, t.Any] | None) -> str | None:
    if source is None:
        return "The source field is required."
    transport = source.get("transport")
    if not transport:
        return "The source.transport field is required."
    # The Swagger prints it in capitals, clients send small letters.
    if not isinstance(transport, str) or transport.lower() not in _NEEDED:
        return "The selected source.transport is invalid."
    transport = transport.lower()
    for name in _NEEDED[transport]:
        if not source.get(name):
            return f"The source.{name.replace('_', ' ')} field is required."
    if transport in {"ftp", "sftp"} and not (source.get("password") or source.get("savedKey")):
        return "Parameter password is not set"
    for name, value in source.items():
        if name not in _SOURCE_FIELDS:
            return f"The source.{name} field is not allowed."
        is_port = name == "port" and (type(value) is int or (isinstance(value, str) and value.isdecimal()))
        if not (is_port or (name != "port" and isinstance(value, str))):
            return f"The source.{name} field is invalid."
    return None


def _problem_of_options(body: dict[str, t.Any]) -> str | None:
    if body.get("hasHeader") is not True and not body.get("columns"):
        return "The columns field is required."
    if not _are_texts(body.get("columns", [])):
        return "The columns field is invalid."
    if len(body.get("delimiter") or ",") != 1:
        return "The delimiter field is invalid."
    if body.get("strategy") not in {None, "insertOnly", "updateOnly"}:
        return "The selected strategy is invalid."
    if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", body.get("confirmEmail", "a@b.c")):
        return "The confirm email must be a valid email address."
    lists = body.get("lists", {})
    if set(lists) - {"addTo", "removeFrom"} or not all(map(_are_texts, lists.values())):
        return "The lists field is invalid."
    return None


def _are_texts(values: t.Any) -> bool:
    return isinstance(values, list) and all(isinstance(value, str) for value in values)
