"""How Cordial reaches files elsewhere: import files that it fetches, export files that it delivers."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import typing as t
from http import HTTPStatus
from urllib.parse import quote

import aiohttp
import asyncssh

from sandbox.faults import Faults
from sandbox.sftp import login_key

SAVED_KEY = "sandbox"
"""The name of the key that Cordial keeps for the SFTP server."""


class TransportError(Exception):
    """A file cannot be fetched or delivered; the text says why, in Cordial's words."""


class Transports:
    """Fetches and delivers files.

    Args:
        faults: What goes wrong.
        s3_endpoint: Where `s3` sources really are.
        gcs_endpoint: Where `gcs` sources really are.
    """

    def __init__(
        self, faults: Faults, *, s3_endpoint: str | None = None, gcs_endpoint: str | None = None
    ) -> None:
        self._faults = faults
        self._s3_endpoint = s3_endpoint
        self._gcs_endpoint = gcs_endpoint

    async def fetch(self, source: dict[str, t.Any]) -> bytes:
        """Fetch an import file."""
        transport = source["transport"].lower()
        if transport == "sftp":
            async with self._sftp(source) as files, files.open(source["path"], "rb") as file:
                return t.cast("bytes", await file.read())
        if transport in {"http", "https"}:
            return await _fetch_http(source)
        if transport == "gcs" and self._gcs_endpoint is not None:
            place = f"b/{source['buket']}/o/{quote(source['path'], safe='')}?alt=media"
            return await _fetch_http({"url": f"{self._gcs_endpoint}/storage/v1/{place}"})
        if transport == "s3" and self._s3_endpoint is not None:
            return await asyncio.get_running_loop().run_in_executor(None, self._fetch_s3, source)
        raise TransportError(f"Can't connect to the server ({transport})")

    async def deliver(self, destination: dict[str, t.Any], name: str, content: bytes) -> None:
        """Deliver an export file."""
        kind = str(destination["type"]).upper()
        if kind == "AWS":
            return
        path = f"{destination['path'].rstrip('/')}/{name}"
        if kind == "SFTP":
            async with self._sftp({**destination, "path": path}) as files, files.open(path, "wb") as file:
                await file.write(content)
        elif kind == "GCS" and self._gcs_endpoint is not None:
            await self._put_gcs(destination["gcs_bucket"], path.lstrip("/"), content)
        elif kind == "S3" and self._s3_endpoint is not None:
            place = f"{destination['aws_bucket']}/{path.lstrip('/')}"
            await asyncio.get_running_loop().run_in_executor(None, self._put_s3, destination, place, content)
        else:
            raise TransportError(f"Can't connect to the server ({kind})")

    @contextlib.asynccontextmanager
    async def _sftp(self, place: dict[str, t.Any]) -> t.AsyncIterator[asyncssh.SFTPClient]:
        password, keys = place.get("password", ""), []
        if place.get("savedKey"):
            if place["savedKey"] != SAVED_KEY:
                raise TransportError(f"SSH key with such Name/ID: {place['savedKey']} does not exist.")
            keys = [login_key()]
        if self._faults.get("source_login_fails") is not None:
            password, keys = password + " no longer", []
        server = place["server"]
        try:
            async with (
                asyncssh.connect(
                    server,
                    int(place["port"]),
                    username=place["username"],
                    password=password,
                    known_hosts=None,
                    client_keys=keys or None,
                    agent_path=None,
                ) as connection,
                connection.start_sftp_client() as files,
            ):
                yield files
        except asyncssh.PermissionDenied as error:
            raise TransportError(f"Can't login to the server ({server})") from error
        except asyncssh.SFTPError as error:
            raise TransportError(f"Couldn't get the size of the file ({place['path']})") from error
        except (OSError, asyncssh.Error) as error:
            raise TransportError(f"Can't connect to the server ({server})") from error

    def _fetch_s3(self, source: dict[str, t.Any]) -> bytes:
        try:
            return t.cast("bytes", self._s3(source).cat_file(f"{source['aws_bucket']}/{source['path']}"))
        except (OSError, ValueError) as error:
            raise TransportError(f"Couldn't get the size of the file ({source['path']})") from error

    def _put_s3(self, destination: dict[str, t.Any], place: str, content: bytes) -> None:
        try:
            self._s3(destination).pipe_file(place, content)
        except (OSError, ValueError) as error:
            raise TransportError(f"Can't connect to the server ({place})") from error

    def _s3(self, place: dict[str, t.Any]) -> t.Any:
        import s3fs  # noqa: PLC0415 - an extra

        return s3fs.S3FileSystem(
            key=place.get("aws_access_key_id"),
            secret=place.get("aws_secret_access_key"),
            client_kwargs={"endpoint_url": self._s3_endpoint, "region_name": place["aws_region"]},
            skip_instance_cache=True,
        )

    async def _put_gcs(self, bucket: str, path: str, content: bytes) -> None:
        url = f"{self._gcs_endpoint}/upload/storage/v1/b/{bucket}/o"
        try:
            async with aiohttp.ClientSession() as session:
                query = {"uploadType": "media", "name": path}
                async with session.post(url, params=query, data=content) as reply:
                    is_written = reply.status == HTTPStatus.OK
        except aiohttp.ClientError:
            is_written = False
        if not is_written:
            raise TransportError(f"Can't connect to the server ({bucket})")


async def _fetch_http(source: dict[str, t.Any]) -> bytes:
    url = source["url"]
    headers = {}
    if source.get("username"):
        login = f"{source['username']}:{source.get('password', '')}".encode()
        headers["Authorization"] = f"Basic {base64.b64encode(login).decode()}"
    try:
        async with aiohttp.ClientSession(headers=headers) as session, session.get(url) as reply:
            if reply.status != HTTPStatus.OK:
                raise TransportError(f"Couldn't get the size of the file ({url})")
            return await reply.read()
    except (aiohttp.ClientError, ValueError) as error:
        raise TransportError(f"Can't connect to the server ({url})") from error
