"""Where requests go and what opens the door there: addresses and keys."""

import asyncio
import ipaddress
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from langchain_voxtral.errors import VoxtralAuthenticationError, VoxtralInvalidRequestError
from langchain_voxtral.providers import PROVIDERS, Provider, ProviderName, Route

DEEPINFRA_URL = "https://api.deepinfra.com/v1"
LOCAL_BASE_URL = "local"
"""The `base_url` that asks for the embedded engine."""

DEEPINFRA_KEYS = ("DEEPINFRA_API_TOKEN", "DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN")
"""Environment variables for DeepInfra's key, in the order in which they are read."""
OTHER_KEY = "VOXTRAL_API_KEY"
"""Environment variable for the key of any other server."""

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server, ready to be asked.

    Args:
        base_url: Its address up to `/v1`, without a slash at the end.
        key: Its bearer key; None sends no Authorization header.
        provider: Its name in metadata and traces.
        trust_env: Whether proxy variables count; not for loopback, where a proxy breaks all.
        server: What kind of server it is: where it answers what.
    """

    base_url: str
    key: str | None = field(repr=False)
    provider: str
    trust_env: bool = True
    server: Provider = PROVIDERS["deepinfra"]

    def url(self, route: Route, model: str) -> str:
        """Return the URL where something is asked of a model.

        Raises:
            VoxtralInvalidRequestError: The name is none that DeepInfra's models have, or cannot
                be part of a path. (Other servers have it in the body alone, and may call a model
                anything.)
            VoxtralUnsupportedFeatureError: The server does not have it.
        """
        path = self.server.path(route)
        if self.server.name != "deepinfra":
            return self.base_url + path
        if any(part in {"", ".", ".."} for part in model.split("/")) or not model.isprintable():
            raise VoxtralInvalidRequestError(
                f"model={model!r} is no model name; DeepInfra's look like 'owner/name', "
                "'owner/name:VERSION' or 'deploy_id:ID'."
            )
        return self.base_url + path.format(model=quote(model, safe="/:"))


_SELF_HOSTED: dict[ProviderName, str] = {
    "vllm": "http://127.0.0.1:8000/v1",
    "llama_cpp": "http://127.0.0.1:8080/v1",
}
"""Servers that users run, with the address that each has unless told otherwise."""


def normal_base_url(value: str, server: ProviderName = "deepinfra") -> str:
    """Return a base URL without what users paste along: white space, a last slash.

    DeepInfra's also without `/openai`: below it is only a part of its API.

    Args:
        value: The base URL, or `"local"`.
        server: What kind of server it is.

    Raises:
        ValueError: It is no http(s) URL, carries a password, or is no address of such a server.
    """
    url = _tidy_url(value)
    if server not in _SELF_HOSTED:
        return url.removesuffix("/openai").rstrip("/")
    if url == LOCAL_BASE_URL or is_deepinfra(url) or not url.endswith("/v1"):
        raise ValueError(
            f"server={server!r} needs the address of your server up to /v1, like "
            f"base_url={_SELF_HOSTED[server]!r}"
        )
    return url


def _tidy_url(value: str) -> str:
    url = value.strip()
    if url == LOCAL_BASE_URL:
        return url
    advice = f"give one like {DEEPINFRA_URL!r}, or 'local' for the embedded engine"
    # Python's parser drops line breaks and takes a backslash for part of the host; others do not.
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(f"a URL has no white space or backslash in it; {advice}")
    try:
        parts = urlsplit(url)
        port_is_fine = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"this is no URL ({error}); {advice}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_fine:
        raise ValueError(f"this is no http:// or https:// URL; {advice}")
    if parts.username or parts.password:
        raise ValueError("a password in the URL would show in logs; give it as api_key=")
    if "?" in url or "#" in url:
        raise ValueError(f"a base URL ends before '?' and '#'; {advice}")
    return url.rstrip("/")


def checked_proxy(value: str | None) -> str | None:
    """Return a proxy's URL.

    Raises:
        ValueError: It is none; the message does not show it, it may hold a password.
    """
    if value is None:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        parts = urlsplit("")
    if parts.scheme not in _PROXY_SCHEMES or not parts.hostname:
        raise ValueError(
            f"a proxy's URL is like 'http://host:3128'; its scheme is one of "
            f"{', '.join(_PROXY_SCHEMES)}"
        )
    return value


def checked_headers(headers: dict[str, str]) -> dict[str, str]:
    """Return headers that HTTP can carry (RFC 9110, section 5).

    Raises:
        ValueError: One has a wrong name or value; the message never shows the value.
    """
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no header name: letters, digits and - make one")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise ValueError(
                f"the value of {name!r} must be printable ASCII without white space at its ends"
            )
    return headers


def sends_in_the_clear(base_url: str) -> bool:
    """Tell whether requests to this address can be read on their way."""
    parts = urlsplit(base_url)
    return parts.scheme == "http" and not _is_loopback(parts.hostname or "")


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=64)
def is_deepinfra(base_url: str) -> bool:
    """Tell whether an address is DeepInfra's, over https: where its keys may go."""
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return parts.scheme == "https" and (host == "deepinfra.com" or host.endswith(".deepinfra.com"))


@lru_cache(maxsize=64)
def _trusts_env(base_url: str) -> bool:
    return not _is_loopback(urlsplit(base_url).hostname or "")


def hosted_endpoint(
    base_url: str, api_key: SecretStr | None, server: ProviderName = "deepinfra"
) -> ServerAddress:
    """Return an endpoint on the network, with the key that belongs there.

    A key from `DEEPINFRA_*` goes to DeepInfra over https and nowhere else.

    Args:
        base_url: A normal base URL.
        api_key: The key given to the constructor, if any.
        server: What kind of server it is; also the provider's name in metadata.

    Raises:
        VoxtralAuthenticationError: DeepInfra needs a key and there is none, or it is malformed.
    """
    to_deepinfra = is_deepinfra(base_url)
    key = next(_keys(api_key, DEEPINFRA_KEYS if to_deepinfra else (OTHER_KEY,)), None)
    if key is None and to_deepinfra:
        raise VoxtralAuthenticationError(
            "DeepInfra needs a key. Set the environment variable "
            f"{DEEPINFRA_KEYS[0]} (or {DEEPINFRA_KEYS[1]}, {DEEPINFRA_KEYS[2]}), or give "
            "api_key=...; keys come from https://deepinfra.com/dash/api_keys. Without a key, "
            "base_url='local' answers from a small embedded model."
        )
    return ServerAddress(base_url, key, server, _trusts_env(base_url), PROVIDERS[server])


def _keys(api_key: SecretStr | None, variables: tuple[str, ...]) -> Iterator[str]:
    if api_key is not None:
        yield _clean_key(api_key.get_secret_value(), "api_key=")
    for variable in variables:
        if value := os.environ.get(variable, "").strip():
            yield _clean_key(value, f"the environment variable {variable}")


def _clean_key(value: str, source: str) -> str:
    """Return a key fit for a header; pasted white space and `Bearer ` are taken off.

    Raises:
        VoxtralAuthenticationError: It is no key. The message never shows it.
    """
    key = value.strip()
    scheme, _, rest = key.partition(" ")
    if scheme.lower() == "bearer":
        key = rest.strip()
    if not key or not key.isascii() or not key.isprintable() or " " in key:
        wrong = "is empty" if not key else "contains white space or characters no key has"
        raise VoxtralAuthenticationError(
            f"The key from {source} {wrong}. Copy it again from where it was made (DeepInfra: "
            "https://deepinfra.com/dash/api_keys)."
        )
    return key


def local_endpoint() -> ServerAddress:
    """Return the embedded engine's endpoint, starting the engine on first use.

    Raises:
        VoxtralError: The `local` extra is not installed, or the weights cannot be had.
    """
    from langchain_voxtral.local import shared_server  # noqa: PLC0415 - an extra, needed only here

    server = shared_server()
    return ServerAddress(server.base_url, server.api_key, "voxtral-local", trust_env=False)


async def alocal_endpoint() -> ServerAddress:
    """Do what `local_endpoint` does; the start of the engine does not block the event loop."""
    from langchain_voxtral.local import is_running  # noqa: PLC0415 - an extra, needed only here

    return local_endpoint() if is_running() else await asyncio.to_thread(local_endpoint)
