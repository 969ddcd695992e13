"""Which rows of a file Cordial did not take: it counts them and names none, so their contacts are read back."""

from __future__ import annotations

import logging
import typing as t
from dataclasses import dataclass, field

from lytics_to_cordial.errors import UserError
from target_cordial.cordial.contacts import Contact
from target_cordial.delivery.counters import Counters
from target_cordial.delivery.importfile import read_csv
from target_cordial.delivery.order import ImportFile
from target_cordial.readback.single_contacts import MOST
from target_cordial.readback.values import differing

LOOKS = 3
"""How often contacts are read until they are as the counters say: what an import did may show late."""

logger = logging.getLogger("target-cordial")


class Reader(t.Protocol):
    """What reads contacts back."""

    def read(self, keys: t.Sequence[str]) -> t.Mapping[str, Contact | None]:
        """The contacts of these keys; None for one that Cordial does not have. Raises a `UserError` if Cordial does not tell."""
        ...


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
    """Names the rows of a file that Cordial rejected or did not count.

    Attributes:
        reader: Reads contacts back.
        null_marker: The cell that leaves an attribute as it is.
        pause: Waits until it is worth while to look again.
        kinds: What the cells of attributes hold, by column.
        makes_contacts: Whether imports of enters make contacts that Cordial lacks; if not, theirs are no lost rows.
    """

    reader: Reader
    null_marker: str
    kinds: t.Mapping[str, str]
    pause: t.Callable[[], None]
    makes_contacts: bool

    def lost_rows(self, file: ImportFile, counters: Counters) -> LostRows:
        """The rows of an imported file that are not in Cordial."""
        if not counters.most_lost:
            return LostRows()
        if file.rows > MOST:
            # Of an enter the list's count tells; an exit without an outcome leaves somebody on it, and nothing else would say so.
            unnamed = counters.most_lost if file.is_exits else counters.lost
            return LostRows(unnamed=unnamed, why=f"The file has more than {MOST} rows.")
        keys, rows = self._rows(file)
        named: list[str] = []
        unnamed = 0
        try:
            for look in range(LOOKS):
                if look:
                    self.pause()
                named, unnamed = self._missing(file, keys, rows, self.reader.read(keys), counters)
                if not unnamed:
                    break
        except UserError as error:
            return LostRows(unnamed=counters.lost, why=str(error))
        lost = set(named)
        return LostRows(
            [row for key, row in zip(keys, rows, strict=True) if key in lost],
            unnamed,
            "Their contacts in Cordial are not as the counters have it." if unnamed else "",
        )

    def _missing(
        self,
        file: ImportFile,
        keys: t.Sequence[str],
        rows: t.Sequence[dict[str, str]],
        contacts: t.Mapping[str, Contact | None],
        counters: Counters,
    ) -> tuple[list[str], int]:
        """The contacts whose rows are lost, and how many more rows are."""
        target_list = file.target_list
        if file.is_exits:
            # Whoever is not on the list, or not in Cordial, needs no exit.
            staying = [
                key
                for key in keys
                if target_list is not None
                and (contact := contacts[key]) is not None
                and contact.is_on(target_list)
            ]
            return staying, 0
        absent: list[str] = []
        there: list[tuple[str, Contact, dict[str, str]]] = []
        least, most = counters.least_lost, counters.most_lost
        for key, row in zip(keys, rows, strict=True):
            contact = contacts[key]
            if contact is None and not self.makes_contacts:
                # Passed over, whether Cordial counts it as rejected or as ignored.
                least, most = max(0, least - 1), max(0, most - 1)
            elif contact is None or (target_list is not None and not contact.is_on(target_list)):
                absent.append(key)
            else:
                there.append((key, contact, dict(list(row.items())[1:])))
        places = differing([(contact, row) for _, contact, row in there], self.kinds)
        different = [there[place][0] for place in sorted(places)]
        if len(absent) + len(different) <= most:
            return absent + different, max(0, least - len(absent) - len(different))
        # Attributes that differ everywhere say nothing: Cordial may write them in another way.
        return (absent, most - len(absent)) if len(absent) <= most else ([], most)

    def _rows(self, file: ImportFile) -> tuple[list[str], list[dict[str, str]]]:
        """The contacts of a file, and what it says of each."""
        header, *cells = read_csv(file.path)
        rows = [
            {name: cell for name, cell in zip(header, row, strict=True) if cell != self.null_marker}
            for row in cells
        ]
        return [row[0] for row in cells], rows
