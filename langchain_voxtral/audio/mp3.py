"""MP3 files frame by frame: how long they are, whether they are whole; nothing is decoded.

An MP3 file is a row of frames (ISO/IEC 11172-3 and 13818-3), each with its own header, and may
have tags before, between and after them. Nothing says how many frames there are, but for the
`Xing` header that most encoders put into the first. So the frames are counted.
"""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from langchain_voxtral.errors import VoxtralAudioError, VoxtralTruncatedAudioError

__all__ = ["LOOKAHEAD", "FramesOnly", "Mp3Facts", "id3_size", "mp3_facts", "starts_with_frames"]

_KBITS = {
    True: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0),
    False: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0),
}
"""Bit rates of Layer III by index, in MPEG 1 and in MPEG 2 and 2.5; 0 is not supported."""
_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}
"""Sample rates by index, for the version bits of MPEG 1, 2 and 2.5."""

_SYNC, _LAYER_III = 0xFF, 0xE2
_ID3_HEADER = 10
_ID3V1 = 128
_APE = b"APETAGEX"
_TAG_HEADER = 32
_MARK = len(_APE)
_NEXT = re.compile(rb"\xff[\xe2\xe3\xf2\xf3\xfa\xfb]|ID3|TAG|APETAGEX")
"""What a frame or a tag begins with."""
LOOKAHEAD = 1441 + _TAG_HEADER
"""The longest frame, and what tells whether another one follows."""
_ITSELF = 1
"""A frame that fewer may be there than are told: some programs count the one that tells it."""
_READ = 1 << 16
_MOST_AFTER = 1 << 14
"""Bytes after the last frame that may be tags of an unknown kind."""


@dataclass(frozen=True, slots=True)
class Frame:
    """A frame's header.

    Args:
        rate: Samples a second.
        channels: 1 or 2.
        samples: Samples that the frame decodes to.
        size: Bytes, the header with them.
        side_info: Bytes from the frame's start to its data.
    """

    rate: int
    channels: int
    samples: int
    size: int
    side_info: int

    @classmethod
    def at(cls, data: bytes, start: int = 0) -> "Frame | None":
        """Return the frame whose header stands at `start`, or None."""
        if len(data) < start + 4 or data[start] != _SYNC or data[start + 1] & 0xE6 != _LAYER_III:
            return None
        version, rate_index = data[start + 1] >> 3 & 3, data[start + 2] >> 2 & 3
        if version == 1 or rate_index == 3:  # noqa: PLR2004 - reserved values of bit fields
            return None
        first = version == 3  # noqa: PLR2004 - MPEG 1
        kbits = _KBITS[first][data[start + 2] >> 4]
        if not kbits:
            return None
        rate, samples = _RATES[version][rate_index], 1152 if first else 576
        mono = data[start + 3] >> 6 == 3  # noqa: PLR2004 - single channel
        return cls(
            rate=rate,
            channels=1 if mono else 2,
            samples=samples,
            size=samples * kbits * 125 // rate + (data[start + 2] >> 1 & 1),
            side_info=4 + ((17 if mono else 32) if first else (9 if mono else 17)),
        )


@dataclass(frozen=True, slots=True)
class Mp3Facts:
    """What the frames of an MP3 file say.

    Args:
        rate: Samples a second.
        channels: The most that a frame has.
        seconds: The length of the sound, without what the encoder added at both ends.
    """

    rate: int
    channels: int
    seconds: float


def id3_size(head: bytes) -> int:
    """Return the size of the ID3v2 tag that `head` begins with, 0 if there is none."""
    if len(head) < _ID3_HEADER or head[:3] != b"ID3" or any(byte > 0x7F for byte in head[6:10]):  # noqa: PLR2004 - its digits have seven bits
        return 0
    digits = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
    return _ID3_HEADER + digits + (_ID3_HEADER if head[5] & 0x10 else 0)


def starts_with_frames(data: bytes) -> bool:
    """Return whether an MP3 frame begins here, and after it another one, a tag or nothing."""
    frame = Frame.at(data)
    return frame is not None and _runs_on(data, 0, frame, sure=False)


def mp3_facts(data: bytes | BinaryIO) -> Mp3Facts:
    r"""Return what the frames of an MP3 file say; none is decoded.

    Args:
        data: The file's bytes, or the file, which is read from its start.

    Raises:
        VoxtralTruncatedAudioError: Its last frame is cut off, or fewer frames are there than
            its `Xing` header says.
        VoxtralAudioError: It has no frames, or between frames something else.

    Example:
        ```python
        from langchain_voxtral.audio.mp3 import mp3_facts

        frame = b"\xff\xfb\x90\xc0" + bytes(413)  # MPEG 1 Layer III, 128 kbit/s, mono
        assert mp3_facts(frame * 100).seconds == 100 * 1152 / 44100
        ```
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    frames = _frames(file)
    first, held = next(frames, (None, b""))
    if first is None:
        raise VoxtralAudioError("it has no MP3 frames")
    told, added = _xing(first, held)
    # The frame that carries the Xing header has no sound.
    count, samples, channels = (0, -added, 1) if told else (1, first.samples, first.channels)
    for frame, _ in frames:
        count += 1
        samples += frame.samples
        channels = max(channels, frame.channels)
    if count < told - _ITSELF:
        raise VoxtralTruncatedAudioError(
            f"its header tells of {told} frames, and {count} are there: it is cut off"
        )
    return Mp3Facts(first.rate, channels, max(samples, 0) / first.rate)


def _xing(frame: Frame, held: bytes) -> tuple[int, int]:
    """Return how many frames the file has, and the samples its encoder added; 0 if untold."""
    at = frame.side_info
    flags = held[at + 7 : at + 8]
    if held[at : at + 4] not in (b"Xing", b"Info") or not flags or not flags[0] & 1:
        return 0, 0
    told = int.from_bytes(held[at + 8 : at + 12], "big")
    lame = at + 8 + 4 * (flags[0] & 1) + 4 * (flags[0] >> 1 & 1)
    lame += 100 * (flags[0] >> 2 & 1) + 4 * (flags[0] >> 3 & 1)
    if held[lame : lame + 3] not in (b"LAM", b"Lav"):
        return told, 0
    gaps = int.from_bytes(held[lame + 21 : lame + 24], "big")
    return told, (gaps >> 12) + (gaps & 0xFFF)


def _tag(head: bytes) -> int:
    """Return the size of the tag that begins here, 0 if none does."""
    if size := id3_size(head):
        return size
    if head.startswith(b"TAG"):
        return _ID3V1
    if head[:8] == _APE:
        is_header = bool(head[23:24]) and bool(head[23] & 0x20)
        return 32 + int.from_bytes(head[12:16], "little") if is_header else 32
    return 0


def _frames(file: BinaryIO, *, strict: bool = True) -> Iterator[tuple[Frame, bytes]]:
    """Read the frames and their bytes; tags and zero bytes between them are passed over."""
    file.seek(0)
    held, at, position = b"", 0, 0  # position: of held[0] in the file
    begun, strange = False, 0  # strange: bytes just passed that are neither frame nor tag
    while True:
        if len(held) - at < LOOKAHEAD:
            position += at
            held, at = held[at:] + file.read(_READ), 0
            if not held:
                if strict and begun and strange > _MOST_AFTER:
                    raise VoxtralTruncatedAudioError(
                        f"the {strange} bytes at its end are no MP3 frames: it is damaged there"
                    )
                return
        frame = Frame.at(held, at)
        missing = at + frame.size - len(held) if frame else 0
        if frame and missing <= 0 and _runs_on(held, at, frame, sure=begun and not strange):
            if begun and strange and strict:
                raise VoxtralTruncatedAudioError(
                    f"the {strange} bytes before byte {position + at} are no MP3 frames: "
                    "it is damaged there"
                )
            yield frame, held[at : at + frame.size]
            begun, strange = True, 0
            at += frame.size
        elif frame and missing > 0 and begun and not strange and strict:
            raise VoxtralTruncatedAudioError(
                f"its last MP3 frame lacks {missing} of {frame.size} bytes: it is cut off"
            )
        elif size := _tag(held[at : at + _TAG_HEADER]):
            at += size
            if at > len(held):
                position += at
                file.seek(position)
                held, at = b"", 0
        else:
            found = _NEXT.search(held, at + 1)
            end = found.start() if found else max(len(held) - _MARK, at + 1)
            passed = held[at:end]
            strange += len(passed if strange else passed.lstrip(b"\0"))
            at = end


def _runs_on(held: bytes, at: int, frame: Frame, *, sure: bool) -> bool:
    """Return whether this is a frame: sure within a row, else by what comes after it."""
    end = at + frame.size
    after = held[end : end + _TAG_HEADER]
    if sure or (len(held) >= end and not after.strip(b"\0")):
        return True
    return Frame.at(after) is not None or _tag(after) > 0


class FramesOnly(io.RawIOBase):
    """An MP3 file without anything between its frames, to be read from start to end once.

    Decoders stumble over tags in the middle, which files put together of several have.

    Args:
        file: The file; it is read from its start.
    """

    def __init__(self, file: BinaryIO) -> None:
        super().__init__()
        self._frames = _frames(file, strict=False)
        self._rest = b""

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer with the next frame, or a part of it."""
        if not self._rest:
            self._rest = next((held for _, held in self._frames), b"")
        given, self._rest = self._rest[: len(buffer)], self._rest[len(buffer) :]
        buffer[: len(given)] = given
        return len(given)
