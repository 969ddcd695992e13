"""From a record to a row: the list action, the contact, and a cell for each mapped attribute."""

from __future__ import annotations

import re
import typing as t
import unicodedata
from dataclasses import dataclass

from target_cordial.cells import Attribute, CellError, cell_writer
from target_cordial.errors import UserError
from target_cordial.settings import DEFAULT_STATE_FIELD

if t.TYPE_CHECKING:
    from target_cordial.batch import Cells
    from target_cordial.settings import Settings

DELETED_FIELD = "_sdc_deleted_at"
"""Set in a record whose row is gone at the source (Meltano SDK: record metadata)."""

_ABSENT: t.Final = object()
_ADDRESS = re.compile(
    r"[^@\s\x00-\x1f\x7f,;<>\"()]+@[^@\s\x00-\x1f\x7f,;<>\"()]+\.[^@\s\x00-\x1f\x7f,;<>\"().]+"
)
_MAX_ADDRESS_CHARACTERS = 254


class RejectedError(ValueError):
    """A record cannot be sent.

    Args:
        reason: Why, without the value.
        field: The field to blame, if it is one.
    """

    def __init__(self, reason: str, field: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.field = field


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


def contact_key(value: object, *, is_address: bool) -> str:
    """The key that says which contact a record is for, and its cell.

    The same rule as the tap's member key: trimmed, and an address in NFC and lower case.

    Args:
        value: The identifier.
        is_address: Whether it must be an e-mail address.

    Returns:
        The key.

    Raises:
        RejectedError: If there is none, or it is malformed.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if value is None or value is _ABSENT or value == "":
        reason = "no identifier"
        raise RejectedError(reason)
    if not isinstance(value, str):
        reason = "the identifier is not text"
        raise RejectedError(reason)
    key = value.strip()
    if "@" in key:
        key = unicodedata.normalize("NFC", key).lower()
    if not key:
        reason = "no identifier"
        raise RejectedError(reason)
    if is_address and (len(key) > _MAX_ADDRESS_CHARACTERS or not _ADDRESS.fullmatch(key)):
        reason = "the identifier is not an e-mail address"
        raise RejectedError(reason)
    if not key.isprintable():
        reason = "the identifier holds a control character"
        raise RejectedError(reason)
    return key


class Mapping:
    """How one stream's records become rows.

    Args:
        stream: The stream's name.
        schema: Its schema, after stream maps.
        settings: What to send.

    Raises:
        UserError: If the schema lacks what the settings name.
    """

    def __init__(self, stream: str, schema: t.Mapping[str, t.Any], settings: Settings) -> None:
        self._stream = stream
        self._settings = settings
        self._properties = schema.get("properties") or {}
        self.has_identifier = settings.identifier_field in self._properties
        self._has_state = settings.state_field in self._properties
        if self.has_identifier:
            self._check_schema()

    def _check_schema(self) -> None:
        settings = self._settings
        if not self._has_state and settings.state_field != DEFAULT_STATE_FIELD:
            msg = (
                f"The stream {self._stream!r} has no field {settings.state_field!r}: correct state_field, or leave it out if every "
                "record is to join the list."
            )
            raise UserError(msg)
        if not self._has_state and "audience_id" in self._properties:
            msg = (
                f"The stream {self._stream!r} has audience_id but not {settings.state_field!r}, which says who enters and who leaves: "
                "select it in the tap."
            )
            raise UserError(msg)
        for field in settings.field_mapping:
            if field not in self._properties and field.split(".")[0] not in self._properties:
                msg = f"The stream {self._stream!r} has no field {field!r}: select it in the tap, or correct field_mapping."
                raise UserError(msg)

    def is_exit(self, record: t.Mapping[str, t.Any], *, is_deleted: bool) -> bool:
        """Whether a record says that the contact leaves.

        Args:
            record: The record.
            is_deleted: Whether the source marks it as deleted.

        Returns:
            True for an exit, False for an enter.

        Raises:
            RejectedError: If it says neither.
        """
        if not self._has_state:
            return is_deleted
        state = record.get(self._settings.state_field)
        if state == "enter":
            return False
        if state == "exit":
            return True
        reason = "neither enter nor exit"
        raise RejectedError(reason, self._settings.state_field)

    def key(self, record: t.Mapping[str, t.Any]) -> str:
        """The contact that a record is for.

        Args:
            record: The record.

        Returns:
            Its key.

        Raises:
            RejectedError: If the identifier is missing or malformed.
        """
        settings = self._settings
        try:
            return contact_key(record.get(settings.identifier_field), is_address=settings.channel == "email")
        except RejectedError as error:
            raise RejectedError(error.reason, settings.identifier_field) from None


class RowWriter:
    """Writes the cells of enters.

    Args:
        columns: The mapped columns.
        settings: What a null means, and what must be there.
        null_marker: The cell that leaves an attribute as it is.
    """

    def __init__(self, columns: t.Sequence[Column], settings: Settings, null_marker: str) -> None:
        self.header = [settings.identifier_column, *[column.header for column in columns]]
        self._last: Cells = []
        if settings.subscribe_status is not None:
            self.header.append(f"channels.{settings.channel}.subscribeStatus")
            self._last = [settings.subscribe_status]
        self._require_all = settings.require_all_fields
        self._columns = [(column, column.attribute.required, _reader(column.field)) for column in columns]
        self._absent = null_marker
        self._null = "" if settings.null_values == "clear" else null_marker

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
        cells = [key]
        for column, is_required, read in self._columns:
            value = read(record)
            if value is None or value is _ABSENT:
                if self._require_all or is_required:
                    reason = (
                        f"no value for the required attribute {column.header}" if is_required else "no value"
                    )
                    raise RejectedError(reason, column.field)
                cells.append(self._null if value is None else self._absent)
                continue
            try:
                cells.append(column.write(value))
            except CellError as error:
                raise RejectedError(str(error), column.field) from None
        return cells + self._last


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
