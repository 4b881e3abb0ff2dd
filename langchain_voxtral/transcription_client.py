"""`TranscriptionClient`: sends chunks of recordings to a Voxtral server, sync and async."""

import logging
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import aclosing
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

    def transcribe(self, request: TranscriptionRequest) -> ChunkTranscript:
        """Send a request and return the transcript.

        Raises:
            VoxtralError: Of the class that fits the failure.
        """
        with complete_errors():
            address = self._client.resolve()
            http_request = self._http_request(address, request)
            response = post(self._client.connections(address), http_request)
            return _parse(request, http_request, response)

    async def atranscribe(self, request: TranscriptionRequest) -> ChunkTranscript:
        """Do what `transcribe` does, asynchronously."""
        with complete_errors():
            address = await self._client.aresolve()
            # In a thread, because a chunk of 10 minutes is encoded for it.
            http_request = await to_thread(self._http_request, address, request)
            response = await apost(self._client.connections(address), http_request)
            return _parse(request, http_request, response)

    def stream(self, request: TranscriptionRequest) -> Generator[Sequence[StreamedItem]]:
        """Send a request and yield what each read brings; the last item of all is the transcript.

        A stream that breaks before its first text is retried as a whole, as other requests are.
        `timeout=` limits the time without an event.

        Raises:
            VoxtralError: Of the class that fits the failure, with the partial text.
        """
        with complete_errors():
            address = self._client.resolve()
            http_request = self._http_request(address, request, is_stream=True)
            decoder = TranscriptionStream(request, http_request.secrets)
            yield from stream(self._client.connections(address), http_request, decoder)
            _log_contradiction(request, decoder)

    async def astream(
        self, request: TranscriptionRequest
    ) -> AsyncGenerator[Sequence[StreamedItem]]:
        """Do what `stream` does, asynchronously."""
        with complete_errors():
            address = await self._client.aresolve()
            http_request = await to_thread(self._http_request, address, request, is_stream=True)
            decoder = TranscriptionStream(request, http_request.secrets)
            reads = astream(self._client.connections(address), http_request, decoder)
            async with aclosing(reads):
                async for items in reads:
                    yield items
            _log_contradiction(request, decoder)

    def _http_request(
        self, address: ServerAddress, request: TranscriptionRequest, *, is_stream: bool = False
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


def _parse(
    request: TranscriptionRequest, http_request: HTTPRequest, response: HTTPResponse
) -> ChunkTranscript:
    try:
        return request.parse(response.content, response.headers, http_request.secrets)
    except VoxtralError as error:
        error.attempts = response.attempts
        raise


def _log_contradiction(request: TranscriptionRequest, decoder: TranscriptionStream) -> None:
    if decoder.contradicts_itself:
        logger.warning(
            "%s: the server's final text differs from the text that it streamed, which is kept.",
            request.title,
        )
