"""Sending a chunk: whole or as a stream, with times or, where a server refuses them, without."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from langchain_voxtral.errors import VoxtralError, VoxtralInvalidRequestError
from langchain_voxtral.protocol.transcription_request import ChunkTranscript, TranscriptionRequest
from langchain_voxtral.protocol.transcription_stream import ItemType, StreamedItem, can_stream
from langchain_voxtral.transcription.runs import RequestRuns
from langchain_voxtral.transcription_client import AsyncEmit, Emit, TranscriptionClient

NoTimestamps = set[tuple[str, ...]]
"""Addresses, endpoints and models that have refused to return timestamps."""


@dataclass(frozen=True, slots=True)
class ChunkSender:
    """Sends the requests of one recording.

    Args:
        client: Sends them to a server.
        runs: Reports them to callbacks.
        base_url: The server's address.
        no_timestamps: Who has refused timestamps; it is added to.
        needs_timestamps: Whether timestamps were asked for by name, so that a refusal is an error.
        wanted: What is wanted as soon as it comes, if the server can stream it.
    """

    client: TranscriptionClient
    runs: RequestRuns[Any]
    base_url: str
    no_timestamps: NoTimestamps
    needs_timestamps: bool
    wanted: ItemType | None

    def send(self, request: TranscriptionRequest, emit: Emit) -> ChunkTranscript:
        """Send a request and return the transcript; what is wanted of a stream is emitted.

        Raises:
            VoxtralError: Of the class that fits the failure; its message names the chunk.
        """
        request = self._adapt(request)
        return self.runs.call(request, partial(self._send, request), emit)

    async def asend(self, request: TranscriptionRequest, emit: Emit) -> ChunkTranscript:
        """Do what `send` does, asynchronously."""
        request = self._adapt(request)
        return await self.runs.acall(request, partial(self._asend, request), emit)

    def _send(self, request: TranscriptionRequest, emit: Emit) -> ChunkTranscript:
        def take(item: StreamedItem) -> None:
            if isinstance(item, self.wanted or ()):
                emit(item)

        refused = 0
        while True:
            taking = take if self._streams(request) else None
            try:
                transcript = self.client.transcribe(request, taking)
            except VoxtralError as error:
                error.attempts += refused
                request, refused = self._after_refusal(request, error), error.attempts
            else:
                return replace(transcript, attempts=transcript.attempts + refused)

    async def _asend(self, request: TranscriptionRequest, emit: AsyncEmit) -> ChunkTranscript:
        async def take(item: StreamedItem) -> None:
            if isinstance(item, self.wanted or ()):
                await emit(item)

        refused = 0
        while True:
            taking = take if self._streams(request) else None
            try:
                transcript = await self.client.atranscribe(request, taking)
            except VoxtralError as error:
                error.attempts += refused
                request, refused = self._after_refusal(request, error), error.attempts
            else:
                return replace(transcript, attempts=transcript.attempts + refused)

    def _streams(self, request: TranscriptionRequest) -> bool:
        return self.wanted is not None and can_stream(request, self.wanted)

    def _adapt(self, request: TranscriptionRequest) -> TranscriptionRequest:
        is_refused = self._target(request) in self.no_timestamps
        return request.without_timestamps() if is_refused else request

    def _after_refusal(
        self, request: TranscriptionRequest, error: VoxtralError
    ) -> TranscriptionRequest:
        """Request no timestamps of this model any more, or raise an error of another cause."""
        if (
            isinstance(error, VoxtralInvalidRequestError)
            and request.refuses_timestamps(error)
            and not self.needs_timestamps
        ):
            self.no_timestamps.add(self._target(request))
            return request.without_timestamps()
        error.message = f"{request.title}: {error.message}{request.advice(error)}"
        raise error

    def _target(self, request: TranscriptionRequest) -> tuple[str, ...]:
        return self.base_url, request.endpoint_name, request.model
