"""Decoding streamed transcriptions: any split, any server, and what is no transcript."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sse_replies import event
from support.transcription_streams import (
    DONE,
    LANGUAGE,
    delta,
    final,
    mistral_delta,
    segment,
    usage,
)

from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.errors import VoxtralError, VoxtralResponseError
from langchain_voxtral.protocol.responses import Usage
from langchain_voxtral.protocol.segments import Segment
from langchain_voxtral.protocol.transcription import Transcript
from langchain_voxtral.protocol.transcription_forms import TranscriptionOptions
from langchain_voxtral.protocol.transcription_request import ChunkTranscript, TranscriptionRequest
from langchain_voxtral.protocol.transcription_stream import (
    MAX_TEXT_LENGTH,
    TranscriptionStream,
)
from langchain_voxtral.providers import PROVIDERS

HEADERS = {"x-request-id": "R1", "x-voxtral-model": "m"}
SECRET = "sk-made-up-secret"


def stream_of(server: Any = "mistral", **options: Any) -> TranscriptionStream:
    request = TranscriptionRequest(
        provider=PROVIDERS[server],
        endpoint="transcriptions",
        model="m",
        options=TranscriptionOptions(**options),
        chunk=AudioChunk(0, 0.0, 9.0, b""),
        title="a chunk",
    )
    stream = TranscriptionStream(request, [SECRET])
    stream.start_attempt(HEADERS, 1)
    return stream


def decode(stream: TranscriptionStream, *reads: bytes) -> list[Any]:
    """Return all items, as transport takes them, and the transcript."""
    items: list[Any] = []
    error = None
    try:
        for data in reads:
            items += stream.feed(data)
            if stream.must_stop:
                break
    except VoxtralError as failure:
        error = failure
    return [*items, *stream.finish(error), stream.transcript]


def whole(text: str, **facts: Any) -> ChunkTranscript:
    return ChunkTranscript(Transcript(text, request_id="R1", **facts), "m")


TEXTS = ["lang:fr[TRANS", "CRIBE]", " Ça va? ", "नमस्ते", " 😀 \n"]
MISTRAL_USAGE = Usage(input_tokens=3, output_tokens=4, audio_seconds=2.0)
SPOKEN = "Ça va? नमस्ते 😀 \n"
TRANSCRIPT = event({"type": "transcript.text.done", "text": "", "usage": {"output_tokens": 4}})
BODIES: dict[str, tuple[bytes, ChunkTranscript]] = {
    "vllm": (
        b"".join(map(delta, TEXTS)) + delta("", "stop") + usage(prompt_tokens=3) + DONE,
        whole(SPOKEN, usage=Usage(input_tokens=3), finish_reason="stop"),
    ),
    "llama_cpp": (
        b"".join(event({"type": "transcript.text.delta", "delta": each}) for each in TEXTS)
        + TRANSCRIPT,
        whole(SPOKEN, usage=Usage(output_tokens=4)),
    ),
    "mistral": (
        LANGUAGE + b"".join(map(mistral_delta, TEXTS)) + final("".join(TEXTS), language=None),
        whole(SPOKEN, usage=MISTRAL_USAGE, language="fr"),
    ),
}


@pytest.mark.parametrize(("body", "expected"), BODIES.values(), ids=BODIES)
@settings(max_examples=40)
@given(data=st.data())
def test_any_split_of_the_bytes_gives_the_same_text(
    body: bytes, expected: ChunkTranscript, data: st.DataObject
) -> None:
    body = body.replace(b"\n", data.draw(st.sampled_from([b"\n", b"\r\n"])))
    cuts = data.draw(st.lists(st.integers(0, len(body)), max_size=12))
    reads = [body[start:end] for start, end in pairwise([0, *sorted(cuts), len(body)])]
    *texts, last = decode(stream_of(), *reads)
    assert "".join(texts).lstrip() == SPOKEN
    assert last == expected


def parts(*texts: str) -> bytes:
    return b"".join(map(mistral_delta, texts))


@pytest.mark.parametrize(
    "text",
    ["", "l", "lang", "lang:fr", "language", "[", "[TRANSCRIBE]", "[TRANSCRIBE] Oui", "[n] Oui"],
)
def test_template_text_never_shows_and_all_else_does(text: str) -> None:
    [*texts, last] = decode(stream_of(), parts(*text), final(""))
    assert last.transcript.text.startswith("".join(texts))
    [*_, at_once] = decode(stream_of(), parts(text), final(""))
    assert last == at_once


FULL = Segment(0.0, 1.0, " Ça va?"), Segment(1.0, 2.0, " Oui.")
SEGMENTS = segment(" Ça va?", 0.0, 1.0) + segment(" Oui.", 1.0, 2.0)


def streamed(one: Segment) -> ChunkTranscript:
    return whole(one.text, segments=(one,))


def test_segments_come_one_by_one_and_all_in_the_end() -> None:
    items = decode(stream_of(timestamps="segment"), SEGMENTS, final(" Ça va? Oui."))
    expected = whole(
        " Ça va? Oui.",
        segments=FULL,
        language="fr",
        usage=MISTRAL_USAGE,
    )
    assert items == [*map(streamed, FULL), expected]


@pytest.mark.parametrize(
    "bad",
    [
        segment(" Oui.", 90, 91),
        segment(" Oui.", -1, 1),
        segment(" Oui.", 0, 0.4),
        segment(" Oui.", 2, 1),
        event({"type": "transcription.segment", "text": 1, "start": 1, "end": 2}),
    ],
)
def test_after_an_impossible_segment_none_comes_before_the_end(bad: bytes) -> None:
    reads = (segment(" Ça va?", 0.5, 1.0), bad, segment(" Bien.", 3, 4))
    first, last = decode(stream_of(timestamps="segment"), *reads, final(" Ça va? Oui. Bien."))
    assert first == streamed(Segment(0.5, 1.0, " Ça va?"))
    assert (last.transcript.text, last.transcript.segments) == (" Ça va? Oui. Bien.", ())
    assert last.transcript.segments_problem


@pytest.mark.parametrize(
    ("texts", "end", "text", "contradicts"),
    [
        ([" Ça", " va?"], " Ça va? Oui.", " Ça va? Oui.", False),
        ([" Ça", " va? "], "Ça va?", "Ça va?", False),
        (["lang:fr[TRANSCRIBE] Ça"], "Ça va?", "Ça va?", False),
        ([" Ça", " va?"], "  ", " Ça va?", False),
        ([" Ça", " va?"], "Ca va?", " Ça va?", True),
        ([], "Ça va?", "Ça va?", False),
    ],
)
def test_a_final_text_completes_what_came_and_replaces_none_of_it(
    texts: Sequence[str], end: str, text: str, contradicts: bool
) -> None:
    stream = stream_of()
    [*_, last] = decode(stream, parts(*texts), final(end))
    assert (last.transcript.text, stream.contradicts_itself) == (text, contradicts)


@pytest.mark.parametrize(
    "more", [mistral_delta(" more"), event({"error": "late"}), b"nonsense\n", final("twice")]
)
def test_what_follows_the_final_event_is_ignored(more: bytes) -> None:
    for reads in ([mistral_delta("Oui."), final("Oui."), more], [parts("Oui.") + final("") + more]):
        [_, last] = decode(stream_of(), *reads)
        assert last.transcript.text == "Oui."


def test_an_event_of_a_new_type_without_a_text_is_passed_over() -> None:
    news = event({"type": "transcription.progress", "seconds": 3}) + event({})
    assert decode(stream_of(), news, parts("Oui."), final(""))[0] == "Oui."


@pytest.mark.parametrize(
    "document",
    [
        {"type": "transcription.text.added", "text": "Oui."},
        {"type": ["transcription.done"], "text": "Oui."},
        {"type": "transcription.text.delta", "delta": "Oui."},
        {"text": "Oui.", "key": SECRET},
        {"choices": "Oui."},
    ],
)
def test_an_event_that_may_hold_a_text_is_never_passed_over(document: dict[str, Any]) -> None:
    with pytest.raises(VoxtralResponseError, match="an event of no known form") as caught:
        decode(stream_of(), parts("Ça"), event(document), final("Ça"))
    assert (caught.value.partial, caught.value.request_id) == ("Ça", "R1")
    assert (caught.value.status_code, SECRET in str(caught.value)) == (200, False)


def test_the_text_before_a_failure_in_the_same_read_is_shown() -> None:
    stream = stream_of()
    assert stream.feed(mistral_delta("Ça") + event({"error": "no memory"})) == ["Ça"]
    assert stream.must_stop
    with pytest.raises(VoxtralError, match="no memory"):
        [*stream.finish()]


def test_a_text_without_end_is_not_read_on() -> None:
    stream = stream_of()
    with pytest.raises(VoxtralResponseError, match="more than 1048576 characters"):
        decode(stream, *[mistral_delta("x" * (MAX_TEXT_LENGTH // 3))] * 4)


def test_several_finish_reasons_end_one_stream() -> None:
    """VLLM has one for each part that it cuts a recording into."""
    reads = (delta("Ça", "stop"), delta(" va?", "stop"), DONE)
    assert decode(stream_of("vllm"), *reads) == [
        "Ça",
        " va?",
        whole("Ça va?", finish_reason="stop"),
    ]
