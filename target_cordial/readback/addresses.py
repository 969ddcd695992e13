"""Spellings of one address: what matches although Cordial writes it in another way."""

from __future__ import annotations

from lytics_to_cordial.database import Tables

_DOMAIN = "regexp_extract(key, '[^@]*$')"
UNUSUAL = f"(contains(key, '@') AND (contains(key, 'xn--') OR NOT regexp_full_match({_DOMAIN}, '[ -~]*')))"
"""Whether the domain in `key` has several spellings, as SQL."""


def key_of(address: str) -> str:
    """The key of an address in a column, as SQL: trimmed, NFC, lower case."""
    return f"nfc_normalize(lower(nfc_normalize(trim({address}))))"


def unify_domains(tables: Tables, table: str) -> None:
    """Spell the domains in a table's keys in one way, whether they came as Punycode or in letters."""
    tables.run("CREATE TABLE IF NOT EXISTS domains (spelled VARCHAR, domain VARCHAR)")
    tables.run("DELETE FROM domains")
    tables.run(f"CREATE OR REPLACE TABLE unusual AS SELECT DISTINCT {_DOMAIN} FROM {table} WHERE {UNUSUAL}")
    spelled: list[str] = []
    for (domain,) in tables.stream("FROM unusual"):
        spelled.append(domain)
        if len(spelled) == _SOME:
            _insert(tables, spelled)
    _insert(tables, spelled)
    tables.run(
        f"UPDATE {table} SET key = regexp_replace(key, '[^@]*$', '') || d.domain FROM domains d "
        f"WHERE {UNUSUAL} AND {_DOMAIN} = d.spelled AND d.spelled <> d.domain"
    )


_SOME = 5_000


def _insert(tables: Tables, spelled: list[str]) -> None:
    if spelled:
        tables.run(
            "INSERT INTO domains SELECT unnest(?), unnest(?)", [spelled, list(map(in_letters, spelled))]
        )
        spelled.clear()


def in_letters(domain: str) -> str:
    """A domain in letters, by the older rules of IDNA, which have one spelling where the newer ones have two."""
    try:
        return domain.encode("idna").decode("idna")
    except UnicodeError:
        pass
    try:
        letters = ".".join(_label_in_letters(label) for label in domain.split("."))
        return letters.encode("idna").decode("idna")
    except UnicodeError:
        return domain


def _label_in_letters(label: str) -> str:
    return label[4:].encode().decode("punycode") if label.startswith("xn--") else label
