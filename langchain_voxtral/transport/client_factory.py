"""Makes HTTP clients, with time limits and quick pools below them, and prepares a caller's own."""

import os
import ssl
import threading
from functools import cache
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpx

from langchain_voxtral.transport.cancellation import protect_pools
from langchain_voxtral.transport.connection_pool import replace_pools
from langchain_voxtral.transport.network import find_transports, limit_connections
from langchain_voxtral.transport.transport_choice import TransportName, async_transport_class

_EXPIRY_SECONDS = 30.0
"""How long an idle connection is kept."""

# Held by a fork: a child of a process that is within OpenSSL's own locks would wait for them.
_ssl_lock = threading.Lock()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(
        before=_ssl_lock.acquire,
        after_in_parent=_ssl_lock.release,
        after_in_child=_ssl_lock.release,
    )


@cache
def ssl_context(trust_env: bool) -> ssl.SSLContext:  # noqa: FBT001 - a cache key
    """Return the certificates; loading them takes some 20 ms, so all clients share them."""
    with _ssl_lock:
        return httpx.create_ssl_context(trust_env=trust_env)


def make_client(proxy: str | None, *, trust_env: bool) -> httpx.Client:
    """Return a synchronous client.

    Args:
        proxy: URL of a proxy; None takes it from the environment, if `trust_env`.
        trust_env: Whether environment variables choose a proxy and certificates.
    """
    client = httpx.Client(**_options(proxy, trust_env=trust_env))
    client._cookies = _NoCookies()  # noqa: SLF001 - where it looks for them
    _prepare_own(client)
    return client


def make_async_client(
    proxy: str | None, *, trust_env: bool, transport: TransportName
) -> httpx.AsyncClient:
    """Return an asynchronous client with the transports of this name below it."""
    options = _options(proxy, trust_env=trust_env)
    client = httpx.AsyncClient(**options)
    transport_class = async_transport_class(transport)
    if transport_class is not None:
        # Set, not given: a client that is given one takes no proxy from the environment.
        client._transport = transport_class(  # noqa: SLF001
            verify=options["verify"], limits=options["limits"]
        )
    client._cookies = _NoCookies()  # noqa: SLF001 - where it looks for them
    _prepare_own(client)
    return client


def _options(proxy: str | None, *, trust_env: bool) -> dict[str, Any]:
    return {
        "verify": ssl_context(trust_env),
        "proxy": proxy,
        "trust_env": trust_env,
        "limits": httpx.Limits(keepalive_expiry=_EXPIRY_SECONDS),
        # Clients are shared by accounts, so a cookie for one must not go out for another.
        "cookies": CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        "follow_redirects": False,
    }


class _NoCookies(httpx.Cookies):
    """Takes none; that the policy takes none is found out in a tenth of a call's time."""

    def extract_cookies(self, response: httpx.Response) -> None:
        """Leave the cookies of a response where they are."""


def _prepare_own(client: httpx.Client | httpx.AsyncClient) -> None:
    """Make a client of ours keep time limits, and find connections in constant time."""
    transports = find_transports(client)
    limit_connections(*transports)
    replace_pools(*transports, expiry_seconds=_EXPIRY_SECONDS)


def prepare(client: httpx.Client | httpx.AsyncClient) -> None:
    """Make a caller's client keep time limits, and survive cancellations."""
    transports = find_transports(client)
    limit_connections(*transports)
    protect_pools(*transports)
