"""Transcription: its settings and its steps, whichever face is before them."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import aclosing, closing
from functools import partial
from typing import Annotated, Any, Literal, Self

from langchain_core.documents import Document
from langchain_core.stores import BaseStore
from pydantic import Field, PrivateAttr, model_validator

from langchain_voxtral.audio.cost import PRICE_PER_MINUTE
from langchain_voxtral.audio.decode import Truncated
from langchain_voxtral.audio.errors import VoxtralAudioError
from langchain_voxtral.base import FACE_CONFIG
from langchain_voxtral.connection import Connection
from langchain_voxtral.endpoint import LOCAL, Endpoint, is_deepinfra
from langchain_voxtral.errors import (
    VoxtralAuthenticationError,
    VoxtralError,
    VoxtralInvalidRequestError,
    VoxtralNotFoundError,
    VoxtralPermissionDeniedError,
    VoxtralUnsupportedFeatureError,
)
from langchain_voxtral.options import CallOptions, unknown_option
from langchain_voxtral.transcribing.asking import Asking, Door, told_by
from langchain_voxtral.transcribing.cuts import Piece, Span, Windows
from langchain_voxtral.transcribing.documents import Mode, Scribe, unreadable
from langchain_voxtral.transcribing.heard import Heard, Told, write_transcript
from langchain_voxtral.transcribing.job import Job
from langchain_voxtral.transcribing.order import ain_order, in_order
from langchain_voxtral.transcribing.progress import Shown, shown
from langchain_voxtral.transcribing.sources import Given
from langchain_voxtral.transport import Lease, Request, apost, post
from langchain_voxtral.wire.servers import SERVERS
from langchain_voxtral.wire.transcription_requests import SpeechOptions, Task

__all__ = ["Transcription"]

_FOR_CHATS = {
    "api": "endpoint=",
    "stream_idle_timeout": "timeout=",
    "max_stream_resumes": "store=, by which a killed run goes on",
}
"""Settings of connections that mean nothing here, and what does."""

_HOPELESS = (
    VoxtralAuthenticationError,
    VoxtralPermissionDeniedError,
    VoxtralNotFoundError,
    VoxtralUnsupportedFeatureError,
)
"""Failures that would befall every other chunk too; these are raised, never marked."""


class Transcription(Connection):
    """Settings and steps of transcriptions. Not for direct use."""

    model_config = FACE_CONFIG

    model: str = Field(default=CallOptions.model_fields["model"].default, min_length=1)
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
    run that was killed and begun again pays only for what is missing."""
    progress: bool | Shown | None = Field(default=None, repr=False, exclude=True)
    """True shows a bar on stderr, False nothing, None a bar in terminals and notebooks only; a
    function is called with a `Progress` after each chunk."""
    max_cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Most US dollars for one recording, checked before its first request."""
    price_per_minute: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """US dollars for a minute of audio. Known for DeepInfra's Voxtral Mini and for `"local"`."""

    _lease: Lease = PrivateAttr(default_factory=Lease)
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
            server=SERVERS[self.server],
            model=self.model,
            options=SpeechOptions(self.task, self.language, self.prompt, self.temperature),
            timed=self.mode in {"segment", "srt", "vtt"},
        )

    def _job(self, recording: Given) -> Job:
        server = SERVERS[self.server]
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
        if self.base_url == LOCAL:
            return 0.0
        default = type(self).model_fields["model"].default
        known = is_deepinfra(self.base_url) and self.model == default
        return PRICE_PER_MINUTE if known else None

    def _scribe(self, job: Job) -> Scribe:
        return Scribe(self.mode, job.facts(), self.language, job.price_per_minute)

    def _unreadable(self, recording: Given, error: VoxtralError) -> Document:
        """Return a mark for a recording that cannot be decoded, or raise why."""
        if self.on_error == "raise" or not isinstance(error, VoxtralAudioError):
            raise error
        return unreadable(recording, error)

    def _prepare(self, job: Job) -> None:
        self._plan(job)
        job.check_cost(self.max_cost_usd)

    def _plan(self, job: Job) -> None:
        if self.store is None:
            job.plan()
            return
        news = job.plan(self.store.mget([job.cuts_key])[0])
        if news is not None:
            self.store.mset([(job.cuts_key, news)])
        job.recall(self.store.mget(job.keys))

    async def _aprepare(self, job: Job) -> None:
        await asyncio.to_thread(job.identify)
        if self.store is None:
            await asyncio.to_thread(job.plan)
        else:
            news = await asyncio.to_thread(job.plan, (await self.store.amget([job.cuts_key]))[0])
            if news is not None:
                await self.store.amset([(job.cuts_key, news)])
            job.recall(await self.store.amget(job.keys))
        job.check_cost(self.max_cost_usd)

    def _heard(self, job: Job) -> Generator[Heard]:
        """Yield what became of each piece, in order, recalled or heard now."""
        with shown(self.progress) as show, closing(self._heard_now(job)) as now:
            for span in job.cuts.spans:
                recalled = job.recalled.get(span.index)
                heard = next(now) if recalled is None else recalled
                show(job.progress(span))
                yield heard

    async def _aheard(self, job: Job) -> AsyncGenerator[Heard]:
        with shown(self.progress) as show:
            async with aclosing(self._aheard_now(job)) as now:
                for span in job.cuts.spans:
                    recalled = job.recalled.get(span.index)
                    heard = await anext(now) if recalled is None else recalled
                    show(job.progress(span))
                    yield heard

    def _heard_now(self, job: Job) -> Generator[Heard]:
        if job.missing:  # else not even a key is needed
            hear = partial(self._hear, self._endpoint(), job)
            yield from in_order(job.pieces(), hear, self.max_concurrency)

    async def _aheard_now(self, job: Job) -> AsyncGenerator[Heard]:
        if job.missing:
            hear = partial(self._ahear, await self._aendpoint(), job)
            async with aclosing(ain_order(job.pieces(), hear, self.max_concurrency)) as results:
                async for heard in results:
                    yield heard

    # Asking

    def _hear(self, endpoint: Endpoint, job: Job, piece: Piece) -> Heard:
        try:
            told = self._ask(endpoint, job, piece)
        except VoxtralError as error:
            return self._failed(job, piece.span, error)
        if self.store is not None:
            self.store.mset([(job.key(piece.span), write_transcript(told))])
        return Heard(piece.span, told)

    async def _ahear(self, endpoint: Endpoint, job: Job, piece: Piece) -> Heard:
        try:
            told = await self._aask(endpoint, job, piece)
        except VoxtralError as error:
            return self._failed(job, piece.span, error)
        if self.store is not None:
            await self.store.amset([(job.key(piece.span), write_transcript(told))])
        return Heard(piece.span, told)

    def _ask(self, endpoint: Endpoint, job: Job, piece: Piece) -> Told:
        asking = job.asking
        request = self._request(endpoint, asking, piece)
        try:
            reply = post(self._clients(endpoint), request)
        except VoxtralInvalidRequestError as refusal:
            if not asking.refuses_times(refusal):
                raise
            job.asking = asking.untimed()
            return self._ask(endpoint, job, piece)
        return told_by(reply, asking, request)

    async def _aask(self, endpoint: Endpoint, job: Job, piece: Piece) -> Told:
        asking = job.asking
        request = self._request(endpoint, asking, piece)
        try:
            reply = await apost(self._clients(endpoint), request)
        except VoxtralInvalidRequestError as refusal:
            if not asking.refuses_times(refusal):
                raise
            job.asking = asking.untimed()
            return await self._aask(endpoint, job, piece)
        return told_by(reply, asking, request)

    def _request(self, endpoint: Endpoint, asking: Asking, piece: Piece) -> Request:
        content, content_type = asking.body(piece)
        headers = self._headers(endpoint, streaming=False)
        return Request(
            url=endpoint.url(asking.route, asking.model),
            content=content,
            headers=headers | {"content-type": content_type},
            secrets=self._secrets(endpoint),
            model=asking.model,
            limits=self._limits(streaming=False),
            retry=self._retry_policy(),
            carried_audio=True,
        )

    def _failed(self, job: Job, span: Span, error: VoxtralError) -> Heard:
        """Return the mark of a chunk that failed, or raise why, and which it was."""
        error.message = f"{job.name(span)}: {error.message}"
        if self.on_error == "raise" or isinstance(error, _HOPELESS):
            raise error
        return Heard(span, error=error)
