"""Who may have left, and who did.

candidates  Members who were not seen, and people in doubt who were not: one row a member and spelling.
  counts    Their exit counts against `max_exit_percent`: no earlier run decided it.
  change    `exit`, or `exit_again` for somebody whose exit was acknowledged before.
held        Keys of people of whom Lytics cannot be asked: they stay.
exits       Candidates of whom Lytics confirmed that they are no members, one row each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from lytics_to_cordial.database import Tables
from tap_lytics_audience.members import changes
from tap_lytics_audience.members.changes import Decisions
from tap_lytics_audience.members.kinds import Change
from tap_lytics_audience.members.touched import JUST_ENTERED

_UNSURE = f"{JUST_ENTERED} UNION ALL SELECT key FROM held"


@dataclass(frozen=True)
class Exits:
    """Finds the exits of one audience."""

    tables: Tables

    def __post_init__(self) -> None:
        """Nobody is held yet."""
        self.tables.run("CREATE TABLE held (key VARCHAR)")

    def hold(self, keys: list[str]) -> None:
        """Keep people of whom nobody knows whether they left."""
        for key in keys:
            self.tables.run("INSERT INTO held VALUES (?)", [key])

    def held(self) -> int:
        """How many people are held, of those who were not seen."""
        return self.tables.number(
            "SELECT count(DISTINCT key) FROM held WHERE hash(key) NOT IN (SELECT hash FROM seen)"
        )

    def find_candidates(self, *, among_touched: bool) -> None:
        """List who may have left: among all, or only among those whom trigger messages name. People in doubt always count."""
        absent = (
            "(FROM members SEMI JOIN events USING (key)) ANTI JOIN seen USING (hash)"
            if among_touched
            else "members SEMI JOIN (SELECT hash FROM known ANTI JOIN seen USING (hash)) USING (hash)"
        )
        self.tables.run(
            f"""
            CREATE TABLE candidates AS FROM (
                SELECT key, identifier, hash, TRUE AS counts, '{Change.EXIT.value}' AS change FROM {absent}
                UNION SELECT key, identifier, hash, may_be_held AND (is_known OR NOT is_gone),
                    CASE WHEN may_be_held THEN '{Change.EXIT.value}' ELSE '{Change.EXIT_AGAIN.value}' END
                FROM doubt ANTI JOIN seen USING (hash)
            ) WHERE key NOT IN ({_UNSURE});
            """
        )

    def count(self) -> int:
        """How many candidates count against a limit."""
        return self.tables.number("SELECT count(DISTINCT key) FROM candidates WHERE counts")

    def candidates(self) -> Iterator[tuple[str, str]]:
        """Key and identifier of each candidate."""
        yield from self.tables.stream(
            "SELECT DISTINCT key, identifier FROM candidates ORDER BY key, identifier"
        )

    def held_members(self) -> list[str]:
        """Keys of members who were sent and not seen, and of whom Lytics cannot be asked."""
        rows = self.tables.rows(
            "SELECT DISTINCT key FROM (FROM candidates SEMI JOIN held USING (key)) ANTI JOIN seen USING (hash) "
            "ANTI JOIN (SELECT hash FROM known WHERE NOT sent) USING (hash) WHERE counts ORDER BY key"
        )
        return [key for (key,) in rows]

    def confirmed(self, *, are_news: bool = False) -> Iterator[Decisions]:
        """Let all candidates go who were not seen meanwhile, a block at a time.

        Args:
            are_news: Whether to pass over those whom the ledger does not take for members, or has in doubt as gone whatever state comes.
        """
        only = "counts AND key NOT IN (SELECT key FROM doubt WHERE latest_gone)" if are_news else "TRUE"
        self.tables.run(
            f"""
            CREATE TABLE exits AS
            SELECT key, any_value(identifier) AS identifier, min(change) AS change, row_number() OVER (ORDER BY key) AS number
            FROM candidates ANTI JOIN seen USING (hash) ANTI JOIN held USING (key) WHERE {only} GROUP BY key
            """
        )
        count = self.tables.number("SELECT count(*) FROM exits")
        for first in range(1, count + 1, changes.BLOCK_ROWS):
            yield changes.decide(
                self.tables,
                "SELECT key, identifier, '' AS representative, 0::BIGINT AS digest, TRUE AS sent, change, 0 AS start, 0 AS size "
                f"FROM exits WHERE number BETWEEN {first} AND {first + changes.BLOCK_ROWS - 1}",
            )

    def without_identifier(self) -> int:
        """How many who left have a profile that is in the audience still, without an identifier."""
        if not self.tables.number("SELECT count(*) FROM nameless"):
            return 0
        return self.tables.number(
            "SELECT count(*) FROM (SELECT key FROM changed WHERE gone) SEMI JOIN "
            "(FROM members WHERE hash(representative) IN (FROM nameless)) USING (key)"
        )

    def has_open_doubt(self) -> bool:
        """Whether somebody in doubt was not seen, and yet may be a member: nobody knows what is true."""
        query = f"SELECT count(*) FROM doubt ANTI JOIN seen USING (hash) WHERE key IN ({_UNSURE})"
        return self.tables.number(query) > 0
