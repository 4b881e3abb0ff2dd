"""`VoxtralClient`: sends completions to a Voxtral server, sync and async."""

import logging
import sys
from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from contextlib import aclosing, contextmanager, nullcontext
from itertools import chain

from langchain_voxtral._version import __version__
from langchain_voxtral.completions.audio_refusals import add_audio_advice
from langchain_voxtral.completions.connection import (
    DEFAULT_STREAM_IDLE_TIMEOUT,
    LOCAL_STREAM_IDLE_TIMEOUT,
    CompletionConnection,
)
from langchain_voxtral.completions.request import CompletionRequest
from langchain_voxtral.completions.response import (
    Completion,
    StreamItem,
    parse_completions,
    to_stream_items,
)
from langchain_voxtral.completions.stream import CompletionStream
from langchain_voxtral.connection import (
    DEFAULT_CONNECT_TIMEOUT,
    ConnectionSettings,
    resolve_local,
)
from langchain_voxtral.errors import VoxtralUnsupportedFeatureError
from langchain_voxtral.protocol.form_data import FormData
from langchain_voxtral.protocol.json_body import encode_request
from langchain_voxtral.providers import (
    LOCAL_BASE_URL,
    EndpointName,
    ServerAddress,
    provider_name,
    resolve_remote,
)
from langchain_voxtral.redaction import Secrets, forget_locals
from langchain_voxtral.transport import (
    ClientPool,
    HTTPRequest,
    HTTPResponse,
    RequestLog,
    RetryPolicy,
    Timeouts,
    apost,
    astream,
    post,
    running_loop,
    stream,
    to_thread,
)

logger = logging.getLogger("langchain_voxtral")


class VoxtralClient:
    """Sends requests to a Voxtral server; knows no LangChain.

    Connections are made when first needed and shared by all clients with equal settings.

    Args:
        settings: Where requests go, with which key and limits. They are read at each request.

    Example:
        ```python
        from langchain_voxtral.client import VoxtralClient
        from langchain_voxtral.completions.request import RequestBuilder
        from langchain_voxtral.connection import ConnectionSettings
        from langchain_voxtral.settings import SamplingSettings

        request = RequestBuilder().from_prompt("Once upon a time", SamplingSettings(max_tokens=9))
        with ConnectionSettings(base_url="local") as settings:
            [completion] = VoxtralClient(settings).complete(request)
        print(completion.text, completion.info.usage)
        ```
    """

    __slots__ = ("settings",)

    def __init__(self, settings: ConnectionSettings) -> None:
        self.settings = settings

    def complete(self, request: CompletionRequest) -> list[Completion]:
        """Send a request and return its completions.

        Raises:
            VoxtralError: Of the class that fits the failure.
        """
        with complete_errors(has_audio=request.has_audio):
            try:
                return self._complete(request)
            except VoxtralUnsupportedFeatureError as refusal:
                return self._complete(request.after_refusal(refusal))

    async def acomplete(self, request: CompletionRequest) -> list[Completion]:
        """Do what `complete` does, asynchronously."""
        with complete_errors(has_audio=request.has_audio):
            try:
                return await self._acomplete(request)
            except VoxtralUnsupportedFeatureError as refusal:
                return await self._acomplete(request.after_refusal(refusal))

    def stream(self, request: CompletionRequest) -> Generator[Sequence[StreamItem]]:
        """Send a request and yield what each read brings; the last item of all is the info.

        Raises:
            VoxtralError: Of the class that fits the failure, with the partial text.
        """
        with complete_errors(has_audio=request.has_audio):
            address = self.resolve(speech=request.has_audio)
            decoder = self._stream_decoder(address, request)
            try:
                yield from stream(self.connections(address), decoder.http_request, decoder)
            except VoxtralUnsupportedFeatureError as refusal:
                for completion in self._complete(request.after_refusal(refusal)):
                    yield to_stream_items(completion)

    async def astream(self, request: CompletionRequest) -> AsyncGenerator[Sequence[StreamItem]]:
        """Do what `stream` does, asynchronously."""
        with complete_errors(has_audio=request.has_audio):
            address = await self.aresolve(speech=request.has_audio)
            decoder = self._stream_decoder(address, request)
            try:
                reads = astream(self.connections(address), decoder.http_request, decoder)
                async with aclosing(reads):
                    async for items in reads:
                        yield items
            except VoxtralUnsupportedFeatureError as refusal:
                for completion in await self._acomplete(request.after_refusal(refusal)):
                    yield to_stream_items(completion)

    def _complete(self, request: CompletionRequest) -> list[Completion]:
        address = self.resolve(speech=request.has_audio)
        connections = self.connections(address)
        if request.logprobs:  # they are read from streams only
            decoder = self._stream_decoder(address, request)
            reads = stream(connections, decoder.http_request, decoder)
            return [decoder.completion(chain.from_iterable(reads))]
        http_request = self._completion_request(address, request)
        with http_request.log or nullcontext():
            return _parse(request, http_request, post(connections, http_request))

    async def _acomplete(self, request: CompletionRequest) -> list[Completion]:
        address = await self.aresolve(speech=request.has_audio)
        connections = self.connections(address)
        if request.logprobs:
            decoder = self._stream_decoder(address, request)
            reads = astream(connections, decoder.http_request, decoder)
            return [decoder.completion([item async for items in reads for item in items])]
        http_request = self._completion_request(address, request)
        with http_request.log or nullcontext():
            return _parse(request, http_request, await apost(connections, http_request))

    def resolve(self, *, text: bool = True, speech: bool = False) -> ServerAddress:
        """Return the server's address and key; the embedded engine is started on first use.

        Args:
            text: Whether the embedded engine must have its language model.
            speech: Whether it must have its speech model.

        Raises:
            VoxtralAuthenticationError: There is no key for the server, or it is malformed.
            VoxtralLocalError: The embedded engine cannot be set up.
        """
        settings = self.settings
        if settings.base_url == LOCAL_BASE_URL:
            return resolve_local(text=text, speech=speech)
        return resolve_remote(
            settings.base_url,
            settings.api_key,
            settings.server,
            key_was_dropped=settings._key_was_dropped,  # noqa: SLF001
        )

    async def aresolve(self, *, text: bool = True, speech: bool = False) -> ServerAddress:
        """Do what `resolve` does; the start of the engine does not block the event loop."""
        running_loop()
        if self.settings.base_url == LOCAL_BASE_URL:
            from langchain_voxtral.local import is_running  # noqa: PLC0415 - an extra

            if not is_running(text=text, speech=speech):
                return await to_thread(resolve_local, text=text, speech=speech)
        return self.resolve(text=text, speech=speech)

    def connections(self, address: ServerAddress) -> ClientPool:
        """Return the HTTP clients for a server."""
        settings = self.settings
        return settings._lease.clients(  # noqa: SLF001
            settings.proxy, address.trust_env, settings.http_client, settings.http_async_client
        )

    def http_request(
        self,
        address: ServerAddress,
        endpoint: EndpointName,
        content: bytes | FormData,
        *,
        model: str,
        is_stream: bool = False,
        has_audio: bool = False,
    ) -> HTTPRequest:
        """Return the HTTP request to an endpoint of a server, with all that the settings add.

        Args:
            address: The server.
            endpoint: The endpoint.
            content: The body.
            model: The model that is asked.
            is_stream: Whether the response is to be streamed.
            has_audio: Whether there is a recording in the body.
        """
        settings = self.settings
        secrets = _secrets(address, settings)
        log = None
        if logger.isEnabledFor(logging.DEBUG):
            server = provider_name(settings.base_url, settings.server)
            log = RequestLog(endpoint, model, server, secrets)
        return HTTPRequest(
            url=address.url(endpoint, model),
            content=content,
            headers=_headers(address, settings, is_stream=is_stream),
            secrets=secrets,
            model=model,
            timeouts=timeouts_for(settings, is_stream=is_stream),
            retry=RetryPolicy(settings.max_retries, retry_timeouts=settings.retry_timeouts),
            has_audio=has_audio,
            log=log,
        )

    def _completion_request(
        self, address: ServerAddress, request: CompletionRequest, *, is_stream: bool = False
    ) -> HTTPRequest:
        body = request.stream_body() if is_stream else request.body
        return self.http_request(
            address,
            request.endpoint.name,
            encode_request(body),
            model=request.model,
            is_stream=is_stream,
            has_audio=request.has_audio,
        )

    def _stream_decoder(
        self, address: ServerAddress, request: CompletionRequest
    ) -> CompletionStream:
        http_request = self._completion_request(address, request, is_stream=True)
        return CompletionStream(request, http_request)


def _parse(
    request: CompletionRequest, http_request: HTTPRequest, response: HTTPResponse
) -> list[Completion]:
    completions = parse_completions(request, http_request, response)
    if http_request.log is not None:
        http_request.log.answer = completions[0].info
    return completions


def _headers(
    address: ServerAddress, settings: ConnectionSettings, *, is_stream: bool
) -> dict[str, str]:
    """Return the headers of a request; no variable holds them where something may fail."""
    headers = {
        "content-type": "application/json",
        "accept": "text/event-stream" if is_stream else "application/json",
        # Not what else is installed here: a read of Brotli or zstd has no bounded size.
        "accept-encoding": "gzip, deflate",
        "user-agent": f"langchain-voxtral/{__version__}",
    }
    if address.key is not None:
        headers["authorization"] = f"Bearer {address.key}"
    return headers | {name.lower(): value for name, value in settings.default_headers.items()}


def _secrets(address: ServerAddress, settings: ConnectionSettings) -> Secrets:
    words = " ".join(settings.default_headers.values()).split()
    return Secrets((*filter(None, [address.key]), *words))


def timeouts_for(settings: ConnectionSettings, *, is_stream: bool) -> Timeouts:
    """Return the time limits of one request."""
    timeout = settings.timeout
    connect, read = timeout if isinstance(timeout, tuple) else (DEFAULT_CONNECT_TIMEOUT, timeout)
    if not is_stream or not isinstance(settings, CompletionConnection):
        return Timeouts(connect, read, "timeout", settings.deadline)
    idle = settings.stream_idle_timeout
    if settings.base_url == LOCAL_BASE_URL and idle == DEFAULT_STREAM_IDLE_TIMEOUT:
        idle = LOCAL_STREAM_IDLE_TIMEOUT
    return Timeouts(connect, idle, "stream_idle_timeout", settings.deadline)


@contextmanager
def complete_errors(*, has_audio: bool = False) -> Iterator[None]:
    """Let errors take no local variables along, which may hold or echo the key.

    If a refusal may be of a recording in a chat, also say which endpoints take recordings.
    """
    earlier = sys.exc_info()[1]
    try:
        yield
    except BaseException as error:
        forget_locals(error, earlier)
        if has_audio:
            add_audio_advice(error)
        raise
