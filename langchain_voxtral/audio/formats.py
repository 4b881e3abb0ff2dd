"""What kind of recording a file is, told by its content and never by its name."""

import io
from dataclasses import dataclass
from typing import BinaryIO

from langchain_voxtral.audio.mp3 import LOOKAHEAD, id3_size, starts_with_frames

_SEEN = 1 << 16
_TAGS = 16
"""How many tags may stand in front."""
_JUNK = 4096
"""How far into a file the first MP3 frame is looked for: recordings of radio begin anywhere."""


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """A kind of audio file.

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

_MAGIC: tuple[tuple[int, bytes, AudioFormat], ...] = (
    (8, b"WAVE", WAV),
    (8, b"AIFF", AIFF),
    (8, b"AIFC", AIFF),
    (0, b".snd", AU),
    (0, b"fLaC", FLAC),
    (0, b"caff", CAF),
    (28, b"OpusHead", OPUS),
    (0, b"OggS", OGG),
    (4, b"ftypM4A ", M4A),
    (4, b"ftypM4B ", M4A),
    (4, b"ftyp", MP4),
)
"""Bytes at a place; the first row that fits tells."""
_OUTER = {WAV: (b"RIFF", b"RF64", b"BW64"), AIFF: (b"FORM",)}
"""For kinds that are told by their inner name: what a file of them begins with."""

_EBML = b"\x1a\x45\xdf\xa3"
_ADTS = (b"\xff\xf1", b"\xff\xf9", b"\xff\xf0", b"\xff\xf8")


def detect_format(data: bytes | BinaryIO) -> AudioFormat | None:
    """Return the format of a recording, given as its bytes or a file; None if it is none."""
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    file.seek(0)
    head = file.read(_SEEN)
    start = 0
    for _ in range(_TAGS):
        size = id3_size(head)  # cover pictures make tags of any length
        if not size:
            break
        start += size
        file.seek(start)
        head = file.read(_SEEN)
    for offset, mark, kind in _MAGIC:
        if head.startswith(mark, offset) and head.startswith(_OUTER.get(kind, b"")):
            return kind
    if head.startswith(_EBML):
        return WEBM if b"webm" in head[:64] else MKA
    if head.startswith(_ADTS) and _adts_runs_on(head):
        return AAC
    return MP3 if _mp3_begins(head) else None


def _adts_runs_on(head: bytes) -> bool:
    size = (head[3] & 3) << 11 | head[4] << 3 | head[5] >> 5 if len(head) > 6 else 0  # noqa: PLR2004 - a header's length
    return size > 6 and (len(head) <= size or head.startswith(_ADTS, size))  # noqa: PLR2004 - the same


def _mp3_begins(head: bytes) -> bool:
    at = head.find(b"\xff", 0, _JUNK)
    while at >= 0:
        if starts_with_frames(head[at : at + LOOKAHEAD]):
            return True
        at = head.find(b"\xff", at + 1, _JUNK)
    return False
