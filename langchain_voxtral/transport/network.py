"""Connections of httpcore that keep the time limits of the exchanges that use them.

httpx has no setting for this, so the pools below its clients are given a network backend.
"""

import ssl
import time
from collections.abc import Iterable
from math import inf
from typing import Any

import httpcore
import httpx

from langchain_voxtral.protocol.chunked_body import ChunkedBody
from langchain_voxtral.transport.asyncio_backend import HEAD_END, AsyncioBackend, join
from langchain_voxtral.transport.deadlines import current_limit
from langchain_voxtral.transport.resolver import connect_errors, resolve

_DEFAULT_ASYNC_BACKENDS = {"AutoBackend", "AnyIOBackend"}
"""httpcore's own, of which only one is public. Another is the caller's choice."""


class _LimitedStream(httpcore.NetworkStream):
    """A connection, limited by the exchange that wrote to it last: there is one at a time."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._limit = current_limit()
        self.body = ChunkedBody()
        # TLS within TLS is no socket's, nor what another backend makes.
        is_plain = type(stream).__name__ == "SyncStream"
        self._socket: Any = stream.get_extra_info("socket") if is_plain else None
        self._timeout = 0.0
        self._head = b""  # of a request, which is sent with its body

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._head:
            self.write(b"", timeout)
        return self.body.release() or self.body.hold_back(self.receive(max_bytes, timeout))

    def receive(self, max_bytes: int, timeout: float | None) -> bytes:
        """Return the next bytes, whatever they are."""
        limit = self._limit
        seconds = limit.clip(timeout, httpcore.ReadTimeout)
        if self._socket is None:
            data = self._stream.read(max_bytes, seconds)
        else:
            data = self._receive(max_bytes, inf if seconds is None else seconds)
        limit.is_silent = False
        return data

    def _receive(self, max_bytes: int, seconds: float) -> bytes:
        self._set_timeout(seconds)
        try:
            data: bytes = self._socket.recv(max_bytes)
        except TimeoutError as error:
            raise httpcore.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.ReadError(str(error)) from error
        return data

    def _set_timeout(self, seconds: float) -> None:
        # A limit differs a little at each step, and each setting is a call of the system.
        if not seconds <= self._timeout <= 1.02 * seconds:
            self._timeout = 1.01 * seconds
            self._socket.settimeout(None if seconds == inf else self._timeout)

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._limit = limit = current_limit()
        if buffer.endswith(HEAD_END) and not self._head:
            self._head = buffer
            return
        self.body.await_head()
        head, self._head = self._head, b""
        for part in join(head, buffer):
            seconds = limit.clip(timeout, httpcore.WriteTimeout)
            if self._socket is None:
                self._stream.write(part, seconds)
            else:
                self._send(part, inf if seconds is None else seconds)
        limit.progress_at, limit.is_silent = time.monotonic(), True

    def _send(self, data: bytes, seconds: float) -> None:
        self._set_timeout(seconds)
        try:
            while data:
                data = data[self._socket.send(data) :]
        except TimeoutError as error:
            raise httpcore.WriteTimeout(str(error)) from error
        except OSError as error:
            raise httpcore.WriteError(str(error)) from error

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        seconds = self._limit.clip(timeout, httpcore.ConnectTimeout)
        return _LimitedStream(self._stream.start_tls(ssl_context, server_hostname, seconds))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class _LimitedBackend(httpcore.NetworkBackend):
    """Makes limited connections, also in the time that a name server may take."""

    def __init__(self, backend: httpcore.NetworkBackend) -> None:
        self._backend = backend

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        limit = current_limit()
        with connect_errors():
            addresses = resolve(host, port, limit.clip(timeout, httpcore.ConnectTimeout))
        failure: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in addresses:
            seconds = limit.clip(timeout, httpcore.ConnectTimeout)
            try:
                return _LimitedStream(
                    self._backend.connect_tcp(address, port, seconds, local_address, socket_options)
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failure = error
        raise failure

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        return _LimitedStream(self._backend.connect_unix_socket(path, timeout, socket_options))

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


def find_transports(client: httpx.Client | httpx.AsyncClient) -> list[object]:
    """Return the transports of a client: its own, and those of proxies."""
    transports = (getattr(client, "_transport", None), *getattr(client, "_mounts", {}).values())
    return [transport for transport in transports if transport is not None]


def find_pools(*transports: object) -> list[Any]:
    """Return the pools of httpx's own transports; others have none."""
    pools = (getattr(transport, "_pool", None) for transport in transports)
    kinds = httpcore.ConnectionPool | httpcore.AsyncConnectionPool
    return [pool for pool in pools if isinstance(pool, kinds)]


def limit_connections(*transports: object) -> None:
    """Have transports make limited connections from now on; those that are not httpx's do not.

    Nor with HTTP/2, where a connection serves several exchanges at a time.
    """
    for pool in find_pools(*transports):
        backend = getattr(pool, "_network_backend", None)
        if getattr(pool, "_http2", False) or isinstance(backend, _LimitedBackend):
            continue
        if isinstance(backend, httpcore.NetworkBackend):
            pool._network_backend = _LimitedBackend(backend)  # noqa: SLF001
        elif type(backend).__name__ in _DEFAULT_ASYNC_BACKENDS:
            pool._network_backend = AsyncioBackend()  # noqa: SLF001
