"""Which rows of import files Cordial did not take: it counts them and names none, so their contacts are read back."""

from __future__ import annotations

import shutil
import tempfile
import typing as t
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lytics_to_cordial.database import Database, Tables
from lytics_to_cordial.errors import UserError
from target_cordial.delivery.counters import Counters
from target_cordial.delivery.importfile import read_csv
from target_cordial.delivery.order import ImportFile
from target_cordial.readback.compare import compare, load_members
from target_cordial.readback.contacts import Columns, read_contacts
from target_cordial.readback.export import Exporter
from target_cordial.readback.single_contacts import MOST, SingleContacts

LOOKS = 3
"""How often contacts are read until they are as the counters say: what an import did may show late."""
EXPORT_LATER = "An export names those that can be told once all is imported"


@dataclass(frozen=True)
class LostRows:
    """The rows of a file that are not in Cordial.

    Attributes:
        named: Those whose contacts are known: their cells by column, without those that leave an attribute as it is.
        unnamed: How many more there are.
        why: Why these could not be named, as a sentence.
    """

    named: list[dict[str, str]] = field(default_factory=list)
    unnamed: int = 0
    why: str = ""

    @property
    def count(self) -> int:
        """How many rows are lost."""
        return len(self.named) + self.unnamed


@dataclass(frozen=True)
class Naming:
    """Names the rows of files that Cordial rejected or did not count.

    Attributes:
        contacts: Reads the contacts of a small file.
        exporter: Exports all contacts for large ones; None if nobody may.
        kinds: What the cells of attributes hold, by column.
        null_marker: The cell that leaves an attribute as it is.
        pause: Waits until it is worth while to look again.
        makes_contacts: Whether imports of enters make contacts that Cordial lacks; if not, theirs are no lost rows.
    """

    contacts: SingleContacts
    exporter: Exporter | None
    kinds: t.Mapping[str, str]
    null_marker: str
    pause: Callable[[], None]
    makes_contacts: bool

    def lost_rows(self, file: ImportFile, counters: Counters) -> LostRows:
        """The rows of an imported file that are not in Cordial; of a large one, how many they are."""
        if not counters.most_lost:
            return LostRows()
        if file.rows > MOST:
            return _uncertain(
                file,
                counters,
                f"{EXPORT_LATER}." if self.exporter else f"The file has more than {MOST} rows.",
            )
        return self._lost_rows([(file, counters)], self.contacts.load)[0]

    def lost_rows_of_large(self, imports: Sequence[tuple[ImportFile, Counters]]) -> list[LostRows]:
        """The rows of imported files, all of enters or all of exits, that are not in Cordial, by one export."""
        exporter = self.exporter
        if exporter is None or not imports:
            return []
        return self._lost_rows(
            imports, lambda tables, columns: read_contacts(exporter, columns, tables, "members")
        )

    def _lost_rows(
        self, imports: Sequence[tuple[ImportFile, Counters]], load: Callable[[Tables, Columns], object]
    ) -> list[LostRows]:
        """Hold the rows of files against their contacts, as `load` reads them, until there are as many as the counters say."""
        files = [file for file, _ in imports]
        lists = [*dict.fromkeys(file.target_list for file in files if file.target_list is not None)]
        # Files of exits hold addresses alone.
        kinds = {} if files[0].is_exits else self.kinds
        folder = Path(tempfile.mkdtemp(dir=files[0].path.parent))
        database = Database(folder)
        lost: list[LostRows] = []
        try:
            tables = database.tables()
            tables.run("SET TimeZone = 'UTC'")
            load_members(tables, [file.path for file in files], len(kinds), skip=1)
            for look in range(LOOKS):
                if look:
                    self.pause()
                load(tables, Columns(self.contacts.channel, [*kinds], lists))
                lost = []
                for number, (file, counters) in enumerate(imports):
                    on = None if file.target_list is None else f"l{lists.index(file.target_list)}"
                    lost.append(self._lost_rows_of(tables, number, file, on, kinds, counters))
                if not any(each.unnamed for each in lost):
                    break
        except UserError as error:
            return [_uncertain(file, counters, str(error)) for file, counters in imports]
        finally:
            database.close()
            shutil.rmtree(folder, ignore_errors=True)
        return lost

    def _lost_rows_of(
        self,
        tables: Tables,
        number: int,
        file: ImportFile,
        on: str | None,
        kinds: t.Mapping[str, str],
        counters: Counters,
    ) -> LostRows:
        if file.is_exits:
            # Whoever is not on the list, or not in Cordial, needs no exit.
            staying = f"SELECT address FROM members SEMI JOIN (FROM contacts WHERE {on or 'false'}) USING (key) WHERE list = {number}"
            return LostRows(self._rows(tables, file, staying))
        compare(tables, number, on, kinds, self.null_marker, counts_unknown=self.makes_contacts)
        least, most = counters.least_lost, counters.most_lost
        if not self.makes_contacts:
            # Passed over, whether Cordial counts it as rejected or as ignored.
            unknown = tables.number("SELECT count(*) FROM compared WHERE is_unknown")
            least, most = max(0, least - unknown), max(0, most - unknown)
        missing = tables.number("SELECT count(*) FROM compared WHERE is_missing")
        different = tables.number("SELECT count(*) FROM compared WHERE is_different")
        if missing + different <= most:
            named, unnamed = "is_missing OR is_different", max(0, least - missing - different)
        elif missing <= most:
            # Attributes that differ everywhere say nothing: Cordial may write them in another way.
            named, unnamed = "is_missing", most - missing
        else:
            named, unnamed = "false", most
        rows = self._rows(tables, file, f"SELECT address FROM compared WHERE {named}")
        return LostRows(
            rows, unnamed, "Their contacts in Cordial are not as the counters have it." if unnamed else ""
        )

    def _rows(self, tables: Tables, file: ImportFile, query: str) -> list[dict[str, str]]:
        """What a file says of those whose addresses a query gives."""
        lost = {address for (address,) in tables.rows(query)}
        if not lost:
            return []
        header, *rows = read_csv(file.path)
        return [
            {name: cell for name, cell in zip(header, row, strict=True) if cell != self.null_marker}
            for row in rows
            if row[0] in lost
        ]


def _uncertain(file: ImportFile, counters: Counters, why: str) -> LostRows:
    """As many as Cordial counts."""
    # Of an enter the list's count tells; an exit without an outcome leaves somebody on it, and nothing else would say so.
    return LostRows(unnamed=counters.most_lost if file.is_exits else counters.lost, why=why)
