"""What was heard, as LangChain's documents."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from langchain_core.documents import Document

from langchain_voxtral.audio.pricing import cost_usd
from langchain_voxtral.audio.subtitles import Cue, Timed, to_srt, to_vtt
from langchain_voxtral.errors import VoxtralError
from langchain_voxtral.protocol.transcripts import Segment
from langchain_voxtral.transcription.loops import looped
from langchain_voxtral.transcription.source import Given
from langchain_voxtral.transcription.store import ChunkResult, ChunkTranscript

__all__ = ["Mode", "Scribe", "unreadable"]

Mode = Literal["document", "chunk", "segment", "srt", "vtt"]

_SUBTITLES: Mapping[Mode, Callable[[Iterable[Timed]], str]] = {"srt": to_srt, "vtt": to_vtt}
Metadata = dict[str, Any]

_PAID_ALREADY = {"cost": None, "cost_source": None}
"""Of a chunk's segments the first tells its cost, so that a sum over documents is right."""


@dataclass(slots=True)
class Scribe:
    """Writes documents of what was heard in one recording: feed it all chunks in order.

    Metadata is flat, and what is not known is absent, since vector stores take no null.

    Args:
        mode: What becomes a document: the recording, each chunk, each segment, or subtitles.
        facts: Metadata that all documents have.
        language: The language that was asked for, if any.
        price_per_minute: US dollars, for chunks whose cost the server does not tell; None if the
            price is not known.
    """

    mode: Mode
    facts: Mapping[str, Any]
    language: str | None
    price_per_minute: float | None
    _heard: list[ChunkResult] = field(default_factory=list)
    _segments_written: int = 0

    def feed(self, one: ChunkResult) -> list[Document]:
        """Take what became of a chunk; return the documents that are whole by it."""
        if self.mode == "chunk":
            return [self._document(_text(one), [one], chunk=one.span.index)]
        if self.mode == "segment":
            return self._segments(one)
        self._heard.append(one)
        return []

    def close(self) -> list[Document]:
        """Return the document of the whole recording, if there is to be one."""
        heard = self._heard
        if self.mode == "document":
            return [self._document(" ".join(filter(None, map(_text, heard))), heard)]
        if self.mode in _SUBTITLES:
            text = _SUBTITLES[self.mode](cue for one in heard for cue in _cues(one))
            return [self._document(text, heard, timestamps_source=_source(heard))]
        return []

    def _segments(self, one: ChunkResult) -> list[Document]:
        """Return the segments of a chunk; a failed chunk is one, a silent one has none."""
        chunk = one.span.index
        first = self._segments_written
        if one.error is not None:
            documents = [self._document("", [one], chunk=chunk, segment=first)]
        else:
            documents = [
                self._document(
                    cue.text.strip(),
                    [one],
                    chunk=chunk,
                    segment=number,
                    start=cue.start,
                    end=cue.end,
                    timestamps_source=_source([one]),
                    **({} if number == first else _PAID_ALREADY),
                )
                for number, cue in enumerate(_cues(one), first)
            ]
        self._segments_written += len(documents)
        return documents

    def _document(self, text: str, heard: Sequence[ChunkResult], **more: Any) -> Document:
        told = [one.told for one in heard if one.told is not None]
        metadata: Metadata = {
            **self.facts,
            "start": heard[0].span.start,
            "end": heard[-1].span.end,
            "timestamps_source": "chunk",
            **self._language(told),
            **self._cost(heard),
            "model": _joined(one.model for one in told),
            "request_id": _joined(one.transcript.request_id for one in told),
            "loop": _joined(looped(_text(one)) for one in heard),
            "chunks_from_store": sum(one.from_store for one in heard),
            **_failures(heard),
            **more,
        }
        return Document(text, metadata=_known(metadata))

    def _language(self, told: Sequence[ChunkTranscript]) -> Metadata:
        """Return the language and who says so; a server may only repeat the one asked for."""
        if self.language is not None:
            return {"language": self.language, "language_source": "requested"}
        heard = _joined(one.transcript.language for one in told)
        return {"language": heard, "language_source": "server" if heard else None}

    def _cost(self, heard: Sequence[ChunkResult]) -> Metadata:
        """Return what the chunks cost; they are paid by the second."""
        costs = []
        source = "server"
        for one in heard:
            if one.told is None:
                continue
            cost = one.told.transcript.usage.cost
            if cost is None:
                if self.price_per_minute is None:
                    return {}
                source = "estimated"
                cost = cost_usd(one.span.seconds, self.price_per_minute)
            costs.append(cost)
        return {"cost": math.fsum(costs), "cost_source": source} if costs else {}


def unreadable(recording: Given, error: VoxtralError) -> Document:
    """Return the document that marks a recording which could not be decoded.

    Args:
        recording: The recording.
        error: Why not.
    """
    facts = {
        **recording.metadata,
        "source": recording.name,
        "error": str(error),
        "error_type": type(error).__name__,
    }
    return Document("", metadata=_known(facts))


def _known(metadata: Metadata) -> Metadata:
    return {name: value for name, value in metadata.items() if value is not None}


def _text(one: ChunkResult) -> str:
    return "" if one.told is None else one.told.transcript.text.strip()


def _cues(one: ChunkResult) -> Iterator[Timed]:
    """Yield a chunk's segments at their times in the recording, or else the chunk as one.

    Models hear blocks of 30 seconds, and may tell times in the padding of the last one: these are
    the chunk's end.
    """
    for segment in _told_segments(one) or _chunk_as_segment(one):
        # Rounded, since a sum of floats has digits that nobody measured.
        start, end = (
            round(min(one.span.start + time, one.span.end), 6)
            for time in (segment.start, segment.end)
        )
        yield Cue(start, end, segment.text)


def _told_segments(one: ChunkResult) -> list[Segment]:
    """Return the segments that the server told, those without a text left out."""
    told = () if one.told is None else one.told.transcript.segments
    return [segment for segment in told if segment.text.strip()]


def _chunk_as_segment(one: ChunkResult) -> tuple[Segment, ...]:
    text = _text(one)
    return (Segment(0.0, one.span.seconds, text),) if text else ()


def _source(heard: Sequence[ChunkResult]) -> str:
    """Say who told the times: the server, unless a text has no better bounds than its chunk."""
    texts = [one for one in heard if _text(one) or _told_segments(one)]
    return "server" if texts and all(map(_told_segments, texts)) else "chunk"


def _failures(heard: Sequence[ChunkResult]) -> Metadata:
    errors = [one.error for one in heard if one.error is not None]
    if not errors:
        return {}
    return {
        "error": "\n".join(errors),
        "error_type": _joined(one.error_type for one in heard),
        "failed_chunks": len(errors),
    }


def _joined(values: Iterable[str | None]) -> str | None:
    """Return the different values in the order of their first, with commas, or None."""
    return ", ".join(dict.fromkeys(value for value in values if value)) or None
