"""Headers of WAV, W64, AVI, AIFF and AU files: stated lengths, and made-up sizes."""

import io
import struct
from typing import BinaryIO

from langchain_voxtral.audio.patches import FileCheck, ReportDamage
from langchain_voxtral.audio.wav import (
    CHUNKS_START,
    is_placeholder,
    iter_chunks,
    read_wav_header,
)
from langchain_voxtral.errors import VoxtralTruncatedAudioError, concatenated_error

_DS64_DATA_SIZE = 28
"""Where an RF64 file states the size of its sound."""
_SSND_HEADER = 8
_W64_CHUNKS_START, _W64_CHUNK_HEADER = 40, 24


def check_wav(file: BinaryIO, report_damage: ReportDamage) -> FileCheck:
    """Return the length of a WAV file."""
    try:
        header = read_wav_header(file)
    except VoxtralTruncatedAudioError as error:
        report_damage(error)
        return FileCheck()
    file.seek(0)
    if header.has_length or file.read(4) == b"RIFF":
        return FileCheck(header.seconds)
    return FileCheck(header.seconds, ((_DS64_DATA_SIZE, header.data_bytes.to_bytes(8, "little")),))


def check_w64(file: BinaryIO, report_damage: ReportDamage) -> FileCheck:
    """Report if a W64 file is shorter than its sound; return that size if it is made up."""
    file_end, start = file.seek(0, io.SEEK_END), _W64_CHUNKS_START
    while start + _W64_CHUNK_HEADER <= file_end:
        file.seek(start)
        name, stated = struct.unpack("<16sQ", file.read(_W64_CHUNK_HEADER))
        there = file_end - start
        if name.startswith(b"data"):
            if stated <= _W64_CHUNK_HEADER < there or is_placeholder(stated, there):
                return FileCheck(None, ((start + 16, there.to_bytes(8, "little")),))
            if stated > there:
                report_damage(_cut_off_error(stated, there))
            break
        start += max(stated + -stated % 8, _W64_CHUNK_HEADER)
    return FileCheck()


def check_avi(file: BinaryIO, report_damage: ReportDamage) -> FileCheck:
    """Report if an AVI file is shorter than one of its RIFF chunks."""
    file_end = file.seek(0, io.SEEK_END)
    for name, start, stated in iter_chunks(file, 0):
        there = file_end - start
        if name == b"RIFF" and stated > there and not is_placeholder(stated, there):
            report_damage(_cut_off_error(stated, there))
    return FileCheck()


def _cut_off_error(stated: int, there: int) -> VoxtralTruncatedAudioError:
    return VoxtralTruncatedAudioError(
        f"its header states {stated} bytes, and {there} are there: it is cut off"
    )


def check_aiff(file: BinaryIO, _: ReportDamage) -> FileCheck:
    """Return the sizes in an AIFF file that are made up, without what they say.

    Raises:
        VoxtralAudioError: A second file follows the first, and would not be decoded.
    """
    file_end = file.seek(0, io.SEEK_END)
    file.seek(4)
    size = int.from_bytes(file.read(4), "big")
    end = 8 + size + size % 2
    file.seek(end)
    if file.read(4) == b"FORM":
        raise concatenated_error(end)
    frames_at, frames, frame_bytes = 0, 0, 1
    for name, start, stated in iter_chunks(file, CHUNKS_START, "big"):
        if name == b"COMM":
            channels, frames, bits = struct.unpack(">HIH", file.read(8).ljust(8, b"\0"))
            frames_at, frame_bytes = start + 2, channels * (bits + 7) // 8
        elif name == b"SSND":
            there = file_end - start
            is_unset = not frames and stated <= _SSND_HEADER < there
            sizes = (stated, frames, frames * frame_bytes)
            if is_unset or any(is_placeholder(size, there) for size in sizes):
                right = {4: file_end - 8, start - 4: there}
                right |= {frames_at: 0} if frames_at else {}
                return FileCheck(
                    None, tuple((at, size.to_bytes(4, "big")) for at, size in right.items())
                )
            break
    return FileCheck()


def check_au(file: BinaryIO, _: ReportDamage) -> FileCheck:
    """Return the size in an AU file, if it is made up, as one that is not known."""
    file.seek(4)
    start, stated = struct.unpack(">II", file.read(8).ljust(8, b"\0"))
    there = file.seek(0, io.SEEK_END) - start
    is_unknown = there > 0 and (not stated or is_placeholder(stated, there))
    return FileCheck(None, ((8, b"\xff" * 4),) if is_unknown else ())
