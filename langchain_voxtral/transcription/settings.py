"""Transcription: its settings, and what is planned by them before anything is asked."""

import asyncio
from typing import Annotated, Any, Literal, Self

from langchain_core.documents import Document
from langchain_core.stores import BaseStore
from pydantic import Field, PrivateAttr, model_validator

from langchain_voxtral.audio.decoder import Truncated
from langchain_voxtral.audio.pricing import PRICE_PER_MINUTE
from langchain_voxtral.connection import MODEL_CONFIG, ConnectionSettings
from langchain_voxtral.endpoint import LOCAL_BASE_URL, is_deepinfra
from langchain_voxtral.errors import VoxtralAudioError
from langchain_voxtral.protocol.transcription_requests import Task, TranscriptionOptions
from langchain_voxtral.providers import PROVIDERS
from langchain_voxtral.settings import SamplingSettings, unknown_option
from langchain_voxtral.transcription.cuts import Windows
from langchain_voxtral.transcription.documents import Mode, Scribe, unreadable
from langchain_voxtral.transcription.pipeline import Job
from langchain_voxtral.transcription.progress import Shown
from langchain_voxtral.transcription.request import Asking, Door
from langchain_voxtral.transcription.source import Given
from langchain_voxtral.transport import ClientLease

__all__ = ["Transcription"]

_FOR_CHATS = {
    "api": "endpoint=",
    "stream_idle_timeout": "timeout=",
    "max_stream_resumes": "store=, by which a killed run goes on",
}
"""Settings of connections that mean nothing here, and what does."""


class Transcription(ConnectionSettings):
    """Settings of transcriptions, and plans by them. Not for direct use."""

    model_config = MODEL_CONFIG

    model: str = Field(default=SamplingSettings.model_fields["model"].default, min_length=1)
    """The model's name at the server."""
    task: Task = "transcribe"
    """`"transcribe"` in the language spoken, or `"translate"` into English."""
    language: str | None = None
    """The language spoken, as its ISO 639-1 code (`"fr"`); None lets the model tell."""
    prompt: str | None = None
    """A text that goes before, for names and style. Not every server heeds it."""
    temperature: float | None = 0.0
    """Randomness; the model card recommends 0 for transcription."""
    endpoint: Door = "transcriptions"
    """Who is asked: OpenAI's audio endpoints, DeepInfra's `"native"` one, or the model in a
    `"chat"`, which every server has, but which may add words of its own."""
    mode: Mode = "document"
    """What becomes a document: the whole recording, each `"chunk"`, each `"segment"` as the
    server tells them, or a subtitle file (`"srt"`, `"vtt"`)."""
    chunk_seconds: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    """Length to aim at for chunks, at most the server's limit; None makes as few as can be."""
    max_concurrency: int = Field(default=4, ge=1)
    """Chunks in flight at once; one more is in memory."""
    on_error: Literal["raise", "mark"] = "raise"
    """Whether a chunk that fails, or a recording that cannot be decoded, ends everything, or is
    told in the metadata of its document. A key or a model that the server does not accept is
    raised in any case."""
    truncated: Truncated = "error"
    """Whether a recording that is cut off is an error, or is taken as far as it goes."""
    store: BaseStore[str, bytes] | None = Field(default=None, repr=False, exclude=True)
    """Where to keep what was heard, by hashes of sound and settings (`LocalFileStore`, ...): a
    run that was killed and begun again pays only for what is missing. Threads write to it."""
    progress: bool | Shown | None = Field(default=None, repr=False, exclude=True)
    """True shows a bar on stderr, False nothing, None a bar in terminals and notebooks only; a
    function is called with a `Progress` before the first chunk and after each."""
    max_cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Most US dollars for one recording, checked before its first request."""
    price_per_minute: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """US dollars for a minute of audio. Known for DeepInfra's Voxtral Mini and for `"local"`."""

    _lease: ClientLease = PrivateAttr(default_factory=ClientLease)
    _lost_key: bool = PrivateAttr(default=False)

    @model_validator(mode="before")
    @classmethod
    def _name_unknown_fields(cls, values: Any) -> Any:
        for name in values if isinstance(values, dict) else ():
            if name in _FOR_CHATS:
                raise ValueError(f"{name}= is a setting of chats; here it is {_FOR_CHATS[name]}")
            if name not in cls.model_fields:
                known = sorted(cls.model_fields.keys() - _FOR_CHATS)
                raise ValueError(unknown_option(str(name), known).partition(" Fields that")[0])
        return values

    @model_validator(mode="after")
    def _check_endpoint(self) -> Self:
        self._asking()
        return self

    # Planning

    def _asking(self) -> Asking:
        return Asking(
            door=self.endpoint,
            server=PROVIDERS[self.server],
            model=self.model,
            options=TranscriptionOptions(self.task, self.language, self.prompt, self.temperature),
            timed=self.mode in {"segment", "srt", "vtt"},
        )

    def _job(self, recording: Given) -> Job:
        server = PROVIDERS[self.server]
        windows = Windows(
            longest=server.longest_seconds,
            most_bytes=server.most_bytes,
            target=self.chunk_seconds and min(self.chunk_seconds, server.longest_seconds),
            takes=server.audio_formats,
            truncated=self.truncated,
        )
        return Job(recording, windows, self._asking(), self.base_url, self._price())

    def _price(self) -> float | None:
        """Return US dollars for a minute, None if that is not known."""
        if self.price_per_minute is not None:
            return self.price_per_minute
        if self.base_url == LOCAL_BASE_URL:
            return 0.0
        default = type(self).model_fields["model"].default
        known = is_deepinfra(self.base_url) and self.model == default
        return PRICE_PER_MINUTE if known else None

    def _scribe(self, job: Job) -> Scribe:
        return Scribe(self.mode, job.facts(), self.language, job.price_per_minute)

    def _unreadable(self, recording: Given, error: VoxtralAudioError) -> Document:
        """Return a mark for a recording that cannot be decoded, or raise why."""
        if self.on_error == "raise":
            raise error
        return unreadable(recording, error)

    def _plan(self, job: Job) -> None:
        job.identify()
        if self.store is None:
            job.plan()
            return
        news = job.plan(self.store.mget([job.cuts_key])[0])
        if news is not None:
            self.store.mset([(job.cuts_key, news)])
        job.recall(self.store.mget(job.keys))

    async def _aplan(self, job: Job) -> None:
        await asyncio.to_thread(job.identify)
        kept = None if self.store is None else (await self.store.amget([job.cuts_key]))[0]
        try:
            news = await asyncio.to_thread(job.plan, kept)
        except asyncio.CancelledError:
            job.given_up = True  # else the loop's end would wait until all is decoded
            raise
        if self.store is None:
            return
        if news is not None:
            await self.store.amset([(job.cuts_key, news)])
        keys = await asyncio.to_thread(lambda: job.keys)
        await asyncio.to_thread(job.recall, await self.store.amget(keys))
