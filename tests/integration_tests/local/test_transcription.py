"""Transcription of real speech through LangChain by the embedded engine."""

import asyncio
import signal
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path
from typing import Any

import pytest
from langchain_core.documents import Document
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.stores import InMemoryByteStore
from support import speech_samples
from support.folder_store import FolderStore
from support.reference_transcripts import TALK, TRANSCRIPTS, TRANSLATIONS, word_errors
from support.run_log import RunLog
from support.subtitle_cues import read_cues

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
    VoxtralTranscriptionParser,
    get_voxtral_usage_callback,
    transcribe_audio_tool,
)
from langchain_voxtral.local import LocalVoxtral

JFK = TRANSCRIPTS[speech_samples.JFK]
FRENCH = speech_samples.FRENCH
FACTS = ("language", "language_source", "task", "model", "no_speech")


def word_error_rate(reference: str, documents: list[Document]) -> float:
    return word_errors(reference, " ".join(document.page_content for document in documents)).wer


@pytest.fixture
def settings(local_server: LocalVoxtral) -> dict[str, Any]:
    return {"base_url": local_server.base_url, "api_key": local_server.api_key}


@pytest.fixture(scope="module")
def store() -> InMemoryByteStore:
    """Transcripts that several tests need, each made once."""
    return InMemoryByteStore()


@pytest.mark.parametrize(
    ("endpoint", "mode"), [("transcriptions", "document"), ("native", "segment")]
)
def test_every_endpoint_gives_the_text(
    settings: dict[str, Any], store: InMemoryByteStore, endpoint: str, mode: str
) -> None:
    settings |= {"endpoint": endpoint, "mode": mode, "store": store}
    assert (
        word_error_rate(JFK, VoxtralTranscriptionParser(**settings).parse(speech_samples.JFK)) == 0
    )


@pytest.mark.parametrize(
    ("task", "text"), [("transcribe", TRANSCRIPTS[FRENCH]), ("translate", TRANSLATIONS[FRENCH])]
)
def test_french_is_detected_transcribed_and_translated(
    settings: dict[str, Any], task: str, text: str
) -> None:
    [made] = VoxtralTranscriptionParser(**settings | {"task": task}).parse(FRENCH)
    assert {name: made.metadata[name] for name in FACTS if name in made.metadata} == {
        "language": "fr",
        "language_source": "detected",
        "model": "whisper-base",
        **({"task": "translate"} if task == "translate" else {}),
    }
    assert made.metadata["language_probability"] >= 0.5
    assert word_error_rate(text, [made]) < 0.2


def test_a_recording_of_noise_has_no_speech(settings: dict[str, Any]) -> None:
    noise = speech_samples.wav_bytes(speech_samples.noise(3.0, level=0.05))
    [made] = VoxtralTranscriptionParser(**settings).parse(noise)
    assert made.page_content == ""
    assert {name: made.metadata[name] for name in FACTS if name in made.metadata} == {
        "model": "whisper-base",
        "no_speech": True,
    }


LONG: dict[str, Any] = {"chunk_seconds": 20, "timestamps": "word"}
"""Settings of all tests with a long recording, so that each of its chunks is transcribed once."""


def parse_talk(settings: dict[str, Any], store: InMemoryByteStore, mode: str) -> list[Document]:
    """Return the documents of a long recording, whose chunks are sent once, in parallel."""
    parser = VoxtralTranscriptionParser(**LONG, **settings | {"mode": mode, "store": store})
    return parser.parse(speech_samples.talk())


def test_chunks_in_parallel_come_back_in_order_and_as_estimated(
    settings: dict[str, Any], store: InMemoryByteStore
) -> None:
    parser = VoxtralTranscriptionParser(price_per_minute=0.001, **LONG, **settings)
    estimate = parser.estimate(speech_samples.talk())
    made = parse_talk(settings, store, "chunk")
    chunks, duration = made[-1].metadata["n_chunks"], made[-1].metadata["end"]
    assert astuple(estimate) == pytest.approx((duration, chunks, 376 * chunks, duration / 60_000))
    assert [one.metadata["chunk"] for one in made] == [*range(chunks)]
    assert len(made) > 1
    assert [one.metadata["end"] for one in made[:-1]] == [one.metadata["start"] for one in made[1:]]
    assert word_error_rate(TALK, made) < 0.1
    assert {one.metadata["language"] for one in made} == {"en"}


def test_words_have_their_times_in_the_recording(
    settings: dict[str, Any], store: InMemoryByteStore
) -> None:
    [made] = parse_talk(settings, store, "document")
    words = made.metadata["words"]
    assert "".join(word["word"] for word in words) == made.page_content.replace(" ", "")
    times = [word[side] for word in words for side in ("start", "end")]
    assert times == sorted(times)
    assert times[-1] <= made.metadata["duration"]
    assert made.metadata["timestamps_source"] == "server"
    # The last words are Kennedy's, who begins after the others.
    [americans] = [word for word in words if word["word"].startswith("Americans")]
    assert americans["start"] > made.metadata["duration"] - speech_samples.SECONDS


@pytest.mark.parametrize("mode", ["srt", "vtt"])
def test_subtitles_are_within_the_recording(
    settings: dict[str, Any], store: InMemoryByteStore, mode: str
) -> None:
    [made] = parse_talk(settings, store, mode)
    cues = read_cues(made.page_content)
    assert made.metadata["timestamps_source"] == "server"
    times = [time for cue in cues for time in (cue.start, cue.end)]
    assert times == sorted(times)
    assert times[-1] <= made.metadata["duration"]
    assert word_error_rate(TALK, [Document(cue.text) for cue in cues]) < 0.1


_KILLED = """
import os, sys
sys.path.insert(0, sys.argv[3])
from support.folder_store import FolderStore
from langchain_voxtral import VoxtralTranscriptionParser

def killed_after_two(progress):
    if progress.done == 2:
        os.kill(os.getpid(), 9)

VoxtralTranscriptionParser(
    base_url=sys.argv[1],
    api_key=sys.argv[2],
    chunk_seconds=20,
    timestamps="word",
    max_concurrency=1,
    store=FolderStore(sys.argv[4]),
    progress=killed_after_two,
).parse(sys.argv[5])
"""


def test_a_killed_process_pays_only_for_what_is_missing(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    arguments = [*settings.values(), Path(__file__).parents[2], tmp_path, speech_samples.talk()]
    killed = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-c", _KILLED, *map(str, arguments)], check=False, capture_output=True
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    progress: list[object] = []
    parser = VoxtralTranscriptionParser(
        store=FolderStore(tmp_path), progress=progress.append, **LONG, **settings
    )
    missing = parser.estimate(speech_samples.talk()).chunks
    [made] = parser.parse(speech_samples.talk())
    # The third may be transcribed, too, when the second one's progress is reported.
    assert made.metadata["chunks_from_store"] in {2, 3}
    assert made.metadata["n_chunks"] == made.metadata["chunks_from_store"] + missing
    assert len(progress) == made.metadata["n_chunks"] + 1
    assert word_error_rate(TALK, [made]) < 0.15


async def test_a_folder_of_several_formats_is_loaded_with_marks_for_what_fails(
    settings: dict[str, Any], store: InMemoryByteStore, tmp_path: Path
) -> None:
    speech = speech_samples.speech(speech_samples.JFK, 48_000)
    good, bad, other = (tmp_path / name for name in ("a.flac", "b.mp3", "c.webm"))
    good.write_bytes(speech_samples.JFK.read_bytes())
    bad.write_text("Dear diary")
    other.write_bytes(speech_samples.encoded("webm", speech, 48_000))
    loader = VoxtralTranscriptionLoader(
        [good, bad, other], on_error="mark", progress=False, store=store, **settings
    )
    made = await loader.aload()
    assert ["error" in one.metadata for one in made] == [False, True, False]
    assert word_error_rate(f"{JFK} {JFK}", made) < 0.15


def test_the_embedded_engine_reports_a_language_that_it_does_not_know(
    settings: dict[str, Any],
) -> None:
    parser = VoxtralTranscriptionParser(language="qq", on_error="mark", **settings)
    [made] = parser.parse(speech_samples.JFK)
    assert "does not know this language" in made.metadata["error"]


@pytest.mark.parametrize(
    ("endpoint", "path", "has_tokens"),
    [
        ("transcriptions", "transcriptions", False),
        ("native", "native", False),
        ("chat", "chat_completions", True),
    ],
)
def test_callbacks_are_told_what_a_request_took(
    settings: dict[str, Any], endpoint: str, path: str, has_tokens: bool
) -> None:
    log, short = RunLog(), speech_samples.wav_bytes(speech_samples.speech()[:32_000])
    transcriber = VoxtralTranscriber(endpoint=endpoint, **settings)
    with get_voxtral_usage_callback(max_cost_usd=0.01) as usage:
        text = transcriber.invoke(short, {"callbacks": [log]})
    [run] = log.requests
    told = run.message.response_metadata
    assert run.message.content == text
    assert (told["endpoint"], told["audio_seconds"], told["cost"]) == (path, 2.0, 0.0)
    assert told["request_id"]
    assert (usage.total.requests, usage.total.cost_usd) == (1, 0.0)
    assert usage.total.requests_without_usage == usage.total.requests_without_cost == 0
    assert (usage.total.output_tokens > 0) == has_tokens


async def test_a_recording_goes_through_a_chain_to_the_model(
    settings: dict[str, Any], store: InMemoryByteStore
) -> None:
    prompt = ChatPromptTemplate.from_template("What is this about? {talk}")
    transcriber = VoxtralTranscriber(store=store, **settings)
    chain = transcriber | prompt | ChatVoxtral(max_tokens=20, **settings)
    sync, asynchronous = (
        chain.invoke(speech_samples.JFK),
        await chain.ainvoke(speech_samples.JFK),
    )
    assert sync.text
    assert asynchronous.text


async def test_an_agents_tool_transcribes(
    settings: dict[str, Any], store: InMemoryByteStore
) -> None:
    tool = transcribe_audio_tool(
        VoxtralTranscriptionParser(store=store, **settings), root=speech_samples.JFK.parent
    )
    transcripts = await asyncio.gather(
        tool.ainvoke({"path": "jfk.flac"}), asyncio.to_thread(tool.invoke, "jfk.flac")
    )
    for text in transcripts:
        assert word_error_rate(JFK, [Document(text)]) < 0.15
