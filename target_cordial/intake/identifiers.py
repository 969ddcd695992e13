"""Which contact a record is for, and why an identifier that names none cannot."""

from __future__ import annotations

import re
import typing as t
import unicodedata

import email_validator
import msgspec

from target_cordial.intake.cells import RejectedError, is_torn, is_unicode
from target_cordial.intake.columns import Rejects, Values

_PLAIN_ADDRESSES = re.compile(r"(?:[a-z0-9._%+'-]+@[a-z0-9.-]+\.[a-z]{2,}\n)+")
"""Lines that are addresses, if no two marks are neighbours; each is its own key."""
_ONE_MARK = bytes.maketrans(b"-'@\n", b"....")
_MAX_ADDRESS_CHARACTERS = 254
_MAX_LABEL_CHARACTERS = 63
_MAX_LOCAL_CHARACTERS = 64
_TOO_LONG = re.compile(
    rf"^[^@\n]{{{_MAX_LOCAL_CHARACTERS + 1}}}|[^@.\n]{{{_MAX_LABEL_CHARACTERS + 1}}}", re.MULTILINE
)
"""What comes before the @, or between two dots."""
_UNSEEN = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)
"""Characters that nobody sees, though Python calls them printable (Unicode: Default_Ignorable_Code_Point)."""

# Whether there is mail in `corp.local` is not for us to say: the quick check does not, either.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()


class UnidentifiedError(RejectedError):
    """A record's identifier names no contact."""


def contact_keys(
    values: Values, kinds: t.Sequence[str], *, is_address: bool, field: str, rejects: Rejects
) -> list[str]:
    """The keys that say which contacts records are for, which are their cells, too.

    The same rule as the tap's member key: trimmed, and an address in NFC and lower case. An identifier that is missing or
    malformed, or of an enter and no address where `is_address` wants one, goes to `rejects`, and its key is blank. An exit
    goes whatever its address looks like: an older version may have sent it.
    """
    if is_address and set(map(type, values)) == {str}:
        text = "\n".join(t.cast("t.Sequence[str]", values)).lower()
        keys = text.split("\n")
        # One look at all of them costs a fifth of one at each.
        if len(keys) == len(values) and _are_plain(text + "\n", longest=max(map(len, keys))):
            return keys
    keys = [""] * len(values)
    for number, (value, kind) in enumerate(zip(values, kinds, strict=True)):
        key = str(value) if type(value) is int else value
        if isinstance(key, str):
            key = key.strip()
            if "@" in key:
                # Lower case can take a letter apart again.
                key = unicodedata.normalize("NFC", unicodedata.normalize("NFC", key).lower())
        reason = _no_cell(key) or (_no_contact(str(key), is_address=is_address) if kind == "enter" else None)
        if reason is None:
            keys[number] = t.cast("str", key)
        else:
            rejects.setdefault(number, UnidentifiedError(reason, field))
    return keys


def _are_plain(lines: str, longest: int) -> bool:
    """Whether all lines are addresses beyond doubt."""
    return (
        _PLAIN_ADDRESSES.fullmatch(lines) is not None
        and b".." not in b"." + lines.encode().translate(_ONE_MARK)
        and longest <= _MAX_ADDRESS_CHARACTERS
        and (longest <= _MAX_LABEL_CHARACTERS or not _TOO_LONG.search(lines))
    )


def _no_cell(key: object) -> str | None:
    """Why a key cannot be a cell."""
    if key is None or key is msgspec.UNSET or key == "":
        return "no identifier"
    if not isinstance(key, str):
        return "the identifier is not text"
    if "\x00" in key or not is_unicode(key):
        return "the identifier holds a character that no text file can hold"
    if is_torn(key):
        return "the identifier holds a backslash before a quote"
    return None


def _no_contact(key: str, *, is_address: bool) -> str | None:
    """Why a key, which can be a cell, is not that of a contact who enters."""
    hidden = _UNSEEN.search(key)
    code = hidden[0] if hidden else next((letter for letter in key if not letter.isprintable()), None)
    if code is not None:
        return f"the identifier holds an invisible character, U+{ord(code):04X}"
    if not is_address or _are_plain(key + "\n", longest=len(key)):
        return None
    if len(key) > _MAX_ADDRESS_CHARACTERS:
        return f"the identifier is not an e-mail address: longer than {_MAX_ADDRESS_CHARACTERS} characters"
    try:
        email_validator.validate_email(key, check_deliverability=False, strict=True)
    except email_validator.EmailNotValidError as error:
        # What is in brackets or follows a colon are pieces of the address; an @ would look like one.
        why = re.split(r" \(|: ", str(error).rstrip("."))[0].replace("@", "at")
        return f"the identifier is not an e-mail address: {why[0].lower()}{why[1:]}"
    return None
