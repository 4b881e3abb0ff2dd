"""The kinds of servers that run Voxtral, one row each: addresses, keys, limits, prices."""

import ipaddress
import os
from base64 import b64encode
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from pydantic import SecretStr

from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralInvalidRequestError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.profiles import VOXTRAL_MINI

ProviderName = Literal["deepinfra", "vllm", "llama_cpp"]
TurnOrder = Literal["any", "mistral"]
"""The order of turns that a template takes: any, or only that of Mistral's templates."""
EndpointName = Literal["native", "chat_completions", "transcriptions", "translations"]
Timestamps = Literal["segment", "word"]
"""What transcripts have times of: passages, or words too."""

LOCAL_BASE_URL = "local"
"""The `base_url` that selects the embedded engine."""
DEEPINFRA_URL = "https://api.deepinfra.com/v1"
DEEPINFRA_KEY_VARIABLES = ("DEEPINFRA_API_TOKEN", "DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN")
"""Environment variables for DeepInfra's key, in the order in which they are read."""
OTHER_KEY_VARIABLE = "VOXTRAL_API_KEY"
"""Environment variable for the key of a server outside its provider's own domain."""


@dataclass(frozen=True, slots=True, eq=False)
class Provider:
    """A kind of server; there is one object for each, so they compare by identity.

    Args:
        name: Its name, also the provider's in metadata and traces.
        paths: The path of each endpoint below the base URL, `{model}` being the model's name; None
            for an endpoint that it does not have.
        example_base_url: Its address; for servers that users run, an example for messages.
        domain: The domain that its keys are sent to, over https only; None for servers that users
            run, whose address must be given and ends in `/v1`.
        key_variables: Environment variables for its key, in the order in which they are read.
        audio_formats: Formats that it takes as they are; all others are converted to WAV.
        timestamps: What transcriptions may have times of.
        has_speakers: Whether transcriptions may tell speakers apart.
        streams_transcriptions: Whether transcriptions may be streamed.
        accepts_system_with_audio: Whether a conversation with audio may have a system turn.
        turn_order: The order of turns that its chat template takes.
        max_audio_seconds: Longest recording in one request.
        max_audio_bytes: Largest recording in one request.
        prices_per_minute: US dollars for a minute of audio, by model.
        field_names: Its names for fields of chat completions that other servers name otherwise.
        prefill_fields: The fields of chat completions by which it continues a last assistant
            message, in place of beginning another.
        trims_prefill: Whether it drops spaces at the end of such a message.
        usage_options: Those of `stream_options` by which every chunk reports the usage so far.
        supports_named_tool_choice: Whether `tool_choice` may name a tool. If not, that tool alone
            is offered, and a call is required.
        keeps_own_instruction: Whether the prompt of a transcription is a hint beside the server's
            own instruction. If not, it replaces that instruction.
    """

    name: ProviderName
    paths: Mapping[EndpointName, str | None]
    example_base_url: str
    audio_formats: frozenset[str]
    timestamps: frozenset[Timestamps] = frozenset()
    has_speakers: bool = False
    streams_transcriptions: bool = False
    domain: str | None = None
    key_variables: tuple[str, ...] = ()
    accepts_system_with_audio: bool = False
    turn_order: TurnOrder = "any"
    # The limits are vLLM's; DeepInfra and llama.cpp publish none, and the model itself takes 30
    # minutes. Ten minutes fit the context of all.
    max_audio_seconds: float = 600.0
    max_audio_bytes: int = 25_000_000
    prices_per_minute: Mapping[str, float] = field(default_factory=dict)
    field_names: Mapping[str, str] = field(default_factory=dict)
    prefill_fields: Mapping[str, object] = field(default_factory=dict)
    trims_prefill: bool = False
    usage_options: Mapping[str, object] = field(default_factory=dict)
    supports_named_tool_choice: bool = True
    keeps_own_instruction: bool = True

    def path(self, endpoint: EndpointName) -> str:
        """Return the path of an endpoint below the base URL.

        Raises:
            VoxtralUnsupportedFeatureError: The server does not have it; the message says what to
                use instead.
        """
        path = self.paths[endpoint]
        if path is None:
            raise VoxtralUnsupportedFeatureError(_ALTERNATIVES[endpoint].format(server=self.name))
        return path

    def audio_part(self, data: bytes, audio_format: str, base64: str = "") -> dict[str, Any]:
        """Return a recording as an `input_audio` part of a message's content.

        Args:
            data: Its bytes.
            audio_format: The short name of its format.
            base64: The bytes in base64, if that is known.

        Raises:
            VoxtralInvalidRequestError: The server takes no such format.
        """
        if audio_format not in self.audio_formats:
            known = ", ".join(map(repr, sorted(self.audio_formats)))
            raise VoxtralInvalidRequestError(
                f"server={self.name!r} takes no {audio_format!r} audio, only {known}: convert it "
                "to wav."
            )
        audio = {"data": base64 or b64encode(data).decode(), "format": audio_format}
        return {"type": "input_audio", "input_audio": audio}

    def is_own_domain(self, base_url: str) -> bool:
        """Return whether an address is the provider's own, over https: where its keys may go."""
        return self.domain is not None and _is_in_domain(base_url, self.domain)

    def price_per_minute(self, base_url: str, model: str) -> float | None:
        """Return US dollars for a minute of audio, or None if the price is not known."""
        if base_url == LOCAL_BASE_URL:
            return 0.0
        return self.prices_per_minute.get(model) if self.is_own_domain(base_url) else None


_ALTERNATIVES: dict[EndpointName, str] = {
    "native": (
        "server={server!r} has no native endpoint, only DeepInfra and the embedded engine have: "
        "pass api='chat_completions', or for speech endpoint='transcriptions'."
    ),
    "chat_completions": "server={server!r} has no chat completions: pass api='native'.",
    "transcriptions": "server={server!r} has no transcriptions: ask in a chat (endpoint='chat').",
    "translations": (
        "server={server!r} cannot translate speech at an endpoint of its own: transcribe it and "
        "translate the text, or ask for the translation in a chat (endpoint='chat')."
    ),
}

PROVIDERS: Mapping[ProviderName, Provider] = {
    provider.name: provider
    for provider in (
        # Its API pages and OpenAPI description; `audio_url` parts are not in them. A last assistant
        # message is continued without being asked. The embedded engine speaks the same protocol.
        Provider(
            name="deepinfra",
            paths={
                "native": "/inference/{model}",
                "chat_completions": "/openai/chat/completions",
                "transcriptions": "/openai/audio/transcriptions",
                "translations": "/openai/audio/translations",
            },
            example_base_url=DEEPINFRA_URL,
            domain="deepinfra.com",
            key_variables=DEEPINFRA_KEY_VARIABLES,
            audio_formats=frozenset({"wav", "mp3"}),
            timestamps=frozenset({"segment", "word"}),
            prices_per_minute={VOXTRAL_MINI: 0.001},  # as its model page lists it
        ),
        # Its OpenAI speech-to-text API and its model of Voxtral. There is a path for translations,
        # but the model does not look at the task and answers there with a transcription. Formats
        # with times need a model with time tokens, which Voxtral has not: a 400. A chat takes five
        # recordings. MP3 it reads only with a libsndfile that does, which not all images have.
        # Mistral's tokenizer drops spaces at the end of a message that is continued.
        # `mistral-common` checks the order of messages; its versions differ.
        Provider(
            name="vllm",
            paths={
                "native": None,
                "chat_completions": "/chat/completions",
                "transcriptions": "/audio/transcriptions",
                "translations": None,
            },
            example_base_url="http://127.0.0.1:8000/v1",
            audio_formats=frozenset({"wav"}),
            turn_order="mistral",
            prefill_fields={"continue_final_message": True, "add_generation_prompt": False},
            trims_prefill=True,
            usage_options={"continuous_usage_stats": True},
        ),
        # `llama-server`. It makes a chat of a transcription: the prompt is what it asks the model
        # to do, and any other format than json is a 400. It ignores fields that it does not know,
        # and a `tool_choice` that is no string. A last assistant message is continued, unless it
        # runs with --no-prefill-assistant.
        Provider(
            name="llama_cpp",
            paths={
                "native": None,
                "chat_completions": "/chat/completions",
                "transcriptions": "/audio/transcriptions",
                "translations": None,
            },
            example_base_url="http://127.0.0.1:8080/v1",
            audio_formats=frozenset({"wav", "mp3"}),
            turn_order="mistral",
            field_names={"repetition_penalty": "repeat_penalty"},
            supports_named_tool_choice=False,
            keeps_own_instruction=False,
        ),
    )
}

DEEPINFRA = PROVIDERS["deepinfra"]


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
        path = self.provider.path(endpoint)
        if self.provider.domain is None:
            return self.base_url + path
        return self.base_url + path.format(model=_quote_model(model))


@lru_cache(maxsize=64)
def _quote_model(model: str) -> str:
    """Return a model's name as it stands in a path."""
    if any(part in {"", ".", ".."} for part in model.split("/")) or not model.isprintable():
        raise VoxtralInvalidRequestError(
            f"model={model!r} is no model name; DeepInfra's look like 'owner/name', "
            "'owner/name:VERSION' or 'deploy_id:ID'."
        )
    return quote(model, safe="/:")


def provider_name(base_url: str, server: ProviderName) -> str:
    """Return a server's name in metadata and traces."""
    return "voxtral-local" if base_url == LOCAL_BASE_URL else server


def normalize_base_url(value: str, server: ProviderName = "deepinfra") -> str:
    """Return a base URL without what users paste along: white space, a last slash.

    DeepInfra's also without `/openai`: below it is only a part of its API.

    Raises:
        ValueError: It is no http(s) URL, carries a password, or is no address of such a server.
    """
    url = _parse_base_url(value)
    provider = PROVIDERS[server]
    if provider.domain is not None:
        return url.removesuffix("/openai").rstrip("/")
    if url == LOCAL_BASE_URL or DEEPINFRA.is_own_domain(url) or not url.endswith("/v1"):
        raise ValueError(
            f"server={server!r} needs the address of your server up to /v1, like "
            f"base_url={provider.example_base_url!r}"
        )
    return url


@lru_cache(maxsize=64)
def _parse_base_url(value: str) -> str:
    url = value.strip()
    if url == LOCAL_BASE_URL:
        return url
    advice = f"give one like {DEEPINFRA_URL!r}, or 'local' for the embedded engine"
    # Python's parser drops line breaks and takes a backslash for part of the host; others do not.
    if not url.isprintable() or " " in url or "\\" in url:
        raise ValueError(f"a URL has no white space or backslash in it; {advice}")
    try:
        parts = urlsplit(url)
        is_port_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        raise ValueError(f"this is no URL ({error}); {advice}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or not is_port_valid:
        raise ValueError(f"this is no http:// or https:// URL; {advice}")
    if parts.username or parts.password:
        raise ValueError("a password in the URL would show in logs; give it as api_key=")
    if "?" in url or "#" in url:
        raise ValueError(f"a base URL ends before '?' and '#'; {advice}")
    return url.rstrip("/")


def is_plain_http(base_url: str) -> bool:
    """Return whether requests to this address can be read on their way."""
    return urlsplit(base_url).scheme == "http" and not _is_loopback(base_url)


@lru_cache(maxsize=64)
def _is_loopback(base_url: str) -> bool:
    host = urlsplit(base_url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@lru_cache(maxsize=64)
def _is_in_domain(base_url: str, domain: str) -> bool:
    parts = urlsplit(base_url)
    host = parts.hostname or ""
    return parts.scheme == "https" and (host == domain or host.endswith("." + domain))


class EnvironmentKey(SecretStr):
    """A key found in the environment: shown by a model, but read anew for each call."""


def environment_keys(base_url: str, server: ProviderName) -> Iterator[tuple[str, EnvironmentKey]]:
    """Yield the variables of the environment that hold a key for a server, and the keys.

    A provider's key goes to its own domain over https and nowhere else.
    """
    provider = PROVIDERS[server]
    is_own_domain = provider.is_own_domain(base_url)
    for variable in provider.key_variables if is_own_domain else (OTHER_KEY_VARIABLE,):
        if value := os.environ.get(variable, "").strip():
            yield variable, EnvironmentKey(value)


def resolve_remote(
    base_url: str, api_key: SecretStr | None, server: ProviderName = "deepinfra"
) -> ServerAddress:
    """Return the address of a server on the network, with the key that belongs there.

    Args:
        base_url: A normal base URL.
        api_key: The key given to the constructor, if any; else the environment's is read.
        server: The kind of server.

    Raises:
        VoxtralAuthenticationError: The provider needs a key and there is none, or it is malformed.
    """
    provider = PROVIDERS[server]
    key = None
    if api_key is not None and not isinstance(api_key, EnvironmentKey):
        key = _clean_key(api_key, "api_key=")
    else:
        for variable, value in environment_keys(base_url, server):
            key = _clean_key(value, f"the environment variable {variable}")
            break
    if key is None and provider.is_own_domain(base_url):
        first, *others = provider.key_variables
        raise VoxtralAuthenticationError(
            f"DeepInfra needs a key. Set the environment variable {first} (or "
            f"{', '.join(others)}), or give "
            "api_key=...; keys come from https://deepinfra.com/dash/api_keys. Without a key, "
            "base_url='local' answers from a small embedded model."
        )
    return ServerAddress(base_url, key, not _is_loopback(base_url), provider)


def _clean_key(given: SecretStr, source: str) -> str:
    """Return a key fit for a header, without pasted white space and `Bearer `."""
    problem = _key_problem(given)  # no variable holds the key where an error is raised
    if problem is not None:
        raise VoxtralAuthenticationError(
            f"The key from {source} {problem}. Copy it again from where it was made (DeepInfra: "
            "https://deepinfra.com/dash/api_keys)."
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
