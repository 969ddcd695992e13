"""What Cordial writes in export files: contacts, their attributes, and who is on which list."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import io
import re
import typing as t

import msgspec

from sandbox.account import Account, Contact
from sandbox.faults import Faults

TYPES = frozenset({"csv", "json", "txt"})
ADDRESS = "channels.email.address"
STATUS = "channels.email.subscribeStatus"


class Exporting:
    """Writes the files of one export call (Cordial Swagger v2: SourceCE)."""

    def __init__(self, account: Account, faults: Faults, body: dict[str, t.Any], job_id: str) -> None:
        self._account = account
        self._faults = faults
        self._body = body
        self._job_id = job_id
        self._kind = str(body.get("exportType") or "csv").lower()

    def files(self) -> tuple[dict[str, bytes], int]:
        """The files by name, most often one, and how many contacts they hold."""
        header, rows = self._table()
        parts = self._faults.get("export_split") or 1
        return {
            self._name(number if parts > 1 else None): self._written(header, rows[number::parts])
            for number in range(parts)
        }, len(rows)

    def _table(self) -> tuple[list[str], list[list[str]]]:
        """The columns: fields, then a column for each list, with 1 for who is on it and 0 for who is not."""
        fields = [str(name) for name in self._body["fields"]]
        if self._faults.get("export_status_absent") is not None:
            fields = [name for name in fields if name != STATUS]
        lists = {str(name): self._account.list_id(str(name)) for name in self._body.get("lists") or ()}
        names = self._account.lists()
        rows = [
            [self._cell(address, contact, field) for field in fields]
            + [str(int(names.get(id_ or 0) in contact.lists)) for id_ in lists.values()]
            for address, contact in self._contacts().items()
        ]
        rows += rows[: self._faults.get("export_repeats") or 0]
        if self._faults.get("export_identifier") is not None:
            fields = ["email" if name == ADDRESS else name for name in fields]
        if self._faults.get("export_list_ids") is not None:
            return [*fields, *map(str, lists.values())], rows
        return [*fields, *(names[id_ or 0] for id_ in lists.values())], rows

    def _cell(self, address: str, contact: Contact, field: str) -> str:
        spelled = self._faults.get("export_identifier")
        if field == ADDRESS:
            return "" if spelled == "blank" else address
        if field == "email" and spelled is not None:
            return address
        if field == STATUS:
            return contact.subscribe_status
        key, _, part = field.partition(".")
        value = contact.attributes.get(key, "")
        if part:
            value = value.get(part, "") if isinstance(value, dict) else ""
        kind = self._account.attributes().get(key, {}).get("type")
        if kind == "number" and value != "":
            return self._number(value)
        return self._date(value) if kind == "date" and value else self._text(value)

    def _number(self, value: t.Any) -> str:
        form = self._faults.get("export_numbers")
        number = float(value)
        return {
            "long": f"{number:.6f}",
            "short": repr(number).removesuffix(".0"),
            "powers": f"{number:.9e}",
        }.get(form or "", str(value))

    def _text(self, value: t.Any) -> str:
        joined = {"commas": ",", "bars": "|"}.get(self._faults.get("export_arrays") or "")
        if joined and isinstance(value, list):
            return joined.join(map(str, value))
        return value if isinstance(value, str) else msgspec.json.encode(value).decode()

    def _date(self, value: t.Any) -> str:
        form = self._faults.get("export_dates")
        if form is None:
            return str(value)
        # Python takes six digits of a second at most.
        time = dt.datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(value)).replace("Z", "+00:00"))
        time = time.replace(tzinfo=time.tzinfo or dt.timezone.utc).astimezone(dt.timezone.utc)
        if form == "spaced":
            return f"{time:%Y-%m-%d %H:%M:%S}"
        return f"{time:%Y-%m-%dT%H:%M:%S}" + (
            f".{time.microsecond // 1000:03d}Z" if form == "milliseconds" else "+0000"
        )

    def _contacts(self) -> dict[str, Contact]:
        contacts = self._account.contacts()
        audience = self._body.get("audience-key")
        if not audience:
            return contacts
        members = self._account.list_members(self._account.saved_audiences[audience])
        return {address: contact for address, contact in contacts.items() if address in members}

    def _written(self, header: list[str], rows: list[list[str]]) -> bytes:
        if self._kind == "json":
            content = msgspec.json.encode([dict(zip(header, row, strict=True)) for row in rows])
        else:
            has_header = self._body.get("showHeader", True) and self._faults.get("export_headless") is None
            text = io.StringIO()
            delimiter = self._body.get("delimiter") or "," if self._kind == "txt" else ","
            writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
            writer.writerows([header, *rows] if has_header else rows)
            content = text.getvalue().encode()
        return gzip.compress(content) if self._body.get("compress") else content

    def _name(self, part: int | None) -> str:
        name = self._body.get("name") or self._job_id
        if self._faults.get("export_named_by_job") is not None:
            name = self._job_id
        number = "" if part is None else f"_{part + 1}"
        return f"{name}{number}.{self._kind}" + (".gz" if self._body.get("compress") else "")
