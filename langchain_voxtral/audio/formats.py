"""The format of a recording, detected by its content and never by its name."""

import io
from dataclasses import dataclass
from typing import BinaryIO

from langchain_voxtral.audio.mp3 import find_frame, skip_id3


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A format of audio files.

    Args:
        name: Its short name, as servers name formats.
        mime_type: Its media type (IANA's name where there is one, else the usual one).
        extension: The usual end of a file's name, with the dot.
    """

    name: str
    mime_type: str
    extension: str


WAV = AudioFormat("wav", "audio/wav", ".wav")
MP3 = AudioFormat("mp3", "audio/mpeg", ".mp3")
FLAC = AudioFormat("flac", "audio/flac", ".flac")
OGG = AudioFormat("ogg", "audio/ogg", ".ogg")
OPUS = AudioFormat("opus", "audio/ogg", ".opus")
M4A = AudioFormat("m4a", "audio/mp4", ".m4a")
MP4 = AudioFormat("mp4", "video/mp4", ".mp4")
WEBM = AudioFormat("webm", "audio/webm", ".webm")
MKA = AudioFormat("mka", "audio/matroska", ".mka")
AAC = AudioFormat("aac", "audio/aac", ".aac")
AIFF = AudioFormat("aiff", "audio/aiff", ".aiff")
AU = AudioFormat("au", "audio/basic", ".au")
CAF = AudioFormat("caf", "audio/x-caf", ".caf")

AC3 = AudioFormat("ac3", "audio/ac3", ".ac3")
AMR = AudioFormat("amr", "audio/amr", ".amr")
ASF = AudioFormat("asf", "audio/x-ms-wma", ".wma")
AVI = AudioFormat("avi", "video/x-msvideo", ".avi")
FLV = AudioFormat("flv", "video/x-flv", ".flv")
MPEG_PS = AudioFormat("mpeg", "video/mpeg", ".mpg")
MPEG_TS = AudioFormat("mpegts", "video/mp2t", ".ts")
MP2 = AudioFormat("mp2", "audio/mpeg", ".mp2")
W64 = AudioFormat("w64", "audio/x-w64", ".w64")

AUDIO_FORMATS = (WAV, MP3, FLAC, OGG, OPUS, M4A, MP4, WEBM, MKA, AAC, AIFF, AU, CAF)

OTHER_FORMATS = (AC3, AMR, ASF, AVI, FLV, MPEG_PS, MPEG_TS, MP2, W64)
"""Further formats; of all others only FFmpeg's name is known."""

_BY_DEMUXER = {
    **{audio_format.name: audio_format for audio_format in (FLAC, OGG, AAC, AIFF, AU, CAF)},
    **{audio_format.name: audio_format for audio_format in OTHER_FORMATS},
    "asf_o": ASF,
    "matroska": MKA,
    "mov": MP4,
    "mp3": MP2,  # layers I and II; layer III is found here
    "mpegtsraw": MPEG_TS,
    "wav": AudioFormat("rifx", "audio/x-wav", ".wav"),  # big-endian; others are found here
}
"""Formats by the name of FFmpeg's demuxer."""

EBML = b"\x1a\x45\xdf\xa3"
"""What Matroska and WebM files begin with."""
_ADTS = (b"\xff\xf1", b"\xff\xf9", b"\xff\xf0", b"\xff\xf8")
_ADTS_HEADER = 7

_MAGIC: tuple[tuple[AudioFormat, tuple[bytes, ...], int, bytes], ...] = (
    (WAV, (b"RIFF", b"RF64", b"BW64"), 8, b"WAVE"),
    (AIFF, (b"FORM",), 8, b"AIFF"),
    (AIFF, (b"FORM",), 8, b"AIFC"),
    (AU, (b".snd",), 0, b""),
    (FLAC, (b"fLaC",), 0, b""),
    (CAF, (b"caff",), 0, b""),
    (OPUS, (b"OggS",), 28, b"OpusHead"),
    (OGG, (b"OggS",), 0, b""),
    (M4A, (b"",), 4, b"ftypM4A "),
    (M4A, (b"",), 4, b"ftypM4B "),
    (MP4, (b"",), 4, b"ftyp"),
    (AMR, (b"#!AMR",), 0, b""),
    (ASF, (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11",), 0, b""),
    (AVI, (b"RIFF",), 8, b"AVI "),
    (FLV, (b"FLV\x01",), 0, b""),
    (MPEG_PS, (b"\0\0\x01\xba",), 0, b""),
    (W64, (b"riff\x2e\x91\xcf\x11",), 0, b""),
)
"""A format, what its files begin with, and what stands at an offset; the first match counts."""


def demuxer_format(demuxer: str) -> AudioFormat:
    """Return the format of a file that an FFmpeg demuxer recognizes."""
    name = demuxer.partition(",")[0]
    return _BY_DEMUXER.get(name) or AudioFormat(name, f"audio/x-{name}", f".{name}")


def detect_format(data: bytes | BinaryIO) -> AudioFormat | None:
    """Return the format of a file or of its bytes; None if only a decoder may know it."""
    _, head = skip_id3(io.BytesIO(data) if isinstance(data, bytes) else data)
    for audio_format, beginnings, offset, mark in _MAGIC:
        if head.startswith(beginnings) and head.startswith(mark, offset):
            return audio_format
    if head.startswith(EBML):
        return WEBM if b"webm" in head[:64] else MKA
    if head.startswith(_ADTS) and _has_adts_frame(head):
        return AAC
    return None if find_frame(head) is None else MP3


def _has_adts_frame(head: bytes) -> bool:
    if len(head) < _ADTS_HEADER:
        return False
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5
    return size >= _ADTS_HEADER and (len(head) <= size or head.startswith(_ADTS, size))
