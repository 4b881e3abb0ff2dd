"""WAV files: their bytes from samples, and what their headers say against what is there."""

import io
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from langchain_voxtral.audio.boxes import Box, Layout, boxes, size_of
from langchain_voxtral.errors import (
    VoxtralAudioError,
    VoxtralTruncatedAudioError,
    concatenated_error,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SAMPLE_RATE = 16_000
"""Samples a second that the model takes."""

PCM, FLOAT, EXTENSIBLE = 1, 3, 0xFFFE
_SAMPLE_BY_SAMPLE = {PCM, FLOAT, 6, 7}  # and A-law, mu-law: each sample has bytes of its own
_RIFF = Layout(start=12, size="<I", pad=2)
_UNKNOWN_FROM = 0x7FFF_F000
"""Sizes from here on are what programs write when they stream: nobody knew the length yet."""
_RIFF_HEAD = 8
_READ = 1 << 16
_AGAIN = {b"RIFF", b"RF64", b"BW64", b"data"}
"""Chunks after the sound with which more sound begins."""
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


@dataclass(frozen=True, slots=True)
class WavHeader:
    """What the header of a WAV file says, and how much sound is there.

    Args:
        encoding: The format tag: 1 PCM, 3 floating point, 7 mu-law, ... (of an extensible
            header the one it stands for).
        channels: How many.
        rate: Samples a second.
        bits: Bits of a sample.
        frame_bytes: Bytes of one sample of all channels.
        data_start: Where the sound begins, in bytes from the file's start.
        data_bytes: How many bytes of sound there are.
        has_length: Whether the header says this length; files written as a stream do not.
    """

    encoding: int
    channels: int
    rate: int
    bits: int
    frame_bytes: int
    data_start: int
    data_bytes: int
    has_length: bool

    @property
    def seconds(self) -> float | None:
        """The length; None where the encoding packs several samples together."""
        if self.encoding not in _SAMPLE_BY_SAMPLE:
            return None
        return self.data_bytes // self.frame_bytes / self.rate


def read_wav_header(data: bytes | BinaryIO) -> WavHeader:
    """Return what a WAV file's header says, checked against what is there.

    Args:
        data: The file's bytes, or the file, which is read from its start.

    Raises:
        VoxtralTruncatedAudioError: It is shorter than its header says.
        VoxtralAudioError: Its header is broken, or tells of less sound than there is.

    Example:
        ```python
        from langchain_voxtral.audio.wav import wav_header, read_wav_header

        facts = read_wav_header(wav_header(32_000) + bytes(32_000))
        assert (facts.rate, facts.channels, facts.seconds) == (16_000, 1, 1.0)
        ```
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    head, long_size = b"", None
    for box in boxes(file, _RIFF):
        if box.name == b"fmt ":
            head = box.read(file, 40)
        elif box.name == b"ds64":  # of RF64: sizes above 4 GB
            long_size = int.from_bytes(box.read(file, 16)[8:16], "little")
        elif box.name == b"data":
            return _facts(file, head, box, box.size if long_size is None else long_size)
    raise VoxtralAudioError("its WAV header has no data chunk: it holds no sound")


def _facts(file: BinaryIO, head: bytes, data: Box, told: int) -> WavHeader:
    encoding, channels, rate, byte_rate, frame_bytes, bits = struct.unpack(
        "<HHIIHH", head[:16].ljust(16, b"\0")
    )
    if encoding == EXTENSIBLE:
        encoding = int.from_bytes(head[24:26], "little")
    if not (channels and rate and frame_bytes):
        raise VoxtralAudioError(
            "its WAV header has no usable format: "
            f"{channels} channels, {rate} samples a second, {frame_bytes} bytes a sample"
        )
    if encoding in _SAMPLE_BY_SAMPLE and frame_bytes * 8 < channels * bits:
        raise VoxtralAudioError(
            f"its WAV header contradicts itself: {channels} channels of {bits} bits in "
            f"{frame_bytes} bytes; save the recording anew"
        )
    there = size_of(file) - data.start
    second = min(byte_rate, rate * frame_bytes)
    kept = _told_honestly(file, data.start, told, there, slack=second // 10)
    return WavHeader(
        encoding,
        channels,
        rate,
        bits,
        frame_bytes,
        data.start,
        there if kept is None else kept,
        kept is not None,
    )


def _told_honestly(file: BinaryIO, start: int, told: int, there: int, *, slack: int) -> int | None:
    """Return the length of the data that the header tells, None where it tells none."""
    if told > there:
        # Small recorders write the size of all the file, or of all but its head.
        if told >= _UNKNOWN_FROM or told - there in (start, start - _RIFF_HEAD):
            return None
        raise VoxtralTruncatedAudioError(
            f"its header tells of {told} bytes of sound, and {there} are there: it is cut off"
        )
    left = there - told
    for begin in {told, told + told % 2}:  # not all programs pad
        chain = list(boxes(file, Layout(start=start + begin, size="<I", pad=2)))
        for box in chain:
            if box.name in _AGAIN:
                raise concatenated_error(box.start - 8)
        left = min(left, max(there - (chain[-1].end - start if chain else begin), 0))
    if left <= slack:
        return told
    if told == 0:
        return None
    if _is_silence(file, start + told):
        return told  # some recorders fill up the last sector
    raise VoxtralAudioError(
        f"its header tells of {told} bytes of sound, and {left} bytes after it are neither sound "
        "nor chunks: the header is wrong; save the recording anew"
    )


def _is_silence(file: BinaryIO, start: int) -> bool:
    file.seek(start)
    return not any(block.strip(b"\0") for block in iter(lambda: file.read(_READ), b""))


def wav_header(data_bytes: int, rate: int = SAMPLE_RATE) -> bytes:
    """Return the header of a mono 16-bit PCM WAV file.

    Args:
        data_bytes: Bytes of sound that follow it.
        rate: Samples a second.
    """
    return _HEADER.pack(
        *(b"RIFF", data_bytes + 36, b"WAVE"),
        *(b"fmt ", 16, PCM, 1, rate, rate * 2, 2, 16),
        *(b"data", data_bytes),
    )


def pcm16(samples: "NDArray[np.float32]") -> bytes:
    """Return samples as 16-bit PCM; what is beyond -1 and 1 is clipped.

    Samples that were 16-bit PCM before come out as they were.

    Args:
        samples: Mono sound, from -1 to 1.
    """
    import numpy as np  # noqa: PLC0415 - of the extra `audio`

    return np.clip(np.rint(samples * 32768), -32768, 32767).astype("<i2").tobytes()


def wav_bytes(samples: "NDArray[np.float32]", rate: int = SAMPLE_RATE) -> bytes:
    """Return samples as a mono 16-bit PCM WAV file.

    Args:
        samples: Mono sound, from -1 to 1; what is beyond is clipped.
        rate: Samples a second.

    Example:
        ```python
        import numpy as np

        from langchain_voxtral.audio.wav import wav_bytes, read_wav_header

        tone = np.sin(np.arange(16_000, dtype=np.float32) / 10)
        assert read_wav_header(wav_bytes(tone)).seconds == 1.0
        ```
    """
    data = pcm16(samples)
    return wav_header(len(data), rate) + data
