"""The ledger: who was sent, in immutable Parquet files that the state points at.

A *part* holds what a run sends and is durable before it is sent. A *manifest* names the parts, in order, that count; its
name is all that the state keeps. A part that the incoming manifest does not know is *in doubt*: it may have been
delivered or not.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import re
import secrets
import typing as t
from dataclasses import dataclass, field
from pathlib import Path

import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from tap_lytics_audience.errors import UserError

if t.TYPE_CHECKING:
    import duckdb

MEMBER_COLUMNS = "key VARCHAR, raw VARCHAR, speaker VARCHAR, digest BIGINT, sent BOOLEAN, gone BOOLEAN"
MERGE_SHARE = 10
"""Parts are merged into a new base when they hold more than a tenth of it."""
_NAME = re.compile(r"[mpb]-\d{6}-[0-9a-f]{16}\.(json|parquet)")


class LedgerError(UserError):
    """The ledger cannot be read or written; the sentence says where and what to do."""


@dataclass(frozen=True)
class Member:
    """A row of the ledger.

    Attributes:
        key: The member key.
        raw: The identifier as Lytics has it, which its filters may need.
        speaker: The profile that speaks for the key.
        digest: Of the profile's selected fields.
        sent: Whether it was sent, or only recorded.
        gone: Whether it left.
    """

    key: str
    raw: str
    speaker: str
    digest: int
    sent: bool
    gone: bool = False


class PartRef(msgspec.Struct, frozen=True):
    """A Parquet file of a manifest.

    Attributes:
        name: Its name.
        rows: How many rows it holds.
        fields: The profile fields that its digests cover.
    """

    name: str
    rows: int
    fields: list[str]


class Manifest(msgspec.Struct, frozen=True):
    """What counts.

    Attributes:
        parts: Files in order; later rows win. The first may be a base.
        settled: Parts that count no more: merged, or sent again after they were in doubt.
        number: How many manifests came before.
    """

    parts: list[PartRef] = []
    settled: list[str] = []
    number: int = 0

    @property
    def rows(self) -> int:
        """Rows of all parts."""
        return sum(part.rows for part in self.parts)


@dataclass
class Ledger:
    """The ledger of one audience.

    Attributes:
        url: Folder of all ledgers.
        ledger_id: Whose.
        audience_id: Of which audience.
        database: Holds what was read, and joins it.
        folder: For files on this machine.
        manifest: What counts now.
    """

    url: str
    ledger_id: str
    audience_id: str
    database: duckdb.DuckDBPyConnection
    folder: Path
    manifest: Manifest = field(default_factory=Manifest)

    def load(self, manifest_name: str | None) -> None:
        """Read what the state points at into tables `known` and `doubt`.

        Args:
            manifest_name: As the state has it; None before the first part.

        Raises:
            LedgerError: If a file is missing or damaged.
        """
        if manifest_name is not None:
            self.manifest = self._read_manifest(self._place, manifest_name)
        self.database.execute(f"CREATE TABLE known ({MEMBER_COLUMNS}, selection INTEGER)")
        self.database.execute("CREATE TABLE doubt (key VARCHAR, raw VARCHAR)")
        self.selections = self._load_known(self._place, self.manifest, "known")
        self.unsettled = [
            name
            for name in self._names(self._place)
            if name.startswith("p-")
            and name not in {part.name for part in self.manifest.parts} | set(self.manifest.settled)
        ]
        for name in self.unsettled:
            self._load_doubt(self._place, name)

    def load_strangers(self) -> None:
        """Add the members of all ledgers of this audience to `doubt`: without a state nobody knows which of them were sent.

        Raises:
            LedgerError: If a ledger cannot be read.
        """
        for other in self._names(self.url, folders=True):
            place = f"{self.url.rstrip('/')}/{other}/{self.audience_id}"
            if other == self.ledger_id:
                continue
            names = self._names(place)
            newest = max((name[:8] for name in names if name.startswith("m-")), default=None)
            for name in names:
                if newest is not None and name.startswith(newest):
                    manifest = self._read_manifest(place, name)
                    self.database.execute(
                        f"CREATE OR REPLACE TEMP TABLE theirs ({MEMBER_COLUMNS}, selection INTEGER)"
                    )
                    self._load_known(place, manifest, "theirs")
                    self.database.execute("INSERT INTO doubt SELECT key, raw FROM theirs")
                    covered = {part.name for part in manifest.parts} | set(manifest.settled)
                    for part in names:
                        if part.startswith("p-") and part not in covered:
                            self._load_doubt(place, part)
            if newest is None:
                for part in names:
                    if part.startswith("p-"):
                        self._load_doubt(place, part)

    def add_part(
        self, members: t.Sequence[Member], fields: list[str], *, settles: t.Sequence[str] = ()
    ) -> str:
        """Make a part durable, and a manifest that counts it.

        Args:
            members: Its rows.
            fields: The profile fields that their digests cover.
            settles: Parts in doubt whose members have all been sent again.

        Returns:
            The manifest's name, for the state that follows the part's last record.

        Raises:
            LedgerError: If it cannot be written.
        """
        self.database.execute(f"CREATE OR REPLACE TEMP TABLE part ({MEMBER_COLUMNS})")
        self.database.execute(
            "INSERT INTO part SELECT unnest($1::VARCHAR[]), unnest($2::VARCHAR[]), unnest($3::VARCHAR[]), unnest($4::BIGINT[]), "
            "unnest($5::BOOLEAN[]), unnest($6::BOOLEAN[])",
            [
                [member.key for member in members],
                [member.raw for member in members],
                [member.speaker for member in members],
                [member.digest for member in members],
                [member.sent for member in members],
                [member.gone for member in members],
            ],
        )
        name = self._new_name("p", "parquet")
        self._write_table("SELECT * FROM part", name)
        parts = [*self.manifest.parts, PartRef(name, len(members), fields)]
        return self._write_manifest(parts, [*self.manifest.settled, *settles])

    def needs_merge(self) -> bool:
        """Whether the parts have grown past a tenth of the base."""
        base = sum(part.rows for part in self.manifest.parts if part.name.startswith("b-"))
        return len(self.manifest.parts) > 1 and (self.manifest.rows - base) * MERGE_SHARE > base

    def merge(self, query: str, fields: list[str]) -> str:
        """Write a new base in place of all parts.

        Args:
            query: Selects all members, as columns of `MEMBER_COLUMNS`.
            fields: The profile fields that their digests cover.

        Returns:
            The manifest's name.

        Raises:
            LedgerError: If it cannot be written.
        """
        name = self._new_name("b", "parquet")
        rows = self._write_table(query, name)
        merged = [part.name for part in self.manifest.parts if part.name.startswith("p-")]
        present = set(self._names(self._place))
        settled = [other for other in [*self.manifest.settled, *merged] if other in present]
        return self._write_manifest([PartRef(name, rows, fields)], settled)

    def settle(self, names: t.Sequence[str]) -> str:
        """Note that parts in doubt count no more, when nothing had to be sent again for them.

        Args:
            names: The parts.

        Returns:
            The manifest's name.

        Raises:
            LedgerError: If it cannot be written.
        """
        return self._write_manifest(list(self.manifest.parts), [*self.manifest.settled, *names])

    def delete_old(self, keep_days: int) -> None:
        """Delete files that the incoming state does not need and that are old.

        Args:
            keep_days: How old.
        """
        needed = {part.name for part in self.manifest.parts} | set(self.unsettled)
        before = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=keep_days)
        files, place = self._open(self._place)
        for name in self._names(self._place):
            if name in needed or (name[:8] >= f"m-{self.manifest.number:06d}" and name.startswith("m-")):
                continue
            # What cannot be deleted now can be at the next run.
            with contextlib.suppress(OSError, ValueError):
                modified = files.modified(f"{place}/{name}")
                if modified.replace(tzinfo=modified.tzinfo or dt.timezone.utc) < before:
                    files.rm_file(f"{place}/{name}")

    @property
    def _place(self) -> str:
        return f"{self.url.rstrip('/')}/{self.ledger_id}/{self.audience_id}"

    def _new_name(self, kind: str, suffix: str) -> str:
        return f"{kind}-{self.manifest.number + 1:06d}-{secrets.token_hex(8)}.{suffix}"

    def _write_manifest(self, parts: list[PartRef], settled: list[str]) -> str:
        name = self._new_name("m", "json")
        self.manifest = Manifest(parts, settled, self.manifest.number + 1)
        path = self.folder / name
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self.manifest), indent=1))
        self._put(path, name)
        return name

    def _read_manifest(self, place: str, name: str) -> Manifest:
        with self._explaining(f"{place}/{name}"):
            files, folder = self._open(place)
            content = files.cat_file(f"{folder}/{name}")
            return msgspec.json.decode(content, type=Manifest)

    def _load_known(self, place: str, manifest: Manifest, table: str) -> list[list[str]]:
        """Read a manifest's parts; later rows win.

        Returns:
            The field selections that the rows' column `selection` counts.
        """
        selections: list[list[str]] = []
        for part in manifest.parts:
            if part.fields not in selections:
                selections.append(part.fields)
            path = self._get(place, part.name)
            with self._explaining(f"{place}/{part.name}"):
                if part is not manifest.parts[0]:
                    self.database.execute(
                        f"DELETE FROM {table} USING read_parquet('{path}') AS newer WHERE {table}.key = newer.key"  # noqa: S608
                    )
                self.database.execute(
                    f"INSERT INTO {table} SELECT *, {selections.index(part.fields)} FROM read_parquet('{path}') WHERE NOT gone"  # noqa: S608
                )
            path.unlink()
        return selections

    def _load_doubt(self, place: str, name: str) -> None:
        path = self._get(place, name)
        with self._explaining(f"{place}/{name}"):
            self.database.execute(
                f"INSERT INTO doubt SELECT key, raw FROM read_parquet('{path}') WHERE sent OR gone"  # noqa: S608
            )
        path.unlink()

    def _write_table(self, query: str, name: str) -> int:
        path = self.folder / name
        with self._explaining(str(path), is_write=True):
            rows = self.database.execute(
                f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd)"
            ).fetchone()
        self._put(path, name)
        return int(rows[0]) if rows else 0

    def _names(self, place: str, *, folders: bool = False) -> list[str]:
        with self._explaining(place):
            files, folder = self._open(place)
            files.invalidate_cache()
            try:
                found = files.ls(folder, detail=True)
            except FileNotFoundError:
                return []
            names = [
                item["name"].rstrip("/").rpartition("/")[2]
                for item in found
                if (item["type"] == "directory") == folders
            ]
            return sorted(name for name in names if folders or _NAME.fullmatch(name))

    def _get(self, place: str, name: str) -> Path:
        path = self.folder / f"{secrets.token_hex(4)}-{name}"
        with self._explaining(f"{place}/{name}"):
            files, folder = self._open(place)
            files.get_file(f"{folder}/{name}", str(path))
        return path

    def _put(self, path: Path, name: str) -> None:
        """Make a file durable under its name; it is never seen half-written."""
        with self._explaining(f"{self._place}/{name}", is_write=True):
            files, folder = self._open(self._place)
            if isinstance(files, LocalFileSystem):
                _put_local(path, Path(folder) / name)
            else:
                files.put_file(str(path), f"{folder}/{name}")
        path.unlink(missing_ok=True)

    @staticmethod
    def _open(place: str) -> tuple[t.Any, str]:
        files, folder = fsspec.url_to_fs(place)
        return files, str(folder).rstrip("/")

    @contextlib.contextmanager
    def _explaining(self, place: str, *, is_write: bool = False) -> t.Iterator[None]:
        try:
            yield
        except LedgerError:
            raise
        except FileNotFoundError as error:
            msg = (
                f"The ledger file {place} is missing, to which the state points: restore it, or run once with --full-refresh, which "
                "sends everybody again."
            )
            raise LedgerError(msg) from error
        except ImportError as error:
            msg = f"The ledger at {place} needs more packages: install lytics-to-cordial[s3] or [gcs]."
            raise LedgerError(msg) from error
        except Exception as error:
            if is_write:
                msg = (
                    f"The ledger file {place} cannot be written ({_reason(error)}): make room or give write rights there, or set "
                    "ledger_url to another folder."
                )
            else:
                msg = (
                    f"The ledger file {place} cannot be read ({_reason(error)}): restore it, or run once with --full-refresh, which "
                    "sends everybody again."
                )
            raise LedgerError(msg) from error


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or type(error).__name__


def _put_local(path: Path, target: Path) -> None:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = target.with_name(f"{target.name}.part")
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with open(descriptor, "wb") as file, path.open("rb") as source:  # noqa: PTH123 - Path has no open by descriptor
            while chunk := source.read(1 << 20):
                file.write(chunk)
            file.flush()
            os.fsync(descriptor)
        part.replace(target)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
