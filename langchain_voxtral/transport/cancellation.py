"""Asynchronous exchanges that leave nothing behind, wherever they are cancelled.

httpcore shields its cleaning up from anyio's cancellations, but `task.cancel()` and
`asyncio.timeout` get through. What they cut short stays in its pool: connections that no request
has and none gets, and requests that nobody awaits. So whatever closes connections runs in a task
of its own here, and after a failure the pool is freed of what is left: that of a caller's client,
as pools of ours (see `connection_pool`) have nothing left.
"""

import asyncio
from collections.abc import Coroutine, Iterable, MutableMapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import httpcore
import httpx

from langchain_voxtral.transport.deadlines import TimeLimit
from langchain_voxtral.transport.network import find_pools

_running: set[asyncio.Task[Any]] = set()
"""Holds the tasks below, of which event loops have weak references only."""


async def run_to_end(work: Coroutine[Any, Any, None]) -> None:
    """Await work that goes on when the caller is cancelled."""
    task = asyncio.ensure_future(work)
    _running.add(task)
    task.add_done_callback(_running.discard)
    await asyncio.shield(task)


class AsyncExchange:
    """A request and its response; on leaving, the connection is idle in the pool or closed."""

    def __init__(self, client: httpx.AsyncClient, request: httpx.Request, limit: TimeLimit) -> None:
        self._client = client
        self._request = request
        self._limit = limit
        self._response: httpx.Response | None = None

    async def send(self) -> httpx.Response:
        """Send the request and return the response, whose body is not read yet."""
        with self._limit.applied():
            self._response = await self._client.send(
                self._request, stream=True, follow_redirects=False
            )
        return self._response

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None:
            await run_to_end(self._discard())
        elif self._response is not None and not self._response.is_closed:
            try:
                await self._response.aclose()
            except BaseException:
                await run_to_end(self._discard())
                raise

    async def _discard(self) -> None:
        if self._response is not None:
            with suppress(Exception):  # another error is on its way
                await self._response.aclose()
        pool = _find_pool(self._client, self._request.url)
        if pool is not None:
            await _free(pool, self._request.extensions)


def _find_pool(client: httpx.AsyncClient, url: httpx.URL) -> httpcore.AsyncConnectionPool | None:
    """Return the pool of httpcore that a request went through, if there is one."""
    find_transport = getattr(client, "_transport_for_url", None)
    pools = [] if find_transport is None else find_pools(find_transport(url))
    return pools[0] if pools else None


async def _free(pool: httpcore.AsyncConnectionPool, extensions: MutableMapping[str, Any]) -> None:
    """Remove the request with these extensions from a pool, and connections that nobody uses."""
    try:
        requests, connections = pool._requests, pool._connections  # noqa: SLF001 - see above
        requests[:] = [each for each in requests if each.request.extensions is not extensions]
        used = [each.connection for each in requests]
        unused = [
            each for each in connections if not (each in used or each.is_idle() or each.is_closed())
        ]
        connections[:] = [each for each in connections if each not in unused]
        # Other requests may wait for the places that became free.
        unused = [*pool._assign_requests_to_connections(), *unused]  # noqa: SLF001
    except AttributeError:  # httpcore is changed; it closes what it can
        return
    await _close_each(unused)


async def _close_each(connections: Iterable[httpcore.AsyncConnectionInterface]) -> None:
    for connection in connections:
        with suppress(Exception):  # the others are closed all the same
            await connection.aclose()


async def close_connections(connections: Iterable[httpcore.AsyncConnectionInterface]) -> None:
    """Close connections, all of them though the call is cancelled."""
    try:
        # At once, not in a task: a request that was given one of them must find it closed.
        await _close_each(connections)
    except BaseException:
        await run_to_end(_close_each(connections))
        raise


def protect_pools(*transports: object) -> None:
    """Have pools close all connections that they give up, though the call is cancelled.

    A pool forgets them before it closes them, so that nothing else can.
    """
    for pool in find_pools(*transports):
        if isinstance(pool, httpcore.AsyncConnectionPool):
            pool._close_connections = close_connections  # type: ignore[method-assign,assignment]  # noqa: SLF001
