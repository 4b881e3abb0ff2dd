"""Long recordings are split at silences without losing a sample, with bounded memory."""

import itertools
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st
from support import speech_samples as samples

from langchain_voxtral.audio import chunking
from langchain_voxtral.audio.chunking import AudioChunk
from langchain_voxtral.audio.decoder import Recording
from langchain_voxtral.audio.wav import read_wav_header
from langchain_voxtral.errors import VoxtralInvalidRequestError


def split_at_silence(
    recording: Recording,
    *,
    max_seconds: float = 600.0,
    max_bytes: int = 25_000_000,
    **limits: float,
) -> Iterator[AudioChunk]:
    return chunking.split_at_silence(
        recording, max_seconds=max_seconds, max_bytes=max_bytes, **limits
    )


def recording(*sounds: samples.Sound) -> Recording:
    return Recording(samples.wav_bytes(samples.joined(*sounds)))


def cuts(made: Iterator[AudioChunk]) -> list[float]:
    return [chunk.end for chunk in made]


def assert_nothing_is_lost(made: list[AudioChunk], sound: samples.Sound) -> None:
    assert b"".join(chunk.data[44:] for chunk in made) == samples.pcm16(sound)
    assert [chunk.index for chunk in made] == list(range(len(made)))
    assert [made[0].start, *(chunk.end for chunk in made)] == [
        *(chunk.start for chunk in made),
        len(sound) / 16_000,
    ]
    for chunk in made:
        size = round((chunk.end - chunk.start) * 16_000) * 2
        assert read_wav_header(chunk.data).data_bytes == size


def test_a_short_recording_is_one_chunk() -> None:
    (whole,) = split_at_silence(Recording(samples.JFK))
    assert whole.is_last
    assert (whole.index, whole.start, whole.end) == (0, 0.0, samples.SECONDS)
    assert whole.data == samples.wav_bytes(samples.speech())


def test_a_recording_as_long_as_the_limit_is_one_chunk() -> None:
    assert cuts(split_at_silence(recording(samples.noise(60)), max_seconds=60)) == [60.0]


def test_a_cut_lies_in_the_middle_of_the_only_pause() -> None:
    noise, pause = samples.noise, samples.silence(0.3)
    made = split_at_silence(recording(noise(53), pause, noise(30)), target_seconds=60)
    assert cuts(made) == [pytest.approx(53.15, abs=0.01), 83.3]


def test_the_quietest_pause_wins_over_fuller_blocks() -> None:
    noise = samples.noise
    hum, rustle = noise(1, level=0.001), noise(1, level=0.01)
    made = list(
        split_at_silence(recording(noise(47), hum, noise(10), rustle, noise(30)), target_seconds=60)
    )
    assert 47 < made[0].end < 48


def test_of_equal_pauses_the_one_that_fills_its_blocks_wins() -> None:
    noise, pause = samples.noise, samples.silence(1)
    parts = (noise(87), pause, noise(1.5), pause, noise(20), pause, noise(30))
    assert next(split_at_silence(recording(*parts), target_seconds=115)).end == 90.0


def test_a_recording_without_pauses_is_cut_all_the_same() -> None:
    sound = samples.noise(100)
    made = list(split_at_silence(recording(sound), max_seconds=30))
    assert max(len(chunk.data) - 44 for chunk in made) <= 30 * 32_000
    assert_nothing_is_lost(made, sound)


def test_chunks_are_about_equally_long() -> None:
    """The last chunk is not just a second or two."""
    assert cuts(split_at_silence(recording(samples.silence(61)), max_seconds=60)) == [
        30.0,
        61.0,
    ]
    assert cuts(split_at_silence(recording(samples.silence(1202)))) == [390.0, 810.0, 1202.0]


def test_real_speech_is_cut_between_its_words() -> None:
    speech = samples.joined(*map(samples.speech, (*samples.AUSTEN, samples.JFK)))
    made = list(split_at_silence(Recording(samples.wav_bytes(speech)), max_seconds=12))
    assert_nothing_is_lost(made, speech)
    loud = np.sqrt(np.mean(np.square(speech)))
    for chunk in made[:-1]:
        cut = round(chunk.end * 16_000)
        assert np.sqrt(np.mean(np.square(speech[cut - 1_600 : cut + 1_600]))) < loud / 5


def test_a_chunk_has_no_more_bytes_than_requested() -> None:
    sound = samples.noise(60)
    made = list(split_at_silence(recording(sound), max_bytes=500_000))
    assert max(len(chunk.data) for chunk in made) <= 500_000
    assert_nothing_is_lost(made, sound)


def test_a_target_below_the_limit_is_aimed_at() -> None:
    made = split_at_silence(recording(samples.silence(100)), target_seconds=30)
    assert cuts(made) == [30.0, 60.0, 90.0, 100.0]


@settings(max_examples=30)
@given(
    lengths=st.lists(st.floats(0.01, 4), min_size=1, max_size=8),
    longest=st.floats(1, 12),
    window=st.floats(0.001, 40),
)
def test_chunks_add_up_for_all_settings(
    lengths: list[float], longest: float, window: float
) -> None:
    parts = zip(lengths, itertools.cycle((samples.noise, samples.silence)), strict=False)
    sound = samples.joined(*(make(length) for length, make in parts))
    made = list(split_at_silence(recording(sound), max_seconds=longest, window_seconds=window))
    assert_nothing_is_lost(made, sound)
    sizes = [(len(chunk.data) - 44) // 2 for chunk in made]
    assert max(sizes) <= longest * 16_000
    assert len(made) == 1 or min(sizes) >= min(16_000, longest * 16_000 * 3 / 8 - 1)


@pytest.mark.parametrize("encoding", ["wav", "flac streamed"])
@pytest.mark.parametrize("over", [1, 160, 15_999])
def test_no_tiny_last_chunk_remains(encoding: str, over: int) -> None:
    sound = samples.noise(60 + over / 16_000)
    data = samples.encoded(encoding, sound)
    for limits in ({"max_seconds": 60.0}, {"target_seconds": 30.0}):
        made = list(split_at_silence(Recording(data), **limits))  # type: ignore[arg-type]
        assert min(len(chunk.data) - 44 for chunk in made) >= 32_000
        assert made[-1].end == len(sound) / 16_000


@pytest.mark.parametrize(
    "limits",
    [{"max_seconds": 0.5}, {"max_bytes": 1_000}, {"target_seconds": 0.0}, {"window_seconds": 0.0}],
)
def test_limits_that_nothing_fits_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(VoxtralInvalidRequestError, match="give each chunk a second or more"):
        next(split_at_silence(Recording(samples.JFK), **limits))  # type: ignore[arg-type]


@pytest.mark.parametrize("encoding", ["flac", "wav"])
def test_memory_holds_two_pieces_and_no_more_however_long_it_is(
    tmp_path: Path, encoding: str
) -> None:
    path = tmp_path / f"long.{encoding}"
    block = samples.pcm16(samples.noise(10))
    with soundfile.SoundFile(path, "w", 16_000, 1, "PCM_16") as file:
        for _ in range(60):
            file.buffer_write(block, dtype="int16")
    piece = 30 * 32_000
    tracemalloc.start()
    try:
        ends = [chunk.end for chunk in split_at_silence(Recording(path), max_seconds=30)]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert ends[-1] == 600.0
    assert peak < 4 * piece < 600 * 32_000 / 4
