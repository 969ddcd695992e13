"""What somebody may have meant who mistyped a name."""

from __future__ import annotations

import difflib
import typing as t


def suggestion(name: str, names: t.Iterable[str] | t.Mapping[str, str]) -> str:
    """Half a sentence that names the nearest name, or what it stands for in a mapping; blank if none is near."""
    meant = names if isinstance(names, t.Mapping) else {other: other for other in names}
    # Case counts in a name, and is the likeliest mistake in it.
    folded = {other.casefold(): shown for other, shown in meant.items()}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""
