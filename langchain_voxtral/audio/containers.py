"""Containers that hold pictures too, MP4 and Matroska (WebM): whether all of a file is there.

FFmpeg passes in silence over what is missing or damaged in them.
"""

from typing import BinaryIO

from langchain_voxtral.audio.boxes import size_of
from langchain_voxtral.errors import VoxtralTruncatedAudioError, concatenated_error

__all__ = ["check_matroska", "check_mp4"]

_ONCE = {b"ftyp", b"moov"}
_PARTS = _ONCE | {
    *(b"mdat", b"moof", b"mfra", b"sidx", b"styp", b"meta", b"uuid", b"prft", b"emsg"),
    *(b"free", b"skip", b"wide", b"pdin", b"ssix", b"udta", b"pnot"),
}
"""Boxes that stand in an MP4 file next to one another. There are others, of makers of cameras and
phones; but what goes on beyond the file's end, and is none of these, is no box."""

_BOX_HEAD = 8
_EBML = b"\x1a\x45\xdf\xa3"
_SEGMENT, _CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_WITHIN = {_SEGMENT, _CLUSTER}
"""What is in these is looked at, and their size may be unknown."""
_LONGEST_ID, _LONGEST_SIZE = 4, 8


def check_mp4(file: BinaryIO) -> None:
    """Return if all boxes of an MP4 file (ISO/IEC 14496-12) are there, its index among them.

    Raises:
        VoxtralTruncatedAudioError: It is cut off.
        VoxtralAudioError: Several files were joined.
    """
    at, there = 0, size_of(file)
    seen: set[bytes] = set()
    while at < there:
        file.seek(at)
        head = file.read(16)
        size, name = int.from_bytes(head[:4], "big"), head[4:8]
        if size == 1:
            size = int.from_bytes(head[8:], "big")
        end = at + max(size, _BOX_HEAD) if size else there
        if name not in _PARTS and (end > there or size < _BOX_HEAD):
            break
        if name in seen & _ONCE:
            raise concatenated_error(at)
        seen.add(name)
        if end > there:
            raise VoxtralTruncatedAudioError(
                f"its part {name.decode()!r} lacks {end - there} of {size} bytes: it is cut off"
            )
        at = end
    if b"moov" not in seen:
        raise VoxtralTruncatedAudioError(
            "its index, 'moov', is missing: it is cut off, or was never finished"
        )


def check_matroska(file: BinaryIO) -> None:
    """Return if all elements of a Matroska file (RFC 8794, RFC 9559) are there.

    Raises:
        VoxtralTruncatedAudioError: It is cut off, or damaged between two elements.
    """
    at, there, end = 0, size_of(file), 0
    while at < there:
        file.seek(at)
        head = file.read(_LONGEST_ID + _LONGEST_SIZE)
        if at == end > 0 and not head.startswith(_EBML):
            return  # what follows the whole is no part of it
        name = head[: _length(head)]
        size_head = head[len(name) :][: _length(head[len(name) :])]
        if not 0 < len(name) <= _LONGEST_ID or not 0 < len(size_head) <= _LONGEST_SIZE:
            raise VoxtralTruncatedAudioError(f"it is damaged or cut off at byte {at}")
        values = (1 << 7 * len(size_head)) - 1
        size = int.from_bytes(size_head, "big") & values
        start = at + len(name) + len(size_head)
        known = size != values
        if start + size > there and (known or name not in _WITHIN):
            raise VoxtralTruncatedAudioError(
                f"its part at byte {at} goes {start + size - there} bytes beyond its end: "
                "it is cut off or damaged there"
            )
        at = start if name in _WITHIN else start + size
        if name == _SEGMENT:
            end = start + size if known else 0


def _length(head: bytes) -> int:
    """Return how many bytes a number has, which its first byte tells by its leading zeros."""
    return 9 - head[0].bit_length() if head else 0
