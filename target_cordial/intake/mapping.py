"""What a record means: whether the contact enters or leaves, and which contact it is."""

from __future__ import annotations

import decimal
import math
import re
import typing as t

import msgspec

from target_cordial.intake.cells import EMPTY, RejectedError
from target_cordial.intake.columns import Column, Rejects, Values
from target_cordial.intake.fields import Schema, field_schema, lists_field, names_read, values_of
from target_cordial.intake.fit import cannot_identify, misfit
from target_cordial.intake.identifiers import contact_keys
from target_cordial.intake.messages import InputError
from target_cordial.settings import DEFAULT_STATE_FIELD, Settings

CHANGE_FIELD = "audience_change"
"""Says why a record of tap-lytics-audience was sent."""
EXIT_AGAIN = "exit_again"
"""The change of an exit that was acknowledged before."""
EXITS = frozenset({"exit", EXIT_AGAIN})
DELETED_FIELD = "_sdc_deleted_at"
"""Set in a record whose row is gone at the source (Meltano SDK: record metadata)."""

UNKNOWN = "unknown"
"""What a record says of its contact if it says neither that it enters nor that it leaves."""

_NO_WORDS = frozenset(
    {
        *("", "false", "f", "no", "n"),
        *("null", "none", "nan", "nat", "nil", "na", "n/a", "<na>", "\\n", "undefined", "-"),
    }
)
"""Marks of text that mark nothing: files have text for null, too."""
_YES_WORDS = frozenset({*("true", "t", "yes", "y"), *("deleted", "gone", "left", "removed")})
_YEAR = re.compile(r"\d{4}(?=-)")
_NEVER = 1970, 9999
"""Years that stand for no time at all: tools write the first or last day that they know for a time that is not there."""


class MisfitError(InputError):
    """A record or its stream's schema does not go with the settings."""


class Mapping:
    """What one stream's records mean, by its schema after stream maps.

    Attributes:
        has_identifier: Whether the schema has the identifier.
        needs_state: Whether the field that says who leaves must be there: an earlier schema of the stream had it.
        fields: The fields that say who it is, and whether they enter or leave.
    """

    def __init__(self, stream: str, schema: Schema, settings: Settings) -> None:
        self._stream = stream
        self._schema = schema
        self._settings = settings
        self._properties = schema.get("properties") or {}
        self.has_identifier = lists_field(schema, settings.identifier_field)
        self._has_state = self.needs_state = settings.state_field in self._properties
        self.fields = [
            *names_read(settings.identifier_field),
            *([settings.state_field] if self._has_state else []),
        ]

    def has_field(self, field: str) -> bool:
        """Whether a record may have the field."""
        return field_schema(self._schema, field) is not None

    def check(self, columns: t.Iterable[Column], list_fields: t.Iterable[str] = ()) -> None:
        """See that the schema has what the settings name, and that each mapped field can fit its attribute.

        Raises:
            MisfitError: If not; the sentence says what to change.
        """
        self._check_state_field()
        self._check_identifier()
        for field in list_fields:
            if not self.has_field(field):
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
        is_audience = "audience_id" in self._properties
        if is_audience or self.needs_state:
            has = "has audience_id but not" if is_audience else "no longer has"
            raise MisfitError(
                f"The stream {self._stream!r} {has} {field!r}, which says who enters and who leaves: "
                "select it in the tap."
            )

    def _check_identifier(self) -> None:
        field = self._settings.identifier_field
        if not self.has_identifier:
            raise MisfitError(
                f"The stream {self._stream!r} has no field {field!r}, which identifies contacts: select it in the tap, or correct "
                "identifier_field."
            )
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
        """What records say of their contacts: `enter`, `exit`, `exit_again` if the exit was acknowledged before, or `UNKNOWN`."""
        if not self._has_state:
            marks = values[DELETED_FIELD]
            if marks.count(msgspec.UNSET) + marks.count(None) == len(marks):
                return ["enter"] * len(marks)
            kinds = list(map(_kind_of, marks))
            for number, kind in enumerate(kinds):
                if kind == UNKNOWN:
                    rejects.setdefault(number, RejectedError("neither a time nor nothing", DELETED_FIELD))
            return kinds
        field = self._settings.state_field
        states = values[field]
        if states.count("enter") == len(states):
            return t.cast("t.Sequence[str]", states)
        for number, state in enumerate(states):
            if state not in ("enter", "exit"):
                rejects.setdefault(number, RejectedError("neither enter nor exit", field))
        return [
            UNKNOWN
            if state not in ("enter", "exit")
            else EXIT_AGAIN
            if state == "exit" and change == EXIT_AGAIN
            else state
            for state, change in zip(states, values[CHANGE_FIELD], strict=True)
        ]

    def keys(self, kinds: t.Sequence[str], values: t.Mapping[str, Values], rejects: Rejects) -> list[str]:
        """The contacts that records of these kinds are for."""
        field = self._settings.identifier_field
        return contact_keys(
            values_of(field, values), kinds, is_address=self._is_address, field=field, rejects=rejects
        )


def _kind_of(mark: object) -> str:
    """What a deletion mark says of its record, by its value: a time or a yes that the row is gone, nothing that it is there."""
    if mark is msgspec.UNSET or mark in EMPTY:
        return "enter"
    if isinstance(mark, str):
        return _kind_of_text(mark.strip().lower())
    if isinstance(mark, (float, decimal.Decimal)) and math.isnan(mark):
        return "enter"
    if isinstance(mark, (int, float, decimal.Decimal)):
        return "exit" if mark else "enter"
    return UNKNOWN


def _kind_of_text(mark: str) -> str:
    year = _YEAR.match(mark)
    if year:
        return "exit" if _NEVER[0] < int(year[0]) < _NEVER[1] else "enter"
    if mark in _NO_WORDS or mark in _YES_WORDS:
        return "exit" if mark in _YES_WORDS else "enter"
    if not any(map(str.isdigit, mark)):
        return UNKNOWN
    # A time in another form, or a number of seconds; `00/00/0000` is none.
    return "exit" if any(map(mark.__contains__, "123456789")) else "enter"
