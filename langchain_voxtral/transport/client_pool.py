"""HTTP clients: made when first needed, shared, closed, never used after a fork.

One synchronous client serves all threads; each event loop has a client of its own, because
an asynchronous connection belongs to the loop that opened it.
"""

import asyncio
import os
import threading
import weakref
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx

from langchain_voxtral.transport.cancellation import run_to_end
from langchain_voxtral.transport.client_factory import make_async_client, make_client, prepare
from langchain_voxtral.transport.deadlines import httpx_guard
from langchain_voxtral.transport.event_loop import NoEventLoopError, running_loop
from langchain_voxtral.transport.transport_choice import TransportName, read_transport_name


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """What two clients must agree in to be one.

    Args:
        proxy: URL of a proxy; None takes it from the environment, if `trust_env`.
        trust_env: Whether environment variables choose a proxy and certificates.
        http_client: The caller's own synchronous client; never closed here.
        http_async_client: The caller's own asynchronous client; never closed here.
        transport: Which transports are below the clients that are made here.
    """

    proxy: str | None = field(default=None, repr=False)
    trust_env: bool = True
    http_client: httpx.Client | None = None
    http_async_client: httpx.AsyncClient | None = None
    transport: TransportName = field(default_factory=read_transport_name)


class ClientPool:
    """The clients for one kind of settings; use `ClientLease` to get one."""

    def __init__(self, settings: ClientSettings) -> None:
        self.settings = settings
        self.leases = 0
        for client in (settings.http_client, settings.http_async_client):
            if client is not None:
                prepare(client)
        self._reset()
        _pools.add(self)

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._sync: httpx.Client | None = None
        self._close_sync: weakref.finalize[..., ClientPool] | None = None
        self._by_loop: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _LoopClient] = (
            weakref.WeakKeyDictionary()
        )

    def sync_client(self) -> httpx.Client:
        """Return the synchronous client."""
        if self.settings.http_client is not None:
            return self.settings.http_client
        client = self._sync
        if client is None:
            with self._lock:
                client = self._sync
                if client is None:
                    settings = self.settings
                    client = make_client(settings.proxy, trust_env=settings.trust_env)
                    self._sync = client
                    # Also closes at exit, and when nobody holds this object any more.
                    self._close_sync = weakref.finalize(self, _close, client)
        return client

    async def async_client(self) -> httpx.AsyncClient:
        """Return the running loop's client."""
        if self.settings.http_async_client is not None:
            return self.settings.http_async_client
        loop = running_loop()
        entry = self._by_loop.get(loop)
        if entry is None:
            settings = self.settings
            client = make_async_client(
                settings.proxy, trust_env=settings.trust_env, transport=settings.transport
            )
            entry = _LoopClient(self, loop, client)
            with self._lock:  # loops may run in several threads
                self._forget_closed_loops()
                self._by_loop[loop] = entry
            await anext(entry.closer)
        return entry.client

    def _forget_closed_loops(self) -> None:
        for loop in [loop for loop in self._by_loop if loop.is_closed()]:
            # The finalizer holds the closer, which holds its loop.
            self._by_loop.pop(loop).finalizer.detach()
        for loop in [loop for loop in list(_closers) if loop.is_closed()]:
            _closers.pop(loop, None)

    def close(self) -> None:
        """Close the synchronous client."""
        with self._lock:
            close, self._sync, self._close_sync = self._close_sync, None, None
        if close is not None:
            close()

    async def aclose(self) -> None:
        """Close the synchronous client and the running loop's."""
        self.close()
        try:
            loop = running_loop()
        except NoEventLoopError:
            return  # where asyncio does not run, no client was opened
        entry = self._by_loop.pop(loop, None)
        if entry is not None:
            entry.finalizer.detach()
            await run_to_end(_aclose(loop, entry.closer))

    def detach_after_fork(self) -> None:
        """In a forked child: let go of the parent's connections without touching them."""
        if self._close_sync is not None:
            self._close_sync.detach()
        # Kept alive on purpose: finalizing them would write to the parent's sockets.
        _detached.append((self._sync, dict(self._by_loop)))
        self._reset()


class _LoopClient:
    """The client of one event loop, and what closes it.

    It is closed when nobody holds the pool any more, or else with the loop. Left to the garbage
    collector, a closer that dies with the loop's last task would be closed by a task that is
    cancelled at once.
    """

    def __init__(
        self, pool: ClientPool, loop: asyncio.AbstractEventLoop, client: httpx.AsyncClient
    ) -> None:
        self.client = client
        self.closer = _close_with_loop(client)
        _closers.setdefault(loop, set()).add(self.closer)
        self.finalizer = weakref.finalize(pool, _start_closing, weakref.ref(loop), self.closer)
        self.finalizer.atexit = False


def _close(client: httpx.Client) -> None:
    with httpx_guard:
        client.close()


async def _close_with_loop(client: httpx.AsyncClient) -> AsyncGenerator[None]:
    """Close the client when the loop shuts down: `asyncio.run` closes all async generators."""
    try:
        yield
    finally:
        await client.aclose()


def _start_closing(
    loop_ref: "weakref.ref[asyncio.AbstractEventLoop]", closer: AsyncGenerator[None]
) -> None:
    loop = loop_ref()
    if loop is None or loop.is_closed():
        return
    with suppress(RuntimeError):  # closed in the meantime
        loop.call_soon_threadsafe(lambda: loop.create_task(_aclose(loop, closer)))


async def _aclose(loop: asyncio.AbstractEventLoop, closer: AsyncGenerator[None]) -> None:
    await closer.aclose()
    _closers.get(loop, set()).discard(closer)


_closers: weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, set[AsyncGenerator[None]]] = (
    weakref.WeakKeyDictionary()
)
"""Holds the closers of each loop, so that none is finalized before it is closed."""
_pools: weakref.WeakSet[ClientPool] = weakref.WeakSet()
_by_settings: weakref.WeakValueDictionary[ClientSettings, ClientPool] = (
    weakref.WeakValueDictionary()
)
_detached: list[object] = []
# Reentrant: a garbage collection within may release another lease.
_registry = threading.RLock()


def _after_fork_in_child() -> None:
    global _registry  # noqa: PLW0603 - a lock another thread held at the fork stays locked
    _registry = threading.RLock()
    _detached.append(dict(_closers))
    _closers.clear()
    for pool in list(_pools):
        pool.detach_after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


class ClientLease:
    """One user's hold on shared clients; the last one to let go closes them.

    Copies and pickles of a lease are new and hold nothing, so that a copied model gets
    clients of its own.
    """

    def __init__(self) -> None:
        self._pool: ClientPool | None = None
        self._release: weakref.finalize[..., ClientLease] | None = None

    def clients(
        self,
        proxy: str | None,
        trust_env: bool,  # noqa: FBT001 - as in ClientSettings
        http_client: httpx.Client | None,
        http_async_client: httpx.AsyncClient | None,
    ) -> ClientPool:
        """Return the clients for these `ClientSettings`, letting go of those for others."""
        pool = self._pool
        if pool is not None:
            held = pool.settings
            if (
                held.http_client is http_client
                and held.http_async_client is http_async_client
                and held.proxy == proxy
                and held.trust_env == trust_env
            ):
                return pool
        settings = ClientSettings(proxy, trust_env, http_client, http_async_client)
        with _registry:
            if self._pool is not None and self._pool.settings == settings:
                return self._pool  # another thread was quicker
            self.close()
            pool = _by_settings.get(settings)
            if pool is None:
                pool = _by_settings[settings] = ClientPool(settings)
            pool.leases += 1
            self._pool = pool
            self._release = weakref.finalize(self, _release, pool)
            self._release.atexit = False
        return pool

    def close(self) -> None:
        """Let go; close the synchronous client if nobody else holds it."""
        release, self._pool, self._release = self._release, None, None
        if release is not None:
            release()

    async def aclose(self) -> None:
        """Let go; close the synchronous client and this loop's if nobody else holds them."""
        pool = self._pool
        try:
            if pool is not None and pool.leases == 1:
                await pool.aclose()
        finally:
            self.close()

    def __eq__(self, other: object) -> bool:
        # A model is equal to its copy, which holds connections of its own.
        return isinstance(other, ClientLease)

    def __hash__(self) -> int:
        return hash(ClientLease)

    def __copy__(self) -> "ClientLease":
        return ClientLease()

    def __deepcopy__(self, memo: dict[int, Any]) -> "ClientLease":
        return ClientLease()

    def __reduce__(self) -> tuple[Any, ...]:
        return ClientLease, ()


def _release(pool: ClientPool) -> None:
    with _registry:
        pool.leases -= 1
        is_last = pool.leases == 0
        if is_last and _by_settings.get(pool.settings) is pool:
            del _by_settings[pool.settings]
    if is_last:
        pool.close()
