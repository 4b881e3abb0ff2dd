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

AUDIO_FORMATS = (WAV, MP3, FLAC, OGG, OPUS, M4A, MP4, WEBM, MKA, AAC, AIFF, AU, CAF)

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
)
"""A format, what its files begin with, and what stands at an offset; the first match counts."""


def detect_format(data: bytes | BinaryIO) -> AudioFormat | None:
    """Return the format of a file or of its bytes; None if it is no recording."""
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
