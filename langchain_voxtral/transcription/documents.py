"""Results of chunks as LangChain documents."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, Literal

from langchain_core.documents import Document

from langchain_voxtral.audio.subtitles import to_srt, to_vtt
from langchain_voxtral.protocol.segments import Segment, Word
from langchain_voxtral.providers import Timestamps
from langchain_voxtral.transcription.costs import cost_of
from langchain_voxtral.transcription.languages import language_facts
from langchain_voxtral.transcription.repetition import find_repetition
from langchain_voxtral.transcription.results import (
    ChunkResult,
    TimestampsSource,
    has_speech,
    joined_values,
    segments_of,
    timestamps_source,
    words_of,
)

Mode = Literal["document", "chunk", "segment", "word", "srt", "vtt"]

_SUBTITLES: Mapping[Mode, Callable[[Iterable[Segment]], str]] = {"srt": to_srt, "vtt": to_vtt}

Metadata = dict[str, Any]

_NO_COST: Metadata = {"cost": None, "cost_source": None}
"""Only the first segment of a chunk has its cost, so that costs of documents add up."""


@dataclass(slots=True)
class DocumentBuilder:
    """Makes documents of the results of one recording, which are added in order.

    Metadata is flat, and what is not known is absent: vector stores reject None.

    Args:
        mode: What becomes a document.
        metadata: Metadata of all documents.
        language: The language that was requested, if any.
        price_per_minute: US dollars, for chunks without a cost of the server; None if not known.
        timestamps: What metadata lists with times, beside the bounds of documents.
        has_speakers: Whether subtitles name speakers, and metadata lists the segments of each.
        is_translation: Whether texts are translations.
    """

    mode: Mode
    metadata: Metadata
    language: str | None
    price_per_minute: float | None
    timestamps: Timestamps | None = None
    has_speakers: bool = False
    is_translation: bool = False
    _results: list[ChunkResult] = field(default_factory=list)
    _parts: int = 0
    _streamed: list[Segment] = field(default_factory=list)  # of a chunk that is not whole

    def add(self, result: ChunkResult) -> list[Document]:
        """Take the result of the next chunk, or a part; return the documents that are complete."""
        if result.is_partial and self.mode != "segment":
            return []
        if self.mode == "chunk":
            more = {"chunk": result.chunk.index, **self._lists([result])}
            return [self._document(result.text, [result], **more)]
        if self.mode in {"segment", "word"}:
            return self._part_documents(result)
        self._results.append(result)
        return []

    def finish(self) -> list[Document]:
        """Return the document of the whole recording, if the mode has one."""
        results = self._results
        if self.mode == "document":
            text = " ".join(filter(None, (one.text for one in results)))
            return [self._document(text, results, **self._lists(results))]
        if self.mode in _SUBTITLES:
            segments = (self._cue(each) for one in results for each in segments_of(one))
            more = {"timestamps_source": timestamps_source(results), **self._lists(results)}
            return [self._document(_SUBTITLES[self.mode](segments), results, **more)]
        return []

    def _cue(self, segment: Segment) -> Segment:
        if not (self.has_speakers and segment.speaker):
            return segment
        return replace(segment, text=f"{segment.speaker}: {segment.text.strip()}")

    def _lists(self, results: Sequence[ChunkResult]) -> Metadata:
        """Return the lists of segments and words that are wanted beside a text."""
        has_segments = self.timestamps == "segment" or self.has_speakers
        lists: Metadata = {}
        if has_segments and self.mode not in _SUBTITLES:
            segments = [_listed("text", each) for one in results for each in segments_of(one)]
            lists = {"segments": segments, "timestamps_source": timestamps_source(results)}
        if self.timestamps == "word":
            lists["words"] = _listed_words(each for one in results for each in segments_of(one))
            lists["timestamps_source"] = timestamps_source(results, "word")
        return {name: value for name, value in lists.items() if value}

    def _part_documents(self, result: ChunkResult) -> list[Document]:
        """Return the segments or words of a chunk that were not returned before it was whole."""
        name, first, source = self.mode, self._parts, timestamps_source([result])
        documents = [
            self._document(
                part.text.strip(),
                [result],
                chunk=result.chunk.index,
                start=part.start,
                end=part.end,
                **{name: number},
                **self._part_facts(part, source),
                **({} if number == first and not self._streamed else _NO_COST),
            )
            for number, part in enumerate(self._new_parts(result), first)
        ]
        self._parts += len(documents)
        if result.is_partial:
            self._streamed += segments_of(result)
        else:
            self._streamed.clear()
        return documents

    def _new_parts(self, result: ChunkResult) -> Iterable[Segment | Word]:
        """Return the parts that are new: one if the chunk failed, and none if it is silent."""
        if result.error is None and (result.is_partial or not self._streamed):
            return words_of(result) if self.mode == "word" else segments_of(result)
        if timestamps_source([result]) == "server":
            streamed = {*self._streamed}
            return [part for part in segments_of(result) if part not in streamed]
        rest = self._rest(result)
        return [rest] if rest.text or result.error else []

    def _rest(self, result: ChunkResult) -> Segment:
        """Return what is said in a chunk after the segments that were returned already."""
        text, start = result.text, result.chunk.start
        for each in self._streamed:
            said = each.text.strip()
            if not text.startswith(said):
                break  # better twice than lost
            text, start = text[len(said) :].lstrip(), each.end
        return Segment(start, result.chunk.end, text)

    def _part_facts(self, part: Segment | Word, source: TimestampsSource) -> Metadata:
        """Return who speaks, what times are known, and the words of a segment."""
        words = None
        if isinstance(part, Segment):
            if source == "server" and "word" in {self.mode, self.timestamps} and not part.words:
                source = "segment"
            words = _listed_words([part]) if self.timestamps == "word" else None
        return without_none({"speaker": part.speaker, "timestamps_source": source, "words": words})

    def _document(self, text: str, results: Sequence[ChunkResult], **more: Any) -> Document:
        responses = [one.response for one in results if one.response is not None]
        metadata = {
            **self.metadata,
            "start": results[0].chunk.start,
            "end": results[-1].chunk.end,
            **_totals(results[-1]),
            "timestamps_source": "chunk",
            "task": "translate" if self.is_translation else None,
            **language_facts(results, self.language, is_translation=self.is_translation),
            **self._cost(results),
            "model": joined_values(one.model for one in responses),
            "request_id": joined_values(one.transcript.request_id for one in responses),
            "loop": joined_values(find_repetition(one.text) for one in results),
            "chunks_from_store": sum(one.is_cached for one in results),
            "no_speech": is_without_speech(results) or None,
            **_silence(results),
            **_errors(results),
            **more,
        }
        return Document(text, metadata=without_none(metadata))

    def _cost(self, results: Sequence[ChunkResult]) -> Metadata:
        """Return the cost of the chunks; it is estimated by the second, and none for silence."""
        if all(one.chunk.is_silent for one in results):
            return {"cost": 0.0, "cost_source": "not_sent"}
        costs = [
            cost_of(one.response.transcript.usage, one.chunk.seconds, self.price_per_minute)
            for one in results
            if one.response is not None
        ]
        known = [cost for cost in costs if cost is not None]
        if not known or len(known) < len(costs):
            return {}
        sources = {source for _, source in known}
        source = "estimated" if "estimated" in sources else "server"
        return {"cost": math.fsum(dollars for dollars, _ in known), "cost_source": source}


def without_none(metadata: Metadata) -> Metadata:
    """Return metadata without what is not known."""
    return {name: value for name, value in metadata.items() if value is not None}


def _totals(last: ChunkResult) -> Metadata:
    """Return what is known once the last chunk is cut."""
    if not last.chunk.is_last:
        return {}
    totals: Metadata = {"n_chunks": last.chunk.index + 1, "duration": last.chunk.end}
    return totals | {"truncated": True} if last.is_truncated else totals


def _listed(name: str, part: Segment | Word) -> Metadata:
    """Return a segment or a word as metadata lists it."""
    facts = {name: part.text.strip(), "start": part.start, "end": part.end}
    return without_none({**facts, "speaker": part.speaker})


def _listed_words(segments: Iterable[Segment]) -> list[Metadata] | None:
    words = (word for segment in segments for word in segment.words)
    return [_listed("word", word) for word in sorted(words, key=attrgetter("start"))] or None


def is_without_speech(results: Iterable[ChunkResult]) -> bool:
    """Return whether nothing was said: no chunk has a text, and none failed."""
    return not any(one.error or has_speech(one) for one in results)


def has_no_speech(documents: Iterable[Document]) -> bool:
    """Return whether nothing was said in a recording, whose segments and words then are none."""
    return all(one.metadata.get("no_speech", False) for one in documents)


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
        "error_type": joined_values(one.error_type for one in results),
        "failed_chunks": len(errors),
    }
