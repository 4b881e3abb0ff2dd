"""Transcription: its settings and its steps, whichever face is before them."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
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
from langchain_voxtral.transcribing.heard import Heard, Told
from langchain_voxtral.transcribing.job import Job
from langchain_voxtral.transcribing.order import ain_order, in_order
from langchain_voxtral.transcribing.progress import Shown, shown
from langchain_voxtral.transcribing.sources import Given
from langchain_voxtral.transport import Lease, Request, apost, post
from langchain_voxtral.wire.servers import SERVERS
from langchain_voxtral.wire.transcription_requests import SpeechOptions, Task

__all__ = ["Transcription"]

logger = logging.getLogger("langchain_voxtral")

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
    function is called with a `Progress` before the first chunk and after each."""
    max_cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """Most US dollars for one recording, checked before its first request."""
    price_per_minute: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    """US dollars for a minute of audio. Known for DeepInfra's Voxtral Mini and for `"local"`."""

    _timeless: set[tuple[str, str]] = PrivateAttr(default_factory=set)
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

    def _unreadable(self, recording: Given, error: VoxtralAudioError) -> Document:
        """Return a mark for a recording that cannot be decoded, or raise why."""
        if self.on_error == "raise":
            raise error
        return unreadable(recording, error)

    def _prepare(self, job: Job) -> None:
        self._plan(job)
        job.check_cost(self.max_cost_usd)

    async def _aprepare(self, job: Job) -> None:
        await self._aplan(job)
        job.check_cost(self.max_cost_usd)

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

    def _heard(self, job: Job) -> Generator[Heard]:
        """Yield what became of each piece, in order, recalled or heard now."""
        with shown(self.progress) as show, closing(self._heard_now(job)) as now:
            show(job.progress(0))
            for span in job.cuts.spans:
                recalled = job.recalled.get(span.index)
                heard = next(now) if recalled is None else recalled
                show(job.progress(span.index + 1))
                yield heard

    async def _aheard(self, job: Job) -> AsyncGenerator[Heard]:
        with shown(self.progress) as show:
            async with aclosing(self._aheard_now(job)) as now:
                show(job.progress(0))
                for span in job.cuts.spans:
                    recalled = job.recalled.get(span.index)
                    heard = await anext(now) if recalled is None else recalled
                    show(job.progress(span.index + 1))
                    yield heard

    def _heard_now(self, job: Job) -> Generator[Heard]:
        if not job.missing:
            return  # not even a key is needed
        hear = partial(self._hear, self._endpoint(), job)
        try:
            yield from in_order(job.pieces(), hear, self.max_concurrency)
        except VoxtralAudioError:
            if job.outdated and self.store is not None:
                self.store.mdelete([job.cuts_key])
            raise

    async def _aheard_now(self, job: Job) -> AsyncGenerator[Heard]:
        if not job.missing:
            return
        hear = partial(self._ahear, await self._aendpoint(), job)
        try:
            async with aclosing(ain_order(job.pieces(), hear, self.max_concurrency)) as results:
                async for heard in results:
                    yield heard
        except VoxtralAudioError:
            if job.outdated and self.store is not None:
                await self.store.amdelete([job.cuts_key])
            raise

    # Asking

    def _hear(self, endpoint: Endpoint, job: Job, piece: Piece) -> Heard:
        try:
            told = self._ask(endpoint, job, piece)
        except VoxtralError as error:
            return self._failed(job, piece.span, error)
        if self.store is not None:
            with _unkept(job, piece.span):
                self.store.mset([job.entry(piece.span, told)])
        return Heard(piece.span, told)

    async def _ahear(self, endpoint: Endpoint, job: Job, piece: Piece) -> Heard:
        try:
            told = await self._aask(endpoint, job, piece)
        except VoxtralError as error:
            return self._failed(job, piece.span, error)
        if self.store is not None:
            with _unkept(job, piece.span):
                await self.store.amset([job.entry(piece.span, told)])
        return Heard(piece.span, told)

    def _ask(self, endpoint: Endpoint, job: Job, piece: Piece) -> Told:
        asking = self._asking_now(job)
        request = self._request(endpoint, asking, piece)
        try:
            reply = post(self._clients(endpoint), request)
        except VoxtralInvalidRequestError as refusal:
            self._forgo_times(job, asking, refusal)
            return self._ask(endpoint, job, piece)
        return told_by(reply, asking, request)

    async def _aask(self, endpoint: Endpoint, job: Job, piece: Piece) -> Told:
        asking = self._asking_now(job)
        # In a thread, for a piece of 10 minutes is searched and copied for this.
        request = await asyncio.to_thread(self._request, endpoint, asking, piece)
        try:
            reply = await apost(self._clients(endpoint), request)
        except VoxtralInvalidRequestError as refusal:
            self._forgo_times(job, asking, refusal)
            return await self._aask(endpoint, job, piece)
        return told_by(reply, asking, request)

    def _asking_now(self, job: Job) -> Asking:
        """Return how to ask, when times have been refused already, maybe for another recording."""
        asking = job.asking
        return asking.untimed() if (job.base_url, asking.route) in self._timeless else asking

    def _forgo_times(self, job: Job, asking: Asking, refusal: VoxtralInvalidRequestError) -> None:
        """Remember that a server tells no times, or raise a refusal of anything else."""
        if not asking.refuses_times(refusal):
            raise refusal
        self._timeless.add((job.base_url, asking.route))

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


@contextmanager
def _unkept(job: Job, span: Span) -> Iterator[None]:
    """Log that a store could not keep an answer: it is paid for, and must not be lost with it."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 - whatever a store raises
        logger.warning(
            "store: %s could not be kept, and another run will pay for it again (%s: %s)",
            job.name(span),
            type(error).__name__,
            error,
        )
