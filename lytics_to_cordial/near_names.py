"""What somebody may have meant who mistyped a name."""

from __future__ import annotations

import difflib
import types
import typing as t


def suggestion(
    name: str, names: t.Iterable[str], stands_for: t.Mapping[str, str] = types.MappingProxyType({})
) -> str:
    """Half a sentence that names the nearest name, or what it stands for; blank if none is near."""
    # Case counts in a name, and is the likeliest mistake in it.
    folded = {other.casefold(): stands_for.get(other, other) for other in names}
    near = difflib.get_close_matches(name.casefold(), folded, n=1)
    return f"; did you mean {folded[near[0]]!r}?" if near else ""
