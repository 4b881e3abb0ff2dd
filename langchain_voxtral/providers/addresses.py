"""Where a server is, and the key that belongs there."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NoReturn
from urllib.parse import quote

from pydantic import SecretStr

from langchain_voxtral.errors import VoxtralAuthenticationError, VoxtralInvalidRequestError
from langchain_voxtral.providers.provider import EndpointName, Provider, ProviderName
from langchain_voxtral.providers.table import DEEPINFRA, PROVIDERS
from langchain_voxtral.providers.urls import (
    LOCAL_BASE_URL,
    is_loopback,
    parse_base_url,
)

BASE_URL_VARIABLE = "VOXTRAL_BASE_URL"
"""Environment variable for the address of a server."""
OTHER_KEY_VARIABLE = "VOXTRAL_API_KEY"
"""Environment variable for the key of a server outside its provider's own domain."""

_KEY_WAS_DROPPED = (
    "(This object was unpickled, and pickles leave out a key given as api_key=; "
    "pickle_api_key=True keeps it.)"
)


@dataclass(frozen=True, slots=True)
class ServerAddress:
    """A server and the key for it.

    Args:
        base_url: Its address up to `/v1`, without a slash at the end.
        key: Its bearer key; None sends no Authorization header.
        trust_env: Whether proxy variables count; not for loopback, where a proxy breaks all.
        provider: The kind of server.
    """

    base_url: str
    key: str | None = field(repr=False)
    trust_env: bool = True
    provider: Provider = DEEPINFRA

    def url(self, endpoint: EndpointName, model: str) -> str:
        """Return the URL of an endpoint.

        Raises:
            VoxtralInvalidRequestError: The model's name cannot be part of a path. (Servers that
                take it in the body may name a model anything.)
            VoxtralUnsupportedFeatureError: The server does not have the endpoint.
        """
        path = self.provider.paths[endpoint] or self.provider.path(endpoint)  # which raises
        if not self.provider.model_names:
            return self.base_url + path
        return self.base_url + path.format(model=_quote_model(model, self.provider))


@lru_cache(maxsize=64)
def _quote_model(model: str, provider: Provider) -> str:
    """Return a model's name as it stands in a path."""
    if any(part in {"", ".", ".."} for part in model.split("/")) or not model.isprintable():
        raise VoxtralInvalidRequestError(
            f"model={model!r} is no model name; {provider.label}'s look like "
            f"{provider.model_names}."
        )
    return quote(model, safe="/:")


def check_server_name(name: object) -> object:
    """Reject the embedded engine's address, which users take for a kind of server."""
    if name == LOCAL_BASE_URL:
        raise ValueError(f"{name!r} is an address: pass base_url={name!r}, and no server=")
    return name


_ENDPOINT = re.compile(r"/(chat/completions|audio/(transcriptions|translations)|inference(/.+)?)$")
"""What users copy along from an example with curl."""


def provider_name(base_url: str, server: ProviderName) -> str:
    """Return a server's name in metadata and traces."""
    return "voxtral-local" if base_url == LOCAL_BASE_URL else server


def default_base_url(server: ProviderName) -> str:
    """Return the address of a server where none was given.

    Raises:
        ValueError: Users run such servers, so there is none; or the environment's is none.
    """
    if value := os.environ.get(BASE_URL_VARIABLE):
        try:
            return normalize_base_url(value, server)
        except ValueError as error:
            raise ValueError(f"{error} (given by {BASE_URL_VARIABLE})") from None
    provider = PROVIDERS[server]
    return provider.example_base_url if provider.domain is not None else _reject(provider)


def normalize_base_url(value: str, server: ProviderName = "deepinfra") -> str:
    """Return a base URL without what users paste along: white space, a last slash.

    DeepInfra's also without `/openai`: below it is only a part of its API.

    Raises:
        ValueError: It is no http(s) URL, carries a password, or is no address of such a server.
    """
    provider = PROVIDERS[server]
    url = parse_base_url(value, provider.example_base_url)
    if provider.dropped_suffix:
        url = url.removesuffix(provider.dropped_suffix).rstrip("/")
    for other in PROVIDERS.values():
        if other is not provider and other.is_own_domain(url):
            _reject(provider, f"; {url!r} is {other.label}'s: pass server={other.name!r}")
    if url == LOCAL_BASE_URL:
        if not provider.is_embedded:
            _reject(provider, f"; base_url={url!r} is the embedded engine: leave server= out")
    elif _ENDPOINT.search(url):
        _reject(provider, f"; {url!r} is one endpoint below it")
    elif not url.endswith("/v1") and (not provider.dropped_suffix or provider.is_own_domain(url)):
        _reject(provider)
    return url


def _reject(provider: Provider, reason: str = "") -> NoReturn:
    whose = "your server" if provider.domain is None else provider.label
    raise ValueError(
        f"server={provider.name!r} needs the address of {whose} up to /v1, like "
        f"base_url={provider.example_base_url!r}{reason}"
    )


class EnvironmentKey(SecretStr):
    """A key found in the environment: shown by a model, but read anew for each call."""


def key_variables(base_url: str) -> tuple[str, ...]:
    """Return the variables of the environment that may hold the key for an address.

    A provider's key goes to its own domain over https and nowhere else, and no other key goes
    there, whatever kind of server a copied object names.
    """
    owners = (one.key_variables for one in PROVIDERS.values() if one.is_own_domain(base_url))
    return next(owners, (OTHER_KEY_VARIABLE,))


def environment_keys(base_url: str) -> Iterator[tuple[str, EnvironmentKey]]:
    """Yield the variables of the environment that hold a key for an address, and the keys."""
    for variable in key_variables(base_url):
        if value := os.environ.get(variable, "").strip():
            yield variable, EnvironmentKey(value)


def resolve_remote(
    base_url: str,
    api_key: SecretStr | None,
    server: ProviderName = "deepinfra",
    *,
    key_was_dropped: bool = False,
) -> ServerAddress:
    """Return the address of a server on the network, with the key that belongs there.

    Args:
        base_url: A normal base URL.
        api_key: The key given to the constructor, if any; else the environment's is read.
        server: The kind of server.
        key_was_dropped: Whether the constructor had a key that a pickle left out.

    Raises:
        VoxtralAuthenticationError: The provider needs a key and there is none, or it is malformed.
    """
    provider = PROVIDERS[server]
    key = None
    if api_key is not None and not isinstance(api_key, EnvironmentKey):
        key = _clean_key(api_key, "api_key=", provider)
    else:
        for variable, value in environment_keys(base_url):
            key = _clean_key(value, f"the environment variable {variable}", provider)
            break
    advice = f" {_KEY_WAS_DROPPED}" if key_was_dropped else ""
    if key is None and provider.is_own_domain(base_url):
        raise VoxtralAuthenticationError(_missing_key_message(provider) + advice)
    if key is None and key_was_dropped:
        raise VoxtralAuthenticationError(
            f"There is no key for {base_url}: set {OTHER_KEY_VARIABLE}.{advice}"
        )
    return ServerAddress(base_url, key, not is_loopback(base_url), provider)


def _missing_key_message(provider: Provider) -> str:
    first, *others = provider.key_variables
    alternatives = f" (or {', '.join(others)})" if others else ""
    embedded = " Without a key, base_url='local' answers from a small embedded model."
    return (
        f"{provider.label} needs a key. Set the environment variable {first}{alternatives}, or "
        f"give api_key=...; keys come from {provider.keys_url}."
        f"{embedded if provider.is_embedded else ''}"
    )


def _clean_key(given: SecretStr, source: str, provider: Provider) -> str:
    """Return a key fit for a header, without pasted white space and `Bearer `."""
    problem = _key_problem(given)  # no variable holds the key where an error is raised
    if problem is not None:
        where = f" ({provider.label}: {provider.keys_url})" if provider.keys_url else ""
        raise VoxtralAuthenticationError(
            f"The key from {source} {problem}. Copy it again from where it was made{where}."
        )
    return _strip_key(given)


def _key_problem(given: SecretStr) -> str | None:
    key = _strip_key(given)
    if not key:
        return "is empty"
    if not key.isascii() or not key.isprintable() or " " in key:
        return "contains white space or characters no key has"
    return None


def _strip_key(given: SecretStr) -> str:
    key = given.get_secret_value().strip()
    scheme, _, rest = key.partition(" ")
    return rest.strip() if scheme.lower() == "bearer" else key
