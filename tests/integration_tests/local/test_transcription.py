"""Transcription of real speech through LangChain by the embedded engine."""

import asyncio
import io
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
from support.reference_transcripts import TALK, TRANSCRIPTS, word_errors
from support.subtitle_cues import read_cues

from langchain_voxtral import (
    ChatVoxtral,
    VoxtralTranscriber,
    VoxtralTranscriptionLoader,
    VoxtralTranscriptionParser,
    transcribe_audio_tool,
)
from langchain_voxtral.local import LocalVoxtral

JFK = TRANSCRIPTS[speech_samples.JFK]


def word_error_rate(reference: str, documents: list[Document]) -> float:
    return word_errors(reference, " ".join(document.page_content for document in documents)).wer


@pytest.fixture
def settings(local_server: LocalVoxtral) -> dict[str, Any]:
    return {"base_url": local_server.base_url, "api_key": local_server.api_key}


@pytest.mark.parametrize("endpoint", ["transcriptions", "native"])
@pytest.mark.parametrize("mode", ["document", "segment"])
def test_every_endpoint_and_mode_gives_the_text(
    settings: dict[str, Any], endpoint: str, mode: str
) -> None:
    parser = VoxtralTranscriptionParser(**settings | {"endpoint": endpoint, "mode": mode})
    assert word_error_rate(JFK, parser.parse(speech_samples.JFK)) < 0.15


@pytest.mark.parametrize("encoding", ["webm", "aiff"])
async def test_other_formats_and_rates_are_transcribed(
    settings: dict[str, Any], encoding: str
) -> None:
    rate = 48_000 if encoding == "webm" else 44_100
    sound = speech_samples.encoded(encoding, speech_samples.speech(speech_samples.JFK, rate), rate)
    made = await VoxtralTranscriptionParser(**settings).aparse(io.BytesIO(sound))
    assert word_error_rate(JFK, made) < 0.15


async def test_chunks_in_parallel_come_back_in_order_and_as_estimated(
    settings: dict[str, Any],
) -> None:
    settings |= {"mode": "chunk", "chunk_seconds": 20, "price_per_minute": 0.001}
    parser = VoxtralTranscriptionParser(max_concurrency=4, **settings)
    estimate = parser.estimate(speech_samples.talk())
    made = await parser.aparse(speech_samples.talk())
    chunks, duration = made[-1].metadata["n_chunks"], made[-1].metadata["end"]
    assert astuple(estimate) == pytest.approx((duration, chunks, 376 * chunks, duration / 60_000))
    assert [one.metadata["chunk"] for one in made] == [*range(chunks)]
    assert len(made) > 1
    assert [one.metadata["end"] for one in made[:-1]] == [one.metadata["start"] for one in made[1:]]
    assert word_error_rate(TALK, made) < 0.15
    # The same requests, one after the other, give the same transcript.
    in_turn = VoxtralTranscriptionParser(max_concurrency=1, **settings)
    assert [one.page_content for one in made] == [
        one.page_content for one in in_turn.parse(speech_samples.talk())
    ]


@pytest.fixture(scope="module")
def store() -> InMemoryByteStore:
    """Transcripts that several tests need, each made once."""
    return InMemoryByteStore()


@pytest.mark.parametrize("mode", ["srt", "vtt"])
def test_subtitles_are_within_the_recording(
    settings: dict[str, Any], store: InMemoryByteStore, mode: str
) -> None:
    parser = VoxtralTranscriptionParser(
        **settings | {"mode": mode, "chunk_seconds": 20, "store": store}
    )
    [made] = parser.parse(speech_samples.talk())
    cues = read_cues(made.page_content)
    assert made.metadata["timestamps_source"] == "server"
    times = [time for cue in cues for time in (cue.start, cue.end)]
    assert times == sorted(times)
    assert times[-1] <= made.metadata["duration"]
    assert word_error_rate(TALK, [Document(cue.text) for cue in cues]) < 0.15


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
    chunk_seconds=11,
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
        chunk_seconds=11,
        store=FolderStore(tmp_path),
        progress=progress.append,
        **settings,
    )
    missing = parser.estimate(speech_samples.talk()).chunks
    [made] = parser.parse(speech_samples.talk())
    # The third may be transcribed, too, when the second one's progress is reported.
    assert made.metadata["chunks_from_store"] in {2, 3}
    assert made.metadata["n_chunks"] == made.metadata["chunks_from_store"] + missing
    assert len(progress) == made.metadata["n_chunks"] + 1
    assert word_error_rate(TALK, [made]) < 0.15


def test_a_folder_is_loaded_with_marks_for_what_fails(
    settings: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "a.flac").write_bytes(speech_samples.JFK.read_bytes())
    (tmp_path / "b.mp3").write_text("Dear diary")
    (tmp_path / "c.mp3").write_bytes(speech_samples.encoded("mp3"))
    loader = VoxtralTranscriptionLoader(
        sorted(tmp_path.iterdir()), on_error="mark", progress=False, **settings
    )
    made = loader.load()
    assert ["error" in one.metadata for one in made] == [False, True, False]
    assert word_error_rate(f"{JFK} {JFK}", made) < 0.15


def test_the_embedded_engine_reports_a_language_that_it_does_not_know(
    settings: dict[str, Any],
) -> None:
    parser = VoxtralTranscriptionParser(language="qq", on_error="mark", **settings)
    [made] = parser.parse(speech_samples.JFK)
    assert "does not know this language" in made.metadata["error"]


async def test_a_recording_goes_through_a_chain_to_the_model(settings: dict[str, Any]) -> None:
    prompt = ChatPromptTemplate.from_template("What is this about? {talk}")
    chain = VoxtralTranscriber(**settings) | prompt | ChatVoxtral(max_tokens=20, **settings)
    sync, asynchronous = (
        chain.invoke(speech_samples.JFK),
        await chain.ainvoke(speech_samples.JFK),
    )
    assert sync.text
    assert asynchronous.text


async def test_an_agents_tool_transcribes(settings: dict[str, Any]) -> None:
    tool = transcribe_audio_tool(
        VoxtralTranscriptionParser(**settings), root=speech_samples.JFK.parent
    )
    transcripts = await asyncio.gather(
        tool.ainvoke({"path": "jfk.flac"}), asyncio.to_thread(tool.invoke, "jfk.flac")
    )
    for text in transcripts:
        assert word_error_rate(JFK, [Document(text)]) < 0.15
