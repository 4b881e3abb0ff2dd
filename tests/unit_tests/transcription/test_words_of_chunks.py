"""Words of any times and speakers, in documents of every mode."""

import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.protocol.transcription import parse_transcript
from langchain_voxtral.protocol.transcription_request import ChunkTranscript
from langchain_voxtral.transcription.documents import DocumentBuilder
from langchain_voxtral.transcription.results import ChunkResult

SECONDS = 10.0  # of a chunk
LENGTHS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from([None, "A", "B"])), max_size=7)


def words_of(lengths: list[tuple[int, str | None]], chunk: int) -> list[dict[str, Any]]:
    """Return words one after the other, some beyond the end of their chunk."""
    ends = [sum(length for length, _ in lengths[: at + 1]) for at in range(len(lengths))]
    return [
        {"start": end - length, "end": end, "text": f"w{chunk}x{at}.", "speaker": speaker}
        for at, ((length, speaker), end) in enumerate(zip(lengths, ends, strict=True))
    ]


@settings(max_examples=40)
@given(
    chunks=st.lists(st.tuples(LENGTHS, st.booleans()), min_size=1, max_size=3),
    mode=st.sampled_from(["document", "chunk", "segment", "word", "srt"]),
)
def test_no_word_is_lost_or_told_twice_or_leaves_its_chunk(
    chunks: list[tuple[list[tuple[int, str | None]], bool]], mode: Any
) -> None:
    builder = DocumentBuilder(mode, {}, None, None, timestamps="word")
    made: list[Any] = []
    text = ""
    for index, (lengths, has_segments) in enumerate(chunks):
        words = words_of(lengths, index)
        said = " ".join(word["text"] for word in words)
        segments = [word | {"start": word["start"] / 2, "end": word["end"] / 2} for word in words]
        body = {"text": said, "words": words, "segments": segments if has_segments else None}
        transcript = parse_transcript(
            json.dumps(body).encode(), timestamps="word", max_seconds=SECONDS
        )
        chunk = AudioChunk(index, index * SECONDS, (index + 1) * SECONDS, b"")
        made += builder.add(ChunkResult(chunk, ChunkTranscript(transcript, "m")))
        text += said
    made += builder.finish()

    told = " ".join(one.page_content for one in made)
    assert sorted(re.findall(r"w\d+x\d+", told)) == re.findall(r"w\d+x\d+", text)
    lists = [one.metadata.get("words", []) for one in made]  # of segments that may overlap
    for parts in ([one.metadata for one in made], *lists):
        assert [part["start"] for part in parts] == sorted(part["start"] for part in parts)
    for part in (word for words in lists for word in words):
        start = int(part["word"][1]) * SECONDS
        assert start <= part["start"] <= part["end"] <= start + SECONDS
