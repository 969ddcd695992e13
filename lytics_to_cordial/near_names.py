"""What somebody may have meant who mistyped a name."""

from __future__ import annotations

import difflib
import typing as t


def suggestion(name: str, names: t.Iterable[str]) -> str:
    """Half a sentence that names the nearest name, or blank if none is near."""
    # Case counts in a name, and is the likeliest mistake in it.
    lower = {other.lower(): other for other in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    return f"; did you mean {lower[near[0]]!r}?" if near else ""
