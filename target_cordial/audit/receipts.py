"""What audits leave: the differences row by row, a receipt without personal data, and what the last audit found."""

from __future__ import annotations

import json
import logging
import typing as t

import msgspec

from lytics_to_cordial.database import quoted
from lytics_to_cordial.errors import UserError
from target_cordial.audit.compare import DIFFERENCE_COLUMNS
from target_cordial.storage.storage import folder_beside

if t.TYPE_CHECKING:
    from pathlib import Path

    from lytics_to_cordial.database import Tables
    from target_cordial.settings import Settings

SETTINGS = (
    "mode",
    "api_url",
    "identifier_field",
    "identifier_column",
    "list_name",
    "list_action",
    "field_mapping",
    "null_values",
    "import_strategy",
    "subscribe_status",
    "export_audience_key",
    "accept_unmarked_end",
)
"""The settings that a receipt names: they decide what is equal, and hold nothing personal."""

logger = logging.getLogger("target-cordial")


class Receipts:
    """The folder of the setting audits_url. Its files of differences hold identifiers and values; on this machine they are 0600.

    Attributes:
        place: The folder, for messages.
    """

    def __init__(self, settings: Settings, url: str, run: str, folder: Path) -> None:
        self.place = url
        self._settings = settings
        self._run = run
        self._folder = folder
        self._audits = folder_beside(settings, url, "audits_url")
        self._written = 0

    def load_last(self, tables: Tables) -> bool:
        """Make the table `last` of the differences that the last audit found, and say whether it could be read.

        Where no audit came before, none did.
        """
        declared = ", ".join(f"{name} VARCHAR" for name in DIFFERENCE_COLUMNS)
        tables.run(f"CREATE OR REPLACE TABLE last ({declared})")
        names = [
            name for name in self._audits.names() if name.startswith("audit-") and name.endswith(".json")
        ]
        if not names:
            return True
        path = self._folder / "last.csv"
        try:
            receipt = msgspec.json.decode(self._audits.read(names[-1]))
            self._audits.get(str(receipt["differences"]), path)
        except (UserError, msgspec.DecodeError, KeyError, TypeError) as error:
            reason = (
                str(error) if isinstance(error, UserError) else f"The receipt {names[-1]} cannot be read."
            )
            logger.warning(
                "What the last audit found is not known, so no difference counts as moving. %s", reason
            )
            return False
        columns = ", ".join(f"'{name}': 'VARCHAR'" for name in DIFFERENCE_COLUMNS)
        tables.run(
            f"INSERT INTO last SELECT coalesce(COLUMNS(*), '') FROM read_csv({quoted(path)}, columns = {{{columns}}}, auto_detect = false, header = true, "
            "delim = ',', quote = '\"', escape = '\"')"
        )
        path.unlink()
        return True

    def write(self, tables: Tables, receipt: dict[str, t.Any]) -> str:
        """Write the table `differences`, and then a receipt that names its file; gives back that file's place."""
        self._written += 1
        name = f"audit-{self._run}-{self._written}"
        path = self._folder / "differences.csv"
        tables.run(
            f"COPY (SELECT * FROM differences ORDER BY list, kind, identifier, attribute) TO {quoted(path)} (FORMAT csv, HEADER)"
        )
        self._audits.put(f"{name}.csv", path)
        path.unlink()
        settings = {setting: getattr(self._settings, setting) for setting in SETTINGS}
        content = {**receipt, "settings": settings, "differences": f"{name}.csv"}
        self._audits.put(f"{name}.json", json.dumps(content, indent=2).encode() + b"\n")
        return self._audits.place(f"{name}.csv")
