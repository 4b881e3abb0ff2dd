"""Where requests go and how: connection settings, and the life of what they open."""

import pickle
import re
import sys
import warnings
from typing import TYPE_CHECKING, Annotated, Any, Self
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    SecretStr,
    SerializerFunctionWrapHandler,
    ValidationError,
    ValidationInfo,
    field_serializer,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler

from langchain_voxtral.errors import VoxtralMissingExtraError
from langchain_voxtral.option_names import check_key_name, leave_names, names_of, without_links
from langchain_voxtral.preloading import import_for_calls
from langchain_voxtral.providers import (
    LOCAL_BASE_URL,
    EnvironmentKey,
    ProviderName,
    ServerAddress,
    check_server_name,
    default_base_url,
    environment_keys,
    is_plain_http,
    normalize_base_url,
)
from langchain_voxtral.redaction import forget_locals
from langchain_voxtral.signatures import Accepts, SettingsSchema, show_plain_signature
from langchain_voxtral.transport import (
    AsyncClient,
    Client,
    ClientLease,
)

DEFAULT_CONNECT_TIMEOUT = 5.0
"""Seconds to reach a server, unless `timeout` says otherwise."""
MODEL_CONFIG = ConfigDict(
    extra="forbid",
    arbitrary_types_allowed=True,
    protected_namespaces=(),
    # pydantic would print the input of a field that fails, the key's too.
    hide_input_in_errors=True,
    defer_build=False,
)
"""The pydantic configuration of the models; each repeats it, since LangChain's own comes last."""
PART_CONFIG = ConfigDict(arbitrary_types_allowed=True, protected_namespaces=(), defer_build=True)
"""That of what they inherit from: a validator of its own takes long to build, and few need it."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")


def _fill_base_url(value: object, known: ValidationInfo) -> object:
    return default_base_url(known.data.get("server", "deepinfra")) if value is None else value


def _normalize_base_url(value: str, known: ValidationInfo) -> str:
    return normalize_base_url(value, known.data.get("server", "deepinfra"))


def _validate_proxy(value: str | None) -> str | None:
    """Check the URL of a proxy; the error does not show it, since it may hold a password."""
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


def _validate_headers(headers: dict[str, str]) -> dict[str, str]:
    """Check that HTTP can carry these headers (RFC 9110, section 5); errors show no value."""
    for name, value in headers.items():
        if not _HEADER_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no header name: letters, digits and - make one")
        if not value.isascii() or not value.isprintable() or value != value.strip():
            raise ValueError(
                f"the value of {name!r} must be printable ASCII without white space at its ends"
            )
    return headers


class ConnectionSettings(BaseModel):
    """Where requests go, with which key and limits; the models have these as their own fields.

    Example:
        ```python
        from langchain_voxtral.connection import ConnectionSettings

        print(ConnectionSettings(server="vllm", base_url="http://127.0.0.1:8000/v1/").base_url)
        ```
    """

    model_config = PART_CONFIG

    api_key: Accepts[SecretStr | None, SecretStr | str | None] = Field(
        default=None,  # type: ignore[arg-type]  # the type of what is stored
        repr=False,
        validation_alias=names_of("api_key"),
        description="API key of the server. Default, read for each call: `DEEPINFRA_API_TOKEN`, "
        "`DEEPINFRA_API_KEY` or `DEEPINFRA_TOKEN` for DeepInfra, `MISTRAL_API_KEY` for "
        "Mistral, `OPENROUTER_API_KEY` for OpenRouter, and `VOXTRAL_API_KEY` for any "
        "other `base_url`.",
    )
    server: Annotated[ProviderName, BeforeValidator(check_server_name)] = Field(
        default="deepinfra",
        description='Kind of server: `"deepinfra"` (also for the embedded engine), `"mistral"`, '
        '`"openrouter"`, or your own `"vllm"` or `"llama_cpp"`, whose `base_url` ends '
        "in `/v1`. It determines address, model and requests, and is named in metadata "
        "and traces.",
    )
    base_url: Annotated[
        Accepts[str, str | None],
        BeforeValidator(_fill_base_url),
        AfterValidator(_normalize_base_url),
    ] = Field(
        default=None,
        validate_default=True,
        validation_alias=names_of("base_url"),
        description='Address of the server up to `/v1`; `"local"` is the embedded engine. Default: '
        "`VOXTRAL_BASE_URL`, or the address of DeepInfra, Mistral or OpenRouter.",
    )
    timeout: Seconds | tuple[Seconds | None, Seconds | None] | None = Field(
        default=300.0,
        validation_alias=names_of("timeout"),
        description="Seconds without a byte from the server when not streaming, or (connect, "
        "read) in seconds. The connect limit is 5 s unless given. None is no limit. "
        "Transcriptions: unless given, half the length of a chunk if that is more.",
    )
    deadline: Seconds | None = Field(
        default=None, description="Seconds for the whole call, including retries."
    )
    max_retries: int = Field(
        default=2, ge=0, description="Number of retries after temporary failures."
    )
    retry_timeouts: bool = Field(
        default=False,
        description="Whether to retry after a timeout; the first request may be billed too.",
    )
    default_headers: Annotated[dict[str, str], AfterValidator(_validate_headers)] = Field(
        default_factory=dict,
        repr=False,
        exclude=True,
        description="Additional headers for every request.",
    )
    proxy: Annotated[str | None, AfterValidator(_validate_proxy)] = Field(
        default=None,
        repr=False,
        exclude=True,
        description="URL of a proxy; default: the environment's.",
    )
    http_client: Client | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="Your own `httpx.Client`; it is used unchanged and never closed.",
    )
    http_async_client: AsyncClient | None = Field(
        default=None,
        repr=False,
        exclude=True,
        description="Your own `httpx.AsyncClient`; it is used unchanged and never closed.",
    )
    pickle_api_key: bool = Field(
        default=False,
        description="Whether a pickle contains a key that was passed as `api_key=`.",
    )

    if not TYPE_CHECKING:  # which knows the fields by name

        def __init__(self, **values: Any) -> None:
            """Take the settings by name and check them; an error shows no value of them."""
            # Validation errors take no local variables along: they have the key.
            earlier = sys.exc_info()[1]
            try:
                super().__init__(**values)
            except BaseException as error:
                values.clear()
                forget_locals(error, earlier)
                if isinstance(error, ValidationError):
                    raise without_links(error) from None
                raise

    _lease: ClientLease = PrivateAttr(default_factory=ClientLease)
    _key_was_dropped: bool = PrivateAttr(default=False)

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        leave_names(cls)
        show_plain_signature(cls)

    @classmethod
    def __pydantic_on_complete__(cls) -> None:
        """Show it of a class too that pydantic could not complete before."""
        show_plain_signature(cls)

    @classmethod
    def model_json_schema(cls, *args: Any, **options: Any) -> dict[str, Any]:
        """Return the JSON schema of the settings; what JSON cannot hold may be anything in it."""
        return super().model_json_schema(*args, **{"schema_generator": SettingsSchema} | options)

    def model_post_init(self, context: Any, /) -> None:
        """Run LangChain's own hook too, which the private attributes would hide."""
        import_for_calls()
        super().model_post_init(context)

    @model_validator(mode="wrap")
    @classmethod
    def _check_key_name(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        made = validate(values)
        check_key_name(cls.model_fields, values, made.base_url)
        return made

    @model_validator(mode="after")
    def _show_environment_key(self) -> Self:
        if self.api_key is None and self.base_url != LOCAL_BASE_URL:
            found = next(environment_keys(self.base_url), None)
            if found is not None:
                self.__dict__["api_key"] = found[1]
        return self

    @model_validator(mode="after")
    def _warn_of_plain_http(self) -> Self:
        if self.base_url != LOCAL_BASE_URL and is_plain_http(self.base_url):
            warnings.warn(
                f"base_url={self.base_url!r} is plain http to another machine: prompts, answers "
                "and the key can be read on the way. Use https.",
                stacklevel=5,
            )
        return self

    @field_serializer("api_key", mode="wrap", when_used="json-unless-none")
    def _leave_out_environment_key(
        self, key: SecretStr, mask: SerializerFunctionWrapHandler
    ) -> str | None:
        """Leave a key of the environment out of JSON: read back, its mask would be sent."""
        return None if isinstance(key, EnvironmentKey) else str(mask(key))

    def close(self) -> None:
        """Close this object's synchronous connections; the next call opens new ones."""
        self._lease.close()

    async def aclose(self) -> None:
        """Close this object's connections of this event loop, and the synchronous ones."""
        await self._lease.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    def __copy__(self) -> Self:
        copied = super().__copy__()
        copied._lease = ClientLease()  # noqa: SLF001 - its own, not the original's
        return copied

    def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Self:
        # The caller's own clients and stores cannot be copied and are meant to be shared.
        memo = {} if memo is None else memo
        for name in ("http_client", "http_async_client", "store", "audio_store"):
            if (shared := getattr(self, name, None)) is not None:
                memo[id(shared)] = shared
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        if self.http_client is not None or self.http_async_client is not None:
            raise pickle.PicklingError(
                f"{type(self).__name__} with http_client= or http_async_client= cannot be "
                "pickled: an open client belongs to its process. Make the object anew there."
            )
        state = super().__getstate__()
        is_given = not isinstance(self.api_key, EnvironmentKey | None)
        if is_given and self.pickle_api_key:
            return state
        private = state["__pydantic_private__"] or {}
        if is_given:
            private = private | {"_key_was_dropped": True}
        values = state["__dict__"] | {"api_key": None}
        return state | {"__dict__": values, "__pydantic_private__": private}


def resolve_local(*, text: bool = True, speech: bool = False) -> ServerAddress:
    """Return the embedded engine's address, starting the engine on first use.

    Args:
        text: Whether it must have its language model.
        speech: Whether it must have its speech model.

    Raises:
        VoxtralError: The extra is not installed (`local`, with `speech` the `local-speech` that
            includes it), or the weights cannot be had.
    """
    try:
        from langchain_voxtral.local import shared_server  # noqa: PLC0415 - an extra, as needed

        server = shared_server(text=text, speech=speech)
    except VoxtralMissingExtraError as error:
        if not speech:
            raise
        raise VoxtralMissingExtraError(str(error.name), extra="local-speech") from error
    return ServerAddress(server.base_url, server.api_key, trust_env=False)
