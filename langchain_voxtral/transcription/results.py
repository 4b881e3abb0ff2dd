"""Results of chunks: their segments and words, at their times in the recording."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Literal, TypeVar

from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.protocol.segments import Segment, Word
from langchain_voxtral.protocol.transcription_request import ChunkTranscript
from langchain_voxtral.providers import Timestamps

TimestampsSource = Literal["server", "segment", "chunk"]
"""Where times are from: of words maybe only their segment, of segments maybe only their chunk."""

_Timed = TypeVar("_Timed", Segment, Word)


@dataclass(frozen=True, slots=True)
class ChunkResult:
    """What became of a chunk.

    Args:
        chunk: The chunk, without its data.
        response: What the server returned; None if that failed.
        error: Why it failed, as text: an exception would keep the chunk's data alive.
        error_type: The exception's class.
        partial: Text that had arrived before it failed, or that came just now.
        is_cached: Whether it was read from the store.
        is_truncated: Whether the recording ends with it because it is cut off or damaged.
        is_partial: Whether it holds only what came just now, as text or as a segment, of a chunk
            that is being transcribed.
    """

    chunk: AudioChunk
    response: ChunkTranscript | None = None
    error: str | None = None
    error_type: str | None = None
    partial: str = ""
    is_cached: bool = False
    is_truncated: bool = False
    is_partial: bool = False

    @property
    def text(self) -> str:
        """What is known to be said in it."""
        text = self.partial if self.response is None else self.response.transcript.text
        return text.strip()


def segments_of(result: ChunkResult) -> Iterator[Segment]:
    """Yield a chunk's segments at their times in the recording, or else the chunk as one."""
    for segment in _server_segments(result) or _chunk_as_segment(result):
        words = tuple(_in_recording(word, result.chunk) for word in segment.words)
        yield replace(_in_recording(segment, result.chunk), words=words)


def _in_recording(part: _Timed, chunk: AudioChunk) -> _Timed:
    """Return a part of a chunk at its times in the recording.

    Times are limited to the chunk: models hear blocks of 30 seconds, and may place a segment in
    the padding of the last one. Speakers of different chunks are not compared by any server, so
    that the chunk's number is part of their names.
    """
    # Rounded, because a sum of floats has digits that nobody measured.
    start, end = (round(min(chunk.start + time, chunk.end), 6) for time in (part.start, part.end))
    is_whole = chunk.is_last and not chunk.index
    speaker = part.speaker if is_whole or not part.speaker else f"{chunk.index}/{part.speaker}"
    return replace(part, start=start, end=end, speaker=speaker)


def words_of(result: ChunkResult) -> list[Segment | Word]:
    """Return a chunk's words, or its segments if no times of words are known."""
    segments = list(segments_of(result))
    words = [word for segment in segments for word in segment.words]
    return sorted(words or segments, key=attrgetter("start"))


def has_speech(result: ChunkResult) -> bool:
    """Return whether a chunk has a text, be it in segments only."""
    return bool(result.text or _server_segments(result))


def joined_values(values: Iterable[str | None]) -> str | None:
    """Return the different values in the order of their first, with commas, or None."""
    return ", ".join(dict.fromkeys(value for value in values if value)) or None


def timestamps_source(
    results: Sequence[ChunkResult], timestamps: Timestamps = "segment"
) -> TimestampsSource:
    """Return where times of segments or words are from: for some text maybe only its chunk."""
    spoken = [one for one in results if has_speech(one)]
    if not spoken or not all(map(_server_segments, spoken)):
        return "chunk"
    return "segment" if timestamps == "word" and any(map(_lacks_words, spoken)) else "server"


def _lacks_words(result: ChunkResult) -> bool:
    return not any(segment.words for segment in _server_segments(result))


def _server_segments(result: ChunkResult) -> list[Segment]:
    """Return the segments of the server, without those that have no text."""
    segments = () if result.response is None else result.response.transcript.segments
    return [segment for segment in segments if segment.text.strip()]


def _chunk_as_segment(result: ChunkResult) -> list[Segment]:
    text = result.text
    return [Segment(0.0, result.chunk.seconds, text)] if text else []


def lacks_timestamps(result: ChunkResult, timestamps: Timestamps) -> bool:
    """Return whether a server returned a text without times, and without impossible ones."""
    if result.response is None or result.response.transcript.segments_problem is not None:
        return False
    return bool(result.text) and timestamps_source([result], timestamps) != "server"


def lacks_speakers(result: ChunkResult) -> bool:
    """Return whether a server told of no segment who speaks."""
    has_speech = result.response is not None and bool(result.text)
    return has_speech and not any(one.speaker for one in segments_of(result))
