"""Names of speakers, in documents and subtitles."""

from typing import Any

import httpx
import pytest
from langchain_core.documents import Document
from langchain_core.stores import InMemoryByteStore
from pydantic import SecretStr, ValidationError
from support import speech_samples
from support.documented_exchanges import KEY, Server
from support.scripted_server import ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import (
    LONG,
    PARSES,
    SHORT,
    form_of,
    parser_of,
    transcription_reply,
)

from langchain_voxtral import VoxtralTranscriptionParser

TEXT = {"text": "Hello. World."}
MISTRAL = {"server": "mistral", "model": "voxtral-mini-2602"}
SPOKEN: list[dict[str, Any]] = [
    {
        "type": "transcription_segment",
        "start": 0.2,
        "end": 1.2,
        "text": "Hello.",
        "speaker_id": "a",
    },
    {
        "type": "transcription_segment",
        "start": 0.9,
        "end": 1.5,
        "text": "World.",
        "speaker_id": "b",
    },
]
CONVERSATION = json_reply({**TEXT, "model": "voxtral-mini-2602", "segments": SPOKEN})

SRT = "1\n00:00:00,200 --> 00:00:01,200\na: Hello.\n\n2\n00:00:00,900 --> 00:00:01,500\nb: World.\n"
VTT = (
    "WEBVTT\n\n00:00:00.200 --> 00:00:01.200\na: Hello.\n\n"
    "00:00:00.900 --> 00:00:01.500\nb: World.\n"
)


def facts(document: Document, *names: str) -> tuple[Any, ...]:
    return (document.page_content, *(document.metadata.get(name) for name in names))


@pytest.mark.parametrize("method", PARSES)
def test_speakers_are_asked_for_and_named(method: str) -> None:
    settings: dict[str, Any] = {**MISTRAL, "speakers": True}
    with ScriptedServer(default=CONVERSATION) as server:
        segments = PARSES[method](parser_of(server, **settings, mode="segment"), SHORT)
        [srt] = PARSES[method](parser_of(server, **settings, mode="srt"), SHORT)
        [vtt] = PARSES[method](parser_of(server, **settings, mode="vtt"), SHORT)
        [whole] = PARSES[method](parser_of(server, **settings), SHORT)
    assert [facts(one, "speaker", "start") for one in segments] == [
        ("Hello.", "a", 0.2),
        ("World.", "b", 0.9),
    ]
    assert (srt.page_content, vtt.page_content) == (SRT, VTT)
    assert facts(whole, "segments", "timestamps_source") == (
        "Hello. World.",
        [
            {"start": 0.2, "end": 1.2, "text": "Hello.", "speaker": "a"},
            {"start": 0.9, "end": 1.5, "text": "World.", "speaker": "b"},
        ],
        "server",
    )
    assert [form_of(seen)[0] for seen in server.requests] == [
        [
            ("model", "voxtral-mini-2602"),
            ("temperature", "0.0"),
            ("diarize", "true"),
            ("timestamp_granularities", "segment"),
        ]
    ] * 4


def test_a_speaker_that_the_server_tells_unasked_is_in_the_metadata_only() -> None:
    with ScriptedServer(default=CONVERSATION) as server:
        segments = parser_of(server, mode="segment").parse(SHORT)
        [subtitles] = parser_of(server, mode="srt").parse(SHORT)
    assert [one.metadata["speaker"] for one in segments] == ["a", "b"]
    assert "a:" not in subtitles.page_content


def test_speakers_of_different_chunks_are_not_taken_for_the_same(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with ScriptedServer(default=CONVERSATION) as server:
        parser = parser_of(server, **MISTRAL, speakers=True, mode="segment", chunk_seconds=11)
        made = parser.parse(LONG)
    assert [one.metadata["speaker"] for one in made] == ["0/a", "0/b", "1/a", "1/b", "2/a", "2/b"]
    [record] = caplog.records
    assert record.getMessage() == (
        "the recording: it is sent in several chunks, and no server compares the speakers of one "
        "with those of another: their names begin with the number of the chunk."
    )


@pytest.mark.parametrize(("settings", "limit"), [({}, 330.0), ({"timeout": 7.0}, 7.0)])
def test_with_speakers_a_chunk_is_as_long_as_the_server_takes_it(
    caplog: pytest.LogCaptureFixture, settings: dict[str, Any], limit: float
) -> None:
    """It has time for that, half its length, unless a limit is given."""
    server = Server()
    server.answer = lambda _: httpx.Response(200, json={**TEXT, "segments": SPOKEN})
    parser = VoxtralTranscriptionParser(
        server="mistral",
        api_key=SecretStr(KEY),
        speakers=True,
        mode="segment",
        send_silence=True,
        **server.settings,
        **settings,
    )
    made = parser.parse(speech_samples.encoded("wav", speech_samples.silence(660.0)))
    assert [(one.metadata["speaker"], one.metadata["n_chunks"]) for one in made] == [
        ("a", 1),
        ("b", 1),
    ]
    assert server.request.extensions["timeout"]["read"] == limit
    assert caplog.records == []


def test_a_server_that_tells_no_speakers_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    nobody = [
        part | {"speaker_id": None, "start": at}
        for at, part in zip((0.2, 1.2), SPOKEN, strict=True)
    ]
    with ScriptedServer(json_reply({**TEXT, "segments": nobody})) as server:
        [made] = parser_of(server, **MISTRAL, speakers=True, mode="srt").parse(SHORT)
    assert "Hello." in made.page_content
    assert [record.getMessage() for record in caplog.records] == [
        "the recording: the server did not tell who speaks."
    ]


def test_transcripts_are_stored_apart_if_speakers_are_asked_for() -> None:
    store = InMemoryByteStore()
    with ScriptedServer(default=CONVERSATION) as server:
        for speakers in (False, True, True):
            settings: dict[str, Any] = {"mode": "segment", "store": store, "speakers": speakers}
            parser_of(server, **MISTRAL, **settings).parse(SHORT)
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    "settings",
    [{"endpoint": "chat"}, {"server": "vllm"}, {"server": "openrouter"}, {"task": "translate"}],
)
def test_speakers_that_an_endpoint_cannot_tell_are_an_error_that_names_who_can(
    settings: dict[str, Any],
) -> None:
    with (
        ScriptedServer(default=transcription_reply("x")) as server,
        pytest.raises(ValidationError, match=r"does not return speakers .*: 'mistral'\."),
    ):
        parser_of(server, speakers=True, **settings)
    assert server.requests == []
