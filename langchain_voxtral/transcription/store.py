"""Transcripts in a store, so that a run that was killed can be continued."""

import asyncio
import hashlib
import json
import logging
from dataclasses import dataclass

from langchain_core.stores import BaseStore
from pydantic import TypeAdapter, ValidationError

from langchain_voxtral.protocol.transcription_request import ChunkTranscript, TranscriptionRequest
from langchain_voxtral.providers import LOCAL_BASE_URL

logger = logging.getLogger("langchain_voxtral")

_VERSION = 2
"""Raised when requests or entries change, so that old entries are not read."""

_ENTRY = TypeAdapter(ChunkTranscript)


@dataclass(frozen=True, slots=True)
class TranscriptStore:
    """A store, or none, of the transcripts of one server."""

    store: BaseStore[str, bytes] | None
    base_url: str

    def load(self, request: TranscriptionRequest) -> ChunkTranscript | None:
        """Return the transcript of an earlier request; None if there is none."""
        if self.store is None:
            return None
        key = self._key(request)
        return _read_entry(key, self.store.mget([key])[0])

    async def aload(self, request: TranscriptionRequest) -> ChunkTranscript | None:
        """Do what `load` does, asynchronously."""
        if self.store is None:
            return None
        key = await asyncio.to_thread(self._key, request)
        return _read_entry(key, (await self.store.amget([key]))[0])

    def save(self, request: TranscriptionRequest, transcript: ChunkTranscript) -> None:
        """Keep a transcript. A failure is logged: what is paid for must not be lost with it."""
        if self.store is None:
            return
        try:
            self.store.mset([(self._key(request), _ENTRY.dump_json(transcript))])
        except Exception as error:  # noqa: BLE001 - whatever a store raises
            _log_failure(request, error)

    async def asave(self, request: TranscriptionRequest, transcript: ChunkTranscript) -> None:
        """Do what `save` does, asynchronously."""
        if self.store is None:
            return
        key = await asyncio.to_thread(self._key, request)
        try:
            await self.store.amset([(key, _ENTRY.dump_json(transcript))])
        except Exception as error:  # noqa: BLE001 - whatever a store raises
            _log_failure(request, error)

    @property
    def _server(self) -> str:
        """What transcribes: an address, or the speech model of the embedded engine."""
        if self.base_url != LOCAL_BASE_URL:
            return self.base_url
        from langchain_voxtral.local.engine.speech import (  # noqa: PLC0415 - as needed
            SpeechEngine,
        )

        return f"{LOCAL_BASE_URL} {SpeechEngine().name}"

    def _key(self, request: TranscriptionRequest) -> str:
        """Return a hash of the chunk and the settings, which file stores take as a name."""
        chunk = hashlib.sha256(request.chunk.data).hexdigest()
        facts = {"version": _VERSION, "base_url": self._server, "chunk": chunk, **request.settings}
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return f"voxtral-{digest}"


def _read_entry(key: str, entry: bytes | None) -> ChunkTranscript | None:
    if entry is None:
        return None
    try:
        return _ENTRY.validate_json(entry)
    except ValidationError:
        logger.warning("store: the entry %s is damaged and will be replaced", key)
        return None


def _log_failure(request: TranscriptionRequest, error: Exception) -> None:
    logger.warning(
        "store: %s could not be kept, and another run will pay for it again (%s: %s)",
        request.title,
        type(error).__name__,
        error,
    )
