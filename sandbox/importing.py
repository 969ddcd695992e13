"""What Cordial does with an import file: fetches it, parses it, and imports its rows in slices, in no order."""

from __future__ import annotations

import csv
import datetime as dt
import io
import json
import re
import time
import typing as t
from collections import Counter

if t.TYPE_CHECKING:
    import random
    import threading

    from sandbox.account import Account
    from sandbox.faults import Faults

SLICES = 4
MAX_STRING = 128
MAX_ITEMS = 25
GEO_PARTS = frozenset(
    [
        "street_address",
        "street_address2",
        "city",
        "state",
        "postal_code",
        "country",
        "countryISO",
        "tz",
        "loc.lat",
        "loc.lon",
    ]
)


class FailedImportError(Exception):
    """An import fails as a whole; the text says why."""


class RejectedRowError(ValueError):
    """A row is rejected."""


class Importing:
    """Runs one import.

    Args:
        account: The account.
        faults: What goes wrong.
        order: Decides the order of rows.
    """

    def __init__(self, account: Account, faults: Faults, order: random.Random) -> None:
        self._account = account
        self._faults = faults
        self._order = order

    def run(
        self, body: dict[str, t.Any], content: bytes, seconds: float, stopping: threading.Event
    ) -> Counter[str]:
        """Import a file.

        Args:
            body: The import call.
            content: The file.
            seconds: How long to take.
            stopping: Ends it early.

        Returns:
            Cordial's counters.

        Raises:
            FailedImportError: If it fails as a whole.
        """
        header, rows = _parse(body, content)
        attributes = self._account.attributes()
        columns = self._columns(header, attributes)
        add_to, remove_from = (
            [self._list(name) for name in body.get("lists", {}).get(key, ())]
            for key in ("addTo", "removeFrom")
        )
        counters = Counter(totalRecords=len(rows), inserted=0, updated=0, rejected=0, error=0, ignored=0)
        rejects = int(self._faults.get("job_rejects") or 0)
        self._order.shuffle(rows)
        for number in range(SLICES):
            part = rows[number::SLICES]
            # Short transactions, so that imports under way at once really mix.
            with self._account.lock:
                self._account.database.execute("BEGIN")
                try:
                    for row in part:
                        if rejects:
                            rejects -= 1
                            counters["rejected"] += 1
                            continue
                        counters[self._apply(row, columns, attributes, body, add_to, remove_from)] += 1
                finally:
                    self._account.database.execute("COMMIT")
            if seconds and stopping.wait(seconds / SLICES):
                break
            time.sleep(0)
        return counters

    def _columns(
        self, header: list[str], attributes: dict[str, dict[str, t.Any]]
    ) -> list[tuple[str, str, str | None]]:
        """Kind, name and part of each column."""
        columns: list[tuple[str, str, str | None]] = []
        for name in header:
            key, _, part = name.partition(".")
            if re.fullmatch(r"channels\.\w+\.(address|subscribeStatus)", name):
                columns.append((name.rsplit(".", 1)[1], name, None))
            elif name in attributes and attributes[name]["type"] != "geo":
                columns.append(("attribute", name, None))
            elif key in attributes and attributes[key]["type"] == "geo" and part in GEO_PARTS:
                columns.append(("attribute", key, part))
            elif self._account.list_id(name) is not None:
                columns.append(("list", name, None))
            elif self._faults.get("unknown_header_fails") is not None:
                msg = f"Unknown column {name}"
                raise FailedImportError(msg)
            else:
                columns.append(("unknown", name, None))
        if not any(kind == "address" for kind, _, _ in columns):
            msg = "The file has no channel address column"
            raise FailedImportError(msg)
        return columns

    def _list(self, name: str) -> int:
        found = self._account.list_id(str(name))
        if found is None:
            msg = f"There is no list {name}"
            raise FailedImportError(msg)
        return found

    def _apply(
        self,
        row: list[str],
        columns: list[tuple[str, str, str | None]],
        attributes: dict[str, dict[str, t.Any]],
        body: dict[str, t.Any],
        add_to: list[int],
        remove_from: list[int],
    ) -> str:
        """Import one row.

        Returns:
            The counter that it belongs to.
        """
        if len(row) != len(columns):
            return "rejected"
        cells = dict(zip(((kind, name, part) for kind, name, part in columns), row, strict=True))
        address = next(cell for (kind, _, _), cell in cells.items() if kind == "address").strip()
        if not re.fullmatch(r"[^@\s]+@[^@\s]+\.[^@\s]+", address):
            return "rejected"
        if self._faults.get("address_case_kept") is None:
            address = address.lower()
        known = self._account.status_and_attributes(address)
        strategy = body.get("strategy")
        if (known is None and strategy == "updateOnly") or (known is not None and strategy == "insertOnly"):
            return "ignored"
        status, values = known or ("subscribed", {})
        try:
            for (kind, name, part), cell in cells.items():
                if kind == "attribute":
                    self._set(values, attributes[name], part, cell, body.get("nullMarker"))
                elif kind == "subscribeStatus" and not (known and status == "unsubscribed"):
                    status = cell
        except RejectedRowError:
            return "rejected"
        if not known and any(
            _is_required(attribute) and key not in values for key, attribute in attributes.items()
        ):
            return "rejected"
        self._account.put_contact(address, values, status)
        for list_id in add_to:
            self._account.join(list_id, address)
        for list_id in remove_from:
            self._account.leave(list_id, address)
        for (kind, name, _), cell in cells.items():
            if kind == "list" and not add_to and not remove_from:
                change = self._account.join if cell == "1" else self._account.leave
                change(self._list(name), address)
        return "updated" if known else "inserted"

    def _set(
        self,
        values: dict[str, t.Any],
        attribute: dict[str, t.Any],
        part: str | None,
        cell: str,
        null_marker: str | None,
    ) -> None:
        if null_marker is not None and cell == null_marker:
            return
        key = attribute["key"]
        if cell == "":
            empty = self._faults.get("empty_cells") or "clears"
            if empty == "rejected":
                raise RejectedRowError
            if empty == "clears":
                values.pop(key, None) if part is None else values.get(key, {}).pop(part, None)
            return
        if part is None:
            values[key] = _value(attribute, cell)
        else:
            values[key] = {**values.get(key, {}), part: cell}


def _parse(body: dict[str, t.Any], content: bytes) -> tuple[list[str], list[list[str]]]:
    try:
        text = content.decode("utf-8")
        rows = list(
            csv.reader(io.StringIO(text, newline=""), delimiter=body.get("delimiter") or ",", strict=True)
        )
    except (UnicodeDecodeError, csv.Error) as error:
        msg = "The file is not UTF-8 CSV"
        raise FailedImportError(msg) from error
    rows = [row for row in rows if row]
    if body.get("hasHeader"):
        if not rows:
            msg = "The file is empty"
            raise FailedImportError(msg)
        return list(body.get("columns") or rows[0]), rows[1:]
    return list(body["columns"]), rows


def _value(attribute: dict[str, t.Any], cell: str) -> t.Any:
    kind = attribute["type"]
    limits = attribute.get("validators") or {}
    if kind == "number":
        try:
            number = float(cell)
        except ValueError:
            raise RejectedRowError from None
        if number < float(limits.get("min", "-inf")) or number > float(limits.get("max", "inf")):
            raise RejectedRowError
        return cell
    if kind == "date":
        _check_date(cell)
        return cell
    longest = int(limits.get("max", MAX_STRING))
    if kind == "array":
        items = json.loads(cell) if cell.startswith("[") else [cell]
        if len(items) > int((attribute.get("options") or {}).get("maxitems", MAX_ITEMS)) or any(
            len(item) > longest for item in items
        ):
            raise RejectedRowError
        return items
    if len(cell) > longest:
        raise RejectedRowError
    return cell


def _check_date(cell: str) -> None:
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?", cell)
    try:
        if found is None:
            raise RejectedRowError
        dt.date.fromisoformat(found[1])
    except ValueError:
        raise RejectedRowError from None


def _is_required(attribute: dict[str, t.Any]) -> bool:
    return bool((attribute.get("validators") or {}).get("required"))
