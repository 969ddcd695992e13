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
"""Says why a record of tap-lytics-audience was sent."""
EXIT_AGAIN = "exit_again"
"""The change of an exit that was acknowledged before."""
DELETED_FIELD = "_sdc_deleted_at"
"""Set in a record whose row is gone at the source (Meltano SDK: record metadata)."""

_ADDRESS = re.compile(
    r"[^@\s\x00-\x1f\x7f,;<>\"()]+@[^@\s\x00-\x1f\x7f,;<>\"()]+\.[^@\s\x00-\x1f\x7f,;<>\"().]+"
)
_PLAIN_ADDRESSES = re.compile(r"(?:[a-z0-9._%+'-]+@[a-z0-9-]+(?:\.[a-z0-9-]+)+\n)+")
"""Lines that are addresses beyond doubt, each its own key."""
_MAX_ADDRESS_CHARACTERS = 254


def contact_keys(values: Values, *, is_address: bool, field: str, rejects: Rejects) -> list[str]:
    """The keys that say which contacts records are for, which are their cells, too.

    The same rule as the tap's member key: trimmed, and an address in NFC and lower case. An identifier that is missing or
    malformed, or no address where `is_address` wants one, goes to `rejects`, and its key is blank.
    """
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
        key = str(value) if type(value) is int else value
        if isinstance(key, str):
            key = key.strip()
            if "@" in key:
                # Lower case can take a letter apart again.
                key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).lower())
        reason = _fault(key, is_address=is_address)
        if reason is None:
            keys[number] = t.cast("str", key)
        else:
            rejects.setdefault(number, RejectedError(reason, field))
    return keys


def _fault(key: object, *, is_address: bool) -> str | None:
    if key is None or key is msgspec.UNSET or key == "":
        return "no identifier"
    if not isinstance(key, str):
        return "the identifier is not text"
    if is_address and (len(key) > _MAX_ADDRESS_CHARACTERS or not _ADDRESS.fullmatch(key)):
        return "the identifier is not an e-mail address"
    return None if key.isprintable() else "the identifier holds a control character"


class Mapping:
    """What one stream's records mean, by its schema after stream maps.

    Attributes:
        has_identifier: Whether the schema has the identifier.
        fields: The fields that say who it is, and whether they enter or leave.
    """

    def __init__(self, stream: str, schema: t.Mapping[str, t.Any], settings: Settings) -> None:
        self._stream = stream
        self._settings = settings
        self._properties = schema.get("properties") or {}
        self.has_identifier = settings.identifier_field in self._properties
        self._has_state = settings.state_field in self._properties
        self.fields = [settings.identifier_field, *([settings.state_field] if self._has_state else [])]

    def check(self, columns: t.Iterable[Column]) -> None:
        """See that the schema has what the settings name, and that each mapped field can fit its attribute.

        Raises:
            UserError: If not; the sentence says what to change.
        """
        settings = self._settings
        if not self._has_state and settings.state_field != DEFAULT_STATE_FIELD:
            raise UserError(
                f"The stream {self._stream!r} has no field {settings.state_field!r}: correct state_field, or leave it out if every "
                "record is to join the list."
            )
        if not self._has_state and "audience_id" in self._properties:
            raise UserError(
                f"The stream {self._stream!r} has audience_id but not {settings.state_field!r}, which says who enters and who leaves: "
                "select it in the tap."
            )
        for column in columns:
            rule = field_schema(self._properties, column.field)
            if rule is None:
                raise UserError(
                    f"The stream {self._stream!r} has no field {column.field!r}: select it in the tap, or correct field_mapping."
                )
            types = misfit(column, rule)
            if types is not None:
                raise UserError(
                    f"The field {column.field!r} of stream {self._stream!r} is of type {types}, which never fits the attribute "
                    f"{column.header!r} ({column.attribute.type}): correct field_mapping, or the attribute in Cordial."
                )

    def kinds(self, values: t.Mapping[str, Values], rejects: Rejects) -> t.Sequence[str]:
        """What records say of their contacts: `enter`, `exit`, or `exit_again` if the exit was acknowledged before."""
        if not self._has_state:
            deleted = values[DELETED_FIELD]
            return ["enter" if mark is None or mark is msgspec.UNSET else "exit" for mark in deleted]
        field = self._settings.state_field
        states = values[field]
        if states.count("enter") == len(states):
            return t.cast("t.Sequence[str]", states)
        for number, state in enumerate(states):
            if state not in ("enter", "exit"):
                rejects.setdefault(number, RejectedError("neither enter nor exit", field))
        return [
            EXIT_AGAIN if state == "exit" and change == EXIT_AGAIN else str(state)
            for state, change in zip(states, values[CHANGE_FIELD], strict=True)
        ]

    def keys(self, values: t.Mapping[str, Values], rejects: Rejects) -> list[str]:
        """The contacts that records are for."""
        field = self._settings.identifier_field
        return contact_keys(
            values[field], is_address=self._settings.channel == "email", field=field, rejects=rejects
        )
