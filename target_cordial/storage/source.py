"""What Cordial is told about where an import file is (Cordial Swagger v2: SourceObject)."""

from __future__ import annotations

import os
import typing as t
from urllib.parse import quote, unquote, urlsplit

from lytics_to_cordial.errors import UserError
from target_cordial.settings import Settings
from target_cordial.storage.location import Location

_WEB = ("http", "https")
_SERVERS = ("sftp", "ftp")
_NEEDED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_WEB, ()),
    **dict.fromkeys(_SERVERS, ("server", "port", "username", "password")),
    "s3": ("aws_bucket", "aws_region"),
    "gcs": ("buket",),
    "azureblob": ("account", "container"),
}
"""What Cordial refuses an import without, besides url and path, by transport."""
_LOGIN: dict[str, tuple[str, str]] = {
    **dict.fromkeys((*_WEB, *_SERVERS), ("username", "password")),
    "s3": ("aws_access_key_id", "aws_secret_access_key"),
}
_CURES = {
    "username": "storage_username, or import_username if Cordial has a login of its own",
    "password": "storage_password, or import_password or import_source.savedKey if Cordial has a login of its own",
    "aws_region": "storage_options.region",
}


def import_source(settings: Settings, location: Location, name: str) -> dict[str, t.Any]:
    """The import call's `source`: where Cordial finds a file of the storage's folder, and with which login.

    Raises:
        UserError: If something that Cordial needs for this transport is not set.
    """
    given = {key: value for key, value in settings.import_source.items() if value is not None}
    transport = str(given.get("transport", "gcs" if location.scheme == "gs" else location.scheme)).lower()
    if location.scheme == "file" and "transport" not in given:
        transport = "https"
    if transport not in _NEEDED:
        raise UserError(
            f"Cordial cannot fetch a file by {transport!r}: set import_source.transport to one of {', '.join(_NEEDED)}."
        )
    # The Swagger wants url and path of every source, whichever of them its transport reads.
    source = {"url": location.url(name), "path": location.path_of(name)}
    source |= _place(settings, location, transport) | _login(settings, location, transport)
    source |= given | {"transport": transport}
    if transport in _WEB:
        source["url"] = f"{_web_folder(given)}/{quote(name)}"
        source["path"] = unquote(urlsplit(source["url"]).path)
    elif "path" in given:
        source["path"] = f"{str(given['path']).rstrip('/')}/{name}"
    needed = set(_NEEDED[transport])
    if "savedKey" in given:
        source.pop("password", None)
        needed.discard("password")
    missing = sorted(field for field in needed if not source.get(field))
    if missing:
        cures = ", ".join(_CURES.get(field, f"import_source.{field}") for field in missing)
        raise UserError(f"Cordial needs {', '.join(missing)} to fetch a file by {transport}: set {cures}.")
    return source


def _place(settings: Settings, location: Location, transport: str) -> dict[str, t.Any]:
    if location.scheme == "sftp" and transport in _SERVERS:
        return {"server": location.host, "port": location.port}
    if location.scheme == "s3" and transport == "s3":
        return {"aws_bucket": location.host, "aws_region": region_of(settings.storage_options)}
    if location.scheme == "gs" and transport == "gcs":
        # The Swagger spells the field `buket`; whether the service does is not known, so both are sent.
        return {"buket": location.host, "bucket": location.host}
    return {}


def region_of(options: t.Mapping[str, t.Any]) -> str | None:
    """The bucket's region, from where the upload takes it too."""
    region = options.get("region") or (options.get("client_kwargs") or {}).get("region_name")
    return region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")


def _login(settings: Settings, location: Location, transport: str) -> dict[str, str]:
    """Cordial's own login where there is one, else the storage's; a web server is never told the storage's."""
    names = _LOGIN.get(transport)
    if names is None:
        return {}
    username, password = settings.import_username, settings.import_password
    if transport not in _WEB:
        username = username or settings.storage_username or location.username
        password = password or settings.storage_password
    return {name: value for name, value in zip(names, (username, password), strict=True) if value}


def _web_folder(given: t.Mapping[str, t.Any]) -> str:
    folder = str(given.get("url", "")).rstrip("/")
    try:
        is_valid = urlsplit(folder).scheme in _WEB and bool(urlsplit(folder).hostname)
    except ValueError:
        is_valid = False
    if not is_valid:
        raise UserError(
            "Cordial needs the address at which a web server serves the import files: set import_source to "
            '{"transport": "https", "url": "https://<server>/<folder>"}.'
        )
    return folder
