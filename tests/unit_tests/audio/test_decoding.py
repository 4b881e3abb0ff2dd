"""Every format, rate and number of channels decodes to the same speech, as a stream."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support import speech_samples as samples

from langchain_voxtral.audio import Recording
from langchain_voxtral.audio.decoder import Truncated

SECONDS = samples.SECONDS
LOSSLESS = {
    "wav",
    "wav 24-bit",
    "wav extensible",
    "wav rf64",
    "wav float",
    "flac",
    "aiff",
    "au",
    "caf",
}
UNTOLD = {"aac", "flac streamed", "webm streamed"}


@pytest.mark.parametrize("encoding", samples.ENCODINGS)
def test_every_format_is_the_same_speech(encoding: str) -> None:
    recording = Recording(samples.encoded(encoding))
    sound = np.concatenate(list(recording.iter_samples()))
    assert recording.is_complete is True
    assert (sound.dtype.name, sound.ndim) == ("float32", 1)
    assert len(sound) / 16_000 == pytest.approx(SECONDS, abs=0.1)
    assert samples.likeness(sound, samples.speech()) > 0.98


@pytest.mark.parametrize("encoding", sorted(LOSSLESS))
def test_lossless_formats_keep_every_sample(encoding: str) -> None:
    np.testing.assert_allclose(
        samples.decoded(samples.encoded(encoding)), samples.speech(), atol=1e-6
    )


@pytest.mark.parametrize("encoding", samples.ENCODINGS)
def test_the_length_is_known_before_decoding_where_the_file_declares_it(encoding: str) -> None:
    recording = Recording(samples.encoded(encoding))
    expected = None if encoding in UNTOLD else pytest.approx(SECONDS, abs=0.1)
    assert recording.duration == expected
    assert samples.seconds_of(recording) == pytest.approx(SECONDS, abs=0.1)


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000, 96_000, 192_000])
@pytest.mark.parametrize("encoding", ["wav", "flac"])
def test_any_rate_becomes_16_khz(encoding: str, rate: int) -> None:
    speech = samples.speech(rate=rate)
    sound = samples.decoded(samples.encoded(encoding, speech, rate))
    assert abs(len(sound) - len(speech) * 16_000 / rate) <= 1
    assert samples.likeness(sound, samples.speech()) > (0.98 if rate >= 16_000 else 0.9)


def test_resampling_in_blocks_is_resampling_at_once() -> None:
    speech = samples.speech(samples.talk(), 44_100)
    sound = samples.decoded(samples.encoded("wav float", speech, 44_100))
    np.testing.assert_allclose(sound, samples.resampled(speech, 44_100), atol=1e-4)


@pytest.mark.parametrize(
    ("encoding", "channels"),
    [
        *(("wav", count) for count in (2, 3, 6, 9, 24)),
        ("wav extensible", 2),
        ("flac", 2),
        ("ogg", 2),
    ],
)
def test_channels_become_their_mean(encoding: str, channels: int) -> None:
    speech = samples.speech(samples.AUSTEN[0]) / np.float32(2)
    silent = np.zeros((len(speech), channels - 1), dtype=np.float32)
    sound = samples.decoded(samples.encoded(encoding, np.column_stack((silent, speech))))
    np.testing.assert_allclose(sound, speech / channels, atol=0.05 / channels)
    assert np.corrcoef(sound, speech)[0, 1] > 0.98


@pytest.mark.parametrize("encoding", ["wav extensible", "flac", "ogg"])
def test_channels_with_names_are_mixed_by_what_they_are(encoding: str) -> None:
    """In a video the voices are in the centre channel."""
    speech, noise = samples.speech(), samples.noise(SECONDS)
    surround: samples.Sound = np.stack([noise, noise, speech, noise, noise, noise], axis=1)
    if encoding == "ogg":  # where the centre is the second channel
        surround[:, [1, 2]] = surround[:, [2, 1]]
    mixed = samples.decoded(samples.encoded(encoding, surround / np.float32(4)))
    mean = surround.mean(axis=1)
    assert np.corrcoef(mixed, speech)[0, 1] > 1.2 * np.corrcoef(mean, speech)[0, 1]


def test_a_block_is_about_a_second() -> None:
    for encoding in ("wav", "mp3", "webm"):
        lengths = [len(block) for block in Recording(samples.encoded(encoding)).iter_samples()]
        assert max(lengths) <= 17_000
        assert len(lengths) in (10, 11)


def test_paths_files_pipes_and_bytes_are_the_same_recording(tmp_path: Path) -> None:
    data = samples.encoded("flac")
    path = tmp_path / "talk.txt"
    path.write_bytes(data)
    with path.open("rb") as file:
        file.seek(100)
        sources: list[Any] = [data, bytearray(data), memoryview(data), path, str(path)]
        sources += [file, io.BytesIO(data), samples.pipe(data)]
        lengths = [samples.seconds_of(source) for source in sources]
        assert not file.closed
    assert lengths == [SECONDS] * 8


def test_a_recording_can_be_decoded_again_and_again() -> None:
    recording = Recording(io.BytesIO(samples.encoded("opus")))
    first = next(recording.iter_samples())
    assert [samples.seconds_of(recording) for _ in range(3)] == [samples.seconds_of(recording)] * 3
    np.testing.assert_array_equal(next(recording.iter_samples()), first)


@pytest.mark.parametrize(
    "encoding", ["ogg", "opus", "mp3", "mp3 without xing", "aac", "webm", "mka"]
)
def test_all_joined_streams_are_decoded(encoding: str) -> None:
    """Two concatenated files are a valid file in these formats."""
    length = samples.seconds_of(samples.encoded(encoding) * 2)
    assert length == pytest.approx(2 * SECONDS, abs=0.25)


@pytest.mark.parametrize("encoding", ["ogg", "opus", "mp3", "flac"])
@pytest.mark.parametrize("truncated", ["error", "keep"])
def test_channels_may_change_where_streams_are_joined(encoding: str, truncated: Truncated) -> None:
    mono = samples.speech()[:48_000]
    stereo = np.column_stack([mono, mono])
    data = b"".join(samples.encoded(encoding, sound) for sound in (mono, stereo, mono))
    recording = Recording(data, truncated=truncated)
    sound = samples.decoded(recording)
    assert recording.is_complete is True
    assert len(sound) / 16_000 == pytest.approx(9.0, abs=0.3)
    assert samples.likeness(sound[-48_000:], mono) > 0.9


@pytest.mark.parametrize("container", ["mp4", "mov", "matroska"])
@pytest.mark.parametrize("late", [0.0, 0.7, 2.5])
def test_the_audio_of_a_video_keeps_its_position(container: str, late: float) -> None:
    sound = samples.decoded(
        samples.in_container(samples.encoded("m4a"), container=container, late=late)
    )
    assert len(sound) / 16_000 == pytest.approx(late + SECONDS, abs=0.1)
    begin = round((late - 0.1) * 16_000)  # AAC begins with 64 ms of nothing
    assert late == 0 or not sound[:begin].any()
    assert samples.likeness(sound[max(begin, 0) :], samples.speech()) > 0.98


def test_a_gap_in_a_recorded_call_is_silence() -> None:
    call = samples.in_container(
        samples.encoded("webm"), container="webm", late=0.7, pause=2.0, picture=False
    )
    recording = Recording(call)
    sound = np.concatenate(list(recording.iter_samples()))
    assert len(sound) / 16_000 == pytest.approx(SECONDS + 2.7, abs=0.1)
    assert recording.duration == pytest.approx(SECONDS + 2.7, abs=0.1)
    middle = round((SECONDS / 2 + 1.7) * 16_000)
    assert not sound[middle - 14_000 : middle + 14_000].any()


@pytest.mark.parametrize("encoding", ["m4a", "mp4", "webm"])
def test_tags_in_any_encoding_do_not_matter(encoding: str) -> None:
    """Old programs write tags in Latin-1."""
    data = samples.encoded(encoding).replace(b"Lavf", b"L\xe4vf")
    assert b"L\xe4vf" in data
    assert samples.seconds_of(data) == pytest.approx(SECONDS, abs=0.1)
