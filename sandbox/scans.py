"""Scans: the pages in which Lytics gives the members of an audience, or the profiles that a filter matches."""

from __future__ import annotations

import base64
import random
import typing as t
from dataclasses import dataclass

import msgspec

from sandbox.conditions import Test
from sandbox.faults import Faults
from sandbox.filterql import Filter, FilterError, parse
from sandbox.people import Profile
from sandbox.rows import SYSTEM_FIELDS, Rows, Selection
from sandbox.world import CREATED, Audience, World

MAX_PAGE = 100
MAX_SELECTIONS = 20
_encode = msgspec.json.Encoder().encode


class CursorError(ValueError):
    """The cursor is not one of ours, or too old.

    Attributes:
        status: The HTTP status that it is refused with.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True)
class Paging:
    """Which page of a scan is asked for, and what its rows hold.

    Attributes:
        limit: The most rows.
        cursor: The last page's `_next`; blank for the first.
        fields: The fields to give; None for all.
        sort_field: The field by which the rows are sorted; None for the order of their coming.
        is_descending: Whether the largest comes first.
    """

    limit: int
    cursor: str = ""
    fields: tuple[str, ...] | None = None
    sort_field: str | None = None
    is_descending: bool = False


class Scans:
    """Makes the pages of scans, each as the body of Lytics' answer. Several threads may use it."""

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._profiles = world.profiles
        self._faults = faults
        self._orders: dict[tuple[str, frozenset[int] | None, bool], tuple[int, list[str]]] = {}
        self._slices: dict[str, tuple[int, list[list[str]]]] = {}
        self._rows: dict[Selection, Rows] = {}

    def page(self, name: str, splits: frozenset[int] | None, paging: Paging) -> bytes:
        """A page of an audience's members, or of those in some slices; raises `KeyError` and `CursorError`."""
        with self._world.lock:
            audience = self._world.audience(name)
            page = self._page(self._order(audience, splits), len(audience.members), paging)
            if audience.members and self._faults.get("scan_shifts") is not None:
                self._world.leave(name, next(iter(audience.members)))
            return page

    def ad_hoc_page(self, filter_text: str, table: str, paging: Paging) -> bytes:
        """A page of the profiles that a filter matches; raises `FilterError` and `CursorError`."""
        with self._world.lock:
            ids = self._matching(self.read(filter_text), table)
            self._world.ad_hoc_calls += 1
            return self._page(ids, len(ids), paging)

    def size(self, filter_text: str) -> int:
        """How many profiles a filter matches; raises `FilterError`."""
        with self._world.lock:
            return len(self._matching(self.read(filter_text), "user"))

    def read(self, filter_text: str) -> Filter:
        """A filter; raises `FilterError`."""
        fold = self._faults.get("filter_ignores_case") is not None
        found = parse(filter_text, self._includes, is_indexed=self._is_indexed, fold=fold)
        refused = self._faults.get("filter_refused")
        if refused is not None and any(refused in value for value in found.values):
            near = filter_text[filter_text.index(refused) :]
            raise FilterError(f"Failed parsing segment QL Line:1 near: {near}")
        return found

    def row(self, id_: str, fields: tuple[str, ...] | None = None) -> Profile:
        """A profile as a scan shows it, with numbers and booleans as text where they are so in scans."""
        with self._world.lock:
            rows = self._rows_of(self._selection(fields))
            return t.cast("Profile", msgspec.json.decode(self._row(id_, rows)))

    def _matching(self, found: Filter, table: str) -> list[str]:
        # The sandbox has audiences of content, but no content.
        if {found.table, table} != {"user"} or self._faults.get("filter_blind") is not None:
            return []
        candidates = self._profiles.candidates(found.field, found.values)
        return sorted(id_ for id_ in candidates if found.test(self._profiles.get(id_)))[: found.limit]

    def _is_indexed(self, field: str) -> bool:
        return field in self._world.fields and field != self._faults.get("field_unindexed")

    def _includes(self, name: str) -> Test:
        audience = self._world.audience_by_id_or_slug(name)
        lag = self._faults.get("index_lag")
        if lag is None:
            return lambda profile: profile["_id"] in audience.members
        before = {
            id_: was_member
            for id_, (calls, was_member) in audience.moved.items()
            if self._world.ad_hoc_calls - calls < lag
        }
        return lambda profile: before.get(profile["_id"], profile["_id"] in audience.members)

    def _order(self, audience: Audience, splits: frozenset[int] | None) -> list[str]:
        if self._faults.get("splits_ignored") is not None:
            splits = None
        if splits is not None and self._faults.get("splits_overlap") is not None:
            splits = splits.union((split + 1) % 100 for split in splits)
        is_shuffled = self._faults.get("rows_reordered") is not None
        version, order = self._orders.get((audience.id, splits, is_shuffled), (-1, []))
        if version != self._world.version:
            if splits is None:
                order = list(audience.members)
            else:
                order = [id_ for split in sorted(splits) for id_ in self._sliced(audience)[split]]
            if is_shuffled:
                random.Random(self._world.version).shuffle(order)  # noqa: S311 - order, not keys
            self._orders[audience.id, splits, is_shuffled] = (self._world.version, order)
        return order

    def _sliced(self, audience: Audience) -> list[list[str]]:
        """The members by slice; all slices at once, as each is asked for sooner or later."""
        version, slices = self._slices.get(audience.id, (-1, []))
        if version != self._world.version:
            slices = [[] for _ in range(100)]
            for id_ in audience.members:
                slices[self._profiles.split(id_)].append(id_)
            self._slices[audience.id] = (self._world.version, slices)
        return slices

    def _page(self, order: list[str], total: int, paging: Paging) -> bytes:
        start, page_number = self._place(paging.cursor)
        if paging.sort_field is not None:
            order = self._sorted(order, paging.sort_field, is_descending=paging.is_descending)
        short = self._faults.get("short_scan")
        end = len(order) if short is None else int(len(order) * float(short))
        stop = min(start + paging.limit, end)
        kinds = self._rows_of(self._selection(paging.fields))
        rows = [self._row(id_, kinds) for id_ in order[start:stop]]
        missed, repeated = self._faults.get("rows_missed"), self._faults.get("rows_repeated")
        if missed:
            rows = [row for place, row in enumerate(rows, start + 1) if place % missed]
        if repeated:
            rows = [
                row for place, row in enumerate(rows, start + 1) for _ in range(1 if place % repeated else 2)
            ]
        has_more = stop < end or (bool(rows) and self._faults.get("empty_last_page") is not None)
        following = _cursor(stop, page_number + 1) if has_more else ""
        status = "success" if self._faults.get("status_text") is not None else 200
        cap = self._faults.get("total_capped")
        total = total if cap is None else min(total, cap)
        head = _encode({"status": status, "message": "success", "_next": following, "total": total})
        data = b"[" + b",".join(rows) + b"]"
        if not rows and self._faults.get("null_data") is not None:
            data = b"null"
        return head[:-1] + b',"data":' + data + b"}"

    def _sorted(self, order: list[str], field: str, *, is_descending: bool) -> list[str]:
        """By a field's values, numbers before text; those who have none come last."""
        values = {id_: self._profiles.get(id_).get(field) for id_ in order}
        having = [id_ for id_ in order if values[id_] is not None]

        def key(id_: str) -> tuple[bool, t.Any]:
            value = values[id_]
            is_number = isinstance(value, (int, float))
            return not is_number, value if is_number else str(value)

        return sorted(having, key=key, reverse=is_descending) + [id_ for id_ in order if values[id_] is None]

    def _place(self, cursor: str) -> tuple[int, int]:
        """The first row of the page that a cursor asks for, and the page's number."""
        if not cursor:
            return 0, 0
        try:
            kind, start, page_number = base64.urlsafe_b64decode(cursor.encode()).decode().split(":")
        except ValueError:
            kind, start, page_number = "", "", ""
        if kind != "scan" or not (start.isdigit() and page_number.isdigit()):
            raise CursorError("the scan cursor is not valid")
        pages = self._faults.get("cursor_expires")
        if pages is not None and int(page_number) >= pages:
            reply = self._faults.get("expired_cursor") or 400
            if reply == "restart":
                return 0, 0
            raise CursorError("the scan cursor has expired", reply)
        return int(start), int(page_number)

    def _selection(self, fields: tuple[str, ...] | None) -> Selection:
        system = self._faults.get("system_fields")
        asked = None if fields is None else frozenset(fields)
        if system == "unasked" and asked is not None:
            asked |= SYSTEM_FIELDS
        without = set(SYSTEM_FIELDS if system == "absent" else ())
        if self._faults.get("segments_absent") is not None:
            without |= {"segments", "_segments"}
        if self._faults.get("segs_shown") is None:
            without.add("_segs")
        return Selection(asked, frozenset(without), self._faults.get("old_style_values") is not None)

    def _rows_of(self, selection: Selection) -> Rows:
        rows = self._rows.get(selection)
        if rows is None:
            if len(self._rows) >= MAX_SELECTIONS:
                self._rows.clear()
            rows = self._rows[selection] = Rows(self._profiles.people, selection)
        return rows

    def _row(self, id_: str, rows: Rows) -> bytes:
        memberships: dict[str, t.Any] = {}
        if rows.memberships:
            audiences = [audience for audience in self._world.audiences() if id_ in audience.members]
            slugs = [audience.slug for audience in audiences]
            times = {audience.id: {"enter": audience.entered.get(id_, CREATED)} for audience in audiences}
            memberships = {name: times if name == "_segs" else slugs for name in rows.memberships}
        number = self._profiles.number(id_)
        if number is None:
            return rows.row_of_profile(self._profiles.get(id_), memberships)
        return rows.row_of_person(number, memberships)


def _cursor(start: int, page_number: int) -> str:
    return base64.urlsafe_b64encode(f"scan:{start}:{page_number}".encode()).decode()
