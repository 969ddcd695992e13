"""What audits leave: the differences row by row, a receipt without personal data, and what the last audit found."""

from __future__ import annotations

import json
import logging
import typing as t
from collections.abc import Collection
from pathlib import Path

import msgspec

from lytics_to_cordial.database import Tables, csv_table, quoted
from lytics_to_cordial.errors import UserError
from target_cordial.audit.compare import DIFFERENCE_COLUMNS, digest_of
from target_cordial.settings import Settings
from target_cordial.storage.storage import folder_beside

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
LOOKS_BACK = 100
"""A list's last audit is looked for in so many receipts: a pipeline may audit one list today and another tomorrow."""

logger = logging.getLogger("target-cordial")


class Receipts:
    """The folder of the setting audits_url. Its files of differences hold identifiers and values; on this machine they are 0600.

    Args:
        settings: Which a receipt names, in part.
        url: The folder, which several pipelines may share.
        pipeline: With which the names of one's own files go on after `audit-`.
        run: The run's name.
        folder: For files on this machine; only the owner may enter it.
    """

    def __init__(self, settings: Settings, url: str, pipeline: str, run: str, folder: Path) -> None:
        self._settings = settings
        self._prefix = f"audit-{pipeline}-"
        self._run = run
        self._path = folder / "differences.csv"
        self._audits = folder_beside(settings, url, "audits_url")
        self._written = 0

    def load_last(self, tables: Tables, list_ids: Collection[int]) -> set[int]:
        """Make the table `last` of the differences that the last audit of each list found, and say of which lists they are known.

        Where no audit held a list before, none did.
        """
        declared = ", ".join(f"{name} VARCHAR" for name in DIFFERENCE_COLUMNS)
        tables.run(f"CREATE OR REPLACE TABLE last ({declared})")
        left = set(list_ids)
        own = [
            name for name in self._audits.names() if name.startswith(self._prefix) and name.endswith(".json")
        ]
        for name in own[: -LOOKS_BACK - 1 : -1]:
            try:
                left -= self._load(tables, name, left)
            except (UserError, msgspec.DecodeError, KeyError, TypeError) as error:
                reason = str(error) if isinstance(error, UserError) else f"The receipt {name} cannot be read."
                logger.warning(
                    "What the last audit found is not known, so no difference counts as moving. %s", reason
                )
                return set(list_ids) - left
            if not left:
                break
        return set(list_ids)

    def _load(self, tables: Tables, name: str, list_ids: set[int]) -> set[int]:
        """Add to the table `last` what an audit found of the lists that it held, and give them back."""
        receipt = msgspec.json.decode(self._audits.read(name))
        held = list_ids & {each["id"] for each in receipt["lists"]}
        if held:
            differences = name.removesuffix(".json") + ".csv"
            self._audits.get(differences, self._path)
            try:
                if _digest(self._path) != receipt["differences_sha256"]:
                    raise UserError(f"The file {differences} was changed since.")
                rows = csv_table(self._path, DIFFERENCE_COLUMNS, skip=1)
                ids = ", ".join(f"'{list_id}'" for list_id in held)
                tables.run(
                    f"INSERT INTO last SELECT coalesce(COLUMNS(*), '') FROM {rows} WHERE list_id IN ({ids})"
                )
            finally:
                self._path.unlink()
        return held

    def write(self, tables: Tables, receipt: dict[str, t.Any]) -> str:
        """Write the table `differences`, and then a receipt that names its file; gives back that file's place."""
        self._written += 1
        name = f"{self._prefix}{self._run}-{self._written}"
        tables.run(
            f"COPY (SELECT * FROM differences ORDER BY list, kind, identifier, attribute) TO {quoted(self._path)} (FORMAT csv, HEADER)"
        )
        self._audits.put(f"{name}.csv", self._path)
        content = {
            **receipt,
            "settings": {setting: getattr(self._settings, setting) for setting in SETTINGS},
            "differences": f"{name}.csv",
            "differences_sha256": _digest(self._path),
        }
        self._path.unlink()
        self._audits.put(f"{name}.json", json.dumps(content, indent=2).encode() + b"\n")
        return self._audits.place(f"{name}.csv")


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return digest_of(file)
