"""Which transports are below the clients that this package makes."""

import os
from functools import cache
from importlib.util import find_spec
from typing import Literal, get_args

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


@cache
def is_installed(package: str) -> bool:
    """Return whether a package can be imported."""
    return find_spec(package) is not None
