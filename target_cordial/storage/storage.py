"""The folder that Cordial fetches import files from, and others that its login opens."""

from __future__ import annotations

import secrets
import typing as t

import fsspec
from typing_extensions import override

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.files import Folder
from lytics_to_cordial.filesystems import PrivateFileSystem
from lytics_to_cordial.lease import Lease
from target_cordial.settings import Settings
from target_cordial.storage.destination import export_destination
from target_cordial.storage.location import Location
from target_cordial.storage.source import import_source

KEPT_PREFIX = "kept-"
"""With which the name of an import file begins once it is imported and kept."""
_LOGINS = {
    "sftp": "storage_username, storage_password and storage_private_key",
    "s3": "storage_username (the access key id) and storage_password (the secret access key)",
    "gs": "storage_options.token, or the file that GOOGLE_APPLICATION_CREDENTIALS names",
}


class Storage(Folder):
    """The folder of import files.

    Attributes:
        folder_tag: A short name of the folder, with which the names of its pipeline's files begin.
        lease: Says which run may import from it.

    Raises:
        UserError: If the settings cannot work.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._location = Location.parse(settings.storage_url, "storage_url")
        url = self._location.url()
        super().__init__(
            url,
            setting="storage_url",
            login=_LOGINS.get(self._location.scheme),
            open_files=lambda: _open(self._location, settings),
        )
        if self._location.scheme == "sftp" and not (settings.storage_username or self._location.username):
            raise UserError(
                "The setting storage_username is missing: import files are written by SFTP under this name."
            )
        self.folder_tag = self._location.tag
        self.lease = Lease(self)
        self.source("check.csv")

    @override
    def check(self, name: str | None = None) -> None:
        super().check(name or f"{self.folder_tag}-check-{secrets.token_hex(4)}.csv")

    def source(self, name: str) -> dict[str, t.Any]:
        """What Cordial is told of where a file is; see `import_source`."""
        return import_source(self._settings, self._location, name)

    def destination(self) -> dict[str, t.Any]:
        """What Cordial is told of where to write an export; see `export_destination`."""
        return export_destination(self._settings, self._location)


def folder_beside(settings: Settings, url: str, setting: str) -> Folder:
    """A folder for other files: with the storage's login if it is on the same server or in the same bucket, else the environment's."""
    storage = Location.parse(settings.storage_url, "storage_url")
    if storage.scheme == "file" or url.partition("://")[0] != storage.scheme:
        return Folder(url, setting=setting)
    location = Location.parse(url, setting)
    if (location.host, location.port) != (storage.host, storage.port):
        return Folder(url, setting=setting)
    return Folder(
        url,
        setting=setting,
        login=_LOGINS[storage.scheme],
        open_files=lambda: _open(location, settings),
    )


def _open(location: Location, settings: Settings) -> tuple[t.Any, str]:
    """Open a folder with the storage's login."""
    options = dict(settings.storage_options)
    path = location.path_of()
    if location.scheme == "file":
        return PrivateFileSystem(shares_with_group=True), path
    try:
        if location.scheme == "sftp":
            from target_cordial.storage.sftp import open_sftp  # noqa: PLC0415 - an extra

            return open_sftp(location, settings, options), path
        if location.scheme == "s3":
            options = _s3_options(options, settings)
        # fsspec takes the bucket for the outermost folder.
        path = f"{location.host}/{path}".rstrip("/")
        return fsspec.filesystem(location.scheme, skip_instance_cache=True, **options), path
    except (ValueError, TypeError) as error:
        # The message may repeat an option's value.
        raise UserError(
            f"The folder {location.url()} cannot be opened ({type(error).__name__}): check storage_options."
        ) from error


def _s3_options(options: dict[str, t.Any], settings: Settings) -> dict[str, t.Any]:
    region = options.pop("region", None)
    if region:
        options["client_kwargs"] = {"region_name": region, **options.get("client_kwargs", {})}
    login = {"key": settings.storage_username, "secret": settings.storage_password}
    return {name: value for name, value in login.items() if value} | options
