"""What goes wrong with Cordial."""

from __future__ import annotations

from lytics_to_cordial.errors import TransientError, UserError


class CordialError(UserError):
    """Cordial refused a call or could not be reached; the sentence says which and what to do."""


class InvalidValueError(CordialError):
    """Cordial says that a value in the call is wrong (422)."""


class ListNameError(CordialError):
    """Cordial takes no list of a name."""


class UnansweredError(CordialError, TransientError):
    """Cordial gave no usable answer: what was asked for may have been done or not."""


class SourceUnreadableError(CordialError):
    """Cordial could not read the import file: nothing was registered."""
