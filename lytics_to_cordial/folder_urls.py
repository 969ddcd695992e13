"""What settings of folders may hold: one rule for all of them, and one sentence for each mistake."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import fsspec

from lytics_to_cordial.errors import UserError
from lytics_to_cordial.filesystems import EXTRAS, PACKAGES, needed_packages

_STORAGE = "storage_url"
_STORAGE_SCHEMES = frozenset({"sftp", "s3", "gs", "file"})
"""From which Cordial fetches; `file` is the folder of a web server."""
_WEB_URLS = frozenset({"api_url", "notify_url"})
_AFTER_SCHEME = re.compile(
    r"(file|s3a?|gs|gcs|sftp|ssh|ftps?|https?|azure|az|abfss?|adl|hdfs|webdav|smb)([:;/\\]+)", re.IGNORECASE
)
"""The signs that follow the name of a scheme. A folder may have such a name: `s3/x` is a path."""
_COLON = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):(?!//)")
_NO_FOLDERS = frozenset({"memory", "data", "http", "https", "zip", "tar", "libarchive", "git", "github"})
"""What fsspec knows, and what is gone with the process or cannot be written."""
_WITHOUT_HOST = frozenset({"local", "dbfs", "hdfs"})
_MOST_NAME_BYTES = 255
_NAMES = {
    "file": "an absolute folder of this machine, such as file:///srv/folder",
    "sftp": "the server, such as sftp://sftp.example.com/folder",
    "s3": "the bucket, such as s3://bucket/folder",
    "gs": "the bucket, such as gs://bucket/folder",
}


def is_folder_setting(name: str) -> bool:
    """Whether a setting holds the path or URL of a folder, or of a file in one."""
    return name.endswith("_url") and name not in _WEB_URLS


def checked_folder_url(setting: str, url: str) -> str:
    """A setting's path or URL as all code may take it: its scheme in small letters, `~` as the folder that it stands for.

    Raises:
        UserError: If it cannot work whatever the network says.
    """
    if holds_password(url):
        cure = (
            "set storage_password"
            if setting == _STORAGE
            else "let the environment give the login, such as AWS_SECRET_ACCESS_KEY or FSSPEC_SFTP_PASSWORD"
        )
        raise UserError(
            f"The setting {setting} holds a password: take it out and {cure} (an @ in a folder's name is written %40)."
        )
    _check_names(setting, unquote(url))
    _check_is_not_mistyped(setting, url)
    scheme, sign, rest = url.partition("://")
    scheme = scheme.lower() if sign else ""
    _check_scheme(setting, scheme)
    if not scheme:
        return _at_home(setting, url)
    url = f"{scheme}://{rest}"
    _check_parts(setting, scheme, url)
    return url


def check_packages(setting: str, url: str) -> None:
    """See that the packages which a URL needs are here; a `UserError` says what to install."""
    scheme = url.partition("://")[0] if "://" in url else "file"
    extra = EXTRAS.get(scheme)
    if extra is not None and find_spec(PACKAGES[extra]) is None:
        raise UserError(needed_packages(setting, scheme))


def holds_password(url: object) -> bool:
    """Whether there is a colon before the last @, as in `user:p@ss/w#rd@host`, whichever part a parser takes it for."""
    return isinstance(url, str) and ":" in url.partition("://")[2].rpartition("@")[0]


def _check_names(setting: str, path: str) -> None:
    if not path.isprintable():
        raise UserError(f"The setting {setting} holds a sign that cannot be seen: write it anew.")
    if any(len(name.encode()) > _MOST_NAME_BYTES for name in path.split("/")):
        raise UserError(
            f"The setting {setting} holds a name of more than {_MOST_NAME_BYTES} bytes, which no file can have: make it shorter."
        )


def _check_is_not_mistyped(setting: str, url: str) -> None:
    """See that a path is meant as one: `s3//bucket/x` would be a folder on this machine, which nothing else reads."""
    scheme, signs = "", ""
    if match := _AFTER_SCHEME.match(url):
        scheme, signs = match[1], match[2]
        # What more is wrong behind these has its own words.
        if signs.rstrip(":") == "://" or (signs, scheme.lower()) == (":///", "file"):
            return
    elif match := _COLON.match(url):
        scheme, signs = match[1], ":"
    if any(sign in signs for sign in (":", ";", "//", "\\")):
        raise UserError(
            f"The setting {setting} looks like a mistyped URL: write it as {scheme}://..., or as ./{scheme}... if it is a folder on this machine."
        )


def _check_scheme(setting: str, scheme: str) -> None:
    if setting == _STORAGE and scheme not in _STORAGE_SCHEMES:
        raise UserError(
            f"The setting {setting} must be sftp://host:22/folder, s3://bucket/prefix, gs://bucket/prefix or file:///folder."
        )
    cure = "set it to a path, or a URL that fsspec knows, such as s3://bucket/folder."
    if scheme in _NO_FOLDERS:
        raise UserError(
            f"The setting {setting} is a {scheme}:// URL, where no run can leave files for the next: {cure}"
        )
    if scheme and scheme not in fsspec.available_protocols():
        raise UserError(f"The setting {setting} has a URL of a kind that is not known: {cure}")


def _check_parts(setting: str, scheme: str, url: str) -> None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise UserError(
            f"The setting {setting} is not a URL, or has a port that is not a number: correct it."
        ) from None
    if parts.query or parts.fragment:
        raise UserError(f"The setting {setting} holds ? or #: write them as %3F and %23.")
    if scheme == "file":
        is_named = not parts.netloc and bool(parts.path.strip("/"))
    else:
        is_named = scheme in _WITHOUT_HOST or bool(parts.hostname)
    if not is_named:
        name = _NAMES.get(scheme, f"the server or bucket, such as {scheme}://name/folder")
        raise UserError(f"The setting {setting} must name {name}.")


def _at_home(setting: str, path: str) -> str:
    home, slash, rest = path.partition("/")
    if not home.startswith("~"):
        return path
    try:
        return f"{Path(home).expanduser()}{slash}{rest}"
    except RuntimeError:
        raise UserError(
            f"The setting {setting} begins with the home folder of a user whom this machine does not know: write out the path."
        ) from None
