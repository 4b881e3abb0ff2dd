"""Damage in the middle: an error, or silence of the same length, so that the rest keeps time."""

import functools
import io
import itertools
import logging
from collections.abc import Callable, Iterable

import av
import numpy as np
import pytest
from support import speech_samples as samples

from langchain_voxtral.audio import Recording
from langchain_voxtral.errors import VoxtralTruncatedAudioError

FRAMES: dict[str, Callable[[int], Iterable[int]]] = {
    "first": lambda count: [0],
    "middle": lambda count: [count // 2],
    "several": lambda count: [count // 4, count // 2, count // 2 + 1],
    "many": lambda count: range(count // 2, count // 2 + count // 10),
}
OTHER_BYTES: dict[str, Callable[[int], bytes]] = {
    "ones": lambda size: b"\xff" * size,
    "zeros": bytes,
    "noise": lambda size: np.random.default_rng(size).bytes(size),
}
SECONDS = 5.0
COUNTED = ["mp3 without xing", "aac"]


@functools.cache
def encoded(encoding: str) -> bytes:
    """Return five seconds of speech."""
    return samples.encoded(encoding, samples.speech(samples.AUSTEN[0])[:80_000])


@functools.cache
def decoded(encoding: str) -> samples.Sound:
    return samples.decoded(encoded(encoding))


@functools.cache
def packets(data: bytes) -> list[bytes]:
    with av.open(io.BytesIO(data), "r") as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def damaged(data: bytes, place: str, content: str) -> bytes:
    """Return a file of which some packets are overwritten."""
    whole = packets(data)
    for index in FRAMES[place](len(whole)):
        packet = whole[index]
        data = data.replace(packet, OTHER_BYTES[content](len(packet)), 1)
    return data


def assert_times_are_kept(data: bytes, whole: samples.Sound, tolerance: float = 0.001) -> None:
    """Decode what can be, and compare the end with that of the whole file."""
    kept = Recording(data, truncated="keep")
    sound = samples.decoded(kept)
    assert kept.is_complete is False
    assert len(sound) / 16_000 == pytest.approx(len(whole) / 16_000, abs=tolerance)
    shift = len(sound) - len(whole)
    end = sound[-30_000 + shift :] if shift else sound[-30_000:]
    assert samples.likeness(end, whole[-30_000:]) > 0.95
    assert np.corrcoef(sound[-30_000:], whole[-30_000:])[0, 1] > (0.95 if not shift else 0)


@pytest.mark.parametrize("place", ["first", "several"])
@pytest.mark.parametrize("encoding", ["m4a", "mp4", "flac"])
def test_damaged_frames_are_an_error_or_silence(encoding: str, place: str) -> None:
    whole = encoded(encoding)
    data = damaged(whole, place, "ones")
    with pytest.raises(VoxtralTruncatedAudioError, match="damaged"):
        samples.decoded(data)
    assert_times_are_kept(data, decoded(encoding))


@pytest.mark.parametrize(
    ("encoding", "content", "place"),
    [
        *itertools.product(COUNTED, OTHER_BYTES, ["many"]),
        ("mp3", "zeros", "many"),
        ("aac", "ones", "first"),
        ("avi", "zeros", "middle"),
    ],
)
def test_overwritten_frames_are_an_error_or_silence(
    encoding: str, content: str, place: str
) -> None:
    whole = encoded(encoding)
    data = damaged(whole, place, content)
    with pytest.raises(VoxtralTruncatedAudioError, match="damaged"):
        samples.decoded(data)
    kept = Recording(data, truncated="keep")
    lengths = [samples.seconds_of(source) for source in (kept, Recording(whole))]
    assert kept.is_complete is False
    assert lengths[0] == pytest.approx(lengths[1], abs=0.12)


@pytest.mark.parametrize("encoding", ["flac", "m4a", "aac", "mp3 without xing"])
def test_a_damaged_last_frame_is_an_error(encoding: str) -> None:
    whole = encoded(encoding)
    data = whole.replace(packets(whole)[-1], b"\xff" * len(packets(whole)[-1]), 1)
    with pytest.raises(VoxtralTruncatedAudioError, match="damaged"):
        samples.decoded(data)
    kept = Recording(data, truncated="keep")
    assert samples.seconds_of(kept) > samples.seconds_of(whole) - 0.25
    assert kept.is_complete is False


def test_a_lost_frame_of_a_flac_is_an_error_however_short() -> None:
    sound = samples.speech(rate=48_000)
    whole = samples.encoded("flac", sound, 48_000)
    packet = packets(whole)[20]
    assert len(packet) < len(whole)
    data = whole.replace(packet, b"", 1)
    with pytest.raises(VoxtralTruncatedAudioError, match="damaged"):
        samples.decoded(data)
    assert_times_are_kept(data, samples.decoded(whole))


@pytest.mark.parametrize("content", OTHER_BYTES)
@pytest.mark.parametrize(("encoding", "size"), [("mp2", 5_000), ("ac3", 5_000), ("latm", 900)])
def test_raw_streams_keep_their_times(encoding: str, size: int, content: str) -> None:
    sound = samples.speech(rate=48_000)[:192_000]
    whole = samples.encoded(encoding, sound, 48_000)
    begin = len(whole) // 2
    data = whole[:begin] + OTHER_BYTES[content](size) + whole[begin + size :]
    with pytest.raises(VoxtralTruncatedAudioError, match="damaged"):
        samples.decoded(data)
    kept = Recording(data, truncated="keep")
    assert samples.seconds_of(kept) == pytest.approx(samples.seconds_of(whole), abs=0.06)
    assert kept.is_complete is False


def test_frames_may_end_where_a_block_of_the_file_is_read_anew() -> None:
    size = 496  # divides the bytes of a block that are walked
    header = bytes([0xFF, 0xF1, 0x60, 0x40, size >> 3, (size & 7) << 5, 0xFC])
    assert Recording(header.ljust(size, b"\0") * 3_000).is_complete is None


def test_much_that_is_no_sound_is_damage() -> None:
    frame = packets(encoded("mp3 without xing"))[0]
    with pytest.raises(VoxtralTruncatedAudioError, match="2000000 bytes"):
        Recording(frame * 9 + b"\x01" * 2_000_000 + frame * 9)


@pytest.mark.parametrize("rest", [b"ID3", b"ID3\x04\0\0\0\0\0", b"\xff\xfb", b"TAG"])
@pytest.mark.parametrize("encoding", COUNTED)
def test_a_tag_or_frame_may_be_cut_off_at_the_end(encoding: str, rest: bytes) -> None:
    assert Recording(encoded(encoding) + rest).is_complete is None


def test_an_aac_file_with_a_part_dropped_is_refused() -> None:
    whole = encoded("aac")
    for start in (10_000, 16_666, 25_001):
        with pytest.raises(VoxtralTruncatedAudioError, match="damaged"):
            samples.decoded(whole[:start] + whole[start + 2_000 :])


def test_an_opus_file_that_lost_its_first_page_keeps_its_times() -> None:
    pages = samples.pages(encoded("opus"))
    data = b"".join(pages[:2] + pages[3:])
    assert_times_are_kept(data, decoded("opus"), 0.01)


def test_a_transport_stream_that_lost_packets_is_an_error_or_silence() -> None:
    whole = encoded("mpegts")
    data = whole[: 188 * 185] + whole[188 * 190 :]
    with pytest.raises(VoxtralTruncatedAudioError, match="damaged"):
        samples.decoded(data)
    assert_times_are_kept(data, decoded("mpegts"), 0.03)


@pytest.mark.parametrize("encoding", ["aac", "mp3 without xing"])
@pytest.mark.parametrize("between", [samples.id3(70_000), bytes(3_000) + samples.id3(10)])
def test_joined_files_are_complete(
    encoding: str, between: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    recording = Recording(encoded(encoding) + between + encoded(encoding))
    with caplog.at_level(logging.WARNING, "langchain_voxtral"):
        assert samples.seconds_of(recording) == pytest.approx(2 * SECONDS, abs=0.25)
    assert (recording.is_complete, caplog.records) == (True, [])


def test_one_warning_tells_of_all_damage(caplog: pytest.LogCaptureFixture) -> None:
    data = damaged(encoded("m4a"), "several", "ones")
    with caplog.at_level(logging.WARNING, "langchain_voxtral"):
        samples.decoded(Recording(data, name="talk", truncated="keep"))
    assert [record.getMessage().partition(" s of")[0] for record in caplog.records] == [
        "talk: it cannot be decoded beyond 1.2"
    ]


@pytest.mark.parametrize("name", [b"moof", b"mdat", b"traf", b"trun", b"mfhd"])
@pytest.mark.parametrize(("number", "head"), [(0, bytes(8)), (1, b"\xff" * 8)])
def test_a_fragment_without_its_head_is_an_error_or_silence(
    name: bytes, number: int, head: bytes
) -> None:
    whole = encoded("mp4 fragmented")
    at = -1
    for _ in range(number + 1):
        at = whole.index(name, at + 1)
    data = whole[: at - 4] + head + whole[at + 4 :]
    with pytest.raises(VoxtralTruncatedAudioError, match="damaged"):
        samples.decoded(data)
    assert_times_are_kept(data, decoded("mp4 fragmented"))


def test_a_fragmented_mp4_is_complete_with_zeros_behind_it() -> None:
    whole = encoded("mp4 fragmented")
    recording = Recording(whole + bytes(5_000))
    assert samples.seconds_of(recording) == samples.seconds_of(whole)
    assert recording.is_complete is True


@pytest.mark.parametrize("encoding", ["webm", "webm streamed", "mka"])
@pytest.mark.parametrize(
    ("part", "other"), [("head", b"\xff" * 400), ("content", bytes(400)), ("both", bytes(400))]
)
def test_a_matroska_block_that_is_overwritten_is_an_error_or_silence(
    encoding: str, part: str, other: bytes
) -> None:
    whole = encoded(encoding)
    blocks = packets(whole)
    content = whole.index(blocks[len(blocks) // 2])
    begin, end = {"head": (-8, -4), "content": (-4, 30), "both": (-8, 392)}[part]
    data = whole[: content + begin] + other[: end - begin] + whole[content + end :]
    with pytest.raises(VoxtralTruncatedAudioError, match="damaged"):
        samples.decoded(data)
    kept = Recording(data, truncated="keep")
    assert samples.seconds_of(kept) == pytest.approx(SECONDS, abs=0.15)
    assert kept.is_complete is False
