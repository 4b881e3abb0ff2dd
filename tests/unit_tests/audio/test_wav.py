"""WAV files from samples, and the headers of WAV files."""

import io
import wave

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import speech_samples as samples

from langchain_voxtral.audio.wav import WavHeader, read_wav_header
from langchain_voxtral.errors import VoxtralAudioError


def test_the_facts_of_a_header() -> None:
    data = samples.encoded("wav", samples.silence(2, 48_000), 48_000)
    assert read_wav_header(data) == WavHeader(
        encoding=1,
        channels=1,
        rate=48_000,
        bits=16,
        frame_bytes=2,
        data_bytes=192_000,
        has_length=True,
    )
    assert read_wav_header(io.BytesIO(data)).seconds == 2.0


@pytest.mark.parametrize(
    ("encoding", "facts"),
    [
        ("wav extensible", (1, 16, 1.0)),
        ("wav float", (3, 32, 1.0)),
        ("wav mu-law", (7, 8, 1.0)),
        ("wav adpcm", (0x11, 4, None)),
        ("wav rf64", (1, 16, 1.0)),
    ],
)
def test_the_encoding_behind_a_header(encoding: str, facts: tuple[int, int, float | None]) -> None:
    found = read_wav_header(samples.encoded(encoding, samples.silence(1)))
    assert (found.encoding, found.bits, found.seconds) == facts


def test_a_streamed_header_declares_no_length() -> None:
    data = samples.with_declared_size(samples.encoded("wav", samples.noise(1)), 0xFFFF_FFFF)
    assert (read_wav_header(data).has_length, read_wav_header(data).data_bytes) == (False, 32_000)


def test_others_read_what_is_written() -> None:
    with wave.open(io.BytesIO(samples.wav_bytes(samples.speech(), 8_000))) as read:
        assert read.getparams()[:4] == (1, 2, 8_000, len(samples.speech()))
        assert read.readframes(10**6) == samples.pcm16(samples.speech())


@given(st.binary(max_size=200))
def test_any_header_is_read_or_refused(rest: bytes) -> None:
    for head in (b"", b"fmt \x10\0\0\0\1\0\1\0\x80\x3e\0\0\0\x7d\0\0\2\0\x10\0data"):
        try:
            facts = read_wav_header(b"RIFF\0\0\0\0WAVE" + head + rest)
        except VoxtralAudioError:
            continue
        assert facts.data_bytes <= len(rest)
