"""Sending a chunk: whole or as a stream, with times or, where a server refuses them, without."""

from collections.abc import Callable
from contextlib import aclosing, closing
from dataclasses import dataclass
from typing import Literal

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.protocol.transcription_request import ChunkTranscript, TranscriptionRequest
from langchain_voxtral.protocol.transcription_stream import (
    StreamedItem,
    StreamedSegment,
    can_stream,
)
from langchain_voxtral.transcription_client import TranscriptionClient

NoTimestamps = set[tuple[str, ...]]
"""Addresses, endpoints and models that have refused to return timestamps."""

Streamed = Literal["text", "segments"]
"""What of a transcript is wanted as soon as the server sends it."""

_KINDS: dict[Streamed, type] = {"text": str, "segments": StreamedSegment}


@dataclass(frozen=True, slots=True)
class ChunkSender:
    """Sends the requests of one recording.

    Args:
        client: Sends them to a server.
        base_url: The server's address.
        no_timestamps: Who has refused timestamps; it is added to.
        needs_timestamps: Whether timestamps were asked for by name, so that a refusal is an error.
        streamed: What is wanted as it comes, if the server can stream it.
    """

    client: TranscriptionClient
    base_url: str
    no_timestamps: NoTimestamps
    needs_timestamps: bool
    streamed: Streamed | None

    def send(
        self, request: TranscriptionRequest, emit: Callable[[StreamedItem], None]
    ) -> ChunkTranscript:
        """Send a request and return the transcript; what is wanted of a stream is emitted.

        Raises:
            VoxtralError: Of the class that fits the failure.
        """
        request = self._adapt(request)
        try:
            return self._send(request, emit)
        except VoxtralInvalidRequestError as error:
            return self._send(self._after_refusal(request, error), emit)

    async def asend(
        self, request: TranscriptionRequest, emit: Callable[[StreamedItem], None]
    ) -> ChunkTranscript:
        """Do what `send` does, asynchronously."""
        request = self._adapt(request)
        try:
            return await self._asend(request, emit)
        except VoxtralInvalidRequestError as error:
            return await self._asend(self._after_refusal(request, error), emit)

    def _send(
        self, request: TranscriptionRequest, emit: Callable[[StreamedItem], None]
    ) -> ChunkTranscript:
        kind = self._kind(request)
        if kind is None:
            return self.client.transcribe(request)
        item: StreamedItem = ""
        with closing(self.client.stream(request)) as reads:
            for items in reads:
                for item in items:
                    if isinstance(item, kind):
                        emit(item)
        return _whole(item)

    async def _asend(
        self, request: TranscriptionRequest, emit: Callable[[StreamedItem], None]
    ) -> ChunkTranscript:
        kind = self._kind(request)
        if kind is None:
            return await self.client.atranscribe(request)
        item: StreamedItem = ""
        async with aclosing(self.client.astream(request)) as reads:
            async for items in reads:
                for item in items:
                    if isinstance(item, kind):
                        emit(item)
        return _whole(item)

    def _kind(self, request: TranscriptionRequest) -> type | None:
        """Return the type of the items that are wanted of a stream; None asks for no stream."""
        if self.streamed is None or not can_stream(request):
            return None
        if self.streamed == "segments" and request.options.timestamps != "segment":
            return None
        return _KINDS[self.streamed]

    def _adapt(self, request: TranscriptionRequest) -> TranscriptionRequest:
        is_refused = self._target(request) in self.no_timestamps
        return request.without_timestamps() if is_refused else request

    def _after_refusal(
        self, request: TranscriptionRequest, error: VoxtralInvalidRequestError
    ) -> TranscriptionRequest:
        """Request no timestamps of this model any more, or raise an error of another cause."""
        if self.needs_timestamps or not request.refuses_timestamps(error):
            raise error
        self.no_timestamps.add(self._target(request))
        return request.without_timestamps()

    def _target(self, request: TranscriptionRequest) -> tuple[str, ...]:
        return self.base_url, request.endpoint_name, request.model


def _whole(last: StreamedItem) -> ChunkTranscript:
    assert isinstance(last, ChunkTranscript)  # noqa: S101 - a stream without it raises
    return last
