"""When two values are the same: what a row says, and what Cordial holds, in whichever way Cordial writes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import msgspec

from target_cordial.cordial.contacts import Contact

_SEPARATORS = (",", ", ", ";", "|")
"""Between the items of an array that is not written as JSON: how Cordial exports one is not documented."""


def same(kind: str, expected: str, actual: str) -> str:
    """Whether two cells hold the same value of a kind of attribute, as SQL that is never null; text is the same letter by letter."""
    tests = [f"{expected} = {actual}"]
    if kind == "number":
        tests.append(f"TRY_CAST({expected} AS DOUBLE) = TRY_CAST({actual} AS DOUBLE)")
    elif kind == "date":
        tests.append(_same_moment(expected, actual))
    elif kind == "array":
        items = _items(expected)
        joined = ", ".join(f"array_to_string({items}, '{separator}')" for separator in _SEPARATORS)
        tests.append(f"{items} = {_items(actual)} OR {actual} IN ({joined})")
    return f"coalesce({' OR '.join(tests)}, false)"


def _same_moment(expected: str, actual: str) -> str:
    """Whether two times are equal to the digits that Cordial gives; without a zone it is the database's."""
    unit = f"power(10, 6 - least(6, length(regexp_extract({actual}, '\\.([0-9]+)', 1))))"
    ours, theirs = (
        f"floor(epoch_us(TRY_CAST({cell} AS TIMESTAMPTZ)) / {unit})" for cell in (expected, actual)
    )
    return f"{ours} = {theirs}"


def _items(cell: str) -> str:
    """The items of an array that is written as JSON, none for a blank cell, as SQL; null if it is neither."""
    return (
        f"CASE WHEN {cell} = '' THEN [] WHEN json_valid({cell}) AND starts_with({cell}, '[') "
        f"THEN from_json({cell}, '[\"VARCHAR\"]') END"
    )


_KIND = "CASE kind {} ELSE {} END".format(
    " ".join(
        f"WHEN '{kind}' THEN {same(kind, 'expected', 'actual')}" for kind in ("number", "date", "array")
    ),
    same("string", "expected", "actual"),
)


def differing(rows: Sequence[tuple[Contact, Mapping[str, str]]], kinds: Mapping[str, str]) -> set[int]:
    """The places of those contacts whose attributes are not as the cells of their row have them; cells and kinds are by column."""
    cells = [
        (place, kinds[header], cell, cell_of(value_of(contact, header)))
        for place, (contact, row) in enumerate(rows)
        for header, cell in row.items()
    ]
    if not cells:
        return set()
    with duckdb.connect(config={"threads": 1}) as database:
        database.execute("SET TimeZone = 'UTC'")
        database.execute(
            "SELECT DISTINCT place FROM (SELECT unnest(?::INTEGER[]) AS place, unnest(?::VARCHAR[]) AS kind, "
            f"unnest(?::VARCHAR[]) AS expected, unnest(?::VARCHAR[]) AS actual) WHERE NOT {_KIND}",
            [list(column) for column in zip(*cells, strict=True)],
        )
        return {place for (place,) in database.fetchall()}


def value_of(contact: Contact, header: str) -> object:
    """The value of a column; of a geo attribute's part, `home.loc.lat` may be nested once or twice."""
    value: object = contact.attributes
    rest = header
    while isinstance(value, dict) and rest:
        if rest in value:
            return value[rest]
        name, _, rest = rest.partition(".")
        value = value.get(name)
    return value if not rest else None


def cell_of(value: object) -> str:
    """A value as an export has it."""
    if isinstance(value, str) or value in (None, [], {}):
        return str(value or "")
    return msgspec.json.encode(value).decode()
