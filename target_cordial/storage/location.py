"""A folder's URL, taken apart."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from lytics_to_cordial.folder_urls import checked_folder_url

DEFAULT_SFTP_PORT = 22


@dataclass(frozen=True)
class Location:
    """A folder's URL, taken apart.

    Attributes:
        scheme: sftp, s3, gs or file.
        host: The server; for s3 and gs the bucket; blank for file.
        port: The server's port; None for all but sftp.
        path: Decoded, without a slash at its end.
        username: The user name in the URL.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    username: str | None = None

    @classmethod
    def parse(cls, url: str, setting: str) -> Location:
        """Take a URL apart; a `UserError` names the setting if it cannot be one of a folder."""
        parts = urlsplit(checked_folder_url(setting, url))
        port = (parts.port or DEFAULT_SFTP_PORT) if parts.scheme == "sftp" else None
        # A bucket's name is not a host name: case counts, and there is no port.
        host = parts.netloc.rpartition("@")[2] if parts.scheme in {"s3", "gs"} else parts.hostname or ""
        return cls(
            parts.scheme,
            host,
            port,
            unquote(parts.path).rstrip("/"),
            unquote(parts.username) if parts.username else None,
        )

    @property
    def is_object_store(self) -> bool:
        """Whether there are buckets and no folders."""
        return self.scheme in {"s3", "gs"}

    @property
    def tag(self) -> str:
        """A short name of the folder, with which the names of its pipeline's files begin."""
        return f"cordial-{hashlib.sha256(self.url().encode()).hexdigest()[:10]}"

    def path_of(self, name: str = "") -> str:
        """The path of a file in the folder, or of the folder itself, on the server or in the bucket."""
        path = f"{self.path}/{name}".rstrip("/")
        return path.lstrip("/") if self.is_object_store else path or "/"

    def url(self, name: str = "") -> str:
        """The URL of a file in the folder, or of the folder itself, without user and password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port in {None, DEFAULT_SFTP_PORT} else f":{self.port}"
        return f"{self.scheme}://{host}{port}{quote(self.path)}/{quote(name)}".rstrip("/")
