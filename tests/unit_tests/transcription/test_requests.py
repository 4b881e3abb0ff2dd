"""The requests of a transcription."""

import base64
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from support import speech_samples
from support.scripted_server import ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import (
    BOUNDS,
    KEY,
    LONG,
    MODEL,
    PARSES,
    SHORT,
    form_of,
    parser_of,
    transcription_reply,
)

from langchain_voxtral import VoxtralTranscriptionParser
from langchain_voxtral.audio.wav import read_wav_header
from langchain_voxtral.errors import VoxtralResponseError

OPENAI = [("model", MODEL), ("response_format", "json"), ("temperature", "0.0")]
GRANULARITIES = [("timestamp_granularities", "segment"), ("timestamp_granularities[]", "segment")]
VERBOSE = [("model", MODEL), ("response_format", "verbose_json"), ("temperature", "0.0")]
CASES: dict[str, tuple[dict[str, Any], str, str, list[tuple[str, str]]]] = {
    "transcriptions": ({}, "/v1/openai/audio/transcriptions", "file", OPENAI),
    "translations": ({"task": "translate"}, "/v1/openai/audio/translations", "file", OPENAI),
    "with times": (
        {"mode": "segment"},
        "/v1/openai/audio/transcriptions",
        "file",
        [*VERBOSE, *GRANULARITIES],
    ),
    "translations with times": (
        {"mode": "srt", "task": "translate"},
        "/v1/openai/audio/translations",
        "file",
        VERBOSE,
    ),
    "with times of words": (
        {"timestamps": "word"},
        "/v1/openai/audio/transcriptions",
        "file",
        [
            *VERBOSE,
            ("timestamp_granularities", "segment"),
            ("timestamp_granularities", "word"),
            ("timestamp_granularities[]", "segment"),
            ("timestamp_granularities[]", "word"),
        ],
    ),
    "native with times of words": (
        {"endpoint": "native", "mode": "word", "task": "translate"},
        f"/v1/inference/{MODEL}",
        "audio",
        [("task", "translate"), ("temperature", "0.0"), ("chunk_level", "word")],
    ),
    "with language and prompt": (
        {"language": "fr", "prompt": "Zoé", "temperature": None},
        "/v1/openai/audio/transcriptions",
        "file",
        [("model", MODEL), ("prompt", "Zoé"), ("response_format", "json"), ("language", "fr")],
    ),
    "native": (
        {"endpoint": "native", "language": "fr", "task": "translate"},
        f"/v1/inference/{MODEL}",
        "audio",
        [("task", "translate"), ("temperature", "0.0"), ("language", "fr")],
    ),
    "native with times": (
        {"endpoint": "native", "mode": "vtt"},
        f"/v1/inference/{MODEL}",
        "audio",
        [("task", "transcribe"), ("temperature", "0.0"), ("chunk_level", "segment")],
    ),
    "vllm": ({"server": "vllm", "mode": "srt"}, "/v1/audio/transcriptions", "file", OPENAI),
    "llama.cpp": ({"server": "llama_cpp"}, "/v1/audio/transcriptions", "file", OPENAI),
}


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("case", CASES)
def test_the_form_that_is_sent(case: str, method: str) -> None:
    settings, path, field, fields = CASES[case]
    with ScriptedServer(transcription_reply("Hello.")) as server:
        PARSES[method](parser_of(server, **settings), SHORT)
    [seen] = server.requests
    assert (seen.method, seen.path) == ("POST", path)
    assert seen.headers["authorization"] == f"Bearer {KEY}"
    assert form_of(seen) == (fields, (field, "audio.wav", "audio/wav", SHORT))


@pytest.mark.parametrize("method", PARSES)
def test_in_a_chat_the_recording_precedes_the_instruction(method: str) -> None:
    reply = {"choices": [{"message": {"content": " Bonjour. "}, "finish_reason": "stop"}]}
    with ScriptedServer(json_reply(reply)) as server:
        parser = parser_of(server, endpoint="chat", language="fr", prompt="Zoé")
        [document] = PARSES[method](parser, SHORT)
    assert document.page_content == "Bonjour."
    [seen] = server.requests
    assert seen.path == "/v1/openai/chat/completions"
    part, text = seen.body["messages"][0].pop("content")
    assert seen.body == {
        "model": MODEL,
        "messages": [{"role": "user"}],
        "max_tokens": 256,
        "temperature": 0.0,
    }
    assert part == {
        "type": "input_audio",
        "input_audio": {"data": base64.b64encode(SHORT).decode(), "format": "wav"},
    }
    assert text == {
        "type": "text",
        "text": "Write down what is said in this recording, word for word and in the language "
        "spoken. Answer with these words alone. The language is French. For names and style: Zoé",
    }


def test_a_chat_that_is_cut_is_no_transcript() -> None:
    reply = {"choices": [{"message": {"content": "It was"}, "finish_reason": "length"}]}
    with (
        ScriptedServer(json_reply(reply)) as server,
        pytest.raises(VoxtralResponseError, match="was cut at the most tokens") as caught,
    ):
        parser_of(server, endpoint="chat").parse(SHORT)
    assert caught.value.partial == "It was"


def test_a_mono_mp3_is_sent_unchanged_and_other_formats_as_wav() -> None:
    mp3, flac = speech_samples.encoded("mp3"), speech_samples.encoded("flac")
    with ScriptedServer(transcription_reply("a"), transcription_reply("b")) as server:
        parser_of(server).parse(mp3)
        parser_of(server).parse(flac)
    sent = [form_of(seen)[1] for seen in server.requests]
    assert sent[0] == ("file", "audio.mp3", "audio/mpeg", mp3)
    assert sent[1][:3] == ("file", "audio.wav", "audio/wav")
    facts = read_wav_header(sent[1][3])
    assert (facts.channels, facts.rate, facts.bits) == (1, 16_000, 16)
    assert facts.seconds == len(speech_samples.speech()) / 16_000


def test_the_chunks_together_are_the_recording() -> None:
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser_of(server, chunk_seconds=11, max_concurrency=1).parse(LONG)
    sent = [form_of(seen)[1][3] for seen in server.requests]
    assert [read_wav_header(wav).seconds for wav in sent] == [
        pytest.approx(end - start) for start, end in BOUNDS
    ]
    assert b"".join(wav[44:] for wav in sent) == LONG[44:]


def test_a_recording_above_the_servers_limit_is_cut() -> None:
    longer = speech_samples.wav_bytes(np.tile(speech_samples.noise(1.0), 610))
    with ScriptedServer(default=transcription_reply("x")) as server:
        parser_of(server).parse(longer)
    lengths = [len(form_of(seen)[1][3]) for seen in server.requests]
    assert len(lengths) == 2
    assert max(lengths) < 600 * 32_000 + 44 + 1


@pytest.mark.parametrize(
    ("settings", "reply"),
    [
        ({"server": "vllm", "base_url": "http://127.0.0.1/v1", "task": "translate"}, "translate"),
        ({"server": "vllm", "base_url": "http://127.0.0.1/v1", "endpoint": "native"}, "native"),
        ({"language": "French"}, "for French it is 'fr'"),
        ({"language": "fr", "task": "translate"}, "language='fr' when translating"),
        ({"temperature": -1}, "temperature=-1"),
        ({"chunk_seconds": 0.5}, "greater than or equal to 1"),
        ({"mode": "words"}, "'document', 'chunk', 'segment', 'word', 'srt' or 'vtt'"),
        ({"mode": "word", "timestamps": "segment"}, "mode='word' needs timestamps='word'"),
        ({"base_url": "local", "speakers": True}, "base_url='local' does not return speakers"),
        (
            {"server": "llama_cpp", "base_url": "http://127.0.0.1/v1", "timestamps": "segment"},
            "'llama_cpp' does not return times of segments with .* These servers do.*'deepinfra'",
        ),
        ({"endpoint": "chat", "timestamps": "word"}, "does not return times of words"),
        ({"task": "translate", "timestamps": "word"}, "timestamps='word' when translating"),
        ({"speakers": True}, "server='deepinfra' does not return speakers with"),
        ({"lenguage": "fr"}, "Did you mean 'language'"),
        ({"api": "native"}, "here it is endpoint="),
    ],
)
def test_wrong_settings_are_an_error_before_anything_is_sent(
    settings: dict[str, Any], reply: str
) -> None:
    with pytest.raises(ValidationError, match=reply):
        VoxtralTranscriptionParser(**settings)
