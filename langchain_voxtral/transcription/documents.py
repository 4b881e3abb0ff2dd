"""Results of chunks as LangChain documents."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

from langchain_core.documents import Document

from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.audio.pricing import cost_usd
from langchain_voxtral.audio.subtitles import to_srt, to_vtt
from langchain_voxtral.protocol.transcription import Segment
from langchain_voxtral.protocol.transcription_request import ChunkTranscript

Mode = Literal["document", "chunk", "segment", "srt", "vtt"]

_SUBTITLES: Mapping[Mode, Callable[[Iterable[Segment]], str]] = {"srt": to_srt, "vtt": to_vtt}
_MAX_PHRASE_WORDS = 12
_MIN_REPETITIONS = 10

Metadata = dict[str, Any]

_ZERO_COST: Metadata = {"cost": None, "cost_source": None}
"""Only the first segment of a chunk has its cost, so that costs of documents add up."""


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What became of a chunk.

    Args:
        chunk: The chunk, without its data.
        response: What the server returned; None if that failed.
        error: Why it failed, as text: an exception would keep the chunk's data alive.
        error_type: The exception's class.
        partial: The text that had arrived before it failed.
        is_cached: Whether it was read from the store.
        is_truncated: Whether the recording ends with it because it is cut off or damaged.
    """

    chunk: AudioChunk
    response: ChunkTranscript | None = None
    error: str | None = None
    error_type: str | None = None
    partial: str = ""
    is_cached: bool = False
    is_truncated: bool = False

    @property
    def text(self) -> str:
        """What is known to be said in it."""
        text = self.partial if self.response is None else self.response.transcript.text
        return text.strip()


@dataclass(slots=True)
class DocumentBuilder:
    """Makes documents of the results of one recording, which are added in order.

    Metadata is flat, and what is not known is absent: vector stores reject None.

    Args:
        mode: What becomes a document.
        metadata: Metadata of all documents.
        language: The language that was requested, if any.
        price_per_minute: US dollars, for chunks without a cost of the server; None if not known.
    """

    mode: Mode
    metadata: Metadata
    language: str | None
    price_per_minute: float | None
    _results: list[ChunkResult] = field(default_factory=list)
    _segments: int = 0

    def add(self, result: ChunkResult) -> list[Document]:
        """Take the result of the next chunk; return the documents that are complete."""
        if self.mode == "chunk":
            return [self._document(result.text, [result], chunk=result.chunk.index)]
        if self.mode == "segment":
            return self._segment_documents(result)
        self._results.append(result)
        return []

    def finish(self) -> list[Document]:
        """Return the document of the whole recording, if the mode has one."""
        results = self._results
        if self.mode == "document":
            return [self._document(" ".join(filter(None, (one.text for one in results))), results)]
        if self.mode in _SUBTITLES:
            text = _SUBTITLES[self.mode](each for one in results for each in _segments(one))
            return [self._document(text, results, timestamps_source=_timestamps_source(results))]
        return []

    def _segment_documents(self, result: ChunkResult) -> list[Document]:
        """Return the segments of a chunk: one if it failed, none if it is silent."""
        chunk, first = result.chunk.index, self._segments
        if result.error is not None:
            documents = [self._document(result.text, [result], chunk=chunk, segment=first)]
        else:
            documents = [
                self._document(
                    segment.text.strip(),
                    [result],
                    chunk=chunk,
                    segment=number,
                    start=segment.start,
                    end=segment.end,
                    timestamps_source=_timestamps_source([result]),
                    **({} if number == first else _ZERO_COST),
                )
                for number, segment in enumerate(_segments(result), first)
            ]
        self._segments += len(documents)
        return documents

    def _document(self, text: str, results: Sequence[ChunkResult], **more: Any) -> Document:
        responses = [one.response for one in results if one.response is not None]
        metadata = {
            **self.metadata,
            "start": results[0].chunk.start,
            "end": results[-1].chunk.end,
            **_totals(results[-1]),
            "timestamps_source": "chunk",
            **self._language(responses),
            **self._cost(results),
            "model": _joined(one.model for one in responses),
            "request_id": _joined(one.transcript.request_id for one in responses),
            "loop": _joined(find_repetition(one.text) for one in results),
            "chunks_from_store": sum(one.is_cached for one in results),
            **_silence(results),
            **_errors(results),
            **more,
        }
        return Document(text, metadata=without_none(metadata))

    def _language(self, responses: Sequence[ChunkTranscript]) -> Metadata:
        """Return the language and its source; a server may only repeat the requested one."""
        if self.language is not None:
            return {"language": self.language, "language_source": "requested"}
        language = _joined(one.transcript.language for one in responses)
        return {"language": language, "language_source": "server" if language else None}

    def _cost(self, results: Sequence[ChunkResult]) -> Metadata:
        """Return the cost of the chunks; it is estimated by the second, and none for silence."""
        costs = []
        source = "server"
        if all(one.chunk.is_silent for one in results):
            return {"cost": 0.0, "cost_source": "not_sent"}
        for one in results:
            if one.response is None:
                continue
            cost = one.response.transcript.usage.cost
            if cost is None:
                if self.price_per_minute is None:
                    return {}
                source = "estimated"
                cost = cost_usd(one.chunk.seconds, self.price_per_minute)
            costs.append(cost)
        return {"cost": math.fsum(costs), "cost_source": source} if costs else {}


def without_none(metadata: Metadata) -> Metadata:
    """Return metadata without what is not known."""
    return {name: value for name, value in metadata.items() if value is not None}


@lru_cache(maxsize=16)  # all segments of a chunk look at the same text
def find_repetition(text: str) -> str | None:
    """Return a phrase of up to 12 words that occurs 10 times in a row; None if there is none."""
    words = text.split()
    for length in range(1, _MAX_PHRASE_WORDS + 1):
        breaks = [at for at in range(len(words) - length) if words[at] != words[at + length]]
        for before, after in pairwise([-1, *breaks, len(words) - length]):
            if after - before > length * (_MIN_REPETITIONS - 1):
                return " ".join(words[before + 1 : before + 1 + length])
    return None


def lacks_timestamps(result: ChunkResult) -> bool:
    """Return whether a server returned a text without segments, and without impossible ones."""
    if result.response is None or result.response.transcript.segments_problem is not None:
        return False
    return bool(result.text) and not _server_segments(result)


def _totals(last: ChunkResult) -> Metadata:
    """Return what is known once the last chunk is cut."""
    if not last.chunk.is_last:
        return {}
    totals: Metadata = {"n_chunks": last.chunk.index + 1, "duration": last.chunk.end}
    return totals | {"truncated": True} if last.is_truncated else totals


def _segments(result: ChunkResult) -> Iterator[Segment]:
    """Yield a chunk's segments at their times in the recording, or else the chunk as one.

    Times are limited to the chunk: models hear blocks of 30 seconds, and may place a segment in
    the padding of the last one.
    """
    chunk = result.chunk
    for segment in _server_segments(result) or _chunk_as_segment(result):
        # Rounded, because a sum of floats has digits that nobody measured.
        start, end = (
            round(min(chunk.start + time, chunk.end), 6) for time in (segment.start, segment.end)
        )
        yield Segment(start, end, segment.text)


def _server_segments(result: ChunkResult) -> list[Segment]:
    """Return the segments of the server, without those that have no text."""
    segments = () if result.response is None else result.response.transcript.segments
    return [segment for segment in segments if segment.text.strip()]


def _chunk_as_segment(result: ChunkResult) -> list[Segment]:
    text = result.text
    return [Segment(0.0, result.chunk.seconds, text)] if text else []


def _timestamps_source(results: Sequence[ChunkResult]) -> str:
    """Return `"server"`, or `"chunk"` if some text has no better times than its chunk's."""
    spoken = [one for one in results if one.text or _server_segments(one)]
    return "server" if spoken and all(map(_server_segments, spoken)) else "chunk"


def _silence(results: Sequence[ChunkResult]) -> Metadata:
    """Return how many chunks were not sent because they are silent, and whether that is all."""
    count = sum(one.chunk.is_silent for one in results)
    return {"silent": count == len(results) or None, "silent_chunks": count or None}


def _errors(results: Sequence[ChunkResult]) -> Metadata:
    errors = [one.error for one in results if one.error is not None]
    if not errors:
        return {}
    return {
        "error": "\n".join(errors),
        "error_type": _joined(one.error_type for one in results),
        "failed_chunks": len(errors),
    }


def _joined(values: Iterable[str | None]) -> str | None:
    """Return the different values in the order of their first, with commas, or None."""
    return ", ".join(dict.fromkeys(value for value in values if value)) or None
