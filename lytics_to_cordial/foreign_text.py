"""Text of other systems and libraries, made fit for a log, an error, the journal, a page or a notification: the one place for it."""

from __future__ import annotations

import base64
import logging
import re
import typing as t
from urllib.parse import quote

from typing_extensions import override

from lytics_to_cordial.errors import without_message

MAX_CHARACTERS = 300
_MOST_READ = 20_000
"""Of a longer text the rest is not looked at."""
_LEAST_SECRET = 4
"""Shorter ones would be found in every other word."""
_METRICS_LOGGER = "singer_sdk.metrics"
_OWN_LOGGERS = ("tap-lytics-audience", "target-cordial", "lytics_to_cordial")

_VALUES = re.compile(r'"[^"]*"|\d[\d ()/-]{5,}\d')
"""What may be a person's: a value in quotes, a number as long as one of a telephone."""
_ADDRESSES = re.compile(r"(?<!\S)\S+(?:@|%40)\S+")
_QUOTED = re.compile("“[^”]*”")

_secrets: set[str] = set()


def keep_secret(values: t.Iterable[str]) -> None:
    """Let no text show these values from now on, in whichever way another system may spell them."""
    for value in filter(None, values):
        # A key of many lines may be repeated line by line.
        for part in {value.strip(), *map(str.strip, value.replace("\\n", "\n").splitlines())}:
            if len(part) >= _LEAST_SECRET and not part.startswith("-----"):
                basic = base64.b64encode(f"{part}:".encode()).decode()
                _secrets.update({part, quote(part), quote(part, safe=""), ascii(part)[1:-1], basic})


def cleaned(text: str) -> str:
    """A text without known secrets, and with control characters and other invisible ones as escapes."""
    # The longest first: one may hold another.
    for secret in sorted(_secrets, key=len, reverse=True):
        text = text.replace(secret, "(secret)")
    return text if text.isprintable() else "".join(map(_visible, text))


def quote_foreign(text: object) -> str:
    """What another system said, in quotes of its own, `“...”`: cleaned, cut short, and without what may be a person's."""
    return f"“{_masked(str(text)).rstrip('. ')}”"


def without_foreign(sentence: str) -> str:
    """A sentence without what others said in it: for the journal, and for what is made of it."""
    return _QUOTED.sub("“…”", sentence)


def clean_log() -> None:
    """Let every line of the log, of libraries too, be cleaned."""
    for handler in logging.getLogger().handlers:
        handler.addFilter(_CleanLine())


class _CleanLine(logging.Filter):
    @override
    def filter(self, record: logging.LogRecord) -> bool:
        if record.name == _METRICS_LOGGER:
            return True
        try:
            text = record.getMessage()
        except (TypeError, ValueError, KeyError):
            # A library's own mistake in a line of its log must not end a run.
            text = str(record.msg)
        text = cleaned(text) if record.name.startswith(_OWN_LOGGERS) else _masked(text)
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            # A traceback repeats the messages of all errors in it.
            text = f"{text} {without_message(error)}"
            record.exc_info = record.exc_text = None
        record.msg, record.args = text, ()
        return True


def _masked(text: str) -> str:
    shown = cleaned(text[:_MOST_READ]).replace("“", "'").replace("”", "'")
    return _ADDRESSES.sub("(address)", _VALUES.sub("(value)", shown))[:MAX_CHARACTERS]


def _visible(character: str) -> str:
    if character.isprintable():
        return character
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")
