"""Listening: what a plan of a transcription asks for, at once, and what becomes of it, in order."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from functools import partial

from pydantic import PrivateAttr

from langchain_voxtral.endpoint import ServerAddress
from langchain_voxtral.errors import (
    HOPELESS,
    VoxtralAudioError,
    VoxtralError,
    VoxtralInvalidRequestError,
)
from langchain_voxtral.transcription.concurrency import ain_order, in_order
from langchain_voxtral.transcription.cuts import Piece, Span
from langchain_voxtral.transcription.pipeline import Job
from langchain_voxtral.transcription.progress import shown
from langchain_voxtral.transcription.request import Asking, told_by
from langchain_voxtral.transcription.settings import Transcription
from langchain_voxtral.transcription.store import ChunkResult, ChunkTranscript
from langchain_voxtral.transport import HTTPRequest, apost, post

__all__ = ["Listening"]

logger = logging.getLogger("langchain_voxtral")


class Listening(Transcription):
    """Asks about the pieces of recordings, several at a time. Not for direct use."""

    _timeless: set[tuple[str, ...]] = PrivateAttr(default_factory=set)

    def _heard(self, job: Job) -> Generator[ChunkResult]:
        """Yield what became of each piece, in order, recalled or heard now."""
        with shown(self.progress) as show, closing(self._heard_now(job)) as now:
            show(job.progress(0))
            for span in job.cuts.spans:
                recalled = job.recalled.get(span.index)
                heard = next(now) if recalled is None else recalled
                show(job.progress(span.index + 1))
                yield heard

    async def _aheard(self, job: Job) -> AsyncGenerator[ChunkResult]:
        with shown(self.progress) as show:
            async with aclosing(self._aheard_now(job)) as now:
                show(job.progress(0))
                for span in job.cuts.spans:
                    recalled = job.recalled.get(span.index)
                    heard = await anext(now) if recalled is None else recalled
                    show(job.progress(span.index + 1))
                    yield heard

    def _heard_now(self, job: Job) -> Generator[ChunkResult]:
        if not job.missing:
            return  # not even a key is needed
        hear = partial(self._hear, self._endpoint(), job)
        try:
            yield from in_order(job.pieces(), hear, self.max_concurrency)
        except VoxtralAudioError:
            if job.outdated and self.store is not None:
                self.store.mdelete([job.cuts_key])
            raise

    async def _aheard_now(self, job: Job) -> AsyncGenerator[ChunkResult]:
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

    # One piece

    def _hear(self, endpoint: ServerAddress, job: Job, piece: Piece) -> ChunkResult:
        try:
            told = self._ask(endpoint, job, piece)
        except VoxtralError as error:
            return self._failed(job, piece.span, error)
        if self.store is not None:
            with _unkept(job, piece.span):
                self.store.mset([job.entry(piece.span, told)])
        return ChunkResult(piece.span, told)

    async def _ahear(self, endpoint: ServerAddress, job: Job, piece: Piece) -> ChunkResult:
        try:
            told = await self._aask(endpoint, job, piece)
        except VoxtralError as error:
            return self._failed(job, piece.span, error)
        if self.store is not None:
            with _unkept(job, piece.span):
                await self.store.amset([job.entry(piece.span, told)])
        return ChunkResult(piece.span, told)

    def _ask(self, endpoint: ServerAddress, job: Job, piece: Piece) -> ChunkTranscript:
        asking = self._asking_now(job)
        request = self._request(endpoint, asking, piece)
        try:
            reply = post(self._clients(endpoint), request)
        except VoxtralInvalidRequestError as refusal:
            self._forgo_times(job, asking, refusal)
            return self._ask(endpoint, job, piece)
        return told_by(reply, asking, request)

    async def _aask(self, endpoint: ServerAddress, job: Job, piece: Piece) -> ChunkTranscript:
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
        return job.asking.untimed() if _door(job) in self._timeless else job.asking

    def _forgo_times(self, job: Job, asking: Asking, refusal: VoxtralInvalidRequestError) -> None:
        """Remember that a model tells no times, or raise a refusal of anything else."""
        if not asking.refuses_times(refusal):
            raise refusal
        self._timeless.add(_door(job))

    def _request(self, endpoint: ServerAddress, asking: Asking, piece: Piece) -> HTTPRequest:
        content, content_type = asking.body(piece)
        headers = self._headers(endpoint, streaming=False)
        return HTTPRequest(
            url=endpoint.url(asking.route, asking.model),
            content=content,
            headers=headers | {"content-type": content_type},
            secrets=self._secrets(endpoint),
            model=asking.model,
            timeouts=self._limits(streaming=False),
            retry=self._retry_policy(),
            has_audio=True,
        )

    def _failed(self, job: Job, span: Span, error: VoxtralError) -> ChunkResult:
        """Return the mark of a chunk that failed, or raise why, and which it was."""
        error.message = f"{job.name(span)}: {error.message}"
        if self.on_error == "raise" or isinstance(error, HOPELESS):
            raise error
        # Their frames hold the piece, and them: else it would stay until the next collection.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        return ChunkResult(span, error=str(error), error_type=type(error).__name__)


def _door(job: Job) -> tuple[str, ...]:
    return job.base_url, job.asking.route, job.asking.model


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
