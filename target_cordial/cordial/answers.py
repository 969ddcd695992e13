"""What Cordial's answers say, in whichever of their shapes."""

from __future__ import annotations

import contextlib
import datetime as dt
import decimal
import re
import typing as t

import msgspec

from lytics_to_cordial.foreign_text import quote_foreign

_LIMIT = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_JOB_ID = re.compile(r"[0-9A-Za-z_-]+")
"""A job's id becomes part of paths of calls."""


def message_of(body: bytes) -> str:
    """Cordial's own words, in whichever of its shapes, quoted."""
    with contextlib.suppress(msgspec.DecodeError):
        reply = mapping(msgspec.json.decode(body))
        message = reply.get("message") or reply.get("messages") or reply.get("error")
        if isinstance(message, dict):
            errors = mapping(message.get("validationErrors", message)).values()
            message = "; ".join(" ".join(map(str, v)) if isinstance(v, list) else str(v) for v in errors)
        if isinstance(message, str) and message:
            return quote_foreign(message)
    return "no message"


def is_json(body: bytes) -> bool:
    """Whether it is Cordial's API that answers, and not a web server that knows nothing of it."""
    try:
        msgspec.json.decode(body)
    except msgspec.DecodeError:
        return False
    return True


def mapping(value: t.Any) -> dict[str, t.Any]:
    """An object; an empty one in place of anything else."""
    return value if isinstance(value, dict) else {}


def limit_of(value: object) -> decimal.Decimal | None:
    """A limit, which some accounts give as text; blank for none."""
    if isinstance(value, bool) or value is None or not _LIMIT.fullmatch(str(value).strip()):
        return None
    return decimal.Decimal(str(value).strip())


def job_id_of(value: t.Any) -> str:
    """A job's id, which may be a number, and which MongoDB itself writes as an object; blank if it is none."""
    job_id = value.get("$oid") if isinstance(value, dict) else value
    is_given = isinstance(job_id, (str, int)) and not isinstance(job_id, bool)
    return str(job_id) if is_given and _JOB_ID.fullmatch(str(job_id)) else ""


def seconds_between(times: dict[str, t.Any]) -> float | None:
    """How long a job took. Cordial tells whole seconds, so that a quick one took none."""
    try:
        start, end = (msgspec.convert(times.get(name), dt.datetime) for name in ("start", "end"))
        return max(1.0, (end - start).total_seconds())
    except (msgspec.ValidationError, TypeError):
        # Not told, or one with its time zone and one without.
        return None


def count_of(value: t.Any) -> int | None:
    """A counter, which some accounts give as text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return int(value)
    return int(value) if isinstance(value, str) and value.isdigit() else None
