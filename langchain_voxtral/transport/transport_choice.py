"""Which transports are below the clients that this package makes."""

import os
from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Literal, get_args

import httpx

from langchain_voxtral.errors import VoxtralInvalidRequestError

TransportName = Literal["auto", "httpx"]
"""`"auto"` takes the transports of the extra `fast`, where it is installed."""

TRANSPORT_VARIABLE = "VOXTRAL_HTTP_TRANSPORT"
_NAMES: dict[str, TransportName] = {name: name for name in get_args(TransportName)}


def read_transport_name() -> TransportName:
    """Return the environment's choice.

    Raises:
        VoxtralInvalidRequestError: It is none.
    """
    value = os.environ.get(TRANSPORT_VARIABLE) or "auto"
    if value not in _NAMES:
        raise VoxtralInvalidRequestError(
            f"{TRANSPORT_VARIABLE} is {value!r}. Set it to 'httpx' to use httpx's own transports "
            "though the extra 'fast' is installed, or to 'auto'."
        )
    return _NAMES[value]


def async_transport_class(name: TransportName) -> Callable[..., httpx.AsyncBaseTransport] | None:
    """Return the class of transports below asynchronous clients, or None for httpx's own."""
    if name == "httpx" or not _is_installed("httpx_aiohttp"):
        return None
    from langchain_voxtral.transport.aiohttp_transport import AiohttpTransport  # noqa: PLC0415 - extra

    return AiohttpTransport


@cache
def _is_installed(package: str) -> bool:
    return find_spec(package) is not None
