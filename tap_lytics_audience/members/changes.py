"""The difference between what Lytics shows and what the ledger holds: who enters, changed, or may have left.

Joins run in a database on this machine, in blocks, so that an audience of any size needs little memory.
"""

from __future__ import annotations

import errno
import logging
import os
import typing as t
from dataclasses import dataclass, field

import duckdb

from lytics_to_cordial.progress import counted
from tap_lytics_audience.members.block import COLUMNS
from tap_lytics_audience.members.ledger import DamagedError, number_of

if t.TYPE_CHECKING:
    from pathlib import Path

    from tap_lytics_audience.members.block import Spool
    from tap_lytics_audience.members.ledger import Ledger, Stranger

BLOCK_ROWS = 50_000
BLOCKS = 20
"""A large ledger is joined about so often: each join reads all of it."""
MAX_BLOCK_ROWS = 500_000
"""A block's members are held in memory while they are joined."""
MEMORY = "640MB"
SHOWN_FILES = 3
"""So many damaged files are named in one warning."""
_FETCHED_ROWS = 5_000
_EVENTS = "(key VARCHAR, raw VARCHAR, kind VARCHAR, happened_at DOUBLE, landed_at DOUBLE)"
_MEMBERS = "key VARCHAR, raw VARCHAR, speaker VARCHAR, digest BIGINT, sent BOOLEAN"
_KNOWN = "hash UBIGINT, raw_hash UINTEGER, speaker_hash UINTEGER, digest BIGINT, sent BOOLEAN, selection SMALLINT, print UBIGINT"
"""Of a member all that is compared. It is in memory, in 35 bytes: his texts are read from the ledger's files when they are needed."""
_TOLD = "(change NOT IN ('record', 'note'))"
_UNKNOWN_DIGEST = 0
"""Of a member whose last record held other values than the ledger can tell: equal to no digest, but for a chance of 2**-64."""

_JUST_ENTERED = "SELECT key FROM events GROUP BY key HAVING arg_max(kind, happened_at) = 'enter'"
"""Of whom Lytics' index may not know yet that they are members: not seeing them is no exit, they are looked at again."""

_WHOLE = ("coalesce(raw, key)", "coalesce(speaker, id)")
"""Raw identifier and speaker in a spool's table, which leaves out what is as the key or the id."""

logger = logging.getLogger("tap-lytics-audience")


@dataclass(frozen=True)
class Rules:
    """What is sent.

    Attributes:
        existing_users: Whether the members at the first run are.
        profile_updates: Whether members whose fields changed are.
        is_first_pass: Whether the audience was never sent from beginning to end.
    """

    existing_users: bool
    profile_updates: bool
    is_first_pass: bool


@dataclass
class Changes:
    """The database of one audience and one run.

    Attributes:
        folder: Where it is kept.
        fields: The profile fields that digests cover now.
        rules: What is sent.
        selections: The profile fields that the ledger's digests cover, as `known.selection` counts them.
        last_seen: Some of the members who were seen last: key and identifier.
    """

    folder: Path
    fields: list[str]
    rules: Rules
    selections: list[list[str]] = field(default_factory=list)
    last_seen: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """An empty database, which spills to its folder."""
        self._database = duckdb.connect(self.folder / "changes.duckdb")
        self._database.execute(
            f"SET memory_limit = '{MEMORY}'; SET threads = 2; SET temp_directory = {_quoted(self.folder / 'spill')}; "
            "SET preserve_insertion_order = FALSE; SET wal_autocheckpoint = '1GB';"
            # What all blocks are compared with is in memory, as far as it fits; other connections read the rest.
            f"CREATE TEMP TABLE known ({_KNOWN}); CREATE TEMP TABLE seen (hash UBIGINT); CREATE TABLE profiles (id UBIGINT);"
            f"CREATE TABLE renewed ({_MEMBERS}, gone BOOLEAN, selection SMALLINT, hash UBIGINT);"
            "CREATE TABLE doubt (key VARCHAR, raw VARCHAR, send BOOLEAN, gone BOOLEAN, hash UBIGINT, is_known BOOLEAN);"
            "CREATE TABLE settled (key VARCHAR, number INTEGER);"
            f"CREATE TABLE changed ({_MEMBERS}, gone BOOLEAN, told BOOLEAN);"
            f"CREATE TABLE events {_EVENTS};"
            "CREATE TABLE exits (key VARCHAR, raw VARCHAR);"
            "CREATE TABLE later (key VARCHAR, raw VARCHAR, speaker VARCHAR, digest BIGINT, older BIGINT[], start BIGINT, size INTEGER, "
            "hash UBIGINT)"
        )
        self._known = self._seen = self._judged = 0

    def load(self, ledger: Ledger) -> None:
        """Read what the ledger holds.

        Args:
            ledger: The ledger, opened.

        Raises:
            LedgerError: If a file is missing or damaged.
        """
        manifest = ledger.manifest
        self.selections = manifest.selections
        self._run(f"CREATE TEMP TABLE newer ({_MEMBERS}, gone BOOLEAN, selection SMALLINT, number INTEGER)")
        members = ["SELECT * EXCLUDE (gone) FROM renewed WHERE NOT gone"]
        for part in manifest.parts:
            with ledger.reading(part.name, stays=part.is_base) as path:
                if part.is_base:
                    base = f"SELECT key, raw, speaker, digest, sent, {part.selection}::SMALLINT AS selection, hash(key) AS hash FROM {_parquet(path)}"
                    self._run(f"INSERT INTO known SELECT {_numbers(part.selection)} FROM ({base})")
                    members.append(f"FROM ({base}) ANTI JOIN renewed USING (hash)")
                else:
                    self._run(
                        f"INSERT INTO newer SELECT key, raw, speaker, digest, sent, gone, {part.selection}, {number_of(part.name)} "
                        f"FROM {_parquet(path)}"
                    )
        if self._number("SELECT count(*) FROM newer"):
            self._run(
                "INSERT INTO renewed SELECT key, raw, speaker, digest, sent, gone, selection, hash(key) FROM "
                "(FROM newer QUALIFY row_number() OVER (PARTITION BY key ORDER BY number DESC) = 1)"
            )
            self._run("INSERT INTO settled SELECT key, max(number) FROM newer GROUP BY key")
            self._run("DELETE FROM known WHERE hash IN (SELECT hash FROM renewed)")
            self._run(f"INSERT INTO known SELECT {_numbers('selection')} FROM renewed WHERE NOT gone")
        self._run("DROP TABLE newer")
        self._run(f"CREATE VIEW members AS {' UNION ALL '.join(members)}")
        self._known = self._number("SELECT count(*) FROM known")
        for name in ledger.doubtful:
            with ledger.reading(name) as path:
                if name.startswith("b-"):
                    self._doubt(f"SELECT key, raw, sent, FALSE FROM {_parquet(path)}", 0)
                else:
                    # To members who were only noted nothing was sent; those who were only recorded may have left all the same.
                    rows = f"SELECT key, raw, told, gone FROM {_parquet(path)} WHERE told OR NOT sent"
                    self._doubt(rows, number_of(name))
        self._unite_doubts()

    def load_strangers(self, ledger: Ledger, strangers: t.Sequence[Stranger]) -> None:
        """Doubt all that other ledgers hold: without a state nobody knows what was delivered.

        A file that cannot be read is passed over with a warning: this is the way out when a ledger is damaged.

        Args:
            ledger: This ledger.
            strangers: The others.
        """
        unread: list[str] = []
        for stranger in strangers:
            self._run(
                "CREATE OR REPLACE TEMP TABLE told (key VARCHAR, raw VARCHAR, sent BOOLEAN, gone BOOLEAN, place INTEGER)"
            )
            damaged = self._read_stranger(ledger, stranger, stranger.acknowledged)
            # Exits that were acknowledged are over and done with; the rest may still be on the list.
            self._run(
                "DELETE FROM told WHERE gone OR place < (SELECT max(place) FROM told AS later WHERE later.key = told.key)"
            )
            damaged += self._read_stranger(ledger, stranger, stranger.doubtful)
            if damaged:
                damaged += self._read_stranger(ledger, stranger, stranger.spare)
            unread += damaged
            # An exit that was decided and maybe not delivered goes again, but is no news.
            self._doubt(
                "SELECT key, raw, sent, arg_max(gone, place) OVER (PARTITION BY key) AS gone FROM told", 0
            )
            self._run("DROP TABLE told")
        if unread:
            logger.warning(
                "%s cannot be read (%s%s): whoever left and is in no other file stays on the list. To mend that, restore what is "
                "missing and run once with --full-refresh.",
                counted(len(unread), "ledger file"),
                ", ".join(unread[:SHOWN_FILES]),
                ", ..." if len(unread) > SHOWN_FILES else "",
            )
        self._unite_doubts()

    def load_later_words(self, ledger: Ledger, parts: t.Sequence[tuple[str, str]]) -> bool:
        """Doubt the members of whom another ledger said something else, later: whoever got that has to hear the truth.

        Args:
            ledger: This ledger.
            parts: Place and name of the other ledgers' parts.

        Returns:
            Whether there are any.
        """
        if not parts:
            return False
        self._run(
            "CREATE OR REPLACE TEMP TABLE words (place VARCHAR, key VARCHAR, raw VARCHAR, digest BIGINT, gone BOOLEAN, number INTEGER)"
        )
        for place, name in parts:
            try:
                with ledger.reading(name, place) as path:
                    self._run(
                        f"INSERT INTO words SELECT {_quoted(place)}, key, raw, digest, gone, {number_of(name)} "
                        f"FROM {_parquet(path)} WHERE told OR gone"
                    )
            except DamagedError as error:
                logger.warning("%s Until then it does not count.", error)
        found = self._run(
            "INSERT INTO doubt BY NAME SELECT w.key, w.raw, TRUE AS send, w.gone FROM (FROM words QUALIFY row_number() OVER "
            "(PARTITION BY place, key ORDER BY number DESC) = 1) AS w LEFT JOIN known AS k ON k.hash = hash(w.key) "
            "WHERE CASE WHEN w.gone THEN k.hash IS NOT NULL ELSE k.hash IS NULL OR k.digest <> w.digest END"
        ).fetchone()
        self._run("DROP TABLE words")
        self._unite_doubts()
        return bool(found and found[0])

    def _read_stranger(self, ledger: Ledger, stranger: Stranger, names: t.Iterable[str]) -> list[str]:
        """Read parts into the table `told`, and name those that cannot be read."""
        unread: list[str] = []
        for name in names:
            try:
                with ledger.reading(name, stranger.place) as path:
                    self._run(
                        f"INSERT INTO told SELECT key, raw, sent, gone, {number_of(name)} FROM {_parquet(path)}"
                    )
            except DamagedError:
                unread.append(f"{stranger.place}/{name}")
        return unread

    def _doubt(self, rows: str, number: int) -> None:
        """Doubt members, unless a later part of the ledger says what became of them.

        Args:
            rows: A query for key, raw identifier, whether a record was sent, and whether it was an exit.
            number: The place of these rows among the ledger's parts.
        """
        self._run(
            f"INSERT INTO doubt SELECT *, NULL, NULL FROM ({rows}) AS d "
            f"WHERE d.key NOT IN (SELECT key FROM settled WHERE number > {number})"
        )

    @property
    def block_rows(self) -> int:
        """How many profiles make a block."""
        return max(BLOCK_ROWS, min(MAX_BLOCK_ROWS, (self._known + self._seen) // BLOCKS))

    @property
    def ledger_size(self) -> int:
        """How many members there were before this run, as far as anybody knows."""
        return self._known + self._number(
            "SELECT count(DISTINCT key) FROM doubt WHERE NOT is_known AND NOT gone"
        )

    @property
    def profiles(self) -> int:
        """How many different profiles were seen."""
        return self._number("SELECT count(DISTINCT id) FROM profiles")

    @property
    def adds_fields(self) -> bool:
        """Whether members are sent again, as there are fields now that the ledger's digests do not cover."""
        return self.rules.profile_updates and any(
            set(self.fields) - set(selection) for selection in self.selections
        )

    @property
    def concerns_all(self) -> bool:
        """Whether members are sent whom nothing happened to."""
        waits = self.rules.existing_users and self._number("SELECT count(*) FROM known WHERE NOT sent")
        return self.adds_fields or bool(waits)

    def look_at(self, spool: Spool) -> None:
        """Decide what happens to each profile of a block; `write_part` and `records` give the result.

        Args:
            spool: The block.
        """
        spool.flush()
        rows = f"read_json({_quoted(spool.table)}, format = 'newline_delimited', columns = {COLUMNS})"
        self._run(
            f"CREATE OR REPLACE TEMP TABLE block AS SELECT *, hash(key) AS hash, {_print(self._current_selection(), *_WHOLE)} AS print "
            f"FROM {rows}"
        )
        self._run("INSERT INTO profiles SELECT hash(id) FROM block")
        self._judged = 0
        if not self._pass_over_unchanged():
            return
        self._judge("block", may_defer=True)
        deferred = self._rows("SELECT start, size FROM decided WHERE is_deferred ORDER BY start")
        if deferred:
            first = spool.keep(deferred)
            self._run(
                f"INSERT INTO later SELECT key, raw, speaker, digest, older, {first} + sum(size) OVER (ORDER BY start) - size, size, hash "
                "FROM decided WHERE is_deferred"
            )
        self._settle_judged()

    def look_at_deferred(self, spool: Spool) -> None:
        """Decide what happens to members whose usual profile was not seen: another of theirs speaks from now on.

        Args:
            spool: The last block; these profiles take its place.
        """
        spool.clear(restore_kept=True)
        self._judge("later", may_defer=False)
        self._run("DELETE FROM later")
        self._settle_judged()

    def forget_deferred(self) -> None:
        """Leave members as they are whose usual profile was not seen."""
        self._run("DELETE FROM later")

    @property
    def is_any_deferred(self) -> bool:
        """Whether members wait for the profile that usually speaks for them."""
        return self._number("SELECT count(*) FROM later") > 0

    def write_part(self, path: str) -> int:
        """Write the decisions of the last block as a part.

        Args:
            path: The Parquet file.

        Returns:
            How many rows it has; 0 if there was nothing to write.
        """
        return self._copy(
            f"SELECT key, raw, speaker, digest, sent, FALSE AS gone, {_TOLD} AS told FROM judged", path
        )

    @property
    def has_part(self) -> bool:
        """Whether the last block holds anything to remember."""
        return self._judged > 0

    def records(self) -> t.Iterator[tuple[str, str, int, int]]:
        """What the last block has to send.

        Yields:
            The change, the member key, and where its fields are in the spool: start and size.
        """
        if self.has_part:
            yield from self._streamed(
                f"SELECT change, key, start, size FROM judged WHERE {_TOLD} ORDER BY start"
            )

    def load_events(self, path: Path) -> None:
        """Name members to look at, where not all are.

        Args:
            path: JSON lines: key, raw identifier, kind of event, and when it happened and landed in seconds since 1970.
        """
        self._run(
            f"INSERT INTO events FROM read_json({_quoted(path)}, format = 'newline_delimited', columns = "
            "{key: 'VARCHAR', raw: 'VARCHAR', kind: 'VARCHAR', happened_at: 'DOUBLE', landed_at: 'DOUBLE'})"
        )

    def touched(self) -> t.Iterator[tuple[str, str]]:
        """The members to look at where not all are: those with events, and those in doubt; key and identifier of each."""
        yield from self._streamed(
            "SELECT DISTINCT key, raw FROM (SELECT key, raw FROM events UNION ALL SELECT key, raw FROM doubt "
            "UNION ALL SELECT key, raw FROM members SEMI JOIN events USING (key)) ORDER BY key"
        )

    def unsettled_since(self, young_since: float) -> float | None:
        """The landing time of the earliest event that has to be looked at again.

        Args:
            young_since: Events since then may not be in Lytics' index yet.

        Returns:
            The time, in seconds since 1970; None if none has to be.
        """
        return t.cast(
            "float | None",
            self._rows(
                "WITH newest AS (SELECT key, arg_max(kind, happened_at) AS kind, min(landed_at) AS landed_at, "
                "max(greatest(happened_at, landed_at)) AS latest FROM events GROUP BY key) "
                "SELECT min(landed_at) FROM newest LEFT JOIN seen ON hash(newest.key) = seen.hash "
                f"WHERE latest > {young_since} OR (kind = 'enter' AND seen.hash IS NULL) OR (kind = 'exit' AND seen.hash IS NOT NULL)"
            )[0][0],
        )

    def find_candidates(self, *, among_touched: bool) -> None:
        """List who may have left.

        Args:
            among_touched: Only those who were looked at; else all who were not seen.
        """
        absent = (
            "(FROM members SEMI JOIN events USING (key)) ANTI JOIN seen USING (hash)"
            if among_touched
            else "members SEMI JOIN (SELECT hash FROM known ANTI JOIN seen USING (hash)) USING (hash)"
        )
        self._run(
            f"CREATE OR REPLACE TABLE candidates AS FROM (SELECT key, raw, hash, TRUE AS is_fresh FROM {absent} "
            "UNION SELECT key, raw, hash, is_known OR NOT gone FROM doubt ANTI JOIN seen USING (hash)"
            f") WHERE key NOT IN ({_JUST_ENTERED})"
        )

    @property
    def is_doubt_open(self) -> bool:
        """Whether somebody in doubt entered by the newest event, and yet was not seen: nobody can tell what is true."""
        return (
            self._number(
                f"SELECT count(*) FROM doubt ANTI JOIN seen USING (hash) WHERE key IN ({_JUST_ENTERED})"
            )
            > 0
        )

    def count_candidates(self) -> int:
        """How many may have left whose exit no earlier run has decided."""
        return self._number("SELECT count(DISTINCT key) FROM candidates WHERE is_fresh")

    def candidates(self) -> t.Iterator[tuple[str, str]]:
        """Who may have left: key and identifier of each."""
        yield from self._streamed("SELECT DISTINCT key, raw FROM candidates ORDER BY key, raw")

    def confirm_exits(self) -> int:
        """Take all candidates who were not seen meanwhile for gone.

        Returns:
            How many.
        """
        self._run(
            "INSERT INTO exits SELECT key, any_value(raw) FROM candidates ANTI JOIN seen USING (hash) GROUP BY key"
        )
        return self._number("SELECT count(*) FROM exits")

    def take_exits(self) -> bool:
        """Make the next exits the last block; `write_part` and `exit_keys` give them.

        Returns:
            Whether there are any.
        """
        self._run(f"CREATE OR REPLACE TABLE leaving AS FROM exits ORDER BY key LIMIT {BLOCK_ROWS}")
        self._run("DELETE FROM exits WHERE key IN (SELECT key FROM leaving)")
        self._run("INSERT INTO changed SELECT key, raw, '', 0, TRUE, TRUE, TRUE FROM leaving")
        return self._number("SELECT count(*) FROM leaving") > 0

    def write_exits(self, path: str) -> int:
        """Write the exits that were taken as a part.

        Args:
            path: The Parquet file.

        Returns:
            How many rows it has.
        """
        return self._copy(
            "SELECT key, raw, '' AS speaker, 0::BIGINT AS digest, TRUE AS sent, TRUE AS gone, TRUE AS told FROM leaving",
            path,
        )

    def exit_keys(self) -> t.Iterator[str]:
        """The keys of the exits that were taken."""
        for (key,) in self._streamed("SELECT key FROM leaving ORDER BY key"):
            yield key

    @property
    def can_merge(self) -> bool:
        """Whether one selection covers all members, as a base needs."""
        current = self._current_selection()
        return not self._number(
            f"SELECT count(*) FROM members ANTI JOIN changed USING (key) WHERE selection <> {current}"
        )

    def write_base(self, path: str) -> int:
        """Write all members as a base.

        Args:
            path: The Parquet file.

        Returns:
            How many rows it has.
        """
        return self._copy(
            "SELECT key, raw, speaker, digest, sent, FALSE AS gone, FALSE AS told FROM members ANTI JOIN changed USING (key) "
            "UNION ALL SELECT * FROM changed WHERE NOT gone",
            path,
        )

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def _pass_over_unchanged(self) -> int:
        """See those of the block who are as the ledger has them, and take them out: most members of most runs.

        To compare hashes alone takes a tenth of the time that the joins of `_judge` take.

        Returns:
            How many profiles are left.
        """
        self._run(
            "CREATE OR REPLACE TEMP TABLE unchanged AS SELECT hash, print FROM known SEMI JOIN block USING (print)"
        )
        self._run("DELETE FROM unchanged WHERE hash IN (SELECT hash FROM doubt)")
        self._seen += self._number("INSERT INTO seen SELECT hash FROM unchanged")
        raw, speaker = _WHOLE
        self.last_seen = (
            self._rows(f"SELECT key, {raw} FROM block WHERE print IN (SELECT print FROM unchanged LIMIT 5)")
            or self.last_seen
        )
        return self._number(
            f"CREATE OR REPLACE TEMP TABLE block AS SELECT * REPLACE ({raw} AS raw, {speaker} AS speaker) FROM block "
            "ANTI JOIN unchanged USING (print)"
        )

    def _judge(self, source: str, *, may_defer: bool) -> None:
        """Fill the temporary table `decided`: one row a member, with what happens to it."""
        current = self._current_selection()
        older = [selection for selection in self.selections if set(selection) > set(self.fields)]
        same = " ".join(
            f"WHEN {self.selections.index(selection)} THEN k.digest = b.older[{number}]"
            for number, selection in enumerate(older, start=1)
        )
        rules = self.rules
        first = "backfill" if rules.is_first_pass else "enter"
        unknown = "record" if rules.is_first_pass and not rules.existing_users else first
        late = "'backfill'" if rules.existing_users else "NULL"
        # Large tables are first cut down to the block's members: a hash table of the block is small, one of the ledger is not.
        # A query for each, as in one for all DuckDB takes `seen` for small, and makes the hash table of it.
        self._run(f"CREATE OR REPLACE TEMP TABLE known_here AS FROM known SEMI JOIN {source} USING (hash)")
        self._run(f"CREATE OR REPLACE TEMP TABLE seen_here AS FROM seen SEMI JOIN {source} USING (hash)")
        # Sorting out who speaks for a member costs more than the joins, and few members have several profiles.
        self._run(
            f"CREATE OR REPLACE TEMP TABLE shared AS SELECT key FROM {source} WHERE key IS NOT NULL GROUP BY key HAVING count(*) > 1"
        )
        self._run(
            f"""
            CREATE OR REPLACE TEMP TABLE decided AS
            WITH doubt_here AS (SELECT DISTINCT key FROM doubt SEMI JOIN {source} USING (key) WHERE send),
            joined AS MATERIALIZED (
                SELECT b.*, k.hash IS NOT NULL AS is_known, coalesce(k.sent, FALSE) AS was_sent,
                    {f"{_short('b.speaker')} <> k.speaker_hash AND k.hash IS NOT NULL" if may_defer else "FALSE"} AS is_deferred,
                    {_short("b.raw")} <> k.raw_hash OR {_short("b.speaker")} <> k.speaker_hash OR k.selection <> {current} AS is_stale,
                    CASE k.selection WHEN {current} THEN k.digest = b.digest {same} ELSE FALSE END AS is_same,
                    d.key IS NOT NULL AS in_doubt, k.speaker_hash AS known_speaker,
                    CASE k.selection WHEN {current} THEN k.digest ELSE {_UNKNOWN_DIGEST} END AS known_digest
                FROM {source} AS b LEFT JOIN known_here AS k ON k.hash = b.hash LEFT JOIN doubt_here AS d ON d.key = b.key
                WHERE b.key IS NOT NULL AND NOT EXISTS (FROM seen_here AS s WHERE s.hash = b.hash)
            ), spoken AS (
                FROM joined ANTI JOIN shared USING (key)
                UNION ALL BY NAME (
                    FROM joined SEMI JOIN shared USING (key)
                    QUALIFY row_number() OVER (PARTITION BY key ORDER BY {_short("speaker")} <> known_speaker, speaker, start) = 1
                )
            ), decided AS (
                SELECT *,
                    CASE
                        WHEN in_doubt THEN CASE WHEN was_sent THEN 'update' ELSE '{first}' END
                        WHEN NOT is_known THEN '{unknown}'
                        WHEN NOT was_sent AND {late} IS NOT NULL THEN {late}
                        WHEN was_sent AND {rules.profile_updates} AND NOT is_same THEN 'update'
                        WHEN is_stale THEN 'note'
                    END AS change
                FROM spoken
            )
            -- What was not sent as updates are off has to differ once they are on.
            SELECT * REPLACE (CASE WHEN change = 'note' AND was_sent AND NOT is_same THEN known_digest ELSE digest END AS digest),
                was_sent OR {_TOLD} AS sent
            FROM decided
            """
        )

    def _settle_judged(self) -> None:
        """Remember who was seen, and keep what has to be written."""
        self._seen += self._number("INSERT INTO seen SELECT hash FROM decided WHERE NOT is_deferred")
        self.last_seen = (
            self._rows("SELECT key, raw FROM decided WHERE NOT is_deferred LIMIT 5") or self.last_seen
        )
        # Most members of a later run did not change: what is not written costs nothing.
        self._judged = self._number(
            "CREATE OR REPLACE TABLE judged AS FROM decided WHERE NOT is_deferred AND change IS NOT NULL"
        )
        self._run(f"INSERT INTO changed SELECT key, raw, speaker, digest, sent, FALSE, {_TOLD} FROM judged")

    def _current_selection(self) -> int:
        return self.selections.index(self.fields) if self.fields in self.selections else -1

    def _unite_doubts(self) -> None:
        """One row a member and spelling: sent if any part says so, gone if all do."""
        self._run(
            "CREATE OR REPLACE TABLE doubt AS WITH united AS (SELECT key, raw, bool_or(send) AS send, bool_and(gone) AS gone, "
            "hash(key) AS hash FROM doubt GROUP BY key, raw), known_here AS (SELECT hash FROM known SEMI JOIN united USING (hash)) "
            "SELECT united.*, known_here.hash IS NOT NULL AS is_known FROM united LEFT JOIN known_here USING (hash)"
        )

    def _copy(self, query: str, path: str) -> int:
        found = self._run(f"COPY ({query}) TO {_quoted(path)} (FORMAT parquet, COMPRESSION zstd)").fetchone()
        return int(found[0]) if found else 0

    def _number(self, query: str) -> int:
        found = self._run(query).fetchone()
        return int(found[0]) if found else 0

    def _rows(self, query: str) -> list[tuple[t.Any, ...]]:
        return self._run(query).fetchall()

    def _streamed(self, query: str) -> t.Iterator[tuple[t.Any, ...]]:
        """Rows a few at a time, on a connection of their own: others may run queries in between."""
        with self._database.cursor() as cursor:
            cursor.execute(query)
            while rows := cursor.fetchmany(_FETCHED_ROWS):
                yield from rows

    def _run(self, query: str) -> duckdb.DuckDBPyConnection:
        try:
            return self._database.execute(query)
        except (duckdb.OutOfMemoryException, duckdb.IOException) as error:
            # Out of memory means that there was no room to spill to.
            if isinstance(error, duckdb.IOException) and " write" not in str(error):
                raise
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)) from error


def _print(selection: int | str, raw: str = "raw", speaker: str = "speaker") -> str:
    """A hash of all that makes a member unchanged."""
    return f"hash(key, {raw}, {speaker}, digest::BIGINT, ({selection})::INTEGER)"


def _short(text: str) -> str:
    """Half a hash: it is compared with one other alone."""
    return f"(hash({text}) & 4294967295)::UINTEGER"


def _numbers(selection: int | str) -> str:
    """The columns of `known`, from those of `members`.

    Hashes stand for keys: of ten million members, somebody is taken for another with a chance of one in a million million.
    """
    return f"hash, {_short('raw')}, {_short('speaker')}, digest, sent, selection, CASE WHEN sent THEN {_print(selection)} END"


def _quoted(path: Path | str) -> str:
    """A path as SQL text."""
    return "'" + str(path).replace("'", "''") + "'"


def _parquet(path: str) -> str:
    return f"read_parquet({_quoted(path)})"
