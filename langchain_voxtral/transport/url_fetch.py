"""Files from the web, by URLs that came in a message: from public addresses, within bounds.

A URL in a message may have been written by anyone, also by a model. So nothing is fetched from an
address that only this machine or its network can reach; the connection goes to the very address
that was checked, whatever the name resolves to a moment later; and no redirect is followed, no
proxy asked, no header of ours sent along. Transports are used without httpx's clients, which log
each URL, and its query may be a signature.
"""

import asyncio
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, closing, contextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from langchain_voxtral._version import __version__
from langchain_voxtral.errors import (
    VoxtralConnectionError,
    VoxtralInvalidRequestError,
    VoxtralTimeoutError,
)
from langchain_voxtral.transport.client_pool import ssl_context
from langchain_voxtral.transport.deadlines import ReadDeadline

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
    """Tell whether an address is on the public internet: not loopback, private, link-local, ...

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
        most_bytes: Largest file.
        connect: Seconds to reach an address.
        read: Seconds without a byte.
        whole: Seconds for all of it.
        allows: Tells which addresses may be asked.
    """

    most_bytes: int = 25_000_000
    connect: float = 5.0
    read: float = 10.0
    whole: float = 60.0
    allows: Callable[[IPAddress], bool] = is_public


RULES = FetchPolicy()


def fetch_url(url: str, *, name: str = "the recording", rules: FetchPolicy = RULES) -> bytes:
    """Return what an http(s) URL leads to.

    Args:
        url: The URL.
        name: What errors call the file.
        rules: What may be fetched.

    Raises:
        VoxtralInvalidRequestError: The URL is none of these, leads to an address that is not
            allowed, or to something else than a file of a size that is.
        VoxtralConnectionError: The server is not known, cannot be reached, or broke off.
        VoxtralTimeoutError: It took too long.
    """
    download = _Download(url, name, rules)
    with download.explained(), httpx.HTTPTransport(**_options()) as transport:
        requests = download.requests(socket.getaddrinfo(*download.place, type=socket.SOCK_STREAM))
        for request, is_last in requests:
            with ExitStack() as watches:
                _limit(request, download, watches)
                try:
                    response = transport.handle_request(request)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    if is_last:
                        raise
                    continue
                with closing(response):
                    download.begin(response)
                    for data in response.iter_raw():
                        download.take(data)
            break
    return download.whole()


async def afetch_url(url: str, *, name: str = "the recording", rules: FetchPolicy = RULES) -> bytes:
    """Do what `fetch_url` does, asynchronously."""
    download = _Download(url, name, rules)
    loop = asyncio.get_running_loop()
    with download.explained():
        async with (
            asyncio.timeout(rules.whole),
            httpx.AsyncHTTPTransport(**_options()) as transport,
        ):
            found = await loop.getaddrinfo(*download.place, type=socket.SOCK_STREAM)
            for request, is_last in download.requests(found):
                try:
                    response = await transport.handle_async_request(request)
                except (httpx.ConnectError, httpx.ConnectTimeout):
                    if is_last:
                        raise
                    continue
                async with aclosing(response):
                    download.begin(response)
                    async for data in response.aiter_raw():
                        download.take(data)
                break
    return download.whole()


def _options() -> dict[str, Any]:
    # The certificates are those of the environment, the proxies are not.
    return {"verify": ssl_context(True), "trust_env": False}  # noqa: FBT003 - a cache key


_OPENED = {"connection.connect_tcp.complete", "connection.start_tls.complete"}
"""What httpcore tells when there is a connection, or a new one within it."""


def _limit(request: httpx.Request, download: "_Download", watches: ExitStack) -> None:
    """Have the connection of a request shut down when the time for the whole file is up.

    httpx limits each read, and a head that comes byte by byte is many.
    """

    def watch(event: str, told: Mapping[str, Any]) -> None:
        if event in _OPENED:
            request.extensions["network_stream"] = told["return_value"]
            watches.enter_context(ReadDeadline(request)).limit(download.left())

    request.extensions["trace"] = watch


class _Download:
    """One file on its way: what both ways of fetching have in common.

    Args:
        url: Its URL.
        name: What errors call it.
        rules: What may be fetched.
    """

    def __init__(self, url: str, name: str, rules: FetchPolicy) -> None:
        self._parts: list[bytes] = []
        self._size = 0
        self._rules = rules
        self._due = time.monotonic() + rules.whole
        self._name = name
        try:
            self._url = httpx.URL(url)
        except httpx.InvalidURL as error:
            raise VoxtralInvalidRequestError(f"{name}: its URL is none ({error}).") from error
        if self._url.scheme not in {"http", "https"} or not self._url.host:
            raise VoxtralInvalidRequestError(f"{name}: its URL is none of http: and https:.")
        if not 0 < self.place[1] < 1 << 16:
            raise VoxtralInvalidRequestError(f"{name}: its URL has a port that is none.")
        if self._url.userinfo:
            raise VoxtralInvalidRequestError(
                f"{name}: its URL has a password in it, which would show in logs: fetch it "
                "yourself and send the recording."
            )

    @property
    def place(self) -> tuple[str, int]:
        """The host's name and the port."""
        host = self._url.raw_host.decode("ascii")
        port = self._url.port
        return host, (443 if self._url.scheme == "https" else 80) if port is None else port

    def left(self) -> float:
        """Return the seconds that are left for all of it.

        Raises:
            VoxtralTimeoutError: There are none.
        """
        seconds = self._due - time.monotonic()
        if seconds <= 0:
            raise self._late()
        return seconds

    def requests(self, found: Sequence[Any]) -> Iterator[tuple[httpx.Request, bool]]:
        """Yield a request for each address of the host, and whether it is the last one.

        Raises:
            VoxtralInvalidRequestError: One of the addresses is not allowed.
            VoxtralTimeoutError: It takes too long.
        """
        rules = self._rules
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        for address in addresses:
            if not rules.allows(ipaddress.ip_address(address)):
                raise self._refused(
                    f"{self._url.host} is {address}, which is no public address. Fetch it "
                    "yourself and send the recording"
                )
        for address in addresses:
            limit = httpx.Timeout(rules.read, connect=min(rules.connect, self.left()))
            request = httpx.Request(
                "GET",
                self._url.copy_with(host=address, fragment=None),
                headers={
                    "host": self._url.netloc.decode("ascii"),
                    "accept": "audio/*, */*;q=0.5",
                    "accept-encoding": "identity",
                    "user-agent": f"langchain-voxtral/{__version__}",
                },
                extensions={"sni_hostname": self.place[0], "timeout": limit.as_dict()},
            )
            yield request, address == addresses[-1]

    def begin(self, response: httpx.Response) -> None:
        """Check the head of the answer.

        Raises:
            VoxtralInvalidRequestError: It is no file, or a file that may not be fetched.
        """
        if response.has_redirect_location:
            raise self._refused(
                "it redirects, and redirects are not followed: give the address it leads to"
            )
        if not response.is_success:
            raise self._refused(f"the server answers with status {response.status_code}")
        coding = response.headers.get("content-encoding", "identity")
        if coding != "identity":
            raise self._refused(f"the server compresses it ({coding[:40]!r}), unasked")
        told = response.headers.get("content-length", "")
        if told.isdecimal() and int(told[:20]) > self._rules.most_bytes:
            raise self._too_large()

    def take(self, data: bytes) -> None:
        """Keep a piece of the file.

        Raises:
            VoxtralInvalidRequestError: It is too large.
            VoxtralTimeoutError: It takes too long.
        """
        self._size += len(data)
        if self._size > self._rules.most_bytes:
            raise self._too_large()
        self.left()
        self._parts.append(data)

    def whole(self) -> bytes:
        """Return the file.

        Raises:
            VoxtralTimeoutError: It took too long. A body of no told length ends there, too.
        """
        self.left()
        return b"".join(self._parts)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise every failure within as an error of this package."""
        try:
            yield
        except (httpx.TimeoutException, TimeoutError) as error:
            raise self._late() from error
        except (httpx.RequestError, httpx.StreamError) as error:
            self.left()
            raise self._broken(str(error) or type(error).__name__) from error
        except (OSError, UnicodeError) as error:
            raise self._broken(f"the name {self._url.host!r} is not known: {error}") from error

    def _told(self, problem: str) -> str:
        # Not the query: it may be a signature that opens the file to anyone.
        shown = self._url.copy_with(query=None, fragment=None)
        return f"{self._name}: {shown} cannot be fetched: {problem}."

    def _refused(self, problem: str) -> VoxtralInvalidRequestError:
        return VoxtralInvalidRequestError(self._told(problem))

    def _too_large(self) -> VoxtralInvalidRequestError:
        return self._refused(f"it is larger than {self._rules.most_bytes:,} bytes")

    def _broken(self, problem: str) -> VoxtralConnectionError:
        return VoxtralConnectionError(self._told(problem))

    def _late(self) -> VoxtralTimeoutError:
        rules = self._rules
        return VoxtralTimeoutError(
            self._told(
                f"it took too long (limits: {rules.connect:g} s to connect, {rules.read:g} s "
                f"without a byte, {rules.whole:g} s in all)"
            )
        )
