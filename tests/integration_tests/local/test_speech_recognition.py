"""Speech recognition of the embedded engine: real, long, faint and silent recordings."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
from support.local_speech import FRAMES, NATIVE, ask, json_body, wav
from support.reference_transcripts import TALK, TRANSCRIPTS, word_errors
from support.speech_samples import AUSTEN, JFK, encoded, joined, silence, speech, talk

from langchain_voxtral.local.engine.speech import SpeechEngine


@pytest.mark.parametrize("paths", [AUSTEN, (JFK,)], ids=["austen", "jfk"])
def test_real_speech_is_transcribed(http: httpx.Client, paths: tuple[Path, ...]) -> None:
    transcript = [json_body(ask(http, sound=path.read_bytes()))["text"] for path in paths]
    assert word_errors([TRANSCRIPTS[path] for path in paths], transcript).wer < 0.15, transcript


def test_a_talk_with_pauses_is_transcribed(http: httpx.Client) -> None:
    transcript = json_body(ask(http, sound=talk().read_bytes()))["text"]
    assert word_errors(TALK, transcript).wer < 0.15, transcript


def test_a_recording_longer_than_one_window_in_blocks_of_any_size(http: httpx.Client) -> None:
    passage = FRAMES + bytes(48_000)  # 12.5 s
    transcript = json_body(ask(http, NATIVE, wav(5 * passage)))
    assert word_errors(" ".join([TRANSCRIPTS[JFK]] * 5), transcript["text"]).wer < 0.15, transcript[
        "text"
    ]
    assert transcript["duration"] == 5 * len(passage) / 32_000
    # The end of the first window, at 45 s, is in the middle of a passage.
    begins = [segment["start"] for segment in transcript["segments"]]
    assert all(
        any(begin == pytest.approx(12.5 * number, abs=0.3) for begin in begins)
        for number in range(5)
    ), begins
    assert transcript["segments"][-1]["end"] > 60
    # The server reads blocks of about a second.
    sound, size = joined(*[speech(), silence(1.5)] * 5), 15_999 * 5
    blocks = (sound[start : start + size] for start in range(0, len(sound), size))
    assert [(one["start"], one["end"], one["text"].strip()) for one in transcript["segments"]] == [
        (one.start, one.end, one.text) for one in SpeechEngine().transcribe(blocks)
    ]


def test_segments_are_where_there_is_speech(http: httpx.Client) -> None:
    """Silence before, after and between passages belongs to none of them."""
    short = FRAMES[: 2 * 48_000]
    sound = wav(bytes(2 * 48_000) + short + bytes(2 * 80_000) + short)
    segments = json_body(ask(http, sound=sound, response_format="verbose_json"))["segments"]
    bounds = [(segment["start"], segment["end"]) for segment in segments]
    inside = [(2.9, 6.5), (10.9, 14.0)]
    assert all(
        any(first <= start < end <= last for first, last in inside) for start, end in bounds
    ), bounds
    assert bounds == sorted(bounds)
    assert {next(i for i, (_, last) in enumerate(inside) if end <= last) for _, end in bounds} == {
        0,
        1,
    }


@pytest.mark.parametrize(
    ("encoding", "rate", "channels"),
    [
        ("mp3", 44_100, 1),
        ("webm", 48_000, 1),
        ("wav mu-law", 8_000, 1),
        ("wav", 48_000, 2),
    ],
)
def test_other_kinds_of_files(http: httpx.Client, encoding: str, rate: int, channels: int) -> None:
    sound = np.column_stack([speech(JFK, rate)] * channels) if channels > 1 else None
    made = encoded(encoding, speech(JFK, rate) if sound is None else sound, rate)
    transcript = json_body(ask(http, sound=made))["text"]
    assert word_errors(TRANSCRIPTS[JFK], transcript).wer < 0.15, transcript


def test_faint_speech_is_transcribed(http: httpx.Client) -> None:
    transcript = json_body(ask(http, sound=encoded("wav float", speech() / np.float32(200))))[
        "text"
    ]
    assert word_errors(TRANSCRIPTS[JFK], transcript).wer < 0.15, transcript


def noise() -> bytes:
    drawn = np.random.default_rng(0).normal(0, 1000, 48_000)
    return drawn.astype("<i2").tobytes()


@pytest.mark.parametrize("frames", [bytes(32_000), bytes(96_000), noise()])
def test_a_recording_without_speech_has_an_empty_transcript(
    http: httpx.Client, frames: bytes
) -> None:
    transcript = json_body(ask(http, sound=wav(frames), response_format="verbose_json"))
    assert (transcript["text"], transcript["segments"]) == ("", [])
    assert transcript["duration"] == len(frames) / 32_000


def test_parallel_requests_get_the_same_answers(
    http: httpx.Client, verbose_transcript: dict[str, Any]
) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: json_body(ask(http, NATIVE)), range(4)))
    assert [(one["text"], one["segments"]) for one in answers] == [
        (verbose_transcript["text"], verbose_transcript["segments"])
    ] * 4


def test_the_model_is_in_memory_once(
    http: httpx.Client, verbose_transcript: dict[str, Any]
) -> None:
    assert verbose_transcript
    before = psutil.Process().memory_info().rss
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: ask(http), range(8)))
    assert psutil.Process().memory_info().rss - before < 60 * 2**20
