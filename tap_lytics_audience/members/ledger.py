"""The ledger: who was sent, in immutable files that the state points at.

A *part* holds what a run sends and is durable before it is sent. A *manifest* names the parts that count, in order; its
name is all that the state keeps. A part that the state's manifest does not cover is *in doubt*: it may have been
delivered or not.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import logging
import os
import re
import secrets
import shutil
import typing as t
from dataclasses import dataclass
from pathlib import Path

import duckdb
import fsspec
import msgspec
from fsspec.implementations.local import LocalFileSystem

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.workspace import is_full

MERGE_SHARE = 10
"""Parts are merged into a new base when they hold more than a tenth of it."""
MAX_PARTS = 100
_DAMAGES = (FileNotFoundError, msgspec.DecodeError, UnicodeError, duckdb.Error)
_NAME = re.compile(r"[mpb]-(\d{6})-[0-9a-f]{16}\.(json|parquet)")
_UNFINISHED = re.compile(_NAME.pattern + r"\.part")
"""Left by a run that was killed while it wrote."""


logger = logging.getLogger("tap-lytics-audience")


class LedgerError(UserError):
    """The ledger cannot be read or written; the sentence says where and what to do."""


class DamagedError(LedgerError):
    """A file of the ledger is missing, or does not hold what it should."""


class Part(msgspec.Struct, frozen=True):
    """A Parquet file of members.

    Attributes:
        name: Its name; `b-` for a base, into which parts were merged, else `p-`.
        rows: How many rows it holds.
        selection: Which of the manifest's selections its digests cover.
    """

    name: str
    rows: int
    selection: int

    @property
    def is_base(self) -> bool:
        """Whether parts were merged into it."""
        return self.name.startswith("b-")


class Manifest(msgspec.Struct, frozen=True):
    """What counts.

    Attributes:
        number: Its place in the order of all manifests of its ledger.
        origin: The manifest that its run started from, and so one that was acknowledged; blank for none.
        identifier_field: The field that identifies members.
        slug: The audience's slug at the first run.
        audience_name: The audience's name at the first run.
        complete: Whether the audience was sent once from beginning to end.
        others_until: When the newest part of another ledger was written that was taken into account, in seconds since 1970.
        changed_at: When the newest change was seen.
        selections: Lists of profile fields.
        parts: Files in order; later rows win.
        settled: Parts that count no more: merged, or sent again after they were in doubt.
    """

    number: int = 0
    origin: str = ""
    identifier_field: str = ""
    slug: str = ""
    audience_name: str = ""
    complete: bool = False
    others_until: float = 0
    changed_at: str = ""
    selections: list[list[str]] = []
    parts: list[Part] = []
    settled: list[str] = []

    @property
    def covered(self) -> set[str]:
        """Names of the parts about which there is no doubt."""
        return {part.name for part in self.parts} | set(self.settled)

    @property
    def needs_merge(self) -> bool:
        """Whether the parts have grown past a tenth of the base."""
        base = sum(part.rows for part in self.parts if part.is_base)
        rows = sum(part.rows for part in self.parts)
        return len(self.parts) > 1 and ((rows - base) * MERGE_SHARE > base or len(self.parts) > MAX_PARTS)


@dataclass(frozen=True)
class Stranger:
    """What another ledger of the same audience knows.

    Attributes:
        place: Its folder.
        audience_id: Its audience; another one if that had the same slug.
        newest: Its newest manifest.
        acknowledged: Files of which everything was surely delivered, in order; later rows win.
        doubtful: Files of which nobody knows.
        spare: Its other files: nothing that the first do not hold, unless one of those is damaged.
    """

    place: str
    audience_id: str
    newest: Manifest
    acknowledged: list[str]
    doubtful: list[str]
    spare: list[str]


class Ledger:
    """The files of one audience's ledger.

    Attributes:
        manifest: What counts now.
        doubtful: Parts about which the incoming state says nothing.

    Args:
        url: Folder of all ledgers; a path or an fsspec URL.
        ledger_id: Whose ledger.
        audience_id: Of which audience.
        folder: For files on this machine.
    """

    def __init__(self, url: str, ledger_id: str, audience_id: str, folder: Path) -> None:
        self._url = url.rstrip("/")
        self._audience_id = audience_id
        self._place = f"{self._url}/{ledger_id}/{audience_id}"
        self._folder = folder
        self._needed: set[str] = set()
        self.manifest = Manifest()
        self.doubtful: list[str] = []

    def open(self, manifest_name: str | None) -> None:
        """Read what the state points at.

        Args:
            manifest_name: The manifest; None if the state has none.

        Raises:
            LedgerError: If it cannot be read.
        """
        names = self._names(self._place)
        if manifest_name is not None:
            self.manifest = self._read_manifest(self._place, manifest_name)
            self._needed = {manifest_name, *(part.name for part in self.manifest.parts)}
        # Bases of a ledger that was begun again tell of members whom no other file may tell of.
        kinds = ("p-",) if self.manifest.complete else ("p-", "b-")
        self.doubtful = [
            name for name in names if name.startswith(kinds) and name not in self.manifest.covered
        ]
        self._needed |= set(self.doubtful)
        # Numbers only rise, also when an old state was restored, so that the newest manifest is the last one written.
        newest = max((number_of(name) for name in names), default=0)
        settled = [name for name in self.manifest.settled if name in names]
        self.manifest = msgspec.structs.replace(
            self.manifest, number=newest, settled=settled, origin=manifest_name or ""
        )

    def strangers(self, identifier_field: str, slug: str) -> list[Stranger]:
        """What all other ledgers know of this audience, or of another one that had its slug.

        Args:
            identifier_field: The field that identifies members; ledgers with another one are passed over.
            slug: The audience's slug.

        Raises:
            LedgerError: If one cannot be read.
        """
        found: list[Stranger] = []
        for ledger_id in self._names(self._url, folders=True):
            for audience_id in self._names(f"{self._url}/{ledger_id}", folders=True):
                place = f"{self._url}/{ledger_id}/{audience_id}"
                if place == self._place and self.manifest.origin:
                    continue
                stranger = self._stranger(place, audience_id)
                if stranger is None:
                    continue
                newest = stranger.newest
                if (
                    newest.identifier_field in {identifier_field, ""} and audience_id == self._audience_id
                ) or (newest.identifier_field == identifier_field and newest.slug == slug):
                    found.append(stranger)
        return found

    def later_parts_of_others(self, identifier_field: str) -> tuple[list[tuple[str, str]], float]:
        """Parts of other ledgers of this audience that no complete pass of this one has taken into account.

        A run without a state begins another ledger, and what it sent counts also when an older state is used after it: a full
        refresh that was killed, or a state that was restored.

        Args:
            identifier_field: The field that identifies members; ledgers with another one are passed over.

        Returns:
            Place and name of each, and when the newest was written, in seconds since 1970.

        Raises:
            LedgerError: If a folder cannot be read.
        """
        found: list[tuple[str, str]] = []
        until = self.manifest.others_until
        for ledger_id in self._names(self._url, folders=True):
            place = f"{self._url}/{ledger_id}/{self._audience_id}"
            if place == self._place:
                continue
            names = self._names(place)
            written = self._written_after(place, [name for name in names if name.startswith("p-")])
            manifests = [name for name in names if name.startswith("m-")]
            if written and self._readable_manifest(place, manifests).identifier_field in {
                identifier_field,
                "",
            }:
                found += [(place, name) for name in written]
                until = max(until, *written.values())
        return found, until

    def _written_after(self, place: str, names: list[str]) -> dict[str, float]:
        """Which parts are newer than what was taken into account, and when they were written."""
        times: dict[str, float] = {}
        with self._explaining(place):
            files, folder = self._open(place)
            for name in reversed(names):
                time = _aware(files.modified(f"{folder}/{name}")).timestamp()
                if time <= self.manifest.others_until:
                    # Numbers rise with time: what comes before is older still.
                    break
                times[name] = time
        return times

    def _stranger(self, place: str, audience_id: str) -> Stranger | None:
        """What is in a folder; None if nothing was ever sent from it."""
        names = self._names(place)
        manifests = [name for name in names if name.startswith("m-")]
        if not manifests:
            return None
        others = [name for name in names if not name.startswith("m-")]
        try:
            newest = self._read_manifest(place, manifests[-1])
            if newest.origin in names:
                acknowledged = self._read_manifest(place, newest.origin)
                covered = acknowledged.covered
            else:
                # A later manifest than the origin was acknowledged, nobody knows which.
                acknowledged = newest if newest.origin else Manifest()
                covered = {part.name for part in acknowledged.parts}
        except DamagedError as error:
            logger.warning("%s Until then all of the ledger's other files count.", error)
            return Stranger(place, audience_id, self._readable_manifest(place, manifests), [], others, [])
        parts = [part.name for part in acknowledged.parts]
        doubtful = [name for name in others if name.startswith("p-") and name not in covered]
        spare = [name for name in others if name not in {*parts, *doubtful}]
        return Stranger(place, audience_id, newest, parts, doubtful, spare)

    def _readable_manifest(self, place: str, names: list[str]) -> Manifest:
        for name in reversed(names):
            with contextlib.suppress(DamagedError):
                return self._read_manifest(place, name)
        return Manifest()

    @contextlib.contextmanager
    def reading(self, name: str, place: str | None = None, *, stays: bool = False) -> t.Iterator[str]:
        """A Parquet file as a path that DuckDB reads.

        Args:
            name: The file.
            place: The ledger that it is in; this one by default.
            stays: Whether the path is good for the whole run, whatever becomes of the ledger.

        Yields:
            The path; else gone afterwards if it had to be fetched.

        Raises:
            LedgerError: If the file is missing or damaged.
        """
        place = place or self._place
        with self._explaining(f"{place}/{name}"):
            files, folder = self._open(place)
            path = self._folder / f"{secrets.token_hex(4)}-{name}"
            if isinstance(files, LocalFileSystem):
                files.info(f"{folder}/{name}")
                if not stays:
                    yield f"{folder}/{name}"
                    return
                _link(f"{folder}/{name}", path)
            else:
                files.get_file(f"{folder}/{name}", str(path))
            try:
                yield str(path)
            finally:
                if not stays:
                    path.unlink(missing_ok=True)

    def add_part(
        self, write: t.Callable[[str], int], fields: list[str], *, changed_at: str = "", is_base: bool = False
    ) -> None:
        """Make members durable, and count them from the next manifest on.

        Args:
            write: Writes the rows to a path as Parquet, and returns how many there are.
            fields: The profile fields that their digests cover.
            changed_at: When their changes were seen.
            is_base: Whether they take the place of all parts so far.

        Raises:
            LedgerError: If they cannot be written.
        """
        manifest = self.manifest
        number = manifest.number + 1
        name = f"{'b' if is_base else 'p'}-{number:06d}-{secrets.token_hex(8)}.parquet"
        path = self._folder / name
        with self._explaining(str(path), is_write=True):
            rows = write(str(path))
        self._put(path, name)
        selections = [] if is_base else manifest.selections
        if fields not in selections:
            selections = [*selections, fields]
        part = Part(name, rows, selections.index(fields))
        merged = [other.name for other in manifest.parts if other.name.startswith("p-")] if is_base else []
        self.manifest = msgspec.structs.replace(
            manifest,
            number=number,
            selections=selections,
            parts=[part] if is_base else [*manifest.parts, part],
            settled=[*manifest.settled, *merged],
            changed_at=changed_at or manifest.changed_at,
        )

    def settle(self) -> None:
        """Note that the parts in doubt count no more: what they hold was sent again."""
        self.manifest = msgspec.structs.replace(
            self.manifest, settled=[*self.manifest.settled, *self.doubtful]
        )
        self.doubtful = []

    def update(self, **changes: t.Any) -> None:
        """Change what the next manifest says.

        Args:
            **changes: New values of its attributes.
        """
        self.manifest = msgspec.structs.replace(self.manifest, **changes)

    def save(self) -> str:
        """Make the manifest durable.

        Returns:
            Its name, for the state that follows the records of all its parts.

        Raises:
            LedgerError: If it cannot be written.
        """
        self.update(number=self.manifest.number + 1)
        name = f"m-{self.manifest.number:06d}-{secrets.token_hex(8)}.json"
        path = self._folder / name
        with self._explaining(str(path), is_write=True):
            path.write_bytes(msgspec.json.format(msgspec.json.encode(self.manifest), indent=1))
        self._put(path, name)
        return name

    def delete_old(self, keep_days: int) -> None:
        """Delete files that the incoming state does not reach and that are old.

        Args:
            keep_days: How old.
        """
        before = dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=keep_days)
        files, place = self._open(self._place)
        for name in [*self._names(self._place), *self._names(self._place, _UNFINISHED)]:
            # What cannot be deleted now can be at the next run.
            with contextlib.suppress(OSError, ValueError):
                modified = files.modified(f"{place}/{name}")
                if name not in self._needed and _aware(modified) < before:
                    files.rm_file(f"{place}/{name}")

    def check(self) -> None:
        """Write a small file where the ledger is, read it back and delete it.

        Raises:
            LedgerError: At the first thing that does not work.
        """
        name = f"check-{secrets.token_hex(8)}"
        path = self._folder / name
        content = name.encode()
        path.write_bytes(content)
        self._put(path, name)
        files, folder = self._open(self._place)
        with self._explaining(f"{self._place}/{name}"):
            read = files.cat_file(f"{folder}/{name}")
        with self._explaining(f"{self._place}/{name}", is_write=True):
            files.rm_file(f"{folder}/{name}")
            if isinstance(files, LocalFileSystem):
                for made in (Path(folder), Path(folder).parent):
                    # Others may be in there.
                    with contextlib.suppress(OSError):
                        made.rmdir()
        if read != content:
            msg = f"The ledger at {self._place} gives back other bytes than were written: set ledger_url to another folder."
            raise LedgerError(msg)

    def _read_manifest(self, place: str, name: str) -> Manifest:
        with self._explaining(f"{place}/{name}"):
            files, folder = self._open(place)
            return msgspec.json.decode(files.cat_file(f"{folder}/{name}"), type=Manifest)

    def _names(self, place: str, pattern: re.Pattern[str] = _NAME, *, folders: bool = False) -> list[str]:
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
        return sorted(name for name in names if folders or pattern.fullmatch(name))

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
        except UserError:
            raise
        except ImportError as error:
            msg = f"The ledger at {place} needs more packages: install lytics-to-cordial[s3] or [gcs]."
            raise LedgerError(msg) from error
        except Exception as error:
            if is_full(error) and not is_write:
                # It is the temporary folder that is full.
                raise
            reason = (isinstance(error, OSError) and error.strerror) or type(error).__name__
            if is_write:
                msg = (
                    f"The ledger file {place} cannot be written ({reason}): make room or give write rights there, or set ledger_url to "
                    "another folder."
                )
                raise LedgerError(msg) from error
            if isinstance(error, _DAMAGES):
                what = "is missing" if isinstance(error, FileNotFoundError) else f"is damaged ({reason})"
                msg = f"The ledger file {place} {what}: restore it, or run once with --full-refresh, which sends everybody again."
                raise DamagedError(msg) from error
            msg = f"The ledger at {place} cannot be read ({reason}): give read rights there, or correct ledger_url, then run again."
            raise LedgerError(msg) from error


def _link(path: str, other: Path) -> None:
    try:
        os.link(path, other)
    except OSError:
        # Another disk, or another's file.
        shutil.copyfile(path, other)


def number_of(name: str) -> int:
    """A file's place in the order of all files of its ledger.

    Args:
        name: The file.
    """
    found = _NAME.fullmatch(name)
    return int(found[1]) if found else 0


def _aware(time: dt.datetime) -> dt.datetime:
    return time if time.tzinfo else time.replace(tzinfo=dt.timezone.utc)


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
