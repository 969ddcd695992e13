"""A folder's URL, taken apart."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from target_cordial.storage.errors import StorageError

DEFAULT_SFTP_PORT = 22


@dataclass(frozen=True)
class Location:
    """A folder's URL, taken apart.

    Attributes:
        scheme: sftp, s3, gs or file.
        host: The server; for s3 and gs the bucket; blank for file.
        port: The server's port, for sftp.
        path: The folder on the server or in the bucket, without a slash at its end.
        username: The user that the URL names.
    """

    scheme: str
    host: str
    port: int | None
    path: str
    username: str | None = None

    @classmethod
    def parse(cls, url: str) -> Location:
        """Take a URL apart.

        Args:
            url: The URL; a plain path is a folder on this machine.

        Returns:
            The location.

        Raises:
            StorageError: If it is not a URL of a folder.
        """
        if "://" not in url:
            return cls("file", "", None, str(Path(url).expanduser().absolute()))
        parts = urlsplit(url)
        if parts.query or parts.fragment:
            msg = "holds ? or #: write them as %3F and %23"
            raise StorageError(msg)
        try:
            port = parts.port
        except ValueError:
            msg = "has a port that is not a number"
            raise StorageError(msg) from None
        # A bucket's name is not a host name: case counts, and there is no port.
        host = parts.netloc.rpartition("@")[2] if parts.scheme in {"s3", "gs"} else parts.hostname or ""
        if parts.scheme == "sftp":
            port = port or DEFAULT_SFTP_PORT
        return cls(
            parts.scheme,
            host,
            port,
            unquote(parts.path).rstrip("/"),
            unquote(parts.username) if parts.username else None,
        )

    @property
    def is_object_store(self) -> bool:
        """Whether a file appears whole or not at all, and there are no folders."""
        return self.scheme in {"s3", "gs"}

    def path_of(self, name: str = "") -> str:
        """The path of a file in the folder, on the server or in the bucket.

        Args:
            name: The file; the folder itself by default.
        """
        path = f"{self.path}/{name}".rstrip("/")
        return path.lstrip("/") if self.is_object_store else path or "/"

    def opened(self, name: str = "") -> str:
        """The path of a file as fsspec wants it, which takes the bucket for the outermost folder.

        Args:
            name: The file; the folder itself by default.
        """
        path = self.path_of(name)
        return f"{self.host}/{path}".rstrip("/") if self.is_object_store else path

    def url(self, name: str = "") -> str:
        """The URL of a file, without user and password.

        Args:
            name: The file; the folder itself by default.
        """
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port in {None, DEFAULT_SFTP_PORT} else f":{self.port}"
        return f"{self.scheme}://{host}{port}{quote(self.path)}/{quote(name)}".rstrip("/")

    def __str__(self) -> str:
        """The folder's URL, for messages."""
        return self.url()
