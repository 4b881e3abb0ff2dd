"""The kinds of servers that run Voxtral: a table with a row each, their addresses and keys."""

from langchain_voxtral.providers.addresses import (
    OTHER_KEY_VARIABLE,
    EnvironmentKey,
    ServerAddress,
    check_server_name,
    default_base_url,
    environment_keys,
    key_variables,
    normalize_base_url,
    provider_name,
    resolve_remote,
)
from langchain_voxtral.providers.provider import (
    AudioForm,
    EndpointName,
    Provider,
    ProviderName,
    Timestamps,
    TurnOrder,
)
from langchain_voxtral.providers.table import (
    DEEPINFRA,
    DEEPINFRA_KEY_VARIABLES,
    DEEPINFRA_URL,
    PROVIDERS,
)
from langchain_voxtral.providers.urls import LOCAL_BASE_URL, is_plain_http

__all__ = [
    "DEEPINFRA",
    "DEEPINFRA_KEY_VARIABLES",
    "DEEPINFRA_URL",
    "LOCAL_BASE_URL",
    "OTHER_KEY_VARIABLE",
    "PROVIDERS",
    "AudioForm",
    "EndpointName",
    "EnvironmentKey",
    "Provider",
    "ProviderName",
    "ServerAddress",
    "Timestamps",
    "TurnOrder",
    "check_server_name",
    "default_base_url",
    "environment_keys",
    "is_plain_http",
    "key_variables",
    "normalize_base_url",
    "provider_name",
    "resolve_remote",
]
