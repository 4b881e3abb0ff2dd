"""What the frames of an MP3 file tell without decoding: rate, channels and length.

Frames: ISO/IEC 11172-3 and 13818-3. Most encoders write a `Xing` or `Info` header into the first.
"""

import io
from dataclasses import dataclass
from typing import BinaryIO

from langchain_voxtral.errors import VoxtralAudioError, VoxtralTruncatedAudioError

_KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
"""Bit rates of Layer III by index, in MPEG 1 and in MPEG 2 and 2.5; 0 is not supported."""
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Sample rates by index, for the version bits of MPEG 1, 2 and 2.5."""
_SYNC, _LAYER_III = 0xFF, 0xE2
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"LYRICS")
_ID3_HEADER = 10
_HEAD_BYTES = 1 << 16
_MAX_ID3_TAGS = 16
_MAX_JUNK = 4096
"""Bytes in which the first frame is looked for: recordings of radio begin anywhere."""
_TOLERANCE_SECONDS = 0.5
_MAX_COUNTED_BYTES = 1 << 25
"""Bytes in which frames are counted; the length of what follows goes by their mean bit rate."""


@dataclass(frozen=True, slots=True)
class Mp3Header:
    """Rate and channels of the first frame, and the length."""

    rate: int
    channels: int
    seconds: float


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame's header; `side_info` is the number of bytes before its data."""

    rate: int
    channels: int
    samples: int
    size: int
    side_info: int


def skip_id3(file: BinaryIO) -> tuple[int, bytes]:
    """Return where a file begins after its ID3v2 tags, and its first 64 KiB from there."""
    start = 0
    for _ in range(_MAX_ID3_TAGS):
        file.seek(start)
        head = file.read(_HEAD_BYTES)
        if len(head) < _ID3_HEADER or head[:3] != b"ID3" or max(head[6:10]) > 0x7F:  # noqa: PLR2004 - seven bits each
            break
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]  # pictures make it large
        start += _ID3_HEADER + size + (_ID3_HEADER if head[5] & 0x10 else 0)
    return start, head


def find_frame(head: bytes) -> int | None:
    """Return where the first MP3 frame begins; another one, a tag or nothing must follow it."""
    at = head.find(_SYNC, 0, _MAX_JUNK)
    while at >= 0:
        frame = frame_at(head, at)
        if frame is not None:
            end = at + frame.size
            rest = head[end : end + _ID3_HEADER]
            ends_here = len(head) >= end and not rest.strip(b"\0")
            if ends_here or rest.startswith(_TAGS) or frame_at(head, end) is not None:
                return at
        at = head.find(_SYNC, at + 1, _MAX_JUNK)
    return None


def is_between_frames(data: bytes) -> bool:
    """Return whether data that is no frame is a tag or zeros, as files joined to one have."""
    rest = data.lstrip(b"\0")
    return rest.startswith(_TAGS) or (len(rest) < len(data) and rest[:1] in (b"", b"\xff"))


def read_mp3_header(data: bytes | BinaryIO) -> Mp3Header:
    """Return what an MP3 file tells, by its `Xing` header or by counting frames.

    Raises:
        VoxtralTruncatedAudioError: The file is shorter than its `Xing` header says.
        VoxtralAudioError: It has no frame.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    start, head = skip_id3(file)
    at = find_frame(head)
    frame = None if at is None else frame_at(head, at)
    if at is None or frame is None:
        raise VoxtralAudioError("it has no MP3 frames")
    there = file.seek(0, io.SEEK_END) - start - at
    seconds, stated = _xing(frame, head[at : at + frame.size])
    if not seconds:
        seconds = _count_seconds(file, start + at, there, frame.rate)
    elif stated and seconds * (stated - there) / stated > _TOLERANCE_SECONDS:
        raise VoxtralTruncatedAudioError(
            f"its header states {stated} bytes, and {there} are there: it is cut off"
        )
    elif stated and seconds * (there - stated) / stated > _TOLERANCE_SECONDS:
        seconds *= there / stated  # files were joined
    return Mp3Header(frame.rate, frame.channels, seconds)


def _count_seconds(file: BinaryIO, start: int, there: int, rate: int) -> float:
    """Return the length of frames that no `Xing` header counts."""
    file.seek(start)
    data = file.read(_MAX_COUNTED_BYTES)
    place = samples = 0
    while (frame := frame_at(data, place)) is not None:
        place += frame.size
        samples += frame.samples
    if place == there or data[place:].startswith(_TAGS):  # all was counted, but for a last tag
        return samples / rate
    return samples / rate * there / place


def frame_at(data: bytes, start: int) -> _Frame | None:
    """Return the frame whose header is at a place."""
    if len(data) < start + 4 or data[start] != _SYNC or data[start + 1] & 0xE6 != _LAYER_III:
        return None
    version, rate_index = data[start + 1] >> 3 & 3, data[start + 2] >> 2 & 3
    if version == 1 or rate_index == 3:  # noqa: PLR2004 - reserved values of bit fields
        return None
    is_mpeg1 = version == 3  # noqa: PLR2004 - a bit field
    kbits = _KBITS[is_mpeg1][data[start + 2] >> 4]
    if not kbits:
        return None
    rate, samples = _RATES[version][rate_index], 1152 if is_mpeg1 else 576
    is_mono = data[start + 3] >> 6 == 3  # noqa: PLR2004 - a bit field
    return _Frame(
        rate=rate,
        channels=1 if is_mono else 2,
        samples=samples,
        size=samples * kbits * 125 // rate + (data[start + 2] >> 1 & 1),
        side_info=4 + ((17 if is_mono else 32) if is_mpeg1 else (9 if is_mono else 17)),
    )


def _xing(frame: _Frame, data: bytes) -> tuple[float, int]:
    """Return the seconds and the bytes that the `Xing` header tells; 0 for what it does not."""
    at = frame.side_info
    flags = data[at + 7] if data[at : at + 4] in (b"Xing", b"Info") and len(data) > at + 7 else 0
    if not flags & 1:
        return 0.0, 0
    count = int.from_bytes(data[at + 8 : at + 12], "big")
    stated = int.from_bytes(data[at + 12 : at + 16], "big") if flags & 2 else 0
    lame = at + 12 + (4 if flags & 2 else 0) + (100 if flags & 4 else 0) + (4 if flags & 8 else 0)
    padding = 0
    if data[lame : lame + 3] in (b"LAM", b"Lav"):
        delays = int.from_bytes(data[lame + 21 : lame + 24], "big")
        padding = (delays >> 12) + (delays & 0xFFF)
    return max(count * frame.samples - padding, 0) / frame.rate, stated
