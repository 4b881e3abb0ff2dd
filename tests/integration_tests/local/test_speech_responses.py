"""Responses of the speech routes: DeepInfra's native format, and OpenAI's."""

from typing import Any

import httpx
import openai
import pytest
from support.local_speech import NATIVE, SHORT, SPEECH_MODEL, TRANSLATIONS, ask, json_body
from support.speech_samples import AUSTEN
from support.subtitle_cues import read_cues

from langchain_voxtral.local import LocalVoxtral
from langchain_voxtral.protocol.transcription import parse_transcript

FREE = {"type": "duration", "seconds": 3.0, "estimated_cost": 0.0}
"""OpenAI's usage with DeepInfra's field for the cost."""


LANGUAGE = ("language", "language_probability", "language_source")


def plainly(transcript: dict[str, Any]) -> dict[str, Any]:
    """Return what `json` has of a transcript: documents without times are made of it."""
    return {name: transcript[name] for name in ("text", *LANGUAGE, "usage")}


def test_the_native_answer_has_the_documented_shape(
    http: httpx.Client, verbose_transcript: dict[str, Any]
) -> None:
    answer = ask(http, NATIVE)
    document = json_body(answer)
    assert document == {
        "text": verbose_transcript["text"],
        "segments": verbose_transcript["segments"],
        "language": "en",
        "language_probability": verbose_transcript["language_probability"],
        "language_source": "detected",
        "input_length_ms": 3000,
        "words": None,
        "duration": 3.0,
        "request_id": answer.headers["x-request-id"],
        "inference_status": {
            "status": "succeeded",
            "runtime_ms": document["inference_status"]["runtime_ms"],
            "cost": 0.0,
        },
    }
    assert document["inference_status"]["runtime_ms"] >= 0
    assert answer.headers["x-voxtral-model"] == SPEECH_MODEL


def test_our_decoders_read_the_responses(
    http: httpx.Client, verbose_transcript: dict[str, Any]
) -> None:
    native = parse_transcript(ask(http, NATIVE).content, is_native=True)
    verbose = parse_transcript(ask(http, response_format="verbose_json").content)
    for one in (native, verbose):
        assert (one.text, one.language) == (verbose_transcript["text"], "en")
        assert one.usage.cost == 0.0
        assert [(part.start, part.end, part.text) for part in one.segments] == [
            (part["start"], part["end"], part["text"]) for part in verbose_transcript["segments"]
        ]


def test_verbose_json(verbose_transcript: dict[str, Any]) -> None:
    segments = verbose_transcript["segments"]
    assert verbose_transcript == {
        "task": "transcribe",
        "language": "en",
        "language_probability": verbose_transcript["language_probability"],
        "language_source": "detected",
        "duration": 3.0,
        "text": " ".join(segment["text"] for segment in segments),
        "segments": [
            {"id": number, **{name: segment[name] for name in ("start", "end", "text")}}
            for number, segment in enumerate(segments)
        ],
        "usage": FREE,
    }
    assert 0.5 <= verbose_transcript["language_probability"] <= 1


@pytest.mark.parametrize(
    ("response_format", "media_type"),
    [("srt", "application/x-subrip; charset=utf-8"), ("vtt", "text/vtt; charset=utf-8")],
)
def test_subtitles(
    http: httpx.Client, verbose_transcript: dict[str, Any], response_format: str, media_type: str
) -> None:
    answer = ask(http, response_format=response_format)
    assert (answer.status_code, answer.headers["content-type"]) == (200, media_type)
    assert read_cues(answer.text) == [
        (round(segment["start"], 3), round(segment["end"], 3), segment["text"])
        for segment in verbose_transcript["segments"]
    ]


def test_text_and_json(http: httpx.Client, verbose_transcript: dict[str, Any]) -> None:
    plain = ask(http, response_format="text")
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    assert plain.text == verbose_transcript["text"]
    assert json_body(ask(http, response_format="json")) == plainly(verbose_transcript)
    assert json_body(ask(http)) == plainly(verbose_transcript)


def test_english_translated_into_english_is_its_transcription(
    http: httpx.Client, verbose_transcript: dict[str, Any]
) -> None:
    translated = json_body(ask(http, TRANSLATIONS, response_format="verbose_json"))
    assert translated == {**verbose_transcript, "task": "translate"}
    assert json_body(ask(http, NATIVE, task="translate"))["text"] == verbose_transcript["text"]


@pytest.mark.parametrize("route", ["audio/transcriptions", "audio/translations"])
def test_the_short_routes(
    http: httpx.Client, verbose_transcript: dict[str, Any], route: str
) -> None:
    assert json_body(ask(http, route, model=SPEECH_MODEL)) == plainly(verbose_transcript)


@pytest.mark.parametrize("name", ["timestamp_granularities", "timestamp_granularities[]"])
def test_times_of_words_can_be_requested(http: httpx.Client, name: str) -> None:
    asked: dict[str, Any] = {"response_format": "verbose_json", name: ["segment", "word"]}
    document = json_body(ask(http, language="en", **asked))
    words = document["words"]
    assert [word.keys() for word in words] == [{"word", "start", "end"}] * len(words)
    assert " ".join(word["word"] for word in words) == document["text"]
    assert [document[name] for name in LANGUAGE] == ["en", None, "asked"]


def test_the_chunk_length_bounds_the_segments(http: httpx.Client) -> None:
    sound = AUSTEN[1].read_bytes()
    document = json_body(ask(http, NATIVE, sound, chunk_length_s="2", language="en"))
    segments = document["segments"]
    assert len(segments) > 1
    assert max(segment["end"] - segment["start"] for segment in segments) <= 2
    texts = " ".join(segment["text"] for segment in segments)
    assert texts.replace(" -", "-") == document["text"]
    assert document["words"] is None


@pytest.mark.parametrize("response_format", ["json", "verbose_json", "text", "srt", "vtt"])
def test_openais_sdk_reads_the_responses(
    local_server: LocalVoxtral, http: httpx.Client, response_format: Any
) -> None:
    with openai.OpenAI(
        base_url=f"{local_server.base_url}/openai", api_key=local_server.api_key, max_retries=0
    ) as sdk:
        transcript: Any = sdk.audio.transcriptions.create(
            model=SPEECH_MODEL, file=("a.wav", SHORT), response_format=response_format
        )
    answer = ask(http, response_format=response_format)
    assert (transcript if isinstance(transcript, str) else transcript.text) == (
        answer.text if isinstance(transcript, str) else answer.json()["text"]
    )
    if response_format == "verbose_json":
        [segment] = transcript.segments
        assert (segment.id, segment.text) == (0, transcript.text)
