"""`TranscriptionClient`: sends chunks of recordings to a Voxtral server, sync and async."""

import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing, closing, nullcontext
from dataclasses import replace

from langchain_voxtral.client import VoxtralClient, complete_errors, timeouts_for
from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.protocol.transcription_request import ChunkTranscript, TranscriptionRequest
from langchain_voxtral.protocol.transcription_stream import (
    StreamedItem,
    TranscriptionStream,
    encode_for_stream,
)
from langchain_voxtral.providers import ServerAddress
from langchain_voxtral.transport import (
    HTTPRequest,
    HTTPResponse,
    Timeouts,
    apost,
    astream,
    post,
    stream,
    to_thread,
)

Emit = Callable[[StreamedItem], None]
AsyncEmit = Callable[[StreamedItem], Awaitable[None]]

logger = logging.getLogger("langchain_voxtral")

_DEFAULT_TIMEOUT_SHARE = 0.5
"""The default of `timeout` as a share of a chunk's length, if that is more than 300 s."""


class TranscriptionClient:
    """Sends requests for transcripts; knows no LangChain.

    Args:
        settings: Where requests go, with which key and limits. They are read at each request.
    """

    __slots__ = ("_client",)

    def __init__(self, settings: ConnectionSettings) -> None:
        self._client = VoxtralClient(settings)

    def transcribe(
        self, request: TranscriptionRequest, emit: Emit | None = None
    ) -> ChunkTranscript:
        """Send a request and return the transcript.

        Args:
            request: The request.
            emit: Takes what a stream brings, as it comes; None asks for no stream. One that breaks
                before its first text is retried as a whole, as other requests are. `timeout=`
                limits the time without an event.

        Raises:
            VoxtralError: Of the class that fits the failure; of a stream, with the partial text.
        """
        with complete_errors():
            address = self._client.resolve(text=_needs_text(request), speech=True)
            connections = self._client.connections(address)
            http_request = self._http_request(address, request, is_stream=emit is not None)
            if emit is None:
                with http_request.log or nullcontext():
                    return _parse(request, http_request, post(connections, http_request))
            decoder = TranscriptionStream(request, http_request.secrets)
            with closing(stream(connections, http_request, decoder)) as reads:
                for items in reads:
                    for item in items:
                        emit(item)
            return _whole(request, decoder)

    async def atranscribe(
        self, request: TranscriptionRequest, emit: AsyncEmit | None = None
    ) -> ChunkTranscript:
        """Do what `transcribe` does, asynchronously."""
        with complete_errors():
            address = await self._client.aresolve(text=_needs_text(request), speech=True)
            connections = self._client.connections(address)
            # In a thread, because a chunk of 10 minutes is encoded for it.
            http_request = await to_thread(
                self._http_request, address, request, is_stream=emit is not None
            )
            if emit is None:
                with http_request.log or nullcontext():
                    return _parse(request, http_request, await apost(connections, http_request))
            decoder = TranscriptionStream(request, http_request.secrets)
            async with aclosing(astream(connections, http_request, decoder)) as reads:
                async for items in reads:
                    for item in items:
                        await emit(item)
            return _whole(request, decoder)

    def _http_request(
        self, address: ServerAddress, request: TranscriptionRequest, *, is_stream: bool
    ) -> HTTPRequest:
        http_request = self._client.http_request(
            address,
            request.endpoint_name,
            encode_for_stream(request) if is_stream else request.encode(),
            model=request.model,
            is_stream=is_stream,
            has_audio=True,
        )
        return replace(http_request, timeouts=self._timeouts(request.chunk.seconds))

    def _timeouts(self, seconds: float) -> Timeouts:
        """Return the time limits for a chunk of a length; the default one grows with it.

        Streams too have `timeout`: `stream_idle_timeout` is of chats, which have no ten minutes of
        sound to read first.
        """
        timeouts = timeouts_for(self._client.settings, is_stream=False)
        if "timeout" in self._client.settings.model_fields_set or timeouts.read is None:
            return timeouts
        return replace(timeouts, read=max(timeouts.read, seconds * _DEFAULT_TIMEOUT_SHARE))


def _needs_text(request: TranscriptionRequest) -> bool:
    """Return whether the embedded engine needs its language model to answer."""
    return request.endpoint_name == "chat_completions"


def _parse(
    request: TranscriptionRequest, http_request: HTTPRequest, response: HTTPResponse
) -> ChunkTranscript:
    try:
        parsed = request.parse(response.content, response.headers, http_request.secrets)
    except VoxtralError as error:
        error.attempts = response.attempts
        raise
    if http_request.log is not None:
        http_request.log.answer = parsed.transcript
    return replace(parsed, attempts=response.attempts)


def _whole(request: TranscriptionRequest, decoder: TranscriptionStream) -> ChunkTranscript:
    """Return the transcript of a stream; one that ends without has raised an error."""
    if decoder.contradicts_itself:
        logger.warning(
            "%s: the server's final text differs from the text that it streamed, which is kept.",
            request.title,
        )
    assert decoder.transcript is not None  # noqa: S101
    return replace(decoder.transcript, attempts=decoder.attempts)
