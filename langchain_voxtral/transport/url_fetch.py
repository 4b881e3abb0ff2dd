"""Files from the web, by URLs that came in a message: from public addresses, within limits.

A URL in a message may have been written by anyone, also by a model. So nothing is fetched from an
address that only this machine or its network can reach; the connection goes to the very address
that was checked, whatever the name resolves to a moment later; no redirect is followed, no proxy
used, and no header of ours sent along. The transport is used without httpx's client, which logs
each URL: its query may be a signature.
"""

import ipaddress
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass

import httpx

from langchain_voxtral._version import __version__
from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralTimeoutError,
)
from langchain_voxtral.transport.client_factory import ssl_context
from langchain_voxtral.transport.deadlines import TimeLimit
from langchain_voxtral.transport.network import limit_connections
from langchain_voxtral.transport.resolver import resolve

IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address

_GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is routed between networks (RFC 4291, section 2.4)."""
_SPECIAL = tuple(
    map(
        ipaddress.ip_network,
        (
            "192.0.0.0/24",  # IETF's protocols; a cloud tells its machines secrets at 192.0.0.192
            "192.88.99.0/24",  # relays of 6to4
            "168.63.129.16/32",  # Azure to its own machines
            "2001::/23",  # IETF's protocols, Teredo among them
            "3fff::/20",  # documentation
        ),
    )
)
"""Networks that are not public, though not every Python's `is_global` knows it (IANA's registries
of special-purpose addresses), or though they look it."""


def is_public(address: IPAddress) -> bool:
    """Return whether an address is on the public internet: not loopback, private, link-local, ...

    IPv6 addresses that stand for an IPv4 one (6to4, Teredo, mapped, NAT64) are not: where they
    lead depends on the network. Nor are those at which a cloud serves its own machines.
    """
    if not address.is_global or any(address in network for network in _SPECIAL):
        return False
    if isinstance(address, ipaddress.IPv4Address):
        return not (address.is_multicast or address.is_reserved)
    return address in _GLOBAL_UNICAST and address.sixtofour is None


@dataclass(frozen=True, slots=True)
class FetchPolicy:
    """What may be fetched.

    Args:
        max_bytes: Largest file.
        connect_timeout: Seconds to reach an address.
        read_timeout: Seconds without a byte.
        total_timeout: Seconds for all of it.
        allows: Whether an address may be requested.
    """

    max_bytes: int = 25_000_000
    connect_timeout: float = 5.0
    read_timeout: float = 10.0
    total_timeout: float = 60.0
    allows: Callable[[IPAddress], bool] = is_public


def fetch_url(
    url: str, *, name: str = "the recording", policy: FetchPolicy = FetchPolicy()
) -> bytes:
    """Return the file at an http(s) URL; this blocks.

    Args:
        url: The URL.
        name: What errors call the file.
        policy: What may be fetched.

    Raises:
        VoxtralInvalidRequestError: The URL is invalid, leads to an address that is not allowed,
            or to something else than a file of an allowed size.
        VoxtralConnectionError: The server is unknown, cannot be reached, or broke off.
        VoxtralTimeoutError: It took too long.
    """
    return _Download(url, name, policy).run()


class _Download:
    """One file that is being fetched."""

    def __init__(self, url: str, name: str, policy: FetchPolicy) -> None:
        self._policy = policy
        self._name = name
        self._due = time.monotonic() + policy.total_timeout
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise VoxtralInvalidRequestError(f"{name}: its URL is invalid ({error}).") from error
        if self._url.scheme not in {"http", "https"} or not self._url.host:
            raise VoxtralInvalidRequestError(f"{name}: its URL is none of http: and https:.")
        self._host = self._url.raw_host.decode("ascii")
        port = self._url.port
        self._port = (443 if self._url.scheme == "https" else 80) if port is None else port
        if not 0 < self._port < 1 << 16:
            raise VoxtralInvalidRequestError(f"{name}: its URL has an invalid port.")
        if self._url.userinfo:
            raise VoxtralInvalidRequestError(
                f"{name}: its URL has a password in it, which would show in logs: fetch it "
                "yourself and send the recording."
            )

    def run(self) -> bytes:
        """Return the file, from the first of the host's addresses that can be reached."""
        # The certificates are those of the environment, the proxies are not.
        verify = ssl_context(True)  # noqa: FBT003 - a cache key
        try:
            addresses = self._resolve()
            with (
                httpx.HTTPTransport(verify=verify, trust_env=False) as transport,
                TimeLimit(self._due).applied(),
            ):
                limit_connections(transport)
                for address in addresses[:-1]:
                    try:
                        return self._fetch(transport, address)
                    except (httpx.ConnectError, httpx.ConnectTimeout):
                        continue
                return self._fetch(transport, addresses[-1])
        except httpx.TimeoutException as error:
            raise self._timeout() from error
        except (httpx.RequestError, httpx.StreamError) as error:
            self._seconds_left()  # a deadline closes the connection
            raise self._error(str(error) or type(error).__name__, VoxtralConnectionError) from error

    def _resolve(self) -> list[str]:
        """Return the addresses of the host, all of which are allowed."""
        try:
            addresses = resolve(self._host, self._port, self._seconds_left())
        except TimeoutError as error:
            raise self._timeout() from error
        except (OSError, UnicodeError) as error:
            raise self._error(
                f"the name {self._url.host!r} is not known: {error}", VoxtralConnectionError
            ) from error
        for address in addresses:
            if not self._policy.allows(ipaddress.ip_address(address)):
                raise self._error(
                    f"{self._url.host} is {address}, which is no public address. Fetch it "
                    "yourself and send the recording"
                )
        return addresses

    def _fetch(self, transport: httpx.HTTPTransport, address: str) -> bytes:
        policy = self._policy
        connect_timeout = min(policy.connect_timeout, self._seconds_left())
        timeout = httpx.Timeout(policy.read_timeout, connect=connect_timeout)
        request = httpx.Request(
            "GET",
            self._url.copy_with(host=address, fragment=None),
            headers={
                "host": self._url.netloc.decode("ascii"),
                "accept": "audio/*, */*;q=0.5",
                "accept-encoding": "identity",
                "user-agent": f"langchain-voxtral/{__version__}",
            },
            extensions={"sni_hostname": self._host, "timeout": timeout.as_dict()},
        )
        with closing(transport.handle_request(request)) as response:
            self._check_headers(response)
            body = bytearray()
            for data in response.iter_raw():
                body += data
                if len(body) > policy.max_bytes:
                    raise self._too_large()
                self._seconds_left()
        self._seconds_left()  # a body of unknown length ends with its connection
        return bytes(body)

    def _check_headers(self, response: httpx.Response) -> None:
        if response.has_redirect_location:
            raise self._error(
                "it redirects, and redirects are not followed: give the address it leads to"
            )
        if not response.is_success:
            raise self._error(f"the server answers with status {response.status_code}")
        encoding = response.headers.get("content-encoding", "identity")
        if encoding != "identity":
            raise self._error(f"the server compresses it ({encoding[:40]!r}), unasked")
        length = response.headers.get("content-length", "")
        if length.isdecimal() and int(length[:20]) > self._policy.max_bytes:
            raise self._too_large()

    def _seconds_left(self) -> float:
        """Return the seconds that are left for all of it; raise if there are none."""
        seconds = self._due - time.monotonic()
        if seconds <= 0:
            raise self._timeout()
        return seconds

    def _error(
        self, problem: str, error_class: type[VoxtralError] = VoxtralInvalidRequestError
    ) -> VoxtralError:
        # Not the query: it may be a signature that opens the file to anyone.
        url = self._url.copy_with(query=None, fragment=None)
        return error_class(f"{self._name}: {url} cannot be fetched: {problem}.")

    def _too_large(self) -> VoxtralError:
        return self._error(f"it is larger than {self._policy.max_bytes:,} bytes")

    def _timeout(self) -> VoxtralError:
        policy = self._policy
        return self._error(
            f"it took too long (limits: {policy.connect_timeout:g} s to connect, "
            f"{policy.read_timeout:g} s without a byte, {policy.total_timeout:g} s in all)",
            VoxtralTimeoutError,
        )
