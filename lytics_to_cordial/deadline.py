"""Connections whose answers end in time as a whole, headers too, however slowly they drip."""

from __future__ import annotations

import http.client
import io
import socket
import time
import typing as t

from requests.adapters import HTTPAdapter
from typing_extensions import override
from urllib3 import PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool


class DeadlineAdapter(HTTPAdapter):
    """Takes the read timeout of a call for the time that its whole answer may take, and not each read of it."""

    @override
    def init_poolmanager(self, *args: t.Any, **options: t.Any) -> None:
        super().init_poolmanager(*args, **options)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    @override
    def proxy_manager_for(self, *args: t.Any, **options: t.Any) -> PoolManager:
        manager: PoolManager = super().proxy_manager_for(*args, **options)
        manager.pool_classes_by_scheme = _POOLS
        return manager


class _Answer(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: t.Any, **options: t.Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_ReaderWithDeadline(sock, self.fp.detach()))


class _ReaderWithDeadline(io.RawIOBase):
    """Reads from a socket until its timeout is over, which counts from now."""

    def __init__(self, sock: socket.socket, reader: t.Any) -> None:
        self._socket = sock
        self._reader = reader
        self._timeout = sock.gettimeout()
        self._ends_at = None if self._timeout is None else time.monotonic() + self._timeout

    @override
    def readable(self) -> bool:
        return True

    def readinto(self, buffer: t.Any) -> int | None:
        if self._ends_at is None:
            return t.cast("int | None", self._reader.readinto(buffer))
        left = self._ends_at - time.monotonic()
        if left <= 0:
            raise TimeoutError("The answer does not end.")
        self._socket.settimeout(left)
        try:
            return t.cast("int | None", self._reader.readinto(buffer))
        finally:
            # The connection may take another call.
            self._socket.settimeout(self._timeout)

    @override
    def close(self) -> None:
        self._reader.close()
        super().close()


class _Connection(HTTPConnection):
    response_class = _Answer


class _TLSConnection(HTTPSConnection):
    response_class = _Answer


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _Pool, "https": _TLSPool}
