"""Addresses the server listens on, and the requests it accepts."""

import ipaddress
import secrets
import socket
import sys
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from langchain_voxtral.errors import VoxtralInvalidRequestError, VoxtralLocalError
from langchain_voxtral.local.errors import ErrorResponse

if TYPE_CHECKING:
    from starlette.types import Scope

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
_WILDCARDS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104 - recognised, not bound

_NOT_AUTHENTICATED = {
    "error": {
        "message": "Not authenticated",
        "type": "invalid_request_error",
        "param": None,
        "code": None,
    }
}
_PROTECTED_PATHS: Mapping[str, Mapping[str, object]] = {
    "/v1/inference/": {"detail": "User is not authorized to access this resource"},
    "/v1/openai/chat/": _NOT_AUTHENTICATED,
    "/v1/chat/": _NOT_AUTHENTICATED,
    "/v1/openai/audio/": _NOT_AUTHENTICATED,
    "/v1/audio/": _NOT_AUTHENTICATED,
    "/v1/tokenize": _NOT_AUTHENTICATED,
}
"""Paths that need the key, and the 401 bodies of requests without it."""


class AccessControl:
    """Checks the Host header and the key of requests.

    The check of the Host header protects against DNS rebinding: a web page whose name is pointed
    at this address. Starlette's `TrustedHostMiddleware` does not give the errors of this API, and
    releases before 1.0 cannot read IPv6 addresses.

    Args:
        api_key: The bearer that inference requests must carry; "" asks for none.
        hosts: Names that the Host header may have, whatever its port; None: any.
    """

    def __init__(self, api_key: str, hosts: Iterable[str] | None) -> None:
        self._authorization = f"Bearer {api_key}".encode() if api_key else b""
        self._hosts = None if hosts is None else frozenset(hosts)

    def check(self, scope: "Scope") -> None:
        """Raise an `ErrorResponse`: 400 for the Host header, 401 for the key."""
        headers = dict(scope["headers"])
        host = host_name(headers.get(b"host", b"").decode("latin-1"))
        if self._hosts is not None and host not in self._hosts:
            raise ErrorResponse.with_message(400, f"Invalid Host header: {host!r}")
        given = headers.get(b"authorization", b"")
        if self._authorization and not secrets.compare_digest(given, self._authorization):
            # Routes are matched without the root path, too.
            path = scope["path"].removeprefix(scope.get("root_path", ""))
            for prefix, body in _PROTECTED_PATHS.items():
                if path.startswith(prefix):
                    raise ErrorResponse(401, body)


def host_name(host_header: str) -> str:
    """Return the name in a Host header, without port and brackets, in lower case."""
    if host_header.startswith("["):
        return host_header[1:].partition("]")[0].lower()
    return host_header.partition(":")[0].lower()


def accepted_hosts(host: str) -> frozenset[str] | None:
    """Return the names that a Host header may have when the server listens on `host`.

    None, any name, for a wildcard address: by which names other machines know this one is
    unknown, and such a server has a key.
    """
    return None if host in _WILDCARDS else LOOPBACK_NAMES | {host.lower()}


def url_host(host: str) -> str:
    """Return a host as URLs write it: an IPv6 address in brackets."""
    return f"[{host}]" if ":" in host else host


def require_key(host: str, api_key: str) -> None:
    """Refuse to serve other machines without a key."""
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


def listen(host: str, port: int) -> socket.socket:
    """Return a listening socket, or raise a `VoxtralLocalError` if the address is taken."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # asyncio switches off Nagle's algorithm, which costs 40 ms a response, only for IPPROTO_TCP.
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
