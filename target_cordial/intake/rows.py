"""The rows of enters: the contact, and a cell for each mapped field."""

from __future__ import annotations

import typing as t

import msgspec

from target_cordial.intake.cells import EMPTY, RejectedError
from target_cordial.intake.columns import quoted_all

if t.TYPE_CHECKING:
    from target_cordial.delivery.importfile import Cells
    from target_cordial.intake.columns import Column, Rejects, Values
    from target_cordial.settings import Settings


class RowWriter:
    """Writes the rows of enters.

    Attributes:
        columns: The mapped columns.
        header: The names of all columns.
        fields: The fields that rows are made of; of a nested one its own name and its outermost object's.

    Args:
        columns: The mapped columns.
        settings: What a null means, and what must be there.
        null_marker: The cell that leaves an attribute as it is.
    """

    def __init__(self, columns: t.Sequence[Column], settings: Settings, null_marker: str) -> None:
        self.columns = columns
        self.header = [settings.identifier_column, *[column.header for column in columns]]
        # Only a contact that is created, or whose attribute is emptied, can end up without it.
        may_lack = settings.import_strategy == "upsert" or settings.null_values == "clear"
        self._required: dict[str, list[Column]] = {}
        for column in columns:
            if column.attribute.required and may_lack:
                self._required.setdefault(column.attribute.key, []).append(column)
        self._absent = null_marker
        self._null = "" if settings.null_values == "clear" else null_marker
        self._null_if_any = None if settings.require_all_fields else self._null
        self.fields = [name for column in columns for name in (column.field, column.field.partition(".")[0])]

    def rows(self, keys: t.Sequence[str], values: t.Mapping[str, Values], rejects: Rejects) -> list[Cells]:
        """The rows of contacts, from the values of each of `fields`; `rejects` takes those that cannot be sent."""
        mapped = [_values_of(column.field, values) for column in self.columns]
        cells = [
            column.cells(own, null=self._null_if_any, absent=self._absent, rejects=rejects)
            for column, own in zip(self.columns, mapped, strict=True)
        ]
        for key, columns in self._required.items():
            parts = [mapped[self.columns.index(column)] for column in columns]
            # Of a geo attribute any part will do.
            for number, values_of_parts in enumerate(zip(*parts, strict=True)):
                if all(value is msgspec.UNSET or value in EMPTY for value in values_of_parts):
                    reason = f"no value for the required attribute {key}"
                    rejects.setdefault(number, RejectedError(reason, columns[0].field))
        return list(zip(quoted_all(keys), *cells, strict=True))


def _values_of(field: str, values: t.Mapping[str, Values]) -> Values:
    """A field's values; a dotted one is nested, unless a record has the dotted name itself."""
    own = values[field]
    outer, dot, inner = field.partition(".")
    if not dot or msgspec.UNSET not in own:
        return own
    names = inner.split(".")
    return [
        _inside(whole, names) if value is msgspec.UNSET else value
        for value, whole in zip(own, values[outer], strict=True)
    ]


def _inside(value: object, names: t.Sequence[str]) -> object:
    for name in names:
        if not isinstance(value, dict):
            return value if value is None else msgspec.UNSET
        value = value.get(name, msgspec.UNSET)
    return value
