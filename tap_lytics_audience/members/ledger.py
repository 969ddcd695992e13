"""The ledger of one audience: who was sent, in immutable files that the state points at.

A *part* holds what a run sends, and is durable before its first record leaves. A *manifest* names the parts that count, and
its name is all that the state keeps. What the state's manifest does not cover is *in doubt*: it may have been delivered
or not. The *origin* is the newest manifest of a complete pass that is known to be acknowledged.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import secrets
import typing as t
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import msgspec

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.file_errors import MissingFileError
from lytics_to_cordial.files import Folder
from tap_lytics_audience.members.manifest import FILE_NAME, DoubtfulFile, Manifest, Part, number_of

MAX_CLOCK_SKEW = dt.timedelta(hours=1)


class DamagedError(UserError):
    """A file of the ledger is missing, or does not hold what it should."""


class Ledger:
    """The files of one audience, opened for a run.

    Attributes:
        manifest: What counts now.
        doubtful: The files in doubt.
        newest_number: The number of the last manifest; 0 if there is none. No state covers a later file.
    """

    def __init__(self, pipeline: Folder, audience_id: str, folder: Path) -> None:
        self._pipeline = pipeline
        self._audience_id = audience_id
        self._files = pipeline.child(audience_id)
        self._folder = folder
        self._needed: set[str | None] = set()
        self.manifest = Manifest()
        self.doubtful: list[DoubtfulFile] = []
        self.newest_number = 0

    def open(
        self, position: str | None, *, identifier_field: str, slug: str, acknowledged: str | None = None
    ) -> None:
        """Read what the state points at, and find out what else may have been delivered.

        Args:
            position: The manifest that the state names; None if it names none.
            acknowledged: The newest manifest that the state of any run named.
            identifier_field: The field that identifies members.
            slug: The audience's slug.

        Raises:
            UserError: If the folder cannot be read, or the manifest is missing or damaged.
        """
        now = timestamp()
        names = self._names(self._files)
        # 1. What the state knows, and what the last run knew, acknowledged or not.
        manifest = Manifest() if position is None else self._read_manifest(position)
        newest_name, newest = self._newest_manifest(self._files, names)
        self.newest_number = number_of(newest_name)
        if manifest.identifier_field not in {"", identifier_field}:
            raise UserError(
                f"The ledger of audience {slug!r} holds members by {manifest.identifier_field!r}, and identifier_field is now "
                f"{identifier_field!r}: set it back, or run once with --full-refresh."
            )
        # 2. The newest of the complete manifests that were acknowledged for certain.
        candidates = [newest.origin, manifest.origin]
        if position is not None and manifest.is_complete:
            candidates.append(position)
        if acknowledged in names and acknowledged != position and self._readable(acknowledged).is_complete:
            candidates.append(acknowledged)
        origin_name = max((name for name in candidates if name in names), key=number_of, default="")
        origin = self._readable(origin_name) if origin_name else Manifest()
        # 3. Members who were identified by another field are no members of this ledger.
        foreign = set(newest.foreign)
        if position is None and newest.identifier_field not in {"", identifier_field}:
            foreign = {name for name in names if not name.startswith("m-")}
        # 4. Everything else that the state's manifest does not cover is in doubt. After a complete pass, a base holds nothing
        #    that is not in a part, too.
        kinds = ("p-",) if manifest.is_complete else ("p-", "b-")
        self.doubtful = [
            DoubtfulFile(
                self._audience_id,
                name,
                is_acknowledged=name in origin.covered,
                resent_since=manifest.resent.get(f"{self._audience_id}/{name}"),
            )
            for name in names
            if name.startswith(kinds) and name.endswith(".parquet") and name not in manifest.covered | foreign
        ]
        if not manifest.is_complete:
            self.doubtful += self._of_predecessors(identifier_field, slug, manifest.resent)
        # 5. What this run does not need counts as dropped from now on, unless a manifest said so before. A time in the future
        #    is that of a wrong clock.
        parts = (*manifest.parts, *origin.parts)
        self._needed = {
            position,
            origin_name,
            *(part.name for part in parts),
            *(file.name for file in self.doubtful),
        }
        settled = {
            name: min(time, now) for name, time in manifest.settled.items() if name in names or "/" in name
        }
        dropped = {name: settled.get(name, now) for name in names if name not in self._needed}
        # Numbers only rise, also after an old state was restored, so that the newest manifest is the last one written.
        number = max(map(number_of, names), default=0)
        self.manifest = msgspec.structs.replace(
            manifest,
            number=number,
            resent={
                file.path: number + 1 if file.resent_since is None else file.resent_since
                for file in self.doubtful
            },
            origin=origin_name,
            identifier_field=identifier_field,
            slug=manifest.slug or newest.slug,
            audience_name=manifest.audience_name or newest.audience_name,
            is_scanned=manifest.is_scanned or newest.is_scanned,
            settled=settled | dropped,
            foreign=sorted(foreign & set(names)),
        )

    def newest_position(self) -> str | None:
        """The last manifest, whether a state names it or not; None if there is none."""
        return self._newest_manifest(self._files, self._names(self._files))[0] or None

    @contextlib.contextmanager
    def reading(self, file: DoubtfulFile | Part, *, stays: bool = False) -> Iterator[Path]:
        """A Parquet file as a path on this machine.

        Args:
            file: The file.
            stays: Whether the path is good for the whole run, whatever becomes of the ledger.

        Raises:
            DamagedError: If the file is missing or damaged.
        """
        files = self._pipeline.child(file.audience_id) if isinstance(file, DoubtfulFile) else self._files
        with self._damage_explained(files, file.name):
            path = files.get(file.name, self._folder / f"{secrets.token_hex(4)}-{file.name}")
            try:
                yield path
            finally:
                if not stays:
                    path.unlink(missing_ok=True)

    def add_part(
        self,
        write: Callable[[str], int],
        fields: list[str],
        *,
        changed_at: str = "",
        replaces_all: bool = False,
    ) -> None:
        """Make members durable, and count them from the next manifest on.

        Args:
            write: Writes the rows to a path as Parquet, and returns how many there are.
            fields: The profile fields that their digests cover.
            changed_at: When their changes were seen.
            replaces_all: Whether the file is a base, which takes the place of all parts.
        """
        manifest = self.manifest
        number = manifest.number + 1
        name = f"{'b' if replaces_all else 'p'}-{number:06d}-{secrets.token_hex(8)}.parquet"
        path = self._folder / name
        rows = write(str(path))
        self._files.put(name, path)
        path.unlink()
        selections = [] if replaces_all else manifest.selections
        if fields not in selections:
            selections = [*selections, fields]
        part = Part(name, rows, selections.index(fields))
        merged = dict.fromkeys((old.name for old in manifest.parts), timestamp()) if replaces_all else {}
        self.manifest = msgspec.structs.replace(
            manifest,
            number=number,
            selections=selections,
            parts=[part] if replaces_all else [*manifest.parts, part],
            settled=manifest.settled | merged,
            changed_at=changed_at or manifest.changed_at,
        )

    def settle(self) -> None:
        """End all doubt: what the files in doubt hold was sent again."""
        names = [file.name if file.audience_id == self._audience_id else file.path for file in self.doubtful]
        self.update(resent={}, settled=self.manifest.settled | dict.fromkeys(names, timestamp()))
        self.doubtful = []

    def update(self, **changes: t.Any) -> None:
        """Change what the next manifest says."""
        self.manifest = msgspec.structs.replace(self.manifest, **changes)

    def save(self) -> str:
        """Make the manifest durable.

        Returns:
            Its name, for the state that follows the records of all its parts.
        """
        self.update(number=self.manifest.number + 1)
        name = f"m-{self.manifest.number:06d}-{secrets.token_hex(8)}.json"
        self._files.put(name, msgspec.json.format(msgspec.json.encode(self.manifest), indent=1))
        return name

    def delete_dropped(self, keep_days: int) -> None:
        """Delete files that were dropped so many days ago, but for those that the state or the origin needs."""
        before = _text(dt.datetime.now(dt.timezone.utc) - dt.timedelta(days=keep_days))
        settled = dict(self.manifest.settled)
        for name, time in self.manifest.settled.items():
            if time < before and name not in self._needed:
                # What cannot be deleted now can be at the next run.
                with contextlib.suppress(UserError):
                    self._delete(name)
                    del settled[name]
        self.update(settled=settled)

    def seen_at(self) -> str:
        """The time: UTC with microseconds, and never earlier than that of the newest change."""
        now = dt.datetime.now(dt.timezone.utc)
        changed_at = self.manifest.changed_at
        is_believed = changed_at and dt.datetime.fromisoformat(changed_at) < now + MAX_CLOCK_SKEW
        return max(_text(now), changed_at) if is_believed else _text(now)

    def _delete(self, name: str) -> None:
        audience_id, _, own_name = name.rpartition("/")
        (self._pipeline.child(audience_id) if audience_id else self._files).delete(own_name)

    def _of_predecessors(
        self, identifier_field: str, slug: str, resent: dict[str, int]
    ) -> list[DoubtfulFile]:
        """Files of audiences that had the same slug, and whose members are on the same list."""
        found = []
        for audience_id in self._pipeline.folders():
            files = self._pipeline.child(audience_id)
            if audience_id == self._audience_id:
                continue
            names = self._names(files)
            _, newest = self._newest_manifest(files, names)
            if (newest.slug, newest.identifier_field) == (slug, identifier_field):
                found += [
                    DoubtfulFile(
                        audience_id,
                        name,
                        is_acknowledged=True,
                        resent_since=resent.get(f"{audience_id}/{name}"),
                    )
                    for name in names
                    if name.startswith(("p-", "b-")) and name.endswith(".parquet")
                ]
        return found

    def _newest_manifest(self, files: Folder, names: list[str]) -> tuple[str, Manifest]:
        """The last manifest that can be read, by its name; a blank and an empty one if there is none."""
        for name in reversed(names):
            if name.startswith("m-") and name.endswith(".json"):
                with contextlib.suppress(msgspec.DecodeError, UnicodeError, MissingFileError):
                    return name, msgspec.json.decode(files.read(name), type=Manifest)
        return "", Manifest()

    def _readable(self, name: str) -> Manifest:
        """A manifest, or an empty one in place of a damaged one."""
        with contextlib.suppress(DamagedError):
            return self._read_manifest(name)
        return Manifest()

    def _read_manifest(self, name: str) -> Manifest:
        # The name comes from the state, and must not lead out of the folder.
        if not FILE_NAME.fullmatch(name):
            raise DamagedError(_damage(self._files, "", f"has no file of the name {name!r}"))
        with self._damage_explained(self._files, name):
            return msgspec.json.decode(self._files.read(name), type=Manifest)

    @contextlib.contextmanager
    def _damage_explained(self, files: Folder, name: str) -> Iterator[None]:
        try:
            yield
        except MissingFileError as error:
            raise DamagedError(_damage(files, name, "is missing")) from error
        except (msgspec.DecodeError, UnicodeError, duckdb.Error) as error:
            raise DamagedError(_damage(files, name, f"is damaged ({type(error).__name__})")) from error

    @staticmethod
    def _names(files: Folder) -> list[str]:
        return sorted((name for name in files.names() if FILE_NAME.fullmatch(name)), key=number_of)


def _damage(files: Folder, name: str, what: str) -> str:
    return (
        f"The ledger file {files.place(name)} {what}: restore it, or run once with --full-refresh, which sends everybody again. "
        "Who left since the last run and is named in no other file is not known then, and stays on the list."
    )


def timestamp() -> str:
    """The time: UTC, in ISO 8601 with microseconds."""
    return _text(dt.datetime.now(dt.timezone.utc))


def _text(time: dt.datetime) -> str:
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
