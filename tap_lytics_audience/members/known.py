"""What the ledger holds of an audience, as tables: who is a member as far as the state knows, and who is in doubt.

known     One row a member that the state's manifest holds; all that is compared, in 35 bytes of memory. Texts stay in the
          ledger's files until they are needed.
renewed   Members whose latest row is in a part and not in the base, exits too, with their texts.
members   A view: every known member with their texts.
doubt     One row a member and spelling of which a file in doubt tells.
  is_sent       A record was written, so that the member has to hear the truth.
  is_gone       The last of these files says that they left.
  may_be_held   The consumer may have them as a member: an enter or update may have been delivered, and no exit was acknowledged
                after it.
  is_known      They are in `known`, too.
  latest_gone   Whether they left, by the last of the files that are later than any manifest, so that each state has them in doubt.
changed   What this run decided, for the next base.

Hashes stand for keys. Of ten million members, two share one with a chance of one in a million million.
"""

from __future__ import annotations

import logging
from pathlib import Path

from lytics_to_cordial.database import Tables, parquet
from lytics_to_cordial.progress import counted
from tap_lytics_audience.members.ledger import DamagedError, Ledger
from tap_lytics_audience.members.manifest import DoubtfulFile, is_base, number_of

SHOWN_FILES = 3
"""So many damaged files are named in one warning."""
MEMBER = "key VARCHAR, identifier VARCHAR, representative VARCHAR, digest BIGINT, sent BOOLEAN"
"""A row of a part: the key, the identifier as spelled, the id of the profile that is sent, a digest of its fields, and
whether a record was ever written."""

logger = logging.getLogger("tap-lytics-audience")


class Known:
    """What the ledger holds of one audience.

    Attributes:
        selections: The profile fields that the ledger's digests cover, as `known.selection` counts them.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.selections: list[list[str]] = []
        tables.run(
            "CREATE TEMP TABLE known (hash UBIGINT, identifier_hash UINTEGER, representative_hash UINTEGER, digest BIGINT, "
            "sent BOOLEAN, selection SMALLINT, fingerprint UBIGINT);"
            f"CREATE TABLE renewed ({MEMBER}, gone BOOLEAN, selection SMALLINT, hash UBIGINT);"
            f"CREATE TABLE changed ({MEMBER}, gone BOOLEAN, has_record BOOLEAN);"
            "CREATE TEMP TABLE doubtful_rows (key VARCHAR, identifier VARCHAR, number BIGINT, sent BOOLEAN, gone BOOLEAN, "
            "has_record BOOLEAN, is_acknowledged BOOLEAN)"
        )

    def load(self, ledger: Ledger) -> None:
        """Read what the state's manifest covers, and what is in doubt.

        Raises:
            DamagedError: If a file is missing or damaged. Before an audience was sent completely, as in a full refresh, a file
                in doubt is passed over with a warning: this is the way out when a ledger is damaged.
        """
        self._load_members(ledger)
        self._load_doubt(ledger)

    @property
    def count(self) -> int:
        """How many members the state's manifest holds."""
        return self._tables.number("SELECT count(*) FROM known")

    @property
    def believed_members(self) -> int:
        """How many members there were before this run, as far as anybody knows."""
        return self.count + self._tables.number(
            "SELECT count(DISTINCT key) FROM doubt WHERE NOT is_known AND NOT is_gone"
        )

    @property
    def sent_members(self) -> int:
        """How many members were sent and are members after what this run decided."""
        return self._tables.number(
            "SELECT (SELECT count(*) FROM known ANTI JOIN (SELECT hash(key) AS hash FROM changed) USING (hash) WHERE sent) "
            "+ (SELECT count(*) FROM changed WHERE sent AND NOT gone)"
        )

    @property
    def has_unsent(self) -> bool:
        """Whether the ledger holds members of whom no record was ever written."""
        return self._tables.number("SELECT count(*) FROM known WHERE NOT sent") > 0

    def can_merge(self, selection: int) -> bool:
        """Whether one selection covers all members, as a base needs."""
        return not self._tables.number(
            f"SELECT count(*) FROM members ANTI JOIN changed USING (key) WHERE selection <> {selection}"
        )

    def write_base(self, path: str) -> int:
        """Write all members as they are after this run, and return how many there are."""
        return self._tables.copy(
            "SELECT key, identifier, representative, digest, sent, FALSE AS gone, FALSE AS has_record FROM members ANTI JOIN changed "
            "USING (key) UNION ALL SELECT * FROM changed WHERE NOT gone",
            path,
        )

    def _load_members(self, ledger: Ledger) -> None:
        tables = self._tables
        self.selections = ledger.manifest.selections
        tables.run(
            f"CREATE TEMP TABLE rows_of_parts ({MEMBER}, gone BOOLEAN, has_record BOOLEAN, selection SMALLINT, number BIGINT)"
        )
        members = ["SELECT * EXCLUDE (gone) FROM renewed WHERE NOT gone"]
        for part in ledger.manifest.parts:
            with ledger.reading(part, stays=part.is_base) as path:
                if part.is_base:
                    base = (
                        f"SELECT key, identifier, representative, digest, sent, {part.selection}::SMALLINT AS selection, "
                        f"hash(key) AS hash FROM {parquet(path)}"
                    )
                    tables.run(f"INSERT INTO known SELECT {_compared(part.selection)} FROM ({base})")
                    members.append(f"FROM ({base}) ANTI JOIN renewed USING (hash)")
                else:
                    tables.run(
                        "INSERT INTO rows_of_parts SELECT key, identifier, representative, digest, sent, gone, has_record, "
                        f"{part.selection}, {number_of(part.name)} FROM {parquet(path)}"
                    )
        if tables.number("SELECT count(*) FROM rows_of_parts"):
            tables.run(
                "INSERT INTO renewed SELECT * EXCLUDE (has_record, number), hash(key) FROM "
                "(FROM rows_of_parts QUALIFY row_number() OVER (PARTITION BY key ORDER BY number DESC) = 1);"
                "DELETE FROM known WHERE hash IN (SELECT hash FROM renewed);"
                f"INSERT INTO known SELECT {_compared('selection')} FROM renewed WHERE NOT gone"
            )
        tables.run(f"CREATE VIEW members AS {' UNION ALL '.join(members)}")

    def _load_doubt(self, ledger: Ledger) -> None:
        unread = []
        for file in ledger.doubtful:
            try:
                with ledger.reading(file) as path:
                    self._tables.run(_insert_doubtful(file, path))
            except DamagedError:
                if ledger.manifest.is_complete:
                    raise
                unread.append(file)
        if unread:
            _warn_of_unread(unread)
        self._tables.run(
            f"""
            CREATE TABLE doubt AS
            WITH keys AS (
                SELECT key, hash(key) AS hash, bool_or(sent) AS is_sent, arg_max(gone, number) AS is_gone,
                    bool_or(has_record AND NOT gone) FILTER (NOT is_acknowledged) AS may_have_entered,
                    arg_max(NOT gone, number) FILTER (is_acknowledged) AS was_held,
                    arg_max(gone, number) FILTER (NOT is_acknowledged AND number > {ledger.newest_number}) AS latest_gone
                FROM doubtful_rows GROUP BY key
            ), known_here AS (SELECT hash FROM known SEMI JOIN keys USING (hash))
            SELECT key, identifier, hash, is_sent, is_gone, known_here.hash IS NOT NULL AS is_known,
                coalesce(may_have_entered, FALSE) OR coalesce(was_held, known_here.hash IS NOT NULL) AS may_be_held,
                latest_gone
            FROM (SELECT DISTINCT key, identifier FROM doubtful_rows) JOIN keys USING (key) LEFT JOIN known_here USING (hash);
            DROP TABLE doubtful_rows; DROP TABLE rows_of_parts
            """
        )


def _insert_doubtful(file: DoubtfulFile, path: Path) -> str:
    """SQL: the members of whom a file in doubt tells.

    A part casts doubt on members to whom it sent a record, or who were only recorded. A base has no records of its own; but it may be
    the only file that names somebody whom the state does not know.
    """
    number, had_record, only = number_of(file.name), "has_record", "TRUE"
    if is_base(file.name):
        had_record, only = "sent", "hash(key) NOT IN (SELECT hash FROM known)"
    # Who was sent again in knowledge of the file is no longer in doubt for it, though that run was killed.
    resent = "FALSE" if file.resent_since is None else f"has_record AND number >= {file.resent_since}"
    return (
        f"INSERT INTO doubtful_rows SELECT key, identifier, {number}, sent, gone, {had_record}, {file.is_acknowledged} "
        f"FROM {parquet(path)} WHERE ({had_record} OR NOT sent) AND {only} "
        f"AND key NOT IN (SELECT key FROM rows_of_parts WHERE {resent})"
    )


def fingerprint(
    selection: int | str, identifier: str = "identifier", representative: str = "representative"
) -> str:
    """SQL: a hash of everything that makes a member unchanged."""
    return f"hash(key, {identifier}, {representative}, digest::BIGINT, ({selection})::INTEGER)"


def half_hash(text: str) -> str:
    """SQL: half a hash. It is compared with one other alone."""
    return f"(hash({text}) & 4294967295)::UINTEGER"


def _compared(selection: int | str) -> str:
    """SQL: the columns of `known`, from those of `members`. Without a record, nobody is unchanged: they may have to be sent."""
    return (
        f"hash, {half_hash('identifier')}, {half_hash('representative')}, digest, sent, selection, "
        f"CASE WHEN sent THEN {fingerprint(selection)} END"
    )


def _warn_of_unread(files: list[DoubtfulFile]) -> None:
    names = ", ".join(f"{file.audience_id}/{file.name}" for file in files[:SHOWN_FILES])
    logger.warning(
        "%s cannot be read (%s%s): who left and is named in no other file stays on the list. To mend that, restore what is missing and "
        "run once with --full-refresh.",
        counted(len(files), "ledger file"),
        names,
        ", ..." if len(files) > SHOWN_FILES else "",
    )
