"""Connections of httpcore that keep the time limits of the exchanges that use them.

httpx has no setting for this, so the pools below its clients are given a network backend.
"""

import asyncio
import socket
import ssl
import threading
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import httpcore
import httpx

from langchain_voxtral.transport.deadlines import current_limit

_WRITE_BYTES = 2**16
"""Bytes to which one write is limited: it may take several steps, each as long as it may take."""


def _look_up(host: str, port: int) -> Future[list[str]]:
    """Return a host's addresses, to come from a thread that nobody has to wait for.

    Nothing ends a resolver that hangs, and event loops wait for the threads of their own executor.
    """
    addresses: Future[list[str]] = Future()
    addresses.set_running_or_notify_cancel()

    def run() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            addresses.set_result(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))
        except BaseException as error:  # noqa: BLE001 - for whoever waits
            addresses.set_exception(error)

    threading.Thread(target=run, name="voxtral-resolver", daemon=True).start()
    return addresses


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def resolve(host: str, port: int, seconds: float | None) -> list[str]:
    """Return the addresses of a host.

    Raises:
        TimeoutError: The resolver did not answer in time.
        OSError, UnicodeError: The name is not known, or no name.
    """
    return [host] if _is_address(host) else _look_up(host, port).result(seconds)


async def _aresolve(host: str, port: int, seconds: float | None) -> list[str]:
    if _is_address(host):
        return [host]
    async with asyncio.timeout(seconds):
        return await asyncio.wrap_future(_look_up(host, port))


@contextmanager
def _resolver_errors() -> Iterator[None]:
    try:
        yield
    except TimeoutError as error:
        raise httpcore.ConnectTimeout from error
    except (OSError, UnicodeError) as error:
        raise httpcore.ConnectError(str(error)) from error


class _LimitedStream(httpcore.NetworkStream):
    """A connection, limited by the exchange that wrote to it last: there is one at a time."""

    def __init__(self, stream: httpcore.NetworkStream) -> None:
        self._stream = stream
        self._limit = current_limit()

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        limit = self._limit
        data = self._stream.read(max_bytes, limit.clip(timeout, httpcore.ReadTimeout))
        limit.is_silent = False
        return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._limit = limit = current_limit()
        for part in _parts(buffer):
            self._stream.write(part, limit.clip(timeout, httpcore.WriteTimeout))
        limit.progress_at, limit.is_silent = time.monotonic(), True

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


class _LimitedAsyncStream(httpcore.AsyncNetworkStream):
    """The same, asynchronous."""

    def __init__(self, stream: httpcore.AsyncNetworkStream) -> None:
        self._stream = stream
        self._limit = current_limit()

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109 - httpcore's
        limit = self._limit
        data = await self._stream.read(max_bytes, limit.clip(timeout, httpcore.ReadTimeout))
        limit.is_silent = False
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109
        self._limit = limit = current_limit()
        for part in _parts(buffer):
            await self._stream.write(part, limit.clip(timeout, httpcore.WriteTimeout))
        limit.progress_at, limit.is_silent = time.monotonic(), True

    async def aclose(self) -> None:
        await self._stream.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> httpcore.AsyncNetworkStream:
        try:
            seconds = self._limit.clip(timeout, httpcore.ConnectTimeout)
            stream = await self._stream.start_tls(ssl_context, server_hostname, seconds)
        except BaseException:
            # After a cancellation nobody else has the connection any more.
            await self._stream.aclose()
            raise
        return _LimitedAsyncStream(stream)

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
        with _resolver_errors():
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


class _LimitedAsyncBackend(httpcore.AsyncNetworkBackend):
    """Makes limited asynchronous connections, also in the time that a name server may take."""

    def __init__(self, backend: httpcore.AsyncNetworkBackend) -> None:
        self._backend = backend

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        limit = current_limit()
        with _resolver_errors():
            addresses = await _aresolve(host, port, limit.clip(timeout, httpcore.ConnectTimeout))
        if len(addresses) == 1:  # of several, anyio finds out which answers first
            [host] = addresses
        seconds = limit.clip(timeout, httpcore.ConnectTimeout)
        return _LimitedAsyncStream(
            await self._backend.connect_tcp(host, port, seconds, local_address, socket_options)
        )

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        return _LimitedAsyncStream(
            await self._backend.connect_unix_socket(path, timeout, socket_options)
        )

    async def sleep(self, seconds: float) -> None:
        await self._backend.sleep(seconds)


def _parts(buffer: bytes) -> Iterable[Any]:
    if len(buffer) <= _WRITE_BYTES:
        return (buffer,)
    view = memoryview(buffer)
    return (view[start : start + _WRITE_BYTES] for start in range(0, len(view), _WRITE_BYTES))


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
        is_limited = isinstance(backend, _LimitedBackend | _LimitedAsyncBackend)
        if is_limited or getattr(pool, "_http2", False):
            continue
        if isinstance(backend, httpcore.NetworkBackend):
            pool._network_backend = _LimitedBackend(backend)  # noqa: SLF001
        elif isinstance(backend, httpcore.AsyncNetworkBackend):
            pool._network_backend = _LimitedAsyncBackend(backend)  # noqa: SLF001
