"""Recordings as LangChain documents: `VoxtralTranscriptionParser`, `VoxtralTranscriptionLoader`."""

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, closing
from os import PathLike
from typing import Any, cast

from langchain_core.document_loaders import BaseBlobParser, BaseLoader
from langchain_core.documents import Document
from langchain_core.documents.base import Blob

from langchain_voxtral.audio.pricing import Estimate
from langchain_voxtral.errors import VoxtralAudioError, VoxtralInvalidRequestError
from langchain_voxtral.transcription.listening import Listening
from langchain_voxtral.transcription.pipeline import check_cost
from langchain_voxtral.transcription.source import Audio, given

__all__ = ["VoxtralTranscriptionLoader", "VoxtralTranscriptionParser"]


class VoxtralTranscriptionParser(Listening, BaseBlobParser):
    """Transcribes or translates recordings into documents.

    Takes any format that the `audio` extra decodes. Long recordings are cut at silences into
    chunks that the server takes, which are heard in parallel and come back in order. A recording
    of one chunk is decoded at most once; a longer one twice, so that its price and any damage
    are known before the first request.

    Metadata of the documents is flat, beside what the blob brings: `source`, `sha256`,
    `duration`, `start` and `end` (seconds), `chunk` (from 0), `n_chunks`, `segment`, `language`
    and `language_source` (`"requested"` or `"server"`), `timestamps_source` (`"server"`, or
    `"chunk"` where nothing finer than the bounds of our own chunks is known), `model`, `cost` (US
    dollars, what earlier runs paid included) and `cost_source` (`"server"`, or `"estimated"` if
    any of it is), `request_id`, `chunks_from_store`; `loop`, if a phrase stands in a chunk's text
    ten times in a row, which models write over silence; `truncated`, if the recording is cut off
    and was kept; with `on_error="mark"` also `error`, `error_type` and `failed_chunks`. What is
    not known is absent. Of several chunks, several values stand in one string, with commas. Of a
    chunk's segments the first tells its cost, so that costs add up.

    Raises:
        pydantic.ValidationError: A field is unknown or has a wrong value, or the server has no
            such endpoint.

    Example:
        ```python
        from langchain_voxtral import VoxtralTranscriptionParser

        parser = VoxtralTranscriptionParser(base_url="local", mode="srt")  # no key needed
        print(parser.parse("talk.mp3")[0].page_content)
        ```
    """

    def lazy_parse(self, blob: Audio) -> Generator[Document]:
        """Yield the documents of one recording: of chunks and segments as soon as they are there.

        Args:
            blob: A `Blob`, a path (a string is one), bytes, a binary file, or an audio block. A
                file is read from its start, if it can seek, and is not closed.

        Raises:
            VoxtralAudioError: It cannot be decoded.
            VoxtralError: A chunk failed; the message says which.
        """
        with given(blob) as recording:
            job = self._job(recording)
            try:
                self._plan(job)
                job.check_cost(self.max_cost_usd)
                scribe = self._scribe(job)
                with closing(self._heard(job)) as heard:
                    for one in heard:
                        yield from scribe.feed(one)
                yield from scribe.close()
            except VoxtralAudioError as error:
                yield self._unreadable(recording, error)

    async def alazy_parse(self, blob: Audio) -> AsyncGenerator[Document]:
        """Do what `lazy_parse` does, asynchronously; decoding is done in threads."""
        with ExitStack() as stack:
            recording = await asyncio.to_thread(stack.enter_context, given(blob))
            job = self._job(recording)
            try:
                await self._aplan(job)
                job.check_cost(self.max_cost_usd)
                scribe = self._scribe(job)
                async with aclosing(self._aheard(job)) as heard:
                    async for one in heard:
                        for document in scribe.feed(one):
                            yield document
                for document in scribe.close():
                    yield document
            except VoxtralAudioError as error:
                yield self._unreadable(recording, error)

    def parse(self, blob: Audio) -> list[Document]:
        """Return the documents of one recording; see `lazy_parse`."""
        return list(self.lazy_parse(blob))

    async def aparse(self, blob: Audio) -> list[Document]:
        """Return the documents of one recording; see `lazy_parse`."""
        async with aclosing(self.alazy_parse(blob)) as documents:
            return [document async for document in documents]

    def estimate(self, blob: Audio) -> Estimate:
        """Return what a recording will take, without a request.

        What an earlier run has left in the store is not counted. A recording longer than one
        chunk is decoded for this.

        Args:
            blob: The recording, as for `lazy_parse`.

        Raises:
            VoxtralAudioError: It cannot be decoded.

        Example:
            ```python
            from langchain_voxtral import VoxtralTranscriptionParser

            print(VoxtralTranscriptionParser().estimate("talk.mp3").dollars)
            ```
        """
        with given(blob) as recording:
            job = self._job(recording)
            self._plan(job)
            return job.estimate()

    async def aestimate(self, blob: Audio) -> Estimate:
        """Do what `estimate` does, asynchronously."""
        with ExitStack() as stack:
            recording = await asyncio.to_thread(stack.enter_context, given(blob))
            job = self._job(recording)
            await self._aplan(job)
            return job.estimate()


def parser_of(
    parser: VoxtralTranscriptionParser | None, settings: Mapping[str, Any]
) -> VoxtralTranscriptionParser:
    """Return the parser that is given, or one of these settings.

    Raises:
        pydantic.ValidationError: A setting is unknown or has a wrong value.
        VoxtralInvalidRequestError: There are both.
    """
    if parser is None:
        return VoxtralTranscriptionParser(**settings)
    if settings:
        raise VoxtralInvalidRequestError(
            f"{', '.join(sorted(settings))}: give settings to the parser, or no parser."
        )
    return parser


Recordings = Audio | Iterable[Audio]

_FREE = Estimate(0.0, 0, 0, 0.0)


class VoxtralTranscriptionLoader(BaseLoader):
    """Loads recordings as documents, one after the other.

    Args:
        recordings: One recording or several: paths, blobs, bytes, binary files, audio blocks.
        parser: How they are transcribed; else a parser is made of the settings.
        max_cost_usd: Most US dollars for all recordings together, checked before the first
            request; for this, long ones are decoded once more. (The parser's own is for each.)
        **settings: Those of `VoxtralTranscriptionParser`.

    Raises:
        pydantic.ValidationError: A setting is unknown or has a wrong value.
        VoxtralInvalidRequestError: There are both a parser and settings, the budget is no amount,
            or what is given is no recording, nor are there several in it.

    Example:
        ```python
        from langchain_voxtral import VoxtralTranscriptionLoader

        loader = VoxtralTranscriptionLoader("talk.mp3", base_url="local", mode="chunk")
        for document in loader.lazy_load():
            print(document.metadata["start"], document.page_content)
        ```
    """

    def __init__(
        self,
        recordings: Recordings,
        *,
        parser: VoxtralTranscriptionParser | None = None,
        max_cost_usd: float | None = None,
        **settings: Any,
    ) -> None:
        if max_cost_usd is not None and not max_cost_usd >= 0:  # nor is NaN
            raise VoxtralInvalidRequestError(
                f"max_cost_usd={max_cost_usd!r} is no amount of US dollars."
            )
        self.parser = parser_of(parser, settings)
        self.recordings: Sequence[Audio] = _several(recordings)
        self.max_cost_usd = max_cost_usd

    def lazy_load(self) -> Iterator[Document]:
        """Yield the documents of all recordings; see `VoxtralTranscriptionParser.lazy_parse`."""
        if self.max_cost_usd is not None:
            estimates = [self._price(recording) for recording in self.recordings]
            _check_cost(estimates, self.max_cost_usd)
        for recording in self.recordings:
            yield from self.parser.lazy_parse(recording)

    async def alazy_load(self) -> AsyncGenerator[Document]:
        """Do what `lazy_load` does, asynchronously."""
        if self.max_cost_usd is not None:
            estimates = [await self._aprice(recording) for recording in self.recordings]
            _check_cost(estimates, self.max_cost_usd)
        for recording in self.recordings:
            async with aclosing(self.parser.alazy_parse(recording)) as documents:
                async for document in documents:
                    yield document

    def estimate(self) -> Estimate:
        """Return what all recordings will take, without a request; as the parser's `estimate`."""
        return _sum(map(self.parser.estimate, self.recordings))

    async def aestimate(self) -> Estimate:
        """Do what `estimate` does, asynchronously."""
        return _sum([await self.parser.aestimate(recording) for recording in self.recordings])

    def _price(self, recording: Audio) -> Estimate:
        _check_twice(recording)
        try:
            return self.parser.estimate(recording)
        except VoxtralAudioError as error:
            return self._nothing(error)

    async def _aprice(self, recording: Audio) -> Estimate:
        _check_twice(recording)
        try:
            return await self.parser.aestimate(recording)
        except VoxtralAudioError as error:
            return self._nothing(error)

    def _nothing(self, error: VoxtralAudioError) -> Estimate:
        """Return what a recording costs that will be marked, not sent."""
        if self.parser.on_error == "raise":
            raise error
        return _FREE


def _check_cost(estimates: Sequence[Estimate], most: float) -> None:
    what = "1 recording" if len(estimates) == 1 else f"{len(estimates)} recordings"
    check_cost(_sum(estimates), most, what)


def _sum(estimates: Iterable[Estimate]) -> Estimate:
    return sum(estimates, _FREE)


def _check_twice(recording: Audio) -> None:
    """Refuse what cannot be read a second time, when it is to be priced first."""
    can_seek = getattr(recording, "seekable", None)
    if hasattr(recording, "read") and not (can_seek is not None and can_seek()):
        raise VoxtralInvalidRequestError(
            "max_cost_usd= reads each recording twice, and a file that cannot seek is read once: "
            "give its bytes, or set max_cost_usd= of the parser."
        )


def _several(recordings: Recordings) -> Sequence[Audio]:
    one = isinstance(recordings, Blob | str | PathLike | bytes | bytearray | memoryview | Mapping)
    if one or hasattr(recordings, "read"):
        return [cast("Audio", recordings)]
    if not isinstance(recordings, Iterable):
        raise VoxtralInvalidRequestError(
            "The loader takes a recording, or several of them in a list, not "
            f"{type(recordings).__name__}."
        )
    return [*cast("Iterable[Audio]", recordings)]
