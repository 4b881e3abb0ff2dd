"""WAV files: headers read and written, and 16-bit PCM."""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Literal

from langchain_voxtral.errors import (
    VoxtralAudioError,
    VoxtralTruncatedAudioError,
    concatenated_error,
)

SAMPLE_RATE = 16_000
"""Samples a second that the model takes."""

PCM = 1
_EXTENSIBLE = 0xFFFE
_SAMPLE_BY_SAMPLE = {PCM, 3, 6, 7}  # 3: floating point, 6 and 7: A-law and mu-law
CHUNKS_START, _CHUNK_HEADER = 12, 8
_PRINTABLE = range(0x20, 0x7F)
_LARGEST_SIZES = (1 << 31, 1 << 32, 1 << 63, 1 << 64)
_ABOUT_LARGEST = 1 << 12
_ROUND = 100_000_000
"""Programs that stream do not know the length: they write 0, the largest number or a round one."""
_BLOCK_BYTES = 1 << 16
_SOUND_CHUNKS = {b"RIFF", b"RF64", b"BW64", b"data"}
"""Chunks after the sound with which more sound begins."""
_HEADER = struct.Struct("<4sI4s4sIHHIIHH4sI")


@dataclass(frozen=True, slots=True)
class WavHeader:
    """What the header of a WAV file says, and how much sound there is.

    Args:
        encoding: The format tag: 1 PCM, 3 floating point, 7 mu-law, ... (of an extensible header
            the one that it stands for).
        channels: How many.
        rate: Samples a second.
        bits: Bits of a sample.
        frame_bytes: Bytes of one sample of all channels.
        data_bytes: Bytes of sound.
        has_length: Whether the header says this length; files written as a stream do not.
    """

    encoding: int
    channels: int
    rate: int
    bits: int
    frame_bytes: int
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

    Raises:
        VoxtralTruncatedAudioError: It is shorter than its header says.
        VoxtralAudioError: Its header is broken, or tells of less sound than there is.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    fmt, long_sizes = b"", None
    file.seek(4)
    riff_size = int.from_bytes(file.read(4), "little")
    for name, start, size in iter_chunks(file, CHUNKS_START):
        if name == b"fmt ":
            fmt = file.read(min(size, 40))
        elif name == b"ds64":  # of RF64: sizes above 4 GB
            long_sizes = struct.unpack("<QQ", file.read(16).ljust(16, b"\0"))
        elif name == b"data":
            return _header(file, fmt, start, long_sizes or (riff_size, size))
    raise VoxtralAudioError("its WAV header has no data chunk: it holds no sound")


def is_placeholder(stated: int, there: int) -> bool:
    """Return whether a number of bytes is made up: the largest, or a round one far beyond."""
    # Some subtract the header from the largest, some add it.
    is_largest = any(abs(stated - largest) <= _ABOUT_LARGEST for largest in _LARGEST_SIZES)
    return is_largest or (stated % _ROUND == 0 and stated > 2 * there)


def wav_header(data_bytes: int, rate: int = SAMPLE_RATE) -> bytes:
    """Return the header of a mono 16-bit PCM WAV file with so many bytes of sound."""
    return _HEADER.pack(
        *(b"RIFF", data_bytes + 36, b"WAVE"),
        *(b"fmt ", 16, PCM, 1, rate, rate * 2, 2, 16),
        *(b"data", data_bytes),
    )


def iter_chunks(
    file: BinaryIO, start: int, byte_order: Literal["little", "big"] = "little"
) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, start and size of chunks, the file at their start, until what follows is none."""
    while True:
        file.seek(start)
        head = file.read(_CHUNK_HEADER)
        if len(head) < _CHUNK_HEADER or any(byte not in _PRINTABLE for byte in head[:4]):
            return
        size = int.from_bytes(head[4:], byte_order)
        start += _CHUNK_HEADER
        yield head[:4], start, size
        start += size + size % 2


def _header(file: BinaryIO, fmt: bytes, start: int, sizes: tuple[int, int]) -> WavHeader:
    encoding, channels, rate, byte_rate, frame_bytes, bits = struct.unpack(
        "<HHIIHH", fmt[:16].ljust(16, b"\0")
    )
    if encoding == _EXTENSIBLE:
        encoding = int.from_bytes(fmt[24:26], "little")
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
    slack = min(byte_rate, rate * frame_bytes) // 10
    there = file.seek(0, io.SEEK_END) - start
    riff_size, stated = sizes
    is_consistent = riff_size in (0, start + there - _CHUNK_HEADER) or riff_size + start >= stated
    if stated > there and is_consistent and is_placeholder(stated, there):
        data_bytes, has_length = there, False
    else:
        data_bytes, has_length = _data_bytes(file, start, stated, slack)
    return WavHeader(encoding, channels, rate, bits, frame_bytes, data_bytes, has_length)


def _data_bytes(file: BinaryIO, start: int, stated: int, slack: int) -> tuple[int, bool]:
    """Return the bytes of sound, and whether these are what the header tells."""
    there = file.seek(0, io.SEEK_END) - start
    if stated > there:
        # Small recorders write the size of the file, or of all but its head.
        if stated - there in (start, start - _CHUNK_HEADER):
            return there, False
        raise VoxtralTruncatedAudioError(
            f"its header states {stated} bytes of sound, and {there} are there: it is cut off"
        )
    rest = there - stated
    for begin in {start + stated, start + stated + stated % 2}:  # not all programs pad
        end = begin
        for name, chunk_start, size in iter_chunks(file, begin):
            if name in _SOUND_CHUNKS:
                raise concatenated_error(chunk_start - _CHUNK_HEADER)
            end = chunk_start + size + size % 2
        rest = min(rest, max(start + there - end, 0))
    if rest <= slack or (stated and _is_silence(file, start + stated)):  # some fill the last sector
        return stated, True
    if not stated:
        return there, False
    raise VoxtralAudioError(
        f"its header states {stated} bytes of sound, and {rest} bytes after it are neither sound "
        "nor chunks: the header is wrong; save the recording anew"
    )


def _is_silence(file: BinaryIO, start: int) -> bool:
    file.seek(start)
    return not any(block.strip(b"\0") for block in iter(lambda: file.read(_BLOCK_BYTES), b""))
