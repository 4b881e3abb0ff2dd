"""Channels become one: none is lost by cancelling another, and the bass channel is left out."""

import io
import logging

import av
import numpy as np
import pytest
from support import speech_samples as samples

from langchain_voxtral.audio import Recording

LEFT = samples.speech()[:112_000]
RIGHT = np.roll(LEFT, 40_000) * np.float32(0.8)
NOISE = samples.noise(len(LEFT) / 16_000, level=0.001)
WARNING = "talk: channels of it cancel each other; one of them is taken"


def partly_inverted(begin: int, end: int) -> samples.Sound:
    other = LEFT.copy()
    other[begin:end] *= -1
    return other


def mix(*channels: samples.Sound, encoding: str = "flac") -> samples.Sound:
    recording = Recording(samples.encoded(encoding, np.column_stack(channels)), name="talk")
    first = samples.decoded(recording)
    np.testing.assert_array_equal(samples.decoded(recording), first)
    return first


@pytest.mark.parametrize("encoding", ["flac", "wav float"])
@pytest.mark.parametrize(
    "other",
    [-LEFT, -0.98 * LEFT, -0.8 * LEFT, NOISE - LEFT],
    ids=["inverse", "quieter", "much quieter", "with noise"],
)
def test_inverted_stereo_is_one_channel(
    other: samples.Sound, encoding: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "langchain_voxtral"):
        sound = mix(LEFT, other.astype(np.float32), encoding=encoding)
    assert samples.likeness(sound, LEFT) > 0.97
    assert np.abs(sound).max() == pytest.approx(np.abs(LEFT).max(), rel=0.2)
    assert [record.getMessage() for record in caplog.records] == [WARNING]


@pytest.mark.parametrize(("begin", "end"), [(60_000, 999_999), (0, 50_000), (40_000, 90_000)])
def test_stereo_that_is_inverted_in_a_part_loses_nothing(
    begin: int, end: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "langchain_voxtral"):
        sound = mix(LEFT, partly_inverted(begin, end))
    assert samples.likeness(sound, LEFT) > 0.95
    assert np.abs(np.diff(sound)).max() <= np.abs(np.diff(LEFT)).max() * 1.05  # no click
    assert [record.getMessage() for record in caplog.records] == [WARNING]


@pytest.mark.parametrize("encoding", ["wav", "wav extensible"])
def test_opposite_pairs_of_four_channels_are_both_kept(encoding: str) -> None:
    sound = mix(LEFT, -LEFT, RIGHT, -RIGHT, encoding=encoding)
    assert np.corrcoef(sound, LEFT)[0, 1] > 0.4
    assert np.corrcoef(sound, RIGHT)[0, 1] > 0.4


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (LEFT, LEFT),
        (LEFT, RIGHT),
        (LEFT, np.zeros_like(LEFT)),
        (LEFT + 0.7 * RIGHT, LEFT - 0.7 * RIGHT),
        (np.roll(NOISE, 9) * 99, NOISE * 99),
        (np.roll(LEFT, 3), LEFT),
    ],
    ids=["both", "speakers", "one", "wide", "noise", "late"],
)
def test_ordinary_stereo_is_the_mean(
    left: samples.Sound, right: samples.Sound, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "langchain_voxtral"):
        sound = mix(left, right)
    np.testing.assert_allclose(sound, (left + right) / 2, atol=1e-4)
    assert caplog.records == []


NAMED = {"quad": 4, "4.0": 4, "5.0": 5, "5.1": 6, "7.1": 8}
BS775 = {"FC": 1.0, "LFE": 0.0, "FL": 0.7071, "FR": 0.7071}


@pytest.mark.parametrize("layout", NAMED)
def test_named_channels_are_mixed_by_bs_775(layout: str) -> None:
    names = [channel.name for channel in av.AudioLayout(layout).channels]
    weights = [BS775.get(name, 0.5) for name in names]
    for index, weight in enumerate(weights):
        pcm = np.zeros((len(names), 1_600), dtype=np.int16)
        pcm[index] = 10_000
        file = io.BytesIO()
        with av.open(file, "w", format="wav") as out:
            stream = out.add_stream("pcm_s16le", rate=16_000, layout=layout)
            frame = av.AudioFrame.from_ndarray(pcm.T.reshape(1, -1), "s16", layout)
            frame.sample_rate, frame.pts = 16_000, 0
            out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        level = samples.decoded(file.getvalue()).mean() * 32_768 / 10_000
        assert level == pytest.approx(weight / sum(weights), abs=0.001)


@pytest.mark.parametrize("count", [6, 8])
def test_a_bass_channel_without_a_name_is_left_out_and_a_voice_there_is_not(count: int) -> None:
    def with_fourth(sound: samples.Sound) -> samples.Sound:
        silent = np.zeros_like(sound)
        channels = [silent] * 3 + [sound] + [silent] * (count - 4)
        return mix(*channels, encoding="wav")

    times = np.arange(32_000, dtype=np.float32) / 16_000
    bass = (np.sin(times * 2 * np.pi * 60) / 2).astype(np.float32)
    assert not with_fourth(bass).any()
    np.testing.assert_allclose(with_fourth(LEFT), LEFT / count, atol=1e-4)
