"""Segments and subtitles where a server returns no times: short chunks, or a warning."""

import json
from pathlib import Path
from typing import Any

import pytest
from langchain_core.stores import InMemoryByteStore
from support import speech_samples
from support.scripted_server import Reply, ScriptedServer
from support.sse_replies import json_reply
from support.transcription_calls import KEY, LONG, PARSES, SHORT, parser_of, transcription_reply

from langchain_voxtral import VoxtralTranscriptionLoader
from langchain_voxtral.cli import main

SENTENCE_SECONDS, PAUSE_SECONDS = 5.0, 0.6
PERIOD = SENTENCE_SECONDS + PAUSE_SECONDS
TALK_SECONDS = 8 * PERIOD
TALK = speech_samples.encoded(
    "wav",
    speech_samples.joined(
        *(
            part
            for tenths in range(1, 9)
            for part in (
                speech_samples.noise(SENTENCE_SECONDS, level=tenths / 10),
                speech_samples.silence(PAUSE_SECONDS),
            )
        )
    ),
)
"""Eight sentences with pauses."""

CHAT = json_reply({"choices": [{"message": {"content": "Hello."}, "finish_reason": "stop"}]})
TEXT = transcription_reply("Hello.")
WITHOUT_TIMES: dict[str, tuple[dict[str, Any], Reply]] = {
    "vllm": ({"server": "vllm"}, TEXT),
    "llama_cpp": ({"server": "llama_cpp"}, TEXT),
    "a chat": ({"endpoint": "chat"}, CHAT),
    "a chat that translates": ({"endpoint": "chat", "server": "vllm", "task": "translate"}, CHAT),
}


def assert_readable(bounds: list[tuple[float, float]], seconds: float) -> None:
    """Check that cues cover a recording, are short, and end in its pauses."""
    assert (bounds[0][0], bounds[-1][1]) == (0.0, seconds)
    assert [end for _, end in bounds[:-1]] == [start for start, _ in bounds[1:]]
    assert all(1.0 <= end - start <= 15.0 for start, end in bounds)
    assert all(end % PERIOD > SENTENCE_SECONDS for _, end in bounds[:-1])


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize("name", WITHOUT_TIMES)
def test_segments_are_cut_at_pauses(
    name: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    settings, reply = WITHOUT_TIMES[name]
    with ScriptedServer(default=reply) as server:
        made = PARSES[method](parser_of(server, mode="segment", **settings), TALK)
    assert_readable([(one.metadata["start"], one.metadata["end"]) for one in made], TALK_SECONDS)
    assert {one.metadata["timestamps_source"] for one in made} == {"chunk"}
    assert len(server.requests) == len(made)
    assert caplog.records == []


@pytest.mark.parametrize("mode", ["srt", "vtt"])
def test_subtitles_are_cut_at_pauses(mode: str) -> None:
    with ScriptedServer(default=TEXT) as server:
        loader = VoxtralTranscriptionLoader(
            TALK, parser=parser_of(server, server="vllm", mode=mode)
        )
        [made] = loader.load()
    assert made.page_content.count("-->") == len(server.requests) == 4
    assert made.metadata["timestamps_source"] == "chunk"


@pytest.mark.parametrize("seconds", [15.2, 16.9, 30.3])
def test_a_short_rest_is_no_cue_of_its_own(seconds: float) -> None:
    talk = speech_samples.encoded("wav", speech_samples.noise(seconds))
    with ScriptedServer(default=TEXT) as server:
        made = parser_of(server, server="vllm", mode="segment").parse(talk)
    lengths = [one.metadata["end"] - one.metadata["start"] for one in made]
    assert sum(lengths) == pytest.approx(seconds)
    assert min(lengths) >= 1
    assert max(lengths) <= 15


@pytest.mark.parametrize(
    ("settings", "requests"),
    [
        ({"server": "vllm", "mode": "srt", "chunk_seconds": 40}, 2),
        ({"server": "vllm", "mode": "srt", "chunk_seconds": 600}, 1),
        ({"server": "vllm", "mode": "document"}, 1),
        ({"server": "vllm", "mode": "chunk"}, 1),
        ({"server": "deepinfra", "mode": "srt"}, 1),
        ({"server": "deepinfra", "mode": "srt", "endpoint": "native"}, 1),
    ],
)
def test_other_chunks_are_as_long_as_before(settings: dict[str, Any], requests: int) -> None:
    with ScriptedServer(default=TEXT) as server:
        parser_of(server, **settings).parse(TALK)
    assert len(server.requests) == requests


def test_estimates_and_stores_count_the_short_chunks() -> None:
    store = InMemoryByteStore()
    with ScriptedServer(default=TEXT) as server:
        parser = parser_of(server, server="vllm", mode="srt", store=store, price_per_minute=0.06)
        estimate = parser.estimate(TALK)
        made = [parser.model_copy(update={"mode": mode}).parse(TALK)[0] for mode in ("srt", "vtt")]
        assert parser.estimate(TALK).chunks == 0
    assert estimate.chunks == len(server.requests) == 4
    assert [one.metadata["chunks_from_store"] for one in made] == [0, 4]
    assert made[0].metadata["cost"] == pytest.approx(estimate.dollars)
    assert estimate.dollars == pytest.approx(TALK_SECONDS * 0.001)


@pytest.mark.parametrize("form", ["srt", "json"])
def test_the_command_cuts_at_pauses(
    form: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "a.wav"
    recording.write_bytes(TALK)
    monkeypatch.setenv("VOXTRAL_API_KEY", KEY)
    with ScriptedServer(default=TEXT) as server:
        options = ["--base-url", server.url, "--server", "vllm", "--format", form]
        assert main(["transcribe", *options, str(recording)]) == 0
    out = capsys.readouterr().out
    if form == "srt":
        assert out.count("-->") == 4
    else:
        segments = json.loads(out)["segments"]
        assert_readable([(one["start"], one["end"]) for one in segments], TALK_SECONDS)


# A server that is to return times and does not


ADVICE = (
    "the recording: the server returned no times, so the text gets those of whole chunks (a "
    "smaller chunk_seconds= makes them finer)."
)
TIMED = json_reply({"text": "Hello.", "segments": [{"start": 0, "end": 1, "text": "Hello."}]})
NULL = json_reply({"text": "Hello.", "segments": None, "duration": 10.0})
BLANK = json_reply({"text": "Hello.", "segments": [{"start": 0, "end": 1, "text": " "}]})
REFUSED = json_reply({"error": {"message": "do not support verbose_json"}}, status=400)


@pytest.mark.parametrize("method", PARSES)
@pytest.mark.parametrize(
    ("replies", "warnings"),
    [
        ([NULL, TEXT, BLANK], [ADVICE]),
        ([TIMED, BLANK, TIMED], [ADVICE]),
        ([REFUSED, TEXT, TEXT, TEXT], [ADVICE]),
        ([TIMED, transcription_reply(""), TIMED], []),
    ],
)
def test_missing_times_are_reported_once(
    replies: list[Reply], warnings: list[str], method: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer(*replies) as server:
        parser = parser_of(server, mode="srt", chunk_seconds=11, max_concurrency=1)
        [made] = PARSES[method](parser, LONG)
    assert made.metadata["timestamps_source"] == ("chunk" if warnings else "server")
    assert [record.getMessage() for record in caplog.records] == warnings


@pytest.mark.parametrize("mode", ["document", "chunk"])
def test_times_that_nobody_needs_are_not_missed(
    mode: str, caplog: pytest.LogCaptureFixture
) -> None:
    with ScriptedServer(NULL) as server:
        parser_of(server, mode=mode).parse(SHORT)
    assert caplog.records == []
