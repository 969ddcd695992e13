"""Scans: the pages in which Lytics gives the members of an audience, or the profiles that a filter matches."""

from __future__ import annotations

import base64
import random
import typing as t

import msgspec

from sandbox.filterql import parse
from sandbox.rows import SYSTEM_FIELDS, Rows, Selection

if t.TYPE_CHECKING:
    from sandbox.faults import Faults
    from sandbox.filterql import Test
    from sandbox.people import Profile
    from sandbox.world import Audience, World

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


class Scans:
    """Makes the pages of scans. Several threads may use it.

    Args:
        world: The account.
        faults: What goes wrong.
    """

    def __init__(self, world: World, faults: Faults) -> None:
        self._world = world
        self._profiles = world.profiles
        self._faults = faults
        self._orders: dict[tuple[str, frozenset[int] | None, bool], tuple[int, list[str]]] = {}
        self._slices: dict[str, tuple[int, list[list[str]]]] = {}
        self._rows: dict[Selection, Rows] = {}

    def page(
        self, name: str, *, fields: list[str] | None, splits: frozenset[int] | None, limit: int, cursor: str
    ) -> bytes:
        """A page of a scan, as Lytics answers it.

        Args:
            name: The audience.
            fields: The fields to give; all by default.
            splits: The slices to give; all by default.
            limit: The most rows.
            cursor: The last page's `_next`; blank for the first.

        Returns:
            The answer's body.

        Raises:
            KeyError: If there is no such audience.
            CursorError: If the cursor is no good.
        """
        with self._world.lock:
            audience = self._world.audience(name)
            order = self._order(audience, splits)
            return self._page(order, cursor, limit, len(audience.members), fields)

    def ad_hoc_page(self, filter_text: str, *, fields: list[str] | None, limit: int, cursor: str) -> bytes:
        """A page of the profiles that a filter matches, as Lytics answers it.

        Args:
            filter_text: The filter.
            fields: The fields to give; all by default.
            limit: The most rows.
            cursor: The last page's `_next`; blank for the first.

        Returns:
            The answer's body.

        Raises:
            FilterError: If the filter cannot be read.
            CursorError: If the cursor is no good.
        """
        with self._world.lock:
            fold = self._faults.get("filter_ignores_case") is not None
            found = parse(filter_text, self._includes, fold=fold)
            self._world.ad_hoc_calls += 1
            ids = [
                id_
                for id_ in self._profiles.candidates(found.field, found.values)
                if found.test(self._profiles.get(id_))
            ]
            if self._faults.get("filter_blind") is not None:
                ids = []
            return self._page(sorted(ids), cursor, limit, len(ids), fields)

    def row(self, id_: str) -> Profile:
        """A profile as a scan shows it.

        Args:
            id_: Its `_id`.

        Returns:
            All of its fields, with numbers and booleans as text where they are so in scans.
        """
        with self._world.lock:
            rows = self._rows_of(Selection(is_old=self._faults.get("old_style_values") is not None))
            return t.cast("Profile", msgspec.json.decode(self._row(id_, rows)))

    def _includes(self, name: str) -> Test:
        audience = self._world.audience(name)
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

    def _page(self, order: list[str], cursor: str, limit: int, total: int, fields: list[str] | None) -> bytes:
        start, page_number = self._place(cursor)
        short = self._faults.get("short_scan")
        end = len(order) if short is None else int(len(order) * float(short))
        stop = min(start + limit, end)
        kinds = self._rows_of(self._selection(fields))
        rows = [self._row(id_, kinds) for id_ in order[start:stop]]
        missed, repeated = self._faults.get("rows_missed"), self._faults.get("rows_repeated")
        if missed:
            rows = [row for place, row in enumerate(rows, start + 1) if place % missed]
        if repeated:
            rows = [
                row for place, row in enumerate(rows, start + 1) for _ in range(1 if place % repeated else 2)
            ]
        following = _cursor(stop, page_number + 1) if stop < end else ""
        status = "success" if self._faults.get("status_text") is not None else 200
        head = _encode({"status": status, "message": "success", "_next": following, "total": total})
        return head[:-1] + b',"data":[' + b",".join(rows) + b"]}"

    def _place(self, cursor: str) -> tuple[int, int]:
        """The first row of the page that a cursor asks for, and the page's number.

        Raises:
            CursorError: If the cursor is no good.
        """
        if not cursor:
            return 0, 0
        try:
            kind, start, page_number = base64.urlsafe_b64decode(cursor.encode()).decode().split(":")
        except ValueError:
            kind, start, page_number = "", "", ""
        if kind != "scan" or not (start.isdigit() and page_number.isdigit()):
            msg = "the scan cursor is not valid"
            raise CursorError(msg)
        pages = self._faults.get("cursor_expires")
        if pages is not None and int(page_number) >= pages:
            reply = self._faults.get("expired_cursor") or 400
            if reply == "restart":
                return 0, 0
            msg = "the scan cursor has expired"
            raise CursorError(msg, reply)
        return int(start), int(page_number)

    def _selection(self, fields: list[str] | None) -> Selection:
        system = self._faults.get("system_fields")
        asked = None if fields is None else frozenset(fields)
        if system == "unasked" and asked is not None:
            asked |= SYSTEM_FIELDS
        without = SYSTEM_FIELDS if system == "absent" else frozenset[str]()
        return Selection(asked, without, self._faults.get("old_style_values") is not None)

    def _rows_of(self, selection: Selection) -> Rows:
        rows = self._rows.get(selection)
        if rows is None:
            if len(self._rows) >= MAX_SELECTIONS:
                self._rows.clear()
            rows = self._rows[selection] = Rows(self._profiles.people, selection)
        return rows

    def _row(self, id_: str, rows: Rows) -> bytes:
        segments = (
            [audience.slug for audience in self._world.audiences() if id_ in audience.members]
            if rows.have_segments
            else ()
        )
        number = self._profiles.number(id_)
        if number is None:
            return rows.row_of_profile(self._profiles.get(id_), segments)
        return rows.row_of_person(number, segments)


def _cursor(start: int, page_number: int) -> str:
    return base64.urlsafe_b64encode(f"scan:{start}:{page_number}".encode()).decode()
