"""Sends transcription requests."""
# ruff: noqa: SLF001 - the connection's own methods

import asyncio
from dataclasses import dataclass

from langchain_voxtral.connection import ConnectionSettings
from langchain_voxtral.endpoint import ServerAddress
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.transcription.request import ChunkTranscript, TranscriptionRequest
from langchain_voxtral.transport import HTTPRequest, HTTPResponse, apost, post


@dataclass(frozen=True, slots=True)
class TranscriptionClient:
    """Sends transcription requests over a connection."""

    connection: ConnectionSettings

    def transcribe(self, request: TranscriptionRequest) -> ChunkTranscript:
        """Send a request and return the transcript.

        Raises:
            VoxtralError: Of the class that fits the failure.
        """
        address = self.connection._endpoint()
        http_request = self._http_request(address, request)
        return _parse(request, http_request, post(self.connection._clients(address), http_request))

    async def atranscribe(self, request: TranscriptionRequest) -> ChunkTranscript:
        """Do what `transcribe` does, asynchronously."""
        address = await self.connection._aendpoint()
        # In a thread, because a chunk of 10 minutes is encoded for it.
        http_request = await asyncio.to_thread(self._http_request, address, request)
        response = await apost(self.connection._clients(address), http_request)
        return _parse(request, http_request, response)

    def _http_request(self, address: ServerAddress, request: TranscriptionRequest) -> HTTPRequest:
        return HTTPRequest(
            url=address.url(request.route, request.model),
            content=request.encode(),
            headers=self.connection._headers(address, streaming=False),
            secrets=self.connection._secrets(address),
            model=request.model,
            timeouts=self.connection._limits(streaming=False),
            retry=self.connection._retry_policy(),
            has_audio=True,
        )


def _parse(
    request: TranscriptionRequest, http_request: HTTPRequest, response: HTTPResponse
) -> ChunkTranscript:
    try:
        return request.parse(response.content, response.headers, http_request.secrets)
    except VoxtralError as error:
        error.attempts = response.attempts
        raise
