"""One recording: decoded once, cut into chunks, each read from the store or sent."""

from collections.abc import AsyncGenerator, Callable, Generator, Iterator
from contextlib import aclosing, closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.audio.pricing import Estimate, check_cost, estimate_cost
from langchain_voxtral.audio.source import AudioSource
from langchain_voxtral.errors import (
    PERMANENT_ERRORS,
    VoxtralAudioError,
    VoxtralError,
)
from langchain_voxtral.protocol.transcription_request import TranscriptionRequest
from langchain_voxtral.protocol.transcription_stream import ItemType, StreamedItem
from langchain_voxtral.transcription.chunk_sender import ChunkSender, NoTimestamps
from langchain_voxtral.transcription.chunks import ChunkedRecording
from langchain_voxtral.transcription.concurrency import astream_ordered, stream_ordered
from langchain_voxtral.transcription.documents import DocumentBuilder, Mode
from langchain_voxtral.transcription.progress import Progress, prepare_progress, progress_reporter
from langchain_voxtral.transcription.result_log import ResultLog
from langchain_voxtral.transcription.results import ChunkResult
from langchain_voxtral.transcription.runs import RequestRuns, arequest_runs, request_runs
from langchain_voxtral.transcription.settings import (
    TranscriptionSettings,
    chunk_limits,
    price_per_minute,
    request_for,
    target_seconds,
)
from langchain_voxtral.transcription.store import TranscriptStore
from langchain_voxtral.transcription.timestamps import (
    demands_timestamps,
    expected_timestamps,
    needs_cues,
)
from langchain_voxtral.transcription_client import TranscriptionClient

Emit = Callable[[ChunkResult], None]


@dataclass
class TranscriptionJob:
    """The transcription of one recording.

    `open` it first (it reads files: on an event loop, in a thread), then `check_budget`, then take
    its `results`.
    """

    source: AudioSource
    metadata: dict[str, Any]
    settings: TranscriptionSettings
    client: TranscriptionClient
    no_timestamps: NoTimestamps
    recording: ChunkedRecording = field(init=False, repr=False)
    _store: TranscriptStore = field(init=False, repr=False)
    _log: ResultLog = field(init=False, repr=False)
    _last: ChunkResult | None = field(init=False, repr=False, default=None)  # that is whole

    def __post_init__(self) -> None:
        self._store = TranscriptStore(self.settings.store, self.settings.base_url)
        # A default of a subclass is a wish: whether it comes true shows in the metadata.
        is_wish = self.settings.timestamps and not demands_timestamps(self.settings)
        expected = None if is_wish else expected_timestamps(self.settings)
        self._log = ResultLog(self.source.title, expected, self.settings.speakers)
        if self.source.name is not None:
            self.metadata = {**self.metadata, "source": self.source.name}

    def open(self) -> None:
        """Open the recording, and read its length and hash.

        Raises:
            VoxtralAudioError: It is no recording, or known to be cut off.
        """
        settings = self.settings
        prepare_progress(settings.progress)
        self.recording = ChunkedRecording(
            self.source,
            chunk_limits(settings),
            target_seconds=target_seconds(settings),
            truncated=settings.truncated,
            as_cues=needs_cues(settings),
            marks_silence=not settings.send_silence,
        )
        self.metadata |= {
            "sha256": self.source.sha256(),
            "duration": self.recording.duration,
            "truncated": self.recording.is_truncated or None,
        }

    def document_builder(self, mode: Mode) -> DocumentBuilder:
        """Return a builder for documents of the results."""
        settings = self.settings
        facts = self.metadata, settings.language, price_per_minute(settings)
        wanted = settings.timestamps, settings.speakers
        return DocumentBuilder(mode, *facts, *wanted, is_translation=settings.task == "translate")

    # Cost

    def estimate(self) -> Estimate:
        """Return what the recording will take, from its length.

        It is decoded if the file states no length, or to find what the store lacks.
        """
        if self.settings.store is None and (whole := self._whole_estimate()) is not None:
            return whole
        unknown = (each for each in self.recording.chunks() if not self._known(each))
        return self._estimate([chunk.seconds for chunk in unknown])

    async def aestimate(self) -> Estimate:
        """Do what `estimate` does, asynchronously."""
        if self.settings.store is None and (whole := self._whole_estimate()) is not None:
            return whole

        async def seconds_to_send(chunk: AudioChunk, _: object) -> float:
            return 0.0 if await self._aknown(chunk) else chunk.seconds

        chunks = self.recording.chunks()
        lengths: AsyncGenerator[float] = astream_ordered(chunks, seconds_to_send, 1)
        async with aclosing(lengths):
            return self._estimate([seconds async for seconds in lengths if seconds])

    def check_budget(self) -> None:
        """Check that the recording costs no more than `max_cost_usd`.

        Raises:
            VoxtralInvalidRequestError: It costs more, or its price is not known.
        """
        limit = self.settings.max_cost_usd
        if limit is not None and not self._whole_costs_at_most(limit):
            check_cost(self.estimate(), limit, self.source.title)

    async def acheck_budget(self) -> None:
        """Do what `check_budget` does, asynchronously."""
        limit = self.settings.max_cost_usd
        if limit is not None and not self._whole_costs_at_most(limit):
            check_cost(await self.aestimate(), limit, self.source.title)

    def _whole_costs_at_most(self, limit: float) -> bool:
        whole = self._whole_estimate()
        return whole is not None and whole.dollars is not None and whole.dollars <= limit

    def _whole_estimate(self) -> Estimate | None:
        duration, count = self.recording.duration, self.recording.expected_chunks
        if duration is None or count is None:
            return None
        return self._estimate([duration / count] * count)

    def _estimate(self, lengths: list[float]) -> Estimate:
        return estimate_cost(lengths, price_per_minute(self.settings))

    # Results

    def results(self, wanted: ItemType | None = None) -> Generator[ChunkResult]:
        """Yield the results of all chunks in order, as soon as they are there.

        Args:
            wanted: What is wanted of a chunk before it is whole, if the server can stream it: then
                results that are partial come before the result.

        Raises:
            VoxtralAudioError: The recording cannot be decoded.
            VoxtralError: A chunk failed; the message names it.
        """
        runs = request_runs(self.settings, self.metadata["sha256"])
        transcribe = partial(self._transcribe, self._sender(wanted, runs))
        work: Generator[ChunkResult] = stream_ordered(
            self.recording.chunks(), transcribe, self.settings.max_concurrency
        )
        with self._reporting(wanted) as report, closing(work):
            try:
                for result in work:
                    report(result)
                    yield result
            except VoxtralAudioError as error:
                yield self._undecoded(error)

    async def aresults(self, wanted: ItemType | None = None) -> AsyncGenerator[ChunkResult]:
        """Do what `results` does, asynchronously."""
        runs = arequest_runs(self.settings, self.metadata["sha256"])
        transcribe = partial(self._atranscribe, self._sender(wanted, runs))
        work: AsyncGenerator[ChunkResult] = astream_ordered(
            self.recording.chunks(), transcribe, self.settings.max_concurrency
        )
        with self._reporting(wanted) as report:
            async with aclosing(work):
                try:
                    async for result in work:
                        report(result)
                        yield result
                except VoxtralAudioError as error:
                    yield self._undecoded(error)

    @contextmanager
    def _reporting(self, wanted: ItemType | None) -> Iterator[Callable[[ChunkResult], None]]:
        """Report the progress; yield the function that takes note of each result."""
        shown = progress_reporter(self.settings.progress, is_beside_text=wanted is str)
        with shown as show:
            show(self._progress())

            def report(result: ChunkResult) -> None:
                if not result.is_partial:
                    self._last = result
                    self._log.add(result, self._title(result.chunk))
                    show(self._progress())

            yield report

    def _sender(self, wanted: ItemType | None, runs: RequestRuns[Any]) -> ChunkSender:
        settings = self.settings
        known, demanded = self.no_timestamps, demands_timestamps(settings)
        return ChunkSender(self.client, runs, settings.base_url, known, demanded, wanted)

    def _transcribe(self, sender: ChunkSender, chunk: AudioChunk, emit: Emit) -> ChunkResult:
        if known := self._known(chunk):
            return known
        request = self._request(chunk)
        try:
            response = sender.send(request, lambda item: emit(self._part(chunk, item)))
        except VoxtralError as error:
            return self._failed(chunk, error)
        self._store.save(request, response)
        return self._result(chunk, response=response)

    async def _atranscribe(self, sender: ChunkSender, chunk: AudioChunk, emit: Emit) -> ChunkResult:
        if known := await self._aknown(chunk):
            return known
        request = self._request(chunk)
        try:
            response = await sender.asend(request, lambda item: emit(self._part(chunk, item)))
        except VoxtralError as error:
            return self._failed(chunk, error)
        await self._store.asave(request, response)
        return self._result(chunk, response=response)

    def _known(self, chunk: AudioChunk) -> ChunkResult | None:
        """Return the result of a chunk that is not sent: it is silent, or in the store."""
        if chunk.is_silent:
            return self._result(chunk)
        stored = self._store.load(self._request(chunk))
        return None if stored is None else self._result(chunk, response=stored, is_cached=True)

    async def _aknown(self, chunk: AudioChunk) -> ChunkResult | None:
        """Do what `_known` does, asynchronously."""
        if chunk.is_silent:
            return self._result(chunk)
        stored = await self._store.aload(self._request(chunk))
        return None if stored is None else self._result(chunk, response=stored, is_cached=True)

    def _part(self, chunk: AudioChunk, item: StreamedItem) -> ChunkResult:
        """Return what came of a chunk that is not whole."""
        if isinstance(item, str):
            return self._result(chunk, partial=item, is_partial=True)
        return self._result(chunk, response=item, is_partial=True)

    def _request(self, chunk: AudioChunk) -> TranscriptionRequest:
        return request_for(self.settings, chunk, self._title(chunk))

    def _title(self, chunk: AudioChunk) -> str:
        """Return what messages call a chunk."""
        if chunk.is_last and not chunk.index:
            return self.source.title
        bounds = f"{chunk.start:.1f} s to {chunk.end:.1f} s"
        return f"{self.source.title}, chunk {chunk.index + 1} ({bounds})"

    def _result(self, chunk: AudioChunk, **outcome: Any) -> ChunkResult:
        is_truncated = chunk.is_last and self.recording.is_truncated
        return ChunkResult(replace(chunk, data=b""), is_truncated=is_truncated, **outcome)

    def _failed(self, chunk: AudioChunk, error: VoxtralError) -> ChunkResult:
        """Return the result of a chunk that failed, or raise its error."""
        if self.settings.on_error == "raise" or isinstance(error, PERMANENT_ERRORS):
            raise error
        # Its frames hold the chunk's data, which would stay until the next garbage collection.
        error.__traceback__ = error.__cause__ = error.__context__ = None
        kind, partial_text = type(error).__name__, error.partial
        return self._result(chunk, error=str(error), error_type=kind, partial=partial_text)

    def _undecoded(self, error: VoxtralAudioError) -> ChunkResult:
        """Return the rest of a recording as a chunk that failed, or raise the error."""
        if self.settings.on_error == "raise" or self._last is None:
            raise error
        last = self._last.chunk
        end = max(last.end, self.recording.duration or 0.0)
        rest = AudioChunk(last.index + 1, last.end, end, b"", is_last=True)
        return self._result(rest, error=str(error), error_type=type(error).__name__)

    def _progress(self) -> Progress:
        total, duration = self.recording.expected_chunks, self.recording.duration
        if self._last is None:
            return Progress(self.source.title, 0, total, 0.0, duration)
        last = self._last.chunk
        done, seconds = last.index + 1, last.end
        if last.is_last:
            total, duration = done, seconds
        elif total is not None:
            total = max(total, done + 1)
        return Progress(self.source.title, done, total, seconds, duration)
