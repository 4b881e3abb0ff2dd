"""Addresses to listen on, and the names that requests may call them by."""

import ipaddress
import socket
import sys

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralLocalError

__all__ = ["LOOPBACK_NAMES", "accepted_names", "in_url", "listen", "name_in", "require_key"]

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})

_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised, not bound


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket.

    Raises:
        VoxtralLocalError: The address is taken, or none of this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches Nagle's algorithm off, which costs 40 ms an answer, only where it is told
    # that this is TCP.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        if sys.platform != "win32":  # there it would let two servers share a port
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen()
    except (OSError, OverflowError) as error:
        listening.close()
        raise VoxtralLocalError(
            f"The embedded server cannot listen on {host} port {port}: {error}. "
            "Choose another port, or 0 for a free one."
        ) from error
    return listening


def require_key(host: str, api_key: str) -> None:
    """Refuse to serve other machines without a key.

    Raises:
        VoxtralInvalidRequestError: The host is not loopback and there is no key.
    """
    if not api_key and not _is_loopback(host):
        raise VoxtralInvalidRequestError(
            f"host={host!r} would let other machines use the engine: give an api_key, "
            "or serve on 127.0.0.1."
        )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def accepted_names(host: str) -> frozenset[str] | None:
    """Return the names that a Host header may have when the server listens on `host`.

    None, any name, for a wildcard address: what other machines call this one is not known,
    and such a server has a key.
    """
    return None if host in _WILDCARDS else LOOPBACK_NAMES | {host.lower()}


def name_in(host_header: str) -> str:
    """Return the name in a Host header: without its port, brackets and case.

    Example:
        ```python
        from langchain_voxtral.local.api.addresses import name_in

        assert name_in("[::1]:8200") == "::1"
        ```
    """
    if host_header.startswith("["):
        return host_header[1:].partition("]")[0].lower()
    return host_header.partition(":")[0].lower()


def in_url(host: str) -> str:
    """Return a host as URLs write it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host
