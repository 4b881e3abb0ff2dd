"""Whether a recording is all there and alone, as far as its file tells.

libsndfile and FFmpeg decode what they find and say nothing; so this is asked before.
"""

import re
import struct
from collections.abc import Callable
from typing import BinaryIO

from langchain_voxtral.audio.boxes import Layout, boxes, size_of
from langchain_voxtral.audio.containers import check_matroska, check_mp4
from langchain_voxtral.audio.formats import (
    AIFF,
    AU,
    CAF,
    FLAC,
    M4A,
    MKA,
    MP3,
    MP4,
    OGG,
    OPUS,
    WAV,
    WEBM,
    AudioFormat,
)
from langchain_voxtral.audio.mp3 import mp3_facts
from langchain_voxtral.audio.ogg import check_ogg
from langchain_voxtral.audio.wav import read_wav_header
from langchain_voxtral.errors import VoxtralTruncatedAudioError, concatenated_error

__all__ = ["check_whole"]

_FLAC = re.compile(rb"fLaC[\x00\x80]\x00\x00\x22")
"""How a FLAC file begins: its mark, and the header of its first block."""
_FLAC_BYTES = 8
_READ = 1 << 20


def check_whole(file: BinaryIO, kind: AudioFormat) -> float | None:
    """Return if the file is as long as it says, or does not say: its seconds, if seen on the way.

    Of joined files MP3, Ogg, AAC and Matroska make one longer recording; of others only the first
    would be decoded.

    Raises:
        VoxtralTruncatedAudioError: It is cut off.
        VoxtralAudioError: It is broken otherwise, or several were joined.
    """
    return _CHECKS[kind](file) if kind in _CHECKS else None


def _check_boxes(name: bytes, again: bytes, layout: Layout) -> Callable[[BinaryIO], None]:
    def check(file: BinaryIO) -> None:
        there = size_of(file)
        for box in boxes(file, layout):
            if box.name == again:
                raise concatenated_error(box.start - 4 - struct.calcsize(layout.size))
            if box.name == name and box.start + box.size > there:
                raise VoxtralTruncatedAudioError(
                    f"its header tells of {box.size} bytes of sound, and {there - box.start} "
                    "are there: it is cut off"
                )

    return check


def _check_au(file: BinaryIO) -> None:
    file.seek(4)
    start, told = (int.from_bytes(file.read(4), "big") for _ in range(2))
    there = size_of(file) - start
    if there < told < 0xFFFF_FFFF:  # noqa: PLR2004 - the format's word for unknown
        raise VoxtralTruncatedAudioError(
            f"its header tells of {told} bytes of sound, and {there} are there: it is cut off"
        )
    file.seek(start + told)
    if told < there and file.read(4) == b".snd":
        raise concatenated_error(start + told)


def _check_flac(file: BinaryIO) -> None:
    file.seek(0)
    held, begun, position = b"", False, 0
    while block := file.read(_READ):
        held += block
        for mark in _FLAC.finditer(held):
            if begun:
                raise concatenated_error(position + mark.start())
            begun = True
        kept = held[-_FLAC_BYTES + 1 :]
        position += len(held) - len(kept)
        held = kept


def _check_wav(file: BinaryIO) -> float | None:
    return read_wav_header(file).seconds


def _check_mp3(file: BinaryIO) -> float:
    return mp3_facts(file).seconds


_CHECKS: dict[AudioFormat, Callable[[BinaryIO], float | None]] = {
    WAV: _check_wav,
    MP3: _check_mp3,
    FLAC: _check_flac,
    AU: _check_au,
    OGG: check_ogg,
    OPUS: check_ogg,
    M4A: check_mp4,
    MP4: check_mp4,
    WEBM: check_matroska,
    MKA: check_matroska,
    AIFF: _check_boxes(b"SSND", b"FORM", Layout(start=12, size=">I", pad=2)),
    CAF: _check_boxes(b"data", b"caff", Layout(start=8, size=">q")),
}
