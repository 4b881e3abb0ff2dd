"""Sending a chunk: whole or as a stream, with times or, where a server refuses them, without."""

from dataclasses import dataclass

from langchain_voxtral.errors import VoxtralInvalidRequestError
from langchain_voxtral.protocol.transcription_request import ChunkTranscript, TranscriptionRequest
from langchain_voxtral.protocol.transcription_stream import ItemType, can_stream
from langchain_voxtral.transcription_client import Emit, TranscriptionClient

NoTimestamps = set[tuple[str, ...]]
"""Addresses, endpoints and models that have refused to return timestamps."""


@dataclass(frozen=True, slots=True)
class ChunkSender:
    """Sends the requests of one recording.

    Args:
        client: Sends them to a server.
        base_url: The server's address.
        no_timestamps: Who has refused timestamps; it is added to.
        needs_timestamps: Whether timestamps were asked for by name, so that a refusal is an error.
        wanted: What is wanted as soon as it comes, if the server can stream it.
    """

    client: TranscriptionClient
    base_url: str
    no_timestamps: NoTimestamps
    needs_timestamps: bool
    wanted: ItemType | None

    def send(self, request: TranscriptionRequest, emit: Emit) -> ChunkTranscript:
        """Send a request and return the transcript; what is wanted of a stream is emitted.

        Raises:
            VoxtralError: Of the class that fits the failure.
        """
        request = self._adapt(request)
        try:
            return self.client.transcribe(request, self._emit_wanted(request, emit))
        except VoxtralInvalidRequestError as error:
            request = self._after_refusal(request, error)
            return self.client.transcribe(request, self._emit_wanted(request, emit))

    async def asend(self, request: TranscriptionRequest, emit: Emit) -> ChunkTranscript:
        """Do what `send` does, asynchronously."""
        request = self._adapt(request)
        try:
            return await self.client.atranscribe(request, self._emit_wanted(request, emit))
        except VoxtralInvalidRequestError as error:
            request = self._after_refusal(request, error)
            return await self.client.atranscribe(request, self._emit_wanted(request, emit))

    def _emit_wanted(self, request: TranscriptionRequest, emit: Emit) -> Emit | None:
        """Return a function that emits what is wanted of a stream; None asks for no stream."""
        wanted = self.wanted
        if wanted is None or not can_stream(request, wanted):
            return None
        return lambda item: emit(item) if isinstance(item, wanted) else None

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
