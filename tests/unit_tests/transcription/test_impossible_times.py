"""Answers with impossible times, and failed answers that have a text: the text is kept."""

from pathlib import Path
from typing import Any

import pytest
from langchain_core.stores import InMemoryByteStore
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import BOUNDS, KEY, LONG, PARSES, SHORT, parser_of

from langchain_voxtral import VoxtralTranscriber, VoxtralTranscriptionLoader
from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.cli import main
from langchain_voxtral.transcription.settings import request_for
from langchain_voxtral.transcription_client import TranscriptionClient

TEXT = "Hello. Bye."
GOOD = {"start": 0.0, "end": 0.9, "text": "Hello."}
SEGMENTS: dict[str, Any] = {
    "an end of null": [GOOD, {"start": 1.0, "end": None, "text": "Bye."}],
    "a start that is a string": [GOOD, {"start": "1.0", "end": 1.5, "text": "Bye."}],
    "an infinite end": [GOOD, {"start": 1.0, "end": float("inf"), "text": "Bye."}],
    "an end before the start": [GOOD, {"start": 1.5, "end": 1.0, "text": "Bye."}],
    "segments out of order": [{"start": 1.0, "end": 2.0, "text": "Bye."}, GOOD],
    "a start after the recording": [GOOD, {"start": 29.5, "end": 30.0, "text": "Bye."}],
    "a segment without a text": [GOOD, {"start": 1.0, "end": 1.5}],
    "segments for a part of the text": [GOOD],
    "segments without length": [GOOD | {"end": 0.0}, {"start": 0.0, "end": 0.0, "text": "Bye."}],
    "no list": {"0": GOOD},
}
CUES = {
    "segment": TEXT,
    "srt": f"1\n00:00:00,000 --> 00:00:02,000\n{TEXT}\n",
    "vtt": f"WEBVTT\n\n00:00:00.000 --> 00:00:02.000\n{TEXT}\n",
}
PROBLEM = (
    "the recording: the server's answer has segments[1] whose end is not a number of seconds. Its "
    "text gets the times of the whole chunk (a smaller chunk_seconds= makes them finer)."
)


def reply_of(segments: object) -> Reply:
    return json_reply({"text": TEXT, "segments": segments})


BAD = reply_of(SEGMENTS["an end of null"])


@pytest.mark.parametrize("mode", CUES)
@pytest.mark.parametrize("name", SEGMENTS)
def test_the_bounds_of_the_chunk_replace_impossible_times(
    name: str, mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer(reply_of(SEGMENTS[name])) as server:
        [made] = parser_of(server, mode=mode).parse(SHORT)
    assert made.page_content == CUES[mode]
    metadata = made.metadata
    assert [metadata[key] for key in ("start", "end", "timestamps_source")] == [0, 2, "chunk"]
    assert "error" not in metadata
    [record] = caplog.records
    assert record.levelname == "WARNING"
    assert record.getMessage().startswith("the recording: the server's answer has segments")


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("endpoint", ["transcriptions", "native"])
def test_a_warning_says_once_what_was_wrong(
    endpoint: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer(BAD) as server:
        [made] = PARSES[method](parser_of(server, mode="srt", endpoint=endpoint), SHORT)
    assert made.page_content == CUES["srt"]
    assert [record.getMessage() for record in caplog.records] == [PROBLEM]


def test_other_chunks_keep_the_times_of_the_server(caplog: pytest.LogCaptureFixture) -> None:
    good = reply_of([GOOD, {"start": 1.0, "end": 1.5, "text": "Bye."}])
    with ScriptedServer(good, BAD, good) as server:
        parser = parser_of(server, mode="segment", chunk_seconds=11, max_concurrency=1)
        made = parser.parse(LONG)
    assert [
        (one.page_content, one.metadata["timestamps_source"], one.metadata["end"]) for one in made
    ] == [
        ("Hello.", "server", 0.9),
        ("Bye.", "server", 1.5),
        (TEXT, "chunk", BOUNDS[1][1]),
        ("Hello.", "server", BOUNDS[2][0] + 0.9),
        ("Bye.", "server", BOUNDS[2][0] + 1.5),
    ]
    [record] = caplog.records
    assert record.getMessage().startswith("the recording, chunk 2 (9.8 s to 19.9 s): ")


@pytest.mark.parametrize("method", PARSES)
def test_a_resumed_run_has_the_text_and_the_warning_again(
    method: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = InMemoryByteStore()
    with ScriptedServer(BAD) as server:
        parser = parser_of(server, mode="srt", store=store)
        made = [PARSES[method](parser, SHORT)[0] for _ in range(2)]
    assert [one.page_content for one in made] == [CUES["srt"]] * 2
    assert [one.metadata["chunks_from_store"] for one in made] == [0, 1]
    assert [record.getMessage() for record in caplog.records] == [PROBLEM] * 2


async def test_a_client_keeps_the_text() -> None:
    with ScriptedServer(default=BAD) as server:
        parser = parser_of(server, mode="srt")
        chunk = AudioChunk(0, 0.0, 2.0, SHORT, is_last=True)
        request = request_for(parser, chunk, "the recording")
        client = TranscriptionClient(parser)
        responses = [client.transcribe(request), await client.atranscribe(request)]
    for response in responses:
        assert (response.transcript.text, response.transcript.segments) == (TEXT, ())


def test_loaders_and_transcribers_keep_the_text() -> None:
    with ScriptedServer(default=BAD) as server:
        parser = parser_of(server, mode="srt")
        [loaded] = VoxtralTranscriptionLoader(SHORT, parser=parser).load()
        assert loaded.page_content == CUES["srt"]
        assert VoxtralTranscriber(parser).invoke(SHORT) == CUES["srt"]


def test_the_command_writes_the_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "a.wav"
    recording.write_bytes(SHORT)
    monkeypatch.setenv("VOXTRAL_API_KEY", KEY)
    with ScriptedServer(BAD) as server:
        monkeypatch.setenv("VOXTRAL_BASE_URL", server.url)
        assert main(["transcribe", "--format", "srt", str(recording)]) == 0
    assert capsys.readouterr().out == CUES["srt"]


def test_without_times_the_segments_are_not_read(caplog: pytest.LogCaptureFixture) -> None:
    with ScriptedServer(BAD) as server:
        [made] = parser_of(server).parse(SHORT)
    assert made.page_content == TEXT
    assert caplog.records == []


# Failed answers


def chat_cut_by(reason: str) -> Reply:
    return json_reply({"choices": [{"message": {"content": TEXT}, "finish_reason": reason}]})


FAILURES: dict[str, tuple[str, Reply, str]] = {
    "a chat cut at its tokens": ("chat", chat_cut_by("length"), "was cut at the most tokens"),
    "a filtered chat": ("chat", chat_cut_by("content_filter"), "the server's content filter"),
    "a failure beside a text": (
        "native",
        json_reply({"text": TEXT, "inference_status": {"status": "failed"}}),
        "reports a failure",
    ),
    "segments without a whole text": (
        "native",
        json_reply({"text": None, "segments": [{"text": "Hello. "}, 5, {"text": "Bye."}]}),
        "has no text",
    ),
}


@pytest.mark.parametrize("mode", ["document", "chunk", *CUES])
@pytest.mark.parametrize("name", FAILURES)
def test_a_failed_chunk_keeps_the_text_that_came_with_the_error(name: str, mode: str) -> None:
    endpoint, reply, problem = FAILURES[name]
    with ScriptedServer(reply) as server:
        [made] = parser_of(server, mode=mode, endpoint=endpoint, on_error="mark").parse(SHORT)
    assert made.page_content == CUES.get(mode, TEXT)
    assert problem in made.metadata["error"]
    assert made.metadata["failed_chunks"] == 1
    assert (made.metadata["start"], made.metadata["end"]) == (0.0, 2.0)


@pytest.mark.parametrize("method", PARSES)
def test_a_failed_chunk_keeps_its_text_between_others(method: str) -> None:
    with ScriptedServer(
        json_reply({"choices": [{"message": {"content": "A"}}]}),
        chat_cut_by("length"),
        json_reply({"choices": [{"message": {"content": "C"}}]}),
    ) as server:
        parser = parser_of(
            server, endpoint="chat", on_error="mark", chunk_seconds=11, max_concurrency=1
        )
        [made] = PARSES[method](parser, LONG)
    assert made.page_content == f"A {TEXT} C"
    assert made.metadata["failed_chunks"] == 1
