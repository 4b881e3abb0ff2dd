"""What is silence: nothing and dither, but no sound, however faint."""

import numpy as np
import pytest
from support import speech_samples as samples
from support.speech_samples import Sound

from langchain_voxtral.audio import Recording
from langchain_voxtral.audio.levels import is_silent, iter_wav_pcm

STEP = 1 / 32768
QUIETEST = min(samples.AUSTEN, key=lambda path: float(np.abs(samples.speech(path)).max()))


def dither(offset: float = 0.0) -> Sound:
    """Return what triangular dither leaves of an offset, both in steps of 16 bits."""
    draw = np.random.default_rng(1)
    steps = np.rint(draw.random(48_000) - draw.random(48_000) + offset)
    return (steps * STEP).astype(np.float32)


def click(steps: float) -> Sound:
    """Return silence in which a single sample differs."""
    sound = samples.silence(3.0)
    sound[40_000] = steps * STEP
    return sound


def speech(gain_db: float) -> Sound:
    """Return speech at another level."""
    gain: np.float32 = np.float32(10 ** (gain_db / 20))
    return samples.speech(QUIETEST) * gain


SILENCES = {
    "nothing": samples.silence(3.0),
    "an offset": np.full(48_000, 100 * STEP, np.float32),
    "dither": dither(),
    "dither on half a step": dither(0.5),
    "dither on an offset": dither(100.3),
}
SOUNDS = {
    "speech": speech(0),
    "speech at -50 dB": speech(-50),
    "speech at -70 dB": speech(-70),
    "speech behind silence": samples.joined(samples.silence(30.0), speech(-70)),
    "noise at -70 dB": samples.noise(3.0, level=10**-3.5),
    "noise at -80 dB": samples.noise(3.0, level=1e-4),
    "a click": click(300),
    "a faint click": click(-5),
}


@pytest.mark.parametrize("name", [*SILENCES, *SOUNDS])
def test_silence_is_nothing_but_dither_and_an_offset(name: str) -> None:
    wav = samples.wav_bytes((SILENCES | SOUNDS)[name])
    assert is_silent(iter_wav_pcm(wav)) is Recording(wav).is_silent() is (name in SILENCES)


@pytest.mark.parametrize("size", [0, 2, 3_201, 32_000])
def test_the_sound_of_a_wav_file_is_read_without_what_stands_around_it(size: int) -> None:
    sound = bytes(range(256)) * (size // 256) + bytes(size % 256)
    wav = samples.with_declared_size(samples.wav_bytes(samples.silence(0)), size) + sound
    wav = samples.with_chunks(wav, samples.chunk(b"LIST", b"odd"), b"\0" * (size % 2))
    wav += samples.chunk(b"junk", b"\x7f" * 100)
    assert b"".join(iter_wav_pcm(wav)) == sound[: size - size % 2]


def test_a_recording_that_cannot_be_decoded_to_its_end_is_not_known_to_be_silent() -> None:
    flac = samples.encoded("flac", dither())
    assert Recording(flac).is_silent()
    recording = Recording(flac[: len(flac) // 2], truncated="keep")
    assert not recording.is_silent()
    assert recording.is_complete is None  # nothing was reported
