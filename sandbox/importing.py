"""What Cordial does with the rows of an import file: imports them in slices, in no order."""

from __future__ import annotations

import datetime as dt
import json
import random
import re
import threading
import typing as t
from collections import Counter
from dataclasses import dataclass

from sandbox.account import Account
from sandbox.faults import Faults
from sandbox.importfile import FailedImportError

SLICES = 4
ROWS_PER_TRANSACTION = 500
STATUSES = ("subscribed", "unsubscribed", "none")
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
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")
_DATE = re.compile(r"(\d{4}-\d\d-\d\d)(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d+)?")


class RejectedRowError(ValueError):
    """A row is rejected."""


@dataclass(frozen=True)
class Column:
    """A column of the file.

    Attributes:
        at: Its place in a row.
        kind: `attribute`, `status` or `list`.
        attribute: The attribute, with its validators.
        part: The part of a geo attribute.
        list_id: The list.
    """

    at: int
    kind: t.Literal["attribute", "status", "list"]
    attribute: dict[str, t.Any] | None = None
    part: str | None = None
    list_id: int = 0


class Importing:
    """Runs one import."""

    def __init__(self, account: Account, faults: Faults, order: random.Random) -> None:
        self._account = account
        self._faults = faults
        self._order = order

    def run(
        self,
        body: dict[str, t.Any],
        header: list[str],
        rows: list[list[str]],
        seconds: float,
        stopping: threading.Event,
    ) -> Counter[str]:
        """Import rows within some seconds, unless it is stopped; raises `FailedImportError` if it fails as a whole."""
        lists = body.get("lists", {})
        add_to = self._lists(lists.get("addTo", ()))
        remove_from = self._lists(lists.get("removeFrom", ()))
        rules = _Rules(self._account, self._faults, body, header, add_to, remove_from)
        rows = list(rows)
        self._order.shuffle(rows)
        rows = rows[self._faults.get("rows_dropped") or 0 :]
        counters = Counter(totalRecords=len(rows), inserted=0, updated=0, rejected=0, error=0, ignored=0)
        for outcome in ("rejected", "error"):
            count = self._faults.get({"rejected": "job_rejects", "error": "job_errors"}[outcome]) or 0
            counters[outcome] += len(rows[:count])
            rows = rows[count:]
        for number in range(SLICES):
            part = rows[number::SLICES]
            # Short transactions, so that imports under way at once really mix, and nobody waits long.
            for start in range(0, len(part), ROWS_PER_TRANSACTION):
                with self._account.transaction():
                    counters.update(map(rules.apply, part[start : start + ROWS_PER_TRANSACTION]))
            if stopping.wait(seconds / SLICES):
                break
        return counters

    def _lists(self, names: t.Iterable[str]) -> list[int]:
        ids = []
        for name in names:
            found = self._account.list_id(str(name))
            if found is not None:
                ids.append(found)
            elif self._faults.get("unknown_list_ignored") is None:
                raise FailedImportError(f"There is no list {name}")
        return ids


class _Rules:
    """What one file's rows do."""

    def __init__(
        self,
        account: Account,
        faults: Faults,
        body: dict[str, t.Any],
        header: list[str],
        add_to: list[int],
        remove_from: list[int],
    ) -> None:
        self._account = account
        self._attributes = account.attributes()
        self._required = {key for key, attribute in self._attributes.items() if _is_required(attribute)}
        self._strategy = body.get("strategy")
        self._null_marker = body.get("nullMarker")
        self._add_to = add_to
        self._remove_from = remove_from
        self._keeps_case = faults.get("address_case_kept") is not None
        # A call may ask that contacts keep their status (Cordial support, article 203886058).
        keeps_status = body.get("subscribe") is False
        self._resets_status = faults.get("status_resets") is not None and not keeps_status
        is_unsubscribed = keeps_status and faults.get("new_contacts_unsubscribed") is not None
        self._new_status = "none" if is_unsubscribed else "subscribed"
        self._unknown_in_update = faults.get("unknown_in_update")
        self._max_digits = faults.get("date_digits")
        self._empty_cells = faults.get("empty_cells") or "clears"
        self._has_comma_arrays = faults.get("array_commas") is not None
        self._width = len(header)
        self._address_at = -1
        self._columns: list[Column] = []
        for at, name in enumerate(header):
            if self._address_at < 0 and re.fullmatch(r"channels\.\w+\.address", name):
                self._address_at = at
            elif name:
                self._add_column(at, name, fails=faults.get("unknown_header_fails") is not None)
        if self._address_at < 0:
            raise FailedImportError("The file has no channel address column")

    def _add_column(self, at: int, name: str, *, fails: bool) -> None:
        key, _, part = name.partition(".")
        plain, geo = self._attributes.get(name), self._attributes.get(key)
        list_id = self._account.list_id(name)
        if re.fullmatch(r"channels\.\w+\.subscribeStatus", name):
            self._columns.append(Column(at, "status"))
        elif plain is not None and plain["type"] != "geo":
            self._columns.append(Column(at, "attribute", plain))
        elif geo is not None and geo["type"] == "geo" and part in GEO_PARTS:
            self._columns.append(Column(at, "attribute", geo, part))
        elif list_id is not None:
            # What the call says of a list goes before what the file says.
            if list_id not in {*self._add_to, *self._remove_from}:
                self._columns.append(Column(at, "list", list_id=list_id))
        elif fails:
            raise FailedImportError(f"Unknown column {name}")

    def apply(self, row: list[str]) -> str:
        """Import one row."""
        if len(row) != self._width:
            return "rejected"
        address = row[self._address_at].strip()
        is_update = self._strategy == "updateOnly"
        if not _ADDRESS.fullmatch(address):
            return "ignored" if is_update and self._unknown_in_update == "ignored" else "rejected"
        if not self._keeps_case:
            address = address.lower()
        known = self._account.status_and_attributes(address)
        if known is None and is_update:
            return "rejected" if self._unknown_in_update == "rejected" else "ignored"
        if known is not None and self._strategy == "insertOnly":
            return "ignored"
        status, values = known or (self._new_status, {})
        lists = dict.fromkeys(self._remove_from, False) | dict.fromkeys(self._add_to, True)
        try:
            for column in self._columns:
                cell = row[column.at]
                if cell == self._null_marker:
                    continue
                if column.attribute is not None:
                    self._set(values, column.attribute, column.part, cell)
                elif column.kind == "list":
                    lists |= _membership(column.list_id, cell)
                else:
                    status = _status(status, cell)
        except RejectedRowError:
            return "rejected"
        if known is None and not self._required.issubset(values):
            return "rejected"
        if self._resets_status and status == "none" and not any(c.kind == "status" for c in self._columns):
            status = "subscribed"
        self._account.put_contact(address, values, status)
        for list_id, is_on in lists.items():
            (self._account.join if is_on else self._account.leave)(list_id, address)
        return "inserted" if known is None else "updated"

    def _set(
        self, values: dict[str, t.Any], attribute: dict[str, t.Any], part: str | None, cell: str
    ) -> None:
        key = attribute["key"]
        if cell == "":
            if self._empty_cells == "rejected":
                raise RejectedRowError
            if self._empty_cells == "clears":
                values.pop(key, None) if part is None else values.get(key, {}).pop(part, None)
        elif part is not None:
            values[key] = {**values.get(key, {}), part: _geo_part(part, cell)}
        elif attribute["type"] == "array" and self._has_comma_arrays:
            values[key] = _items(attribute, cell.split(","))
        else:
            if attribute["type"] == "date" and self._max_digits is not None:
                _check_digits(cell, self._max_digits)
            values[key] = _value(attribute, cell)


def _membership(list_id: int, cell: str) -> dict[int, bool]:
    if cell not in {"", "0", "1"}:
        raise RejectedRowError
    return {list_id: cell == "1"} if cell else {}


def _status(status: str, cell: str) -> str:
    """The subscribe status after a cell; an import cannot undo an unsubscribe."""
    if cell not in {"", *STATUSES}:
        raise RejectedRowError
    return status if status == "unsubscribed" else cell or status


def _value(attribute: dict[str, t.Any], cell: str) -> t.Any:
    kind = attribute["type"]
    if kind == "number":
        _check_number(cell, attribute.get("validators") or {})
    elif kind == "date":
        _check_date(cell)
    elif kind == "array":
        try:
            items = json.loads(cell) if cell.startswith("[") else [cell]
        except ValueError:
            raise RejectedRowError from None
        return _items(attribute, items)
    else:
        _check_length(cell, attribute)
    return cell


def _items(attribute: dict[str, t.Any], items: list[t.Any]) -> list[str]:
    if len(items) > int((attribute.get("options") or {}).get("maxitems", MAX_ITEMS)):
        raise RejectedRowError
    for item in items:
        _check_length(str(item), attribute)
    return [str(item) for item in items]


def _geo_part(part: str, cell: str) -> str:
    if part.startswith("loc."):
        _check_number(cell, {})
    else:
        _check_length(cell, {})
    return cell


def _check_length(text: str, attribute: dict[str, t.Any]) -> None:
    limits = attribute.get("validators") or {}
    if not int(limits.get("min") or 0) <= len(text) <= int(limits.get("max") or MAX_STRING):
        raise RejectedRowError


def _check_number(cell: str, limits: dict[str, t.Any]) -> None:
    if not _NUMBER.fullmatch(cell):
        raise RejectedRowError
    if not float(limits.get("min", "-inf")) <= float(cell) <= float(limits.get("max", "inf")):
        raise RejectedRowError


def _check_date(cell: str) -> None:
    found = _DATE.fullmatch(cell)
    try:
        if found is None:
            raise RejectedRowError
        dt.date.fromisoformat(found[1])
    except ValueError:
        raise RejectedRowError from None


def _check_digits(cell: str, most: int) -> None:
    found = re.search(r"\.(\d+)", cell)
    if found is not None and len(found[1]) > most:
        raise RejectedRowError


def _is_required(attribute: dict[str, t.Any]) -> bool:
    return bool((attribute.get("validators") or {}).get("required"))
