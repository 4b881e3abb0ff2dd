"""Unusual files of phones, browsers and small programs that every player plays."""

import struct

import numpy as np
import pytest
from support import speech_samples as samples

from langchain_voxtral.audio.decoder import Recording

WAV = samples.encoded("wav")
SECONDS = samples.SECONDS


def measured(data: bytes) -> float:
    recording = Recording(data)
    length = samples.seconds_of(recording)
    assert recording.is_complete is True
    return length


def with_checksum(page: bytes) -> bytes:
    """Return an Ogg page with its CRC (RFC 3533: polynomial 0x04c11db7, bits as they come)."""
    blank, crc = page[:22] + bytes(4) + page[26:], 0
    for byte in blank:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x104C11DB7 if crc & 1 << 31 else 0)) & 0xFFFF_FFFF
    return blank[:22] + struct.pack("<I", crc) + blank[26:]


@pytest.mark.parametrize("encoding", ["ogg", "opus"])
def test_an_ogg_whose_end_is_not_marked_is_complete(encoding: str) -> None:
    """Android's writer omits the end flag, so voice messages of Telegram do, too."""
    *pages, last = samples.pages(samples.encoded(encoding))
    assert last == with_checksum(last)
    unmarked = with_checksum(last[:5] + bytes([last[5] & ~4]) + last[6:])
    assert measured(b"".join(pages) + unmarked) == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.parametrize("encoding", ["ogg", "opus"])
def test_an_ogg_whose_end_is_marked_twice_is_complete(encoding: str) -> None:
    *pages, last = samples.pages(samples.encoded(encoding))
    (number,) = struct.unpack("<I", last[18:22])
    empty = with_checksum(last[:18] + struct.pack("<I", number + 1) + bytes(5))
    assert measured(b"".join([*pages, last, empty])) == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.parametrize("numbers", [bytes(4), b"\1\0\0\0"])
def test_an_ogg_whose_pages_are_not_counted_is_complete(numbers: bytes) -> None:
    pages = samples.pages(samples.encoded("opus"))
    uncounted = [with_checksum(page[:18] + numbers + page[22:]) for page in pages]
    assert measured(b"".join(uncounted)) == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.parametrize(
    ("encoding", "container"),
    [("m4a", "mp4"), ("m4a", "mov"), ("opus", "ogg"), ("webm", "matroska")],
)
def test_a_gap_in_the_packets_is_silence(encoding: str, container: str) -> None:
    call = samples.in_container(
        samples.encoded(encoding), container=container, pause=2.0, picture=False
    )
    sound = np.concatenate(list(Recording(call).iter_samples()))
    assert len(sound) / 16_000 == pytest.approx(SECONDS + 2.0, abs=0.1)
    quiet = np.flatnonzero(np.abs(sound).reshape(-1)[: 11 * 16_000] > 0)
    assert np.diff(quiet).max() / 16_000 == pytest.approx(2.0, abs=0.1)


def test_the_length_of_a_live_webm_is_not_checked() -> None:
    """Browsers write no length; repair tools insert the wall-clock time."""
    webm = samples.encoded("webm")
    at = webm.index(b"\x44\x89\x88") + 3
    late = webm[:at] + struct.pack(">d", SECONDS * 1000 + 3_000) + webm[at + 8 :]
    assert Recording(late).duration == pytest.approx(SECONDS + 3)
    assert measured(late) == pytest.approx(SECONDS, abs=0.05)


@pytest.mark.parametrize("beyond", [36, 44])
def test_a_wav_that_counts_its_header_as_audio_is_complete(beyond: int) -> None:
    assert measured(samples.with_declared_size(WAV, len(WAV) - 44 + beyond)) == SECONDS


def test_zeros_after_the_audio_of_a_wav_do_not_matter() -> None:
    assert measured(WAV + bytes(100_000)) == SECONDS


def test_mp3_within_wav_is_decoded() -> None:
    wav = samples.in_container(samples.encoded("mp3"), container="wav", picture=False)
    assert measured(wav) == pytest.approx(SECONDS, abs=0.1)


def test_an_mp3_that_counts_its_first_frame_is_complete() -> None:
    """As mp3splt writes it; the frame with the count has no audio."""
    mp3 = samples.encoded("mp3")
    at = mp3.index(b"Xing") + 8
    (declared,) = struct.unpack(">I", mp3[at : at + 4])
    one_more = mp3[:at] + struct.pack(">I", declared + 1) + mp3[at + 4 :]
    assert measured(one_more) == pytest.approx(measured(mp3), abs=0.05)


def test_an_mp4_may_have_unknown_boxes() -> None:
    m4a, free, own = samples.encoded("m4a"), b"\0\0\0\x08free", b"\0\0\0\x08beam"
    assert free in m4a[: m4a.index(b"moov")]
    assert measured(m4a.replace(free, own)) == measured(m4a)
