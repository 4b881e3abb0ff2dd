"""Pools that find a connection in constant time, however many there are.

httpcore's pools look at every connection at each request and at each response that is closed, so
many streams at once would cost the square of their number. The pools below stand in their place
below httpx's transports: httpcore still makes the connections, directly or through a proxy.

A connection is taken for one exchange and given back idle; whatever fails or is cancelled is
closed. There is no lock: each step is one atomic operation on a list or a dictionary, as a garbage
collection may close a stream, and so give a connection back, anywhere within.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import suppress
from typing import Any, Generic, TypeVar, cast

import httpcore

from langchain_voxtral.transport.cancellation import close_connections, run_to_end
from langchain_voxtral.transport.chunk_reader import open_body
from langchain_voxtral.transport.network import find_pools

C = TypeVar("C", httpcore.ConnectionInterface, httpcore.AsyncConnectionInterface)

_MAX_IDLE = 256
"""Idle connections that are kept for each origin."""


class _Connections(Generic[C]):
    """Idle connections by their origin, and those that are taken; the caller does the I/O."""

    def __init__(self, create: Callable[[httpcore.Origin], C], expiry_seconds: float) -> None:
        self._create: Callable[[httpcore.Origin], C] = create
        self._expiry_seconds = expiry_seconds
        self._look_at = time.monotonic() + expiry_seconds
        self._idle: dict[tuple[bytes, bytes, int | None], list[C]] = {}
        self._taken: dict[C, list[C]] = {}
        self._is_closed = False

    def take(self, url: httpcore.URL) -> tuple[C, list[C]]:
        """Return the good connection that was used last, or a new one, and those to close."""
        idle = self._idle.setdefault((url.scheme, url.host, url.port), [])
        expired: list[C] = []
        try:
            while (connection := idle.pop()).has_expired():
                expired.append(connection)
        except IndexError:
            connection = self._create(url.origin)
        self._taken[connection] = idle
        return connection, expired

    def drop(self, connection: C) -> None:
        """Forget a connection, which the caller closes."""
        self._taken.pop(connection, None)

    def give_back(self, connection: C) -> list[C]:
        """Keep a connection if it can be used again; return those to close."""
        idle = self._taken.pop(connection, None)
        if idle is None or connection.is_closed():  # idle is None: given back already
            return []
        if not connection.is_idle() or len(idle) >= _MAX_IDLE:
            return [connection]
        idle.append(connection)
        return [connection] if self._is_closed else self._expired()

    def _expired(self) -> list[C]:
        """Remove those that were idle for long; looks at each, and therefore only now and then."""
        now = time.monotonic()
        if now < self._look_at:
            return []
        self._look_at = now + self._expiry_seconds
        expired = []
        for idle in list(self._idle.values()):
            for connection in [each for each in list(idle) if each.has_expired()]:
                with suppress(ValueError):  # another thread has taken it
                    idle.remove(connection)
                    expired.append(connection)
        return expired

    def close(self) -> list[C]:
        """Keep no connection from now on; return those to close."""
        self._is_closed = True
        connections = list(self._taken)
        for idle in list(self._idle.values()):
            connections += idle
            idle.clear()
        return connections


class _Pool:
    """What a synchronous transport of httpx calls."""

    def __init__(self, maker: httpcore.ConnectionPool, expiry_seconds: float) -> None:
        self._connections = _Connections(maker.create_connection, expiry_seconds)

    def handle_request(self, request: httpcore.Request) -> httpcore.Response:
        connections = self._connections
        connection, expired = connections.take(request.url)
        try:
            _close_each(expired)
            response = connection.handle_request(request)
        except BaseException:
            connections.drop(connection)
            _close_each([connection])
            raise
        response.stream = _Body(open_body(request, response), connection, connections)
        return response

    def close(self) -> None:
        _close_each(self._connections.close())


class _Body:
    """The body of a response, which gives its connection back when it is closed."""

    def __init__(
        self,
        stream: Any,
        connection: httpcore.ConnectionInterface,
        connections: _Connections[httpcore.ConnectionInterface],
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._connections = connections

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._stream)

    def close(self) -> None:
        try:
            self._stream.close()
        finally:
            _close_each(self._connections.give_back(self._connection))


def _close_each(connections: Iterable[httpcore.ConnectionInterface]) -> None:
    for connection in connections:
        with suppress(Exception):  # the others are closed all the same
            connection.close()


class _NoLock:
    """Stands in for httpcore's locks, at each of which a call waits for the event loop's turn."""

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *_: object) -> None:
        pass


_no_lock = _NoLock()


def _remove_lock(connection: object, name: str) -> None:
    """Remove a lock of a connection, which has one exchange at a time."""
    if hasattr(connection, name):
        setattr(connection, name, _no_lock)


class _AsyncPool:
    """What an asynchronous transport of httpx calls."""

    def __init__(self, maker: httpcore.AsyncConnectionPool, expiry_seconds: float) -> None:
        self._create_connection = maker.create_connection
        self._connections = _Connections(self._create, expiry_seconds)

    def _create(self, origin: httpcore.Origin) -> httpcore.AsyncConnectionInterface:
        connection = self._create_connection(origin)
        _remove_lock(connection, "_request_lock")
        return connection

    async def handle_async_request(self, request: httpcore.Request) -> httpcore.Response:
        connections = self._connections
        connection, expired = connections.take(request.url)
        try:
            await close_connections(expired)
            response = await connection.handle_async_request(request)
            _remove_lock(getattr(connection, "_connection", None), "_state_lock")
        except BaseException:
            connections.drop(connection)
            await run_to_end(close_connections([connection]))
            raise
        response.stream = _AsyncBody(open_body(request, response), connection, connections)
        return response

    async def aclose(self) -> None:
        await close_connections(self._connections.close())


class _AsyncBody:
    """The same, asynchronous."""

    def __init__(
        self,
        stream: Any,
        connection: httpcore.AsyncConnectionInterface,
        connections: _Connections[httpcore.AsyncConnectionInterface],
    ) -> None:
        self._stream = stream
        self._connection = connection
        self._connections = connections

    def __aiter__(self) -> AsyncIterator[bytes]:
        return aiter(self._stream)

    async def aclose(self) -> None:
        try:
            await self._stream.aclose()
        except BaseException:
            self._connections.drop(self._connection)
            await run_to_end(close_connections([self._connection]))
            raise
        await close_connections(self._connections.give_back(self._connection))


def replace_pools(*transports: object, expiry_seconds: float) -> None:
    """Put these pools in the place of httpcore's, which make the connections from now on.

    Args:
        transports: Those of httpx; others stay as they are.
        expiry_seconds: How long a connection may be idle; the transports have the same limit.
    """
    for transport in transports:
        for pool in find_pools(transport):
            kind = _AsyncPool if isinstance(pool, httpcore.AsyncConnectionPool) else _Pool
            cast("Any", transport)._pool = kind(pool, expiry_seconds)  # noqa: SLF001
