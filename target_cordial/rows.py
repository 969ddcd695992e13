"""The row of an enter: the contact, and a cell for each mapped field."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from singer_process.errors import UserError
from target_cordial.batch import quoted
from target_cordial.bulk_cells import BulkColumn, quoted_all
from target_cordial.cells import EMPTY, Attribute, CellError, cell_writer
from target_cordial.mapping import RejectedError

if t.TYPE_CHECKING:
    from target_cordial.batch import Cells
    from target_cordial.settings import Settings

_ABSENT: t.Final = object()


@dataclass(frozen=True)
class Column:
    """A mapped field and where it goes.

    Attributes:
        field: The record's field, dotted for a nested one.
        header: Cordial's column: an attribute's key, and its part for a geo attribute.
        attribute: The attribute.
        write: Turns a value into a cell.
    """

    field: str
    header: str
    attribute: Attribute
    write: t.Callable[[object], str]


def columns_of(field_mapping: t.Mapping[str, str], attributes: t.Mapping[str, Attribute]) -> list[Column]:
    """The columns of a field mapping.

    Args:
        field_mapping: Record field to attribute key.
        attributes: The account's attributes by key.

    Returns:
        One column a field, in the mapping's order.

    Raises:
        UserError: If an attribute does not exist, or is mapped twice.
    """
    columns: list[Column] = []
    for field, header in field_mapping.items():
        key, _, part = header.partition(".")
        if header in attributes:
            key, part = header, ""
        attribute = attributes.get(key)
        if attribute is None:
            msg = f"Cordial has no attribute {key!r} (field_mapping of {field!r}): create it in Cordial or correct field_mapping; case counts."
            raise UserError(msg)
        if any(column.header == header for column in columns):
            msg = f"The attribute {header!r} is mapped twice in field_mapping: map one field to it."
            raise UserError(msg)
        columns.append(Column(field, header, attribute, cell_writer(attribute, part or None)))
    return columns


class RowWriter:
    """Writes the cells of enters.

    Attributes:
        columns: The mapped columns.
        header: The names of all columns.

    Args:
        columns: The mapped columns.
        settings: What a null means, and what must be there.
        null_marker: The cell that leaves an attribute as it is.
    """

    def __init__(self, columns: t.Sequence[Column], settings: Settings, null_marker: str) -> None:
        self.columns = columns
        self.header = [settings.identifier_column, *[column.header for column in columns]]
        self._last: Cells = ()
        if settings.subscribe_status is not None:
            self.header.append(f"channels.{settings.channel}.subscribeStatus")
            self._last = (quoted(settings.subscribe_status),)
        self._require_all = settings.require_all_fields
        # Only a contact that is created, or whose attribute is emptied, can end up without it.
        may_lack = settings.import_strategy == "upsert" or settings.null_values == "clear"
        self._required = {
            column.attribute.key for column in columns if column.attribute.required and may_lack
        }
        self._readers = [(column, _reader(column.field)) for column in columns]
        self._absent = null_marker
        self._null = "" if settings.null_values == "clear" else null_marker

    def bulk_columns(self) -> list[BulkColumn]:
        """Writers of the same cells for many records at once.

        Returns:
            One a column.
        """
        return [
            BulkColumn(
                column,
                None if self._require_all or column.attribute.key in self._required else self._null,
                self._absent,
            )
            for column in self.columns
        ]

    def bulk_rows(
        self, keys: t.Sequence[str | None], columns: t.Sequence[t.Sequence[str | None]]
    ) -> list[Cells]:
        """The rows of enters whose cells are written.

        Args:
            keys: The contacts.
            columns: Cells of each column.

        Returns:
            A row a contact; not to be used where one of its cells is None.
        """
        last = ([cell] * len(keys) for cell in self._last)
        return t.cast("list[Cells]", list(zip(quoted_all(keys), *columns, *last, strict=True)))

    def cells(self, key: str, record: t.Mapping[str, t.Any]) -> Cells:
        """The row of an enter.

        Args:
            key: The contact.
            record: The record.

        Returns:
            The identifier's cell and one for each column.

        Raises:
            RejectedError: If a value does not fit its attribute, or one that must be there is missing.
        """
        cells = [quoted(key)]
        filled: set[str] = set()
        for column, read in self._readers:
            value = read(record)
            if value is _ABSENT or value in EMPTY:
                if self._require_all:
                    reason = "no value"
                    raise RejectedError(reason, column.field)
                cells.append(self._absent if value is _ABSENT else self._null)
                continue
            try:
                cell = column.write(value)
            except CellError as error:
                raise RejectedError(str(error), column.field) from None
            if cell == self._absent:
                reason = "equal to this run's null marker"
                raise RejectedError(reason, column.field)
            cells.append(quoted(cell))
            filled.add(column.attribute.key)
        for column in self.columns:
            # Of a geo attribute any part will do.
            if column.attribute.key in self._required and column.attribute.key not in filled:
                reason = f"no value for the required attribute {column.attribute.key}"
                raise RejectedError(reason, column.field)
        return (*cells, *self._last)


def _reader(field: str) -> t.Callable[[t.Mapping[str, t.Any]], object]:
    """Reads a field that may be absent; dotted for a nested one, unless the record has the dotted name itself."""
    if "." not in field:
        return lambda record: record.get(field, _ABSENT)
    names = field.split(".")

    def read(record: t.Mapping[str, t.Any]) -> object:
        if field in record:
            return t.cast("object", record[field])
        value: t.Any = record
        for name in names:
            if not isinstance(value, dict):
                return value if value is None else _ABSENT
            value = value.get(name, _ABSENT)
        return t.cast("object", value)

    return read
