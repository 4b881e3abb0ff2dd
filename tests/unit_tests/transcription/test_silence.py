"""Chunks that never rise above silence are not sent."""

import hashlib
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.stores import InMemoryByteStore
from support import speech_samples
from support.scripted_server import ScriptedServer
from support.transcription_calls import (
    BUSY,
    LONG,
    MODEL,
    PARSES,
    SHORT,
    parser_of,
    transcription_reply,
)

from langchain_voxtral import VoxtralTranscriber, transcribe_audio_tool
from langchain_voxtral.transcription.progress import Progress

SILENCE = speech_samples.silence(2.0)
SILENCES = {
    "wav": speech_samples.wav_bytes(SILENCE),
    "mp3": speech_samples.encoded("mp3", SILENCE),
    "flac": speech_samples.encoded("flac", np.column_stack((SILENCE, SILENCE))),
}
PAUSED = speech_samples.wav_bytes(
    speech_samples.joined(
        speech_samples.noise(10.0), speech_samples.silence(10.0), speech_samples.noise(10.0)
    )
)
"""`chunk_seconds=6` cuts it into five chunks, of which the third is silent."""
SPOKEN = [0, 1, 3, 4]
HELLO = transcription_reply("Hello.", inference_status={"cost": 0.5})


def parse_paused(method: str, **settings: Any) -> tuple[list[Document], int]:
    """Return the documents of a recording with a pause, and the number of requests."""
    with ScriptedServer(default=HELLO) as server:
        parser = parser_of(server, chunk_seconds=6, **settings)
        return PARSES[method](parser, PAUSED), len(server.requests)


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("form", SILENCES)
def test_a_silent_recording_is_not_sent_and_costs_nothing(form: str, method: str) -> None:
    data = SILENCES[form]
    with ScriptedServer() as server:
        [made] = PARSES[method](parser_of(server), data)
    assert server.requests == []
    seconds = made.metadata.pop("duration")
    assert seconds == pytest.approx(2.0, abs=0.1)
    assert made == Document(
        "",
        metadata={
            "sha256": hashlib.sha256(data).hexdigest(),
            "start": 0.0,
            "end": seconds,
            "n_chunks": 1,
            "timestamps_source": "chunk",
            "cost": 0.0,
            "cost_source": "not_sent",
            "chunks_from_store": 0,
            "no_speech": True,
            "silent": True,
            "silent_chunks": 1,
        },
    )


@pytest.mark.parametrize("method", PARSES)
def test_only_the_silent_chunk_of_a_recording_is_not_sent(method: str) -> None:
    made, requests = parse_paused(method, mode="chunk")
    assert requests == len(SPOKEN)
    assert [each.page_content for each in made] == ["Hello.", "Hello.", "", "Hello.", "Hello."]
    silent = made[2].metadata
    assert (silent["start"], silent["end"], silent["silent"]) == (12.0, 18.0, True)
    keys = ("no_speech", "silent", "silent_chunks", "cost", "cost_source", "model")
    assert [tuple(map(each.metadata.get, keys)) for each in made] == [
        (None, None, None, 0.5, "server", MODEL)
        if number in SPOKEN
        else (True, True, 1, 0.0, "not_sent", None)
        for number in range(5)
    ]


@pytest.mark.parametrize("method", PARSES)
def test_a_document_of_several_chunks_counts_the_silent_ones(method: str) -> None:
    [made], _ = parse_paused(method)
    assert made.page_content == "Hello. Hello. Hello. Hello."
    assert made.metadata["silent_chunks"] == 1
    assert not made.metadata.keys() & {"silent", "no_speech"}
    assert (made.metadata["cost"], made.metadata["cost_source"]) == (2.0, "server")
    assert made.metadata["n_chunks"] == 5


@pytest.mark.parametrize(
    ("mode", "nothing"), [("srt", [""]), ("vtt", ["WEBVTT\n"]), ("segment", [])]
)
def test_silence_has_no_segments_and_no_subtitles(mode: str, nothing: list[str]) -> None:
    with ScriptedServer() as server:
        made = parser_of(server, mode=mode).parse(SILENCES["wav"])
    assert [each.page_content for each in made] == nothing
    made, _ = parse_paused("parse", mode=mode)
    text = "\n".join(each.page_content for each in made)
    assert (text.count("Hello."), text.count("-->")) == (4, 0 if mode == "segment" else 4)


@pytest.mark.parametrize("method", PARSES)
def test_silence_is_sent_on_request(method: str) -> None:
    [made], requests = parse_paused(method, send_silence=True)
    assert requests == 5
    assert made.metadata["cost"] == 2.5
    assert not made.metadata.keys() & {"silent", "silent_chunks"}


def test_silence_is_found_in_wav_files_without_any_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("av", "numpy"):
        monkeypatch.setitem(sys.modules, library, None)
    with ScriptedServer(transcription_reply("Hello.")) as server:
        parser = parser_of(server)
        assert parser.parse(SILENCES["wav"])[0].metadata["silent"]
        assert parser.parse(SILENCES["mp3"])[0].page_content == "Hello."  # it cannot be decoded


@pytest.mark.parametrize("method", PARSES)
def test_progress_counts_silent_chunks_and_the_store_keeps_none(method: str) -> None:
    store, reports = InMemoryByteStore(), list[Progress]()
    with ScriptedServer(default=HELLO) as server:
        parser = parser_of(server, chunk_seconds=6, store=store, progress=reports.append)
        PARSES[method](parser, PAUSED)
        assert [each.done for each in reports] == [0, 1, 2, 3, 4, 5]
        assert len(list(store.yield_keys())) == len(SPOKEN)
        [made] = PARSES[method](parser, PAUSED)
    assert len(server.requests) == len(SPOKEN)
    assert (made.metadata["chunks_from_store"], made.metadata["silent_chunks"]) == (4, 1)


async def test_estimates_count_silence_unless_they_decode() -> None:
    with ScriptedServer() as server:
        parser = parser_of(server, chunk_seconds=6, price_per_minute=1.0)
        assert astuple(parser.estimate(PAUSED)) == (30.0, 5, 5 * 376, 0.5)
        parser = parser.model_copy(update={"store": InMemoryByteStore()})
        estimate = parser.estimate(PAUSED)
        assert astuple(estimate) == (24.0, 4, 4 * 376, pytest.approx(0.4))
        assert await parser.aestimate(PAUSED) == estimate


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize(
    ("mode", "nothing"),
    [
        ("document", [""]),
        ("chunk", ["", "", ""]),
        ("srt", [""]),
        ("vtt", ["WEBVTT\n"]),
        ("segment", []),
        ("word", []),
    ],
)
def test_a_recording_in_which_a_server_finds_no_speech_says_so(
    mode: str, nothing: list[str], method: str
) -> None:
    with ScriptedServer(default=transcription_reply(" \n", segments=[])) as server:
        parser = parser_of(server, mode=mode, chunk_seconds=11, language="fr")
        made = PARSES[method](parser, LONG)
    assert [each.page_content for each in made] == nothing
    assert all(each.metadata["no_speech"] is True for each in made)
    assert not any(each.metadata.keys() & {"silent", "language"} for each in made)


@pytest.mark.parametrize("mode", ["document", "chunk"])
def test_a_failure_is_not_taken_for_a_lack_of_speech(mode: str) -> None:
    replies = [transcription_reply(""), BUSY, transcription_reply("")]
    with ScriptedServer(*replies) as server:
        parser = parser_of(server, mode=mode, chunk_seconds=11, max_concurrency=1, on_error="mark")
        made = parser.parse(LONG)
    assert [each.metadata.get("no_speech") for each in made] == (
        [None] if mode == "document" else [True, None, True]
    )


def test_speech_that_is_in_segments_only_is_speech() -> None:
    segments = [{"start": 0.5, "end": 1.5, "text": "Hello."}]
    with ScriptedServer(transcription_reply("", segments=segments)) as server:
        [made] = parser_of(server, mode="vtt").parse(SHORT)
    assert "Hello." in made.page_content
    assert "no_speech" not in made.metadata


@pytest.mark.parametrize("mode", ["document", "chunk", "vtt", "segment"])
async def test_an_agent_is_told_that_there_is_no_speech(tmp_path: Path, mode: str) -> None:
    (tmp_path / "hall.wav").write_bytes(SILENCES["wav"])
    (tmp_path / "room.wav").write_bytes(LONG)
    with ScriptedServer(default=transcription_reply("")) as server:
        parser = parser_of(server, mode=mode, chunk_seconds=11)
        tool = transcribe_audio_tool(parser, root=tmp_path)
        told = "No speech was found in this recording."
        assert tool.invoke({"path": "hall.wav"}) == told
        assert await tool.ainvoke({"path": "room.wav"}) == told
    assert len(server.requests) == 3


def test_the_text_of_a_recording_without_speech_is_empty() -> None:
    with ScriptedServer(transcription_reply("")) as server:
        transcriber = VoxtralTranscriber(parser_of(server))
        assert [transcriber.invoke(audio) for audio in (SILENCES["wav"], SHORT)] == ["", ""]
