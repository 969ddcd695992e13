"""What happens to each profile of a block: who enters, changed, or is as the ledger has them.

block     The profiles that were read, with hashes. Those of unchanged members are taken out at once.
profiles  A hash of each profile's id, to count how many different ones were seen.
nameless  A hash of the id of each profile without an identifier.
seen      A hash of each member who was seen. Who is not may have left.
later     Members whose representative was not seen yet, with another profile of theirs.
judged    The decisions of one block that the ledger has to learn: one row a member.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from lytics_to_cordial.database import Tables, quoted
from tap_lytics_audience.lytics.lookup import CONTROLS
from tap_lytics_audience.members.block import COLUMNS, Block
from tap_lytics_audience.members.kinds import EXITS, SILENT, Change
from tap_lytics_audience.members.known import MEMBER, Known, fingerprint, half_hash

BLOCK_ROWS = 50_000
BLOCKS = 20
"""A large ledger is joined about this many times. Each join reads all of it."""
MAX_BLOCK_ROWS = 500_000
"""A block's members are held in memory while they are joined."""
LEDGER_CONTROLS = 50
"""Of so many members whom the ledger holds, some should still be members."""
_PLAIN = r'[^"\\[:cntrl:]]+'
"""Identifiers that every reader of a filter takes for the same: an unusual one is no control."""
_UNKNOWN_DIGEST = 0
"""For a member whose last record held other values than the ledger can tell. It equals no digest, but for a chance of 2**-64."""
_WHOLE = ("coalesce(identifier, key)", "coalesce(representative, id)")
"""Identifier and representative in a block's table, which leaves out what equals the key or the id."""
_HAS_RECORD = f"(change NOT IN ({', '.join(repr(change.value) for change in SILENT)}))"
_IS_EXIT = f"(change IN ({', '.join(repr(change.value) for change in EXITS)}))"
_PART = (
    f"SELECT key, identifier, representative, digest, sent, {_IS_EXIT} AS gone, {_HAS_RECORD} AS has_record"
)
"""SQL: the columns of a part of the ledger, from those of `judged`."""


@dataclass(frozen=True)
class Rules:
    """What is sent.

    Attributes:
        existing_users: Whether the members of the first scan are.
        profile_updates: Whether members whose fields changed are.
        is_first_pass: Whether the audience was never sent from beginning to end.
        is_scanned: Whether a scan of it ever came to its end, so that who is new has entered.
        is_snapshot: Whether all members are, changed or not.
    """

    existing_users: bool
    profile_updates: bool
    is_first_pass: bool
    is_scanned: bool
    is_snapshot: bool = False


@dataclass(frozen=True)
class Decisions:
    """What happens to the members of one block; made by `Changes` and `Exits`, and good until they make the next.

    Attributes:
        count: How many members the ledger has to learn something of.
    """

    tables: Tables
    count: int

    def write(self, path: str) -> int:
        """Write them as a part of the ledger, and return how many there are."""
        return self.tables.copy(f"{_PART} FROM judged", path)

    @property
    def news_count(self) -> int:
        """Of a snapshot, how many members there are of whom the ledger does not say the same."""
        return self.tables.number("SELECT count(*) FROM judged WHERE NOT is_agreed")

    def write_news(self, path: str) -> int:
        """Write these members as a part of the ledger, and return how many there are."""
        return self.tables.copy(f"{_PART} FROM judged WHERE NOT is_agreed", path)

    def records(self) -> Iterator[tuple[Change, str, int, int]]:
        """The records to send: the change, the member's key, and where their fields are in the block (start and size)."""
        if not self.count:
            return
        query = f"SELECT change, key, start, size FROM judged WHERE {_HAS_RECORD} ORDER BY start, key"
        for change, key, start, size in self.tables.stream(query):
            yield Change(change), key, start, size


def decide(tables: Tables, query: str) -> Decisions:
    """Keep the rows of a query as the decisions of a block."""
    count = tables.number(f"CREATE OR REPLACE TABLE judged AS {query}")
    if count:
        tables.run(
            f"INSERT INTO changed SELECT key, identifier, representative, digest, sent, {_IS_EXIT}, {_HAS_RECORD} FROM judged"
        )
    return Decisions(tables, count)


@dataclass
class Changes:
    """Judges the profiles of one audience, block by block.

    Attributes:
        tables: The audience's tables.
        known: What the ledger holds.
        fields: The profile fields that digests cover now.
        rules: What is sent.
        controls: Key and identifier of some members who were seen last.
    """

    tables: Tables
    known: Known
    fields: list[str]
    rules: Rules
    controls: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Nobody is seen yet."""
        self.tables.run(
            "CREATE TEMP TABLE seen (hash UBIGINT); CREATE TEMP TABLE profiles (id UBIGINT); CREATE TEMP TABLE nameless (id UBIGINT);"
            f"CREATE TEMP TABLE later ({MEMBER.removesuffix(', sent BOOLEAN')}, older BIGINT[], start BIGINT, size INTEGER, hash UBIGINT)"
        )
        self._known_count = self.known.count
        self._seen_count = 0

    @property
    def block_rows(self) -> int:
        """How many profiles make a block."""
        return max(BLOCK_ROWS, min(MAX_BLOCK_ROWS, (self._known_count + self._seen_count) // BLOCKS))

    @property
    def profile_count(self) -> int:
        """How many different profiles were seen."""
        return self.tables.number("SELECT count(DISTINCT id) FROM profiles")

    @property
    def seen_count(self) -> int:
        """How many members were seen."""
        return self._seen_count

    @property
    def selection(self) -> int:
        """The place of today's fields in the ledger's selections; -1 if they are new."""
        selections = self.known.selections
        return selections.index(self.fields) if self.fields in selections else -1

    @property
    def adds_fields(self) -> bool:
        """Whether members are sent again, as there are fields now that the ledger's digests do not cover."""
        covered = [set(selection) for selection in self.known.selections]
        return self.rules.profile_updates and any(set(self.fields) - selection for selection in covered)

    @property
    def concerns_all(self) -> bool:
        """Whether members are sent to whom nothing happened."""
        return self.adds_fields or (self.rules.existing_users and self.known.has_unsent)

    def judge(self, block: Block) -> Decisions:
        """Decide what happens to each profile of a block."""
        block.flush()
        tables = self.tables
        rows = f"read_json({quoted(block.table)}, format = 'newline_delimited', columns = {COLUMNS})"
        tables.run(
            f"CREATE OR REPLACE TEMP TABLE block AS SELECT *, hash(key) AS hash, {fingerprint(self.selection, *_WHOLE)} AS fingerprint "
            f"FROM {rows}; INSERT INTO profiles SELECT hash(id) FROM block; INSERT INTO nameless SELECT hash(id) FROM block WHERE key IS NULL"
        )
        if not self._pass_over_unchanged():
            return Decisions(tables, 0)
        self._judge("block", may_defer=True)
        deferred = tables.rows("SELECT start, size FROM decided WHERE is_deferred ORDER BY start")
        if deferred:
            first = block.keep(deferred)
            tables.run(
                f"INSERT INTO later SELECT key, identifier, representative, digest, older, {first} + sum(size) OVER (ORDER BY start) - size, "
                "size, hash FROM decided WHERE is_deferred"
            )
        return self._decided()

    def judge_deferred(self, block: Block) -> Decisions:
        """Decide what happens to members whose representative was not seen: another of their profiles represents them now.

        The fields of these profiles take the place of the block's.
        """
        if not self.tables.number("SELECT count(*) FROM later"):
            return Decisions(self.tables, 0)
        block.clear(restore_kept=True)
        self._judge("later", may_defer=False)
        self.forget_deferred()
        return self._decided()

    def forget_profiles(self) -> None:
        """Count profiles from here on; members who were seen stay seen."""
        self.tables.run("DELETE FROM profiles")

    def forget_deferred(self) -> None:
        """Leave members as they are whose representative was not seen."""
        self.tables.run("DELETE FROM later")

    def _pass_over_unchanged(self) -> int:
        """See the members of the block who are as the ledger has them, and take them out. Return how many profiles are left.

        These are most members of most runs. To compare hashes alone takes a tenth of the time that the joins of `_judge` take.
        """
        tables = self.tables
        tables.run(
            "CREATE OR REPLACE TEMP TABLE unchanged AS SELECT hash, fingerprint FROM known SEMI JOIN block USING (fingerprint) "
            f"WHERE NOT {self.rules.is_snapshot};"
            "DELETE FROM unchanged WHERE hash IN (SELECT hash FROM doubt)"
        )
        self._seen_count += tables.number("INSERT INTO seen SELECT hash FROM unchanged")
        identifier, representative = _WHOLE
        self._control_with(
            f"SELECT key, {identifier} FROM block WHERE fingerprint IN (SELECT fingerprint FROM unchanged LIMIT {20 * CONTROLS})"
        )
        return tables.number(
            f"CREATE OR REPLACE TEMP TABLE block AS SELECT * REPLACE ({identifier} AS identifier, {representative} AS representative) "
            "FROM block ANTI JOIN unchanged USING (fingerprint)"
        )

    def _judge(self, source: str, *, may_defer: bool) -> None:
        """Fill the temporary table `decided`: one row a member, with what happens to them.

        1. Cut the large tables down to the block's members. A hash table of the block is small, one of the ledger is not. Each has a
           query of its own, as in one query for all, DuckDB takes `seen` for small and makes the hash table of it.
        2. `joined`: what the ledger knows of each profile, unless its member was seen before.
           is_deferred  It is not the member's representative, which may still come.
           is_stale     Spelling, representative or selection are not what the ledger has.
           is_same      Its fields are what was sent, as far as both selections tell.
        3. `chosen`: one profile a member, the representative first. Few members have several, and to sort them costs more than the
           joins, so only theirs are.
        4. `change`: what happens. The order of the cases is their rank.
           is_agreed    The ledger says the same of them, or has them in doubt whatever state comes to it.
        """
        tables, rules, current = self.tables, self.rules, self.selection
        selections = self.known.selections
        same_as_older = " ".join(
            f"WHEN {selections.index(older)} THEN k.digest = b.older[{number}]"
            for number, older in enumerate(older_selections(selections, self.fields), start=1)
        )
        is_deferred = f"{half_hash('b.representative')} <> k.representative_hash AND k.hash IS NOT NULL"
        first = Change.BACKFILL if rules.is_first_pass else Change.ENTER
        new = first
        if not rules.existing_users and rules.is_first_pass:
            new = Change.ENTER if rules.is_scanned else Change.RECORDED
        for table in ("known", "seen"):
            tables.run(
                f"CREATE OR REPLACE TEMP TABLE {table}_here AS FROM {table} SEMI JOIN {source} USING (hash)"
            )
        tables.run(
            f"CREATE OR REPLACE TEMP TABLE shared AS SELECT key FROM {source} WHERE key IS NOT NULL GROUP BY key HAVING count(*) > 1"
        )
        tables.run(
            f"""
            CREATE OR REPLACE TEMP TABLE decided AS
            WITH doubt_here AS (SELECT key, bool_or(is_sent) AS is_sent, any_value(latest_gone) AS latest_gone FROM doubt SEMI JOIN {source} USING (key) GROUP BY key),
            joined AS MATERIALIZED (
                SELECT b.*, k.hash IS NOT NULL AS is_known, coalesce(k.sent, FALSE) AS was_sent,
                    {is_deferred if may_defer else "FALSE"} AS is_deferred,
                    {half_hash("b.identifier")} <> k.identifier_hash OR {half_hash("b.representative")} <> k.representative_hash
                        OR k.selection <> {current} AS is_stale,
                    CASE k.selection WHEN {current} THEN k.digest = b.digest {same_as_older} ELSE FALSE END AS is_same,
                    d.key IS NOT NULL AS in_doubt, coalesce(d.is_sent, FALSE) AS is_sent_in_doubt,
                    d.latest_gone,
                    k.representative_hash AS known_representative,
                    CASE k.selection WHEN {current} THEN k.digest ELSE {_UNKNOWN_DIGEST} END AS known_digest
                FROM {source} AS b LEFT JOIN known_here AS k ON k.hash = b.hash LEFT JOIN doubt_here AS d ON d.key = b.key
                WHERE b.key IS NOT NULL AND NOT EXISTS (FROM seen_here AS s WHERE s.hash = b.hash)
            ), chosen AS (
                FROM joined ANTI JOIN shared USING (key)
                UNION ALL BY NAME (
                    FROM joined SEMI JOIN shared USING (key)
                    QUALIFY row_number() OVER (PARTITION BY key
                        ORDER BY {half_hash("representative")} <> known_representative, representative, start) = 1
                )
            ), judged AS (
                SELECT *, CASE
                    WHEN {rules.is_snapshot} THEN
                        CASE WHEN {rules.existing_users} OR was_sent OR is_sent_in_doubt OR NOT (is_known OR in_doubt)
                        THEN '{Change.ENTER.value}' END
                    WHEN is_sent_in_doubt THEN CASE WHEN was_sent THEN '{Change.UPDATE.value}' ELSE '{first.value}' END
                    WHEN NOT is_known AND in_doubt AND NOT {rules.existing_users} THEN '{Change.RECORDED.value}'
                    WHEN NOT is_known THEN '{new.value}'
                    WHEN NOT was_sent AND {rules.existing_users} THEN '{Change.BACKFILL.value}'
                    WHEN was_sent AND {rules.profile_updates} AND NOT is_same THEN '{Change.UPDATE.value}'
                    WHEN is_stale THEN '{Change.NOTED.value}'
                END AS change
                FROM chosen
            )
            -- What was not sent because updates are off has to differ once they are on.
            SELECT * REPLACE (
                    CASE WHEN change = '{Change.NOTED.value}' AND was_sent AND NOT is_same THEN known_digest ELSE digest END AS digest
                ), was_sent OR {_HAS_RECORD} AS sent,
                (is_known AND (NOT was_sent OR is_same OR NOT {rules.profile_updates})) OR coalesce(NOT latest_gone, FALSE) AS is_agreed
            FROM judged
            """
        )

    def _decided(self) -> Decisions:
        """Remember who was seen, and keep what has to be written: to most members of a later run, nothing happened."""
        self._seen_count += self.tables.number(
            "INSERT INTO seen SELECT hash FROM decided WHERE NOT is_deferred"
        )
        self._control_with("SELECT key, identifier FROM decided WHERE NOT is_deferred")
        return decide(self.tables, "FROM decided WHERE NOT is_deferred AND change IS NOT NULL")

    def plain_members(self) -> list[tuple[str, str]]:
        """Key and identifier of some members whom the ledger holds. They may have left."""
        return self._plain("SELECT key, identifier FROM members", LEDGER_CONTROLS)

    def _control_with(self, query: str) -> None:
        self.controls = self._plain(query, CONTROLS) or self.controls

    def _plain(self, query: str, limit: int) -> list[tuple[str, str]]:
        return self.tables.rows(
            f"SELECT * FROM ({query}) AS c(key, identifier) WHERE regexp_full_match(identifier, '{_PLAIN}') LIMIT {limit}"
        )


def older_selections(selections: list[list[str]], fields: list[str]) -> list[list[str]]:
    """The selections of the ledger that held more fields than today's, whose digests can still be compared."""
    return [selection for selection in selections if set(selection) > set(fields)]
