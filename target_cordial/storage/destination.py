"""What Cordial is told about where to write an export (Cordial Swagger v2: DestinationObject)."""

from __future__ import annotations

import typing as t

from lytics_to_cordial.errors import UserError
from target_cordial.settings import Settings
from target_cordial.storage.location import Location
from target_cordial.storage.source import region_of

_NEEDED: dict[str, tuple[str, ...]] = {
    "SFTP": ("server", "port", "username", "password", "path"),
    "FTP": ("server", "port", "username", "password", "path"),
    "S3": ("aws_bucket", "aws_region", "path"),
    "GCS": ("gcs_bucket", "path"),
    "AZUREBLOB": ("account", "container", "path"),
}
_TYPES = {"sftp": "SFTP", "s3": "S3", "gs": "GCS"}
_LOGIN = {
    "SFTP": ("username", "password"),
    "FTP": ("username", "password"),
    "S3": ("aws_access_key_id", "aws_secret_access_key"),
}
_CURES = {
    "username": "export_username",
    "password": "export_password, or export_destination.savedKey",
    "aws_region": "storage_options.region",
}


def export_destination(settings: Settings, location: Location) -> dict[str, t.Any]:
    """The export call's `destination`: the storage's folder, and the login with which Cordial writes there.

    Raises:
        UserError: If something that Cordial needs is not set.
    """
    given = {key: value for key, value in settings.export_destination.items() if value is not None}
    kind = str(given.get("type", _TYPES.get(location.scheme, ""))).upper()
    if kind not in _NEEDED:
        raise UserError(
            f"Cordial cannot write an export into {location.url()}: set export_destination.type to one of {', '.join(_NEEDED)}, "
            "with what Cordial needs to reach the same folder."
        )
    destination: dict[str, t.Any] = {"path": location.path_of() or "/"}
    if location.scheme == "sftp" and kind in {"SFTP", "FTP"}:
        destination |= {"server": location.host, "port": location.port}
    elif location.scheme == "s3" and kind == "S3":
        destination |= {"aws_bucket": location.host, "aws_region": region_of(settings.storage_options)}
    elif location.scheme == "gs" and kind == "GCS":
        destination["gcs_bucket"] = location.host
    username = settings.export_username or settings.storage_username or location.username
    password = settings.export_password or settings.storage_password
    login = zip(_LOGIN.get(kind, ()), (username, password), strict=False)
    destination |= {name: value for name, value in login if value} | given | {"type": kind}
    needed = set(_NEEDED[kind])
    if "savedKey" in given:
        destination.pop("password", None)
        needed.discard("password")
    missing = sorted(field for field in needed if not destination.get(field))
    if missing:
        cures = ", ".join(_CURES.get(field, f"export_destination.{field}") for field in missing)
        raise UserError(f"Cordial needs {', '.join(missing)} to write an export ({kind}): set {cures}.")
    return destination
