"""Transcriptions that come as subtitles or plain text, and template text that leaks into them."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.errors import VoxtralError, VoxtralResponseError
from langchain_voxtral.protocol.transcription import (
    decode_native,
    decode_openai,
)
from langchain_voxtral.protocol.transcription_requests import ResponseFormat
from langchain_voxtral.protocol.transcripts import Segment, Transcript

SRT = (
    b"1\n00:00:00,000 --> 00:00:01,500\nHello &amp;\nagain.\n\n"
    b"2\n01:02:03,004 --> 01:02:04,000\nBye.\n"
)
VTT = (
    b"WEBVTT - made by hand\nKind: captions\n\nNOTE\nnothing\n\nSTYLE\n::cue {}\n\n"
    b"00:00.000 --> 00:01.500 align:start\nHello &amp;\nagain.\n\n"
    b"two\n01:02:03.004 --> 01:02:04.000\nBye.\n"
)


def told_by_cues(first: str) -> Transcript:
    return Transcript(
        f"{first}\nagain.\nBye.",
        (Segment(0.0, 1.5, f"{first}\nagain."), Segment(3723.004, 3724.0, "Bye.")),
        request_id="H1",
    )


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n", b"\r"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_subtitles_are_read_to_segments(line_end: bytes, mark: bytes) -> None:
    srt, vtt = (mark + text.replace(b"\n", line_end) for text in (SRT, VTT))
    assert decode_openai(srt, "srt", header_request_id="H1") == told_by_cues("Hello &amp;")
    assert decode_openai(vtt, "vtt", header_request_id="H1") == told_by_cues("Hello &")


@pytest.mark.parametrize(("data", "response_format"), [(b"", "srt"), (b"\n\n", "srt")])
def test_silence_has_no_segments(data: bytes, response_format: ResponseFormat) -> None:
    assert decode_openai(data, response_format) == Transcript("")
    assert decode_openai(b"WEBVTT\n\n", "vtt") == Transcript("")


@pytest.mark.parametrize(
    ("data", "response_format", "problem"),
    [
        (
            b"Hello!",
            "srt",
            (
                "subtitles that cannot be read: These are no subtitles: 'Hello!' has no line like "
                "'00:00:01,000 --> 00:00:02,500' at its beginning"
            ),
        ),
        (
            b"1\n00:00:02,000 --> 00:00:01,000\na",
            "srt",
            "segments[0] from 2.0 s to 1.0 s, which ends before it begins",
        ),
        (
            b"1\n00:00:02,000 --> 00:00:03,000\na\n\n2\n00:00:01,000 --> 00:00:02,000\nb",
            "srt",
            "segments[1] from 1.0 s to 2.0 s, out of order: the one before begins at 2.0 s",
        ),
        (
            b"\n<!DOCTYPE html><title>502 sk-1</title>",
            "text",
            "a web page in place of a text (check base_url=): 502 [redacted]",
        ),
        (b"caf\xe9", "text", "a text that is not UTF-8"),
    ],
)
def test_an_answer_that_is_not_what_was_requested_is_an_error(
    data: bytes, response_format: ResponseFormat, problem: str
) -> None:
    with pytest.raises(VoxtralResponseError) as caught:
        decode_openai(data, response_format, secrets=["sk-1"])
    assert caught.value.message == f"The server's answer has {problem}."


@pytest.mark.parametrize(
    ("data", "content_type", "text"),
    [
        (b"Hello!\n", "text/plain; charset=utf-8", "Hello!"),
        ("Ça va? 😀".encode(), None, "Ça va? 😀"),
        (b'"Hello!"', "text/plain", '"Hello!"'),
        (b'"Hello!"', "application/json", "Hello!"),
        (b"42", "application/json", "42"),
        (b'{"text": "Hello!", "usage": {}}', "application/json", "Hello!"),
        (b"", None, ""),
    ],
)
def test_a_text_is_read_whether_plain_or_in_json(
    data: bytes, content_type: str | None, text: str
) -> None:
    assert decode_openai(data, "text", content_type=content_type) == Transcript(text)


def test_a_json_answer_that_is_none_is_an_error() -> None:
    with pytest.raises(VoxtralResponseError, match="is not a JSON object but: Hello!"):
        decode_openai(b"Hello!", "json")


@pytest.mark.parametrize(
    ("leaked", "text"),
    [
        ("lang:enHello!", "Hello!"),
        ("lang:en Hello!", "Hello!"),
        ("lang:fr[TRANSCRIBE]Hello!", "Hello!"),
        ("[TRANSCRIBE]Hello!", "Hello!"),
        ("lang:hawHello!", "Hello!"),
        ("lang:xx is no language", "lang:xx is no language"),
        ("It says lang:en[TRANSCRIBE].", "It says lang:en[TRANSCRIBE]."),
        ("[TRANSCRIBE][TRANSCRIBE]", "[TRANSCRIBE]"),
        (" Hello! ", " Hello! "),
    ],
)
def test_leaked_template_text_goes_at_the_very_start_only(leaked: str, text: str) -> None:
    segments = [{"start": 0, "end": 1, "text": leaked}, {"start": 1, "end": 2, "text": leaked}]
    assert decode_native(json.dumps({"text": leaked, "segments": segments}).encode()) == Transcript(
        text, (Segment(0.0, 1.0, text), Segment(1.0, 2.0, leaked))
    )
    assert decode_openai(leaked.encode(), "text") == Transcript(text)


def test_leaked_template_text_goes_from_subtitles_too() -> None:
    srt = b"1\n00:00:00,000 --> 00:00:01,000\nlang:en[TRANSCRIBE]Hello!\n"
    assert decode_openai(srt, "srt") == Transcript("Hello!", (Segment(0.0, 1.0, "Hello!"),))


@pytest.mark.parametrize("digits", [400, 5000])
def test_a_time_beyond_all_numbers_is_an_error(digits: int) -> None:
    srt = f"1\n{'9' * digits}:00:00,000 --> 00:00:01,000\na".encode()
    with pytest.raises(VoxtralResponseError, match="has subtitles that cannot be read"):
        decode_openai(srt, "srt")


@given(data=st.binary(), response_format=st.sampled_from(["text", "srt", "vtt", "json"]))
def test_any_bytes_are_a_transcript_or_one_of_our_errors(
    data: bytes, response_format: ResponseFormat
) -> None:
    with contextlib.suppress(VoxtralError):
        transcript = decode_openai(data, response_format)
        assert "\n".join(segment.text for segment in transcript.segments) in transcript.text
