"""Recordings in messages: WAV and MP3 unchanged, everything else as WAV."""

import subprocess
import sys

import numpy as np
import pytest
from support import speech_samples as samples

from langchain_voxtral.audio.decoder import Recording
from langchain_voxtral.audio.upload import encode_for_upload, to_wav
from langchain_voxtral.audio.wav import read_wav_header
from langchain_voxtral.errors import VoxtralAudioError, VoxtralTruncatedAudioError

SECONDS = samples.SECONDS


@pytest.mark.parametrize("encoding", ["wav", "wav extensible", "mp3"])
def test_supported_formats_pass_unchanged(encoding: str) -> None:
    data = samples.encoded(encoding)
    clip = encode_for_upload(data)
    assert clip.data is data
    assert clip.format.name == encoding.split(maxsplit=1)[0]
    assert clip.seconds == pytest.approx(SECONDS)


def facts_of(wav: bytes) -> tuple[object, ...]:
    facts = read_wav_header(wav)
    return facts.encoding, facts.channels, facts.rate, facts.bits, facts.has_length


@pytest.mark.parametrize(
    "encoding",
    [
        encoding
        for encoding in samples.ENCODINGS
        if encoding not in {"wav", "wav extensible", "mp3", "mp3 without xing"}
    ],
)
def test_other_formats_become_mono_16_khz_16_bit_wav(encoding: str) -> None:
    clip = encode_for_upload(samples.encoded(encoding))
    assert clip.format.name == "wav"
    assert facts_of(clip.data) == (1, 1, 16_000, 16, True)
    assert clip.seconds == read_wav_header(clip.data).seconds == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize(
    ("channels", "rate"), [(2, 16_000), (8, 16_000), (1, 48_000), (1, 192_000)]
)
def test_other_channels_and_rates_become_such_a_wav(channels: int, rate: int) -> None:
    sound = np.column_stack([samples.speech(rate=rate)] * channels)
    clip = encode_for_upload(samples.encoded("wav", sound, rate))
    assert facts_of(clip.data) == (1, 1, 16_000, 16, True)
    assert clip.seconds == pytest.approx(SECONDS, abs=0.001)


def test_a_stereo_mp3_becomes_wav() -> None:
    data = samples.encoded("mp3", np.column_stack([samples.speech()] * 2))
    assert facts_of(encode_for_upload(data).data) == (1, 1, 16_000, 16, True)


def test_a_server_that_takes_no_mp3_gets_wav() -> None:
    assert (
        facts_of(encode_for_upload(samples.encoded("mp3"), accepted_formats={"wav"}).data)[0] == 1
    )


def test_a_wav_without_a_length_gets_one() -> None:
    streamed = samples.with_declared_size(samples.encoded("wav"), 0)
    assert encode_for_upload(streamed).data == samples.wav_bytes(samples.speech())


@pytest.mark.parametrize("encoding", ["wav", "mp3"])
def test_a_cut_recording_is_refused_or_kept_as_wav(encoding: str) -> None:
    cut = samples.encoded(encoding)[:30_001]
    with pytest.raises(VoxtralTruncatedAudioError, match=r"^message 0: "):
        encode_for_upload(cut, name="message 0")
    assert encode_for_upload(cut, truncated="keep").format.name == "wav"


@pytest.mark.parametrize("encoding", ["wav", "flac"])
def test_a_recording_that_is_too_long_is_refused(encoding: str) -> None:
    with pytest.raises(VoxtralAudioError, match=r"^the recording: it is longer than 10\.9 s: "):
        encode_for_upload(samples.encoded(encoding), max_seconds=10.9)
    assert encode_for_upload(samples.encoded(encoding), max_seconds=11).seconds == SECONDS


def test_the_whole_recording_as_one_wav() -> None:
    assert to_wav(Recording(samples.JFK)) == samples.wav_bytes(samples.speech())


WITHOUT_EXTRA = """
import sys
for name in ("numpy", "av"):
    sys.modules[name] = None
from langchain_voxtral.audio.upload import encode_for_upload
data = sys.stdin.buffer.read()
try:
    print(encode_for_upload(data).data == data)
except ImportError as error:
    print(type(error).__name__, error)
"""


MISSING = (
    "VoxtralMissingAudioExtraError Decoding a recording needs {}, which is not installed: "
    'pip install "langchain-voxtral[audio]"'
)


@pytest.mark.parametrize(
    ("encoding", "message"),
    [
        ("wav", "True"),
        ("mp3", "True"),
        ("flac", MISSING.format("av")),
        ("webm", MISSING.format("av")),
    ],
)
def test_without_the_extra_wav_and_mp3_pass_and_the_rest_names_it(
    encoding: str, message: str
) -> None:
    done = subprocess.run(  # noqa: S603 - a program of this file
        [sys.executable, "-c", WITHOUT_EXTRA],
        input=samples.encoded(encoding),
        capture_output=True,
        check=True,
    )
    assert done.stdout.decode().strip() == message
