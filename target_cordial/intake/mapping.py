"""What a record means: whether the contact enters or leaves, and which contact it is."""

from __future__ import annotations

import typing as t

import msgspec

from target_cordial.intake.cells import RejectedError
from target_cordial.intake.fields import field_schema, lists_field, names_read, values_of
from target_cordial.intake.fit import cannot_identify, misfit
from target_cordial.intake.identifiers import contact_keys
from target_cordial.intake.messages import InputError
from target_cordial.settings import DEFAULT_STATE_FIELD

if t.TYPE_CHECKING:
    from target_cordial.intake.columns import Column, Rejects, Values
    from target_cordial.intake.fields import Schema
    from target_cordial.settings import Settings

CHANGE_FIELD = "audience_change"
"""Says why a record of tap-lytics-audience was sent."""
EXIT_AGAIN = "exit_again"
"""The change of an exit that was acknowledged before."""
EXITS = frozenset({"exit", EXIT_AGAIN})
DELETED_FIELD = "_sdc_deleted_at"
"""Set in a record whose row is gone at the source (Meltano SDK: record metadata)."""

_NOT_SET = frozenset({"", "0", "false"})
"""A mark of text that marks nothing: files have text for null, too."""


class MisfitError(InputError):
    """A record or its stream's schema does not go with the settings."""


class Mapping:
    """What one stream's records mean, by its schema after stream maps.

    Attributes:
        has_identifier: Whether the schema has the identifier.
        fields: The fields that say who it is, and whether they enter or leave.
    """

    def __init__(self, stream: str, schema: Schema, settings: Settings) -> None:
        self._stream = stream
        self._schema = schema
        self._settings = settings
        self._properties = schema.get("properties") or {}
        self.has_identifier = lists_field(schema, settings.identifier_field)
        self._has_state = settings.state_field in self._properties
        self.fields = [
            *names_read(settings.identifier_field),
            *([settings.state_field] if self._has_state else []),
        ]

    def check(self, columns: t.Iterable[Column], list_fields: t.Iterable[str] = ()) -> None:
        """See that the schema has what the settings name, and that each mapped field can fit its attribute.

        Raises:
            MisfitError: If not; the sentence says what to change.
        """
        self._check_state_field()
        self._check_identifier()
        for field in list_fields:
            if field_schema(self._schema, field) is None:
                raise MisfitError(
                    f"The stream {self._stream!r} has no field {field!r}, which list_name ({self._settings.list_name!r}) names: set "
                    "list_name to a name or to fields that the stream has."
                )
        for column in columns:
            self._check_column(column)

    def _check_state_field(self) -> None:
        field = self._settings.state_field
        if self._has_state:
            return
        if field != DEFAULT_STATE_FIELD:
            raise MisfitError(
                f"The stream {self._stream!r} has no field {field!r}: correct state_field, or leave it out if every "
                "record is to join the list."
            )
        if "audience_id" in self._properties:
            raise MisfitError(
                f"The stream {self._stream!r} has audience_id but not {field!r}, which says who enters and who leaves: "
                "select it in the tap."
            )

    def _check_identifier(self) -> None:
        field = self._settings.identifier_field
        rule = field_schema(self._schema, field)
        types = None if rule is None else cannot_identify(rule, is_address=self._is_address)
        if types is not None:
            raise MisfitError(
                f"The field {field!r} of stream {self._stream!r} is of type {types}, which never identifies a contact in "
                f"{self._settings.identifier_column}: correct identifier_field."
            )

    def _check_column(self, column: Column) -> None:
        rule = field_schema(self._schema, column.field)
        if rule is None:
            raise MisfitError(
                f"The stream {self._stream!r} has no field {column.field!r}: select it in the tap, or correct field_mapping. A stream "
                f"that is not meant at all is left out by `stream_maps: {{{self._stream}: __NULL__}}`."
            )
        types = misfit(column, rule)
        if types is not None:
            raise MisfitError(
                f"The field {column.field!r} of stream {self._stream!r} is of type {types}, which never fits the attribute "
                f"{column.header!r} ({column.attribute.type}): correct field_mapping, or the attribute in Cordial."
            )

    @property
    def _is_address(self) -> bool:
        return self._settings.channel == "email"

    def kinds(self, values: t.Mapping[str, Values], rejects: Rejects) -> t.Sequence[str]:
        """What records say of their contacts: `enter`, `exit`, or `exit_again` if the exit was acknowledged before."""
        if not self._has_state:
            marks = values[DELETED_FIELD]
            if marks.count(msgspec.UNSET) + marks.count(None) == len(marks):
                return ["enter"] * len(marks)
            return ["exit" if _is_set(mark) else "enter" for mark in marks]
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

    def keys(self, kinds: t.Sequence[str], values: t.Mapping[str, Values], rejects: Rejects) -> list[str]:
        """The contacts that records of these kinds are for."""
        field = self._settings.identifier_field
        return contact_keys(
            values_of(field, values), kinds, is_address=self._is_address, field=field, rejects=rejects
        )


def _is_set(mark: object) -> bool:
    """Whether a mark marks a record, by its value: a field that is null, blank, false or 0 says nothing."""
    if isinstance(mark, str):
        return mark.strip().lower() not in _NOT_SET
    return mark is not msgspec.UNSET and bool(mark)
