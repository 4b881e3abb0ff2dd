"""Where requests go and how: connection settings, and the life of what they open."""

import os
import pickle
import warnings
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    model_validator,
)

from langchain_voxtral._version import __version__
from langchain_voxtral.endpoint import (
    DEEPINFRA_URL,
    LOCAL_BASE_URL,
    OTHER_KEY,
    ServerAddress,
    alocal_endpoint,
    checked_headers,
    checked_proxy,
    hosted_endpoint,
    local_endpoint,
    normal_base_url,
    sends_in_the_clear,
)
from langchain_voxtral.errors import VoxtralAuthenticationError, VoxtralUnsupportedFeatureError
from langchain_voxtral.providers import PROVIDERS, ProviderName
from langchain_voxtral.transport import (
    AsyncClient,
    Client,
    ClientLease,
    ClientPool,
    ClientSettings,
    RetryPolicy,
    Timeouts,
)

CONNECT_LIMIT = 5.0
"""Seconds to reach a server, unless `timeout` says otherwise."""
IDLE_LIMIT = 60.0
"""Seconds without a token in a stream, unless `stream_idle_timeout` says otherwise."""
LOCAL_IDLE_LIMIT = 300.0
"""The same for the embedded engine, which reads long prompts slowly."""

MODEL_CONFIG = ConfigDict(
    extra="forbid",
    arbitrary_types_allowed=True,
    protected_namespaces=(),
    # pydantic would print the input of a field that fails, the key's too.
    hide_input_in_errors=True,
)
"""The pydantic configuration of all faces; it stands in each, after LangChain's own."""

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]

SHORTEST_SECRET = 8
"""Characters from which on a word of a header is kept out of errors; shorter ones are no secrets,
and blotting them out would make errors unreadable."""

_LOST_KEY = (
    "(This object was unpickled, and pickles leave out a key given as api_key=; "
    "pickle_api_key=True keeps it.)"
)


def _tidy_base_url(value: str, known: ValidationInfo) -> str:
    return normal_base_url(value, known.data.get("server", "deepinfra"))


class ConnectionSettings(BaseModel):
    """Settings of the way to a server, shared by all faces."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    api_key: SecretStr | None = Field(default=None, repr=False)
    """DeepInfra's key. Else read when first needed from `DEEPINFRA_API_TOKEN`,
    `DEEPINFRA_API_KEY` or `DEEPINFRA_TOKEN`; for any other `base_url` from `VOXTRAL_API_KEY`."""
    server: ProviderName = "deepinfra"
    """What kind of server `base_url` is, by which paths and forms are chosen: DeepInfra (and the
    embedded engine), or a `"vllm"` or `"llama_cpp"` of your own, whose `base_url` ends in `/v1`.
    Also the provider's name in metadata and traces."""
    base_url: Annotated[str, AfterValidator(_tidy_base_url)] = Field(
        default_factory=lambda: os.environ.get("VOXTRAL_BASE_URL") or DEEPINFRA_URL,
        validate_default=True,
    )
    """The server's address up to `/v1`, else from `VOXTRAL_BASE_URL`, else DeepInfra's;
    `"local"` is the embedded engine."""
    api: Literal["auto", "native", "chat_completions"] = "auto"
    """Which endpoint answers messages. `"native"` takes a raw prompt, which this package writes;
    with `"chat_completions"` the server writes it, and reads the tool calls of the answer too.
    `"auto"` is native for text, and chat completions for recordings and for servers that have
    nothing else."""
    timeout: Seconds | tuple[Seconds | None, Seconds | None] | None = 300.0
    """Seconds without a byte from the server when not streaming, or (connect, read) in seconds.
    The connect limit is 5 s unless given. None is no limit."""
    stream_idle_timeout: Seconds | None = IDLE_LIMIT
    """Seconds without a token when streaming; the default is 300 with the embedded engine."""
    deadline: Seconds | None = None
    """Seconds for a whole call, retries included."""
    max_retries: int = Field(default=2, ge=0)
    """Attempts beyond the first, for failures that may pass."""
    retry_timeouts: bool = False
    """Whether to retry when an answer did not come in time; the first one may be billed too."""
    max_stream_resumes: int = Field(default=0, ge=0)
    """How often a stream that is cut is taken up again, by sending the prompt with the text so far.
    No character is lost or doubled; the words after a cut may differ. Not with `response_format`,
    whose grammar would start over."""
    default_headers: Annotated[dict[str, str], AfterValidator(checked_headers)] = Field(
        default_factory=dict, repr=False, exclude=True
    )
    """More headers for every request."""
    proxy: Annotated[str | None, AfterValidator(checked_proxy)] = Field(
        default=None, repr=False, exclude=True
    )
    """URL of a proxy; else the environment's."""
    http_client: Client | None = Field(default=None, repr=False, exclude=True)
    """Your own `httpx.Client`; it is never closed here."""
    http_async_client: AsyncClient | None = Field(default=None, repr=False, exclude=True)
    """Your own `httpx.AsyncClient`; it is never closed here."""
    pickle_api_key: bool = False
    """Whether a pickle holds a key that was given as `api_key=`; else it is left out."""

    if TYPE_CHECKING:  # real ones stand in the faces: here they would hide LangChain's own hooks
        _lease: ClientLease
        _lost_key: bool

    @model_validator(mode="after")
    def _warn_of_plain_http(self) -> Self:
        if self.base_url != LOCAL_BASE_URL and sends_in_the_clear(self.base_url):
            warnings.warn(
                f"base_url={self.base_url!r} is plain http to another machine: prompts, answers "
                "and the key can be read on the way. Use https.",
                stacklevel=4,
            )
        return self

    @model_validator(mode="after")
    def _refuse_native_where_there_is_none(self) -> Self:
        if self.api == "native":
            try:
                PROVIDERS[self.server].path("native")
            except VoxtralUnsupportedFeatureError as error:
                raise ValueError(error.message) from None
        return self

    @property
    def _provider(self) -> str:
        return "voxtral-local" if self.base_url == LOCAL_BASE_URL else self.server

    def _endpoint(self) -> ServerAddress:
        return local_endpoint() if self.base_url == LOCAL_BASE_URL else self._hosted()

    async def _aendpoint(self) -> ServerAddress:
        return await alocal_endpoint() if self.base_url == LOCAL_BASE_URL else self._hosted()

    def _hosted(self) -> ServerAddress:
        try:
            endpoint = hosted_endpoint(self.base_url, self.api_key, self.server)
        except VoxtralAuthenticationError as error:
            if self._lost_key:
                error.message += f" {_LOST_KEY}"
            raise
        if self._lost_key and endpoint.key is None:
            raise VoxtralAuthenticationError(
                f"There is no key for {self.base_url}: set {OTHER_KEY}. {_LOST_KEY}"
            )
        return endpoint

    def _clients(self, endpoint: ServerAddress) -> ClientPool:
        return self._lease.clients(
            ClientSettings(self.proxy, endpoint.trust_env, self.http_client, self.http_async_client)
        )

    def _headers(self, endpoint: ServerAddress, *, streaming: bool) -> dict[str, str]:
        headers = {
            "content-type": "application/json",
            "accept": "text/event-stream" if streaming else "application/json",
            # Not what else is installed here: a read of Brotli or zstd has no bounded size.
            "accept-encoding": "gzip, deflate",
            "user-agent": f"langchain-voxtral/{__version__}",
        }
        if endpoint.key is not None:
            headers["authorization"] = f"Bearer {endpoint.key}"
        return headers | {name.lower(): value for name, value in self.default_headers.items()}

    def _secrets(self, endpoint: ServerAddress) -> tuple[str, ...]:
        """Return what a server might echo and no error may show."""
        words = " ".join(self.default_headers.values()).split()
        long = (word for word in words if len(word) >= SHORTEST_SECRET)
        return (*filter(None, [endpoint.key]), *long)

    def _limits(self, *, streaming: bool) -> Timeouts:
        timeout = self.timeout
        connect, read = timeout if isinstance(timeout, tuple) else (CONNECT_LIMIT, timeout)
        if not streaming:
            return Timeouts(connect, read, "timeout", self.deadline)
        idle = self.stream_idle_timeout
        if self.base_url == LOCAL_BASE_URL and idle == IDLE_LIMIT:
            idle = LOCAL_IDLE_LIMIT
        return Timeouts(connect, idle, "stream_idle_timeout", self.deadline)

    def _retry_policy(self) -> RetryPolicy:
        return RetryPolicy(retries=self.max_retries, retry_timeouts=self.retry_timeouts)

    # Life

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
        # The caller's own clients cannot be copied and are meant to be shared.
        memo = {} if memo is None else memo
        for client in (self.http_client, self.http_async_client):
            if client is not None:
                memo[id(client)] = client
        return super().__deepcopy__(memo)

    def __getstate__(self) -> dict[Any, Any]:
        if self.http_client is not None or self.http_async_client is not None:
            raise pickle.PicklingError(
                f"{type(self).__name__} with http_client= or http_async_client= cannot be "
                "pickled: an open client belongs to its process. Make the object anew there."
            )
        state = super().__getstate__()
        if self.api_key is None or self.pickle_api_key:
            return state
        return state | {
            "__dict__": state["__dict__"] | {"api_key": None},
            "__pydantic_private__": (state["__pydantic_private__"] or {}) | {"_lost_key": True},
        }
