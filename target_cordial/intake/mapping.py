"""What a record means: whether the contact enters or leaves, and which contact it is."""

from __future__ import annotations

import re
import typing as t
import unicodedata

import msgspec

from lytics_to_cordial.errors import UserError
from target_cordial.intake.cells import RejectedError
from target_cordial.intake.fit import field_schema, misfit
from target_cordial.settings import DEFAULT_STATE_FIELD

if t.TYPE_CHECKING:
    from target_cordial.intake.columns import Column, Rejects, Values
    from target_cordial.settings import Settings

CHANGE_FIELD = "audience_change"
"""Says why a record of tap-lytics-audience was sent; for the summary alone."""
DELETED_FIELD = "_sdc_deleted_at"
"""Set in a record whose row is gone at the source (Meltano SDK: record metadata)."""

_ADDRESS = re.compile(
    r"[^@\s\x00-\x1f\x7f,;<>\"()]+@[^@\s\x00-\x1f\x7f,;<>\"()]+\.[^@\s\x00-\x1f\x7f,;<>\"().]+"
)
_PLAIN_ADDRESSES = re.compile(r"(?:[a-z0-9._%+'-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+\n)+")
"""Lines that are addresses beyond doubt, each its own key."""
_MAX_ADDRESS_CHARACTERS = 254


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
    if value is None or value is msgspec.UNSET or value == "":
        reason = "no identifier"
        raise RejectedError(reason)
    if not isinstance(value, str):
        reason = "the identifier is not text"
        raise RejectedError(reason)
    key = value.strip()
    if "@" in key:
        # Lower case can take a letter apart again.
        key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).lower())
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


def contact_keys(values: Values, *, is_address: bool, field: str, rejects: Rejects) -> list[str]:
    """The keys of many records; those of `rejects` are blank."""
    if is_address and set(map(type, values)) == {str}:
        text = "\n".join(t.cast("t.Sequence[str]", values)).lower()
        keys = text.split("\n")
        # One look at all of them costs a fifth of one at each.
        if (
            len(keys) == len(values)
            and _PLAIN_ADDRESSES.fullmatch(text + "\n")
            and max(map(len, keys)) <= _MAX_ADDRESS_CHARACTERS
        ):
            return keys
    keys = [""] * len(values)
    for number, value in enumerate(values):
        try:
            keys[number] = contact_key(value, is_address=is_address)
        except RejectedError as error:
            rejects.setdefault(number, RejectedError(error.reason, field))
    return keys


class Mapping:
    """What one stream's records mean.

    Attributes:
        has_identifier: Whether the schema has the identifier.

    Args:
        stream: The stream's name.
        schema: Its schema, after stream maps.
        settings: What to send.
    """

    def __init__(self, stream: str, schema: t.Mapping[str, t.Any], settings: Settings) -> None:
        self._stream = stream
        self._settings = settings
        self._properties = schema.get("properties") or {}
        self.has_identifier = settings.identifier_field in self._properties
        self._has_state = settings.state_field in self._properties

    @property
    def fields(self) -> list[str]:
        """The fields that say who it is, and whether they enter or leave."""
        settings = self._settings
        return [settings.identifier_field, *([settings.state_field] if self._has_state else [])]

    def check(self, columns: t.Iterable[Column]) -> None:
        """See that the schema has what the settings name, and that each mapped field can fit its attribute.

        Args:
            columns: The mapped columns.

        Raises:
            UserError: If not; the sentence says what to change.
        """
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
        for column in columns:
            rule = field_schema(self._properties, column.field)
            if rule is None:
                msg = f"The stream {self._stream!r} has no field {column.field!r}: select it in the tap, or correct field_mapping."
                raise UserError(msg)
            types = misfit(column, rule)
            if types is not None:
                msg = (
                    f"The field {column.field!r} of stream {self._stream!r} is of type {types}, which never fits the attribute "
                    f"{column.header!r} ({column.attribute.type}): correct field_mapping, or the attribute in Cordial."
                )
                raise UserError(msg)

    def exits(self, values: t.Mapping[str, Values], rejects: Rejects) -> list[bool]:
        """Whether each of many records says that the contact leaves."""
        if not self._has_state:
            return [value is not None and value is not msgspec.UNSET for value in values[DELETED_FIELD]]
        field = self._settings.state_field
        states = values[field]
        if states.count(states[0]) == len(states) and states[0] in ("enter", "exit"):
            return [states[0] == "exit"] * len(states)
        for number, state in enumerate(states):
            if state not in ("enter", "exit"):
                rejects.setdefault(number, RejectedError("neither enter nor exit", field))
        return [state == "exit" for state in states]

    def keys(self, values: t.Mapping[str, Values], rejects: Rejects) -> list[str]:
        """The contacts that many records are for."""
        settings = self._settings
        field = settings.identifier_field
        return contact_keys(
            values[field], is_address=settings.channel == "email", field=field, rejects=rejects
        )
