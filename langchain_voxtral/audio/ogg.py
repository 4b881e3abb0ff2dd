"""Ogg files (RFC 3533) page by page: whether all of a file is there, and as it was written.

Decoders pass in silence over a page that is damaged or missing, and a page may be a second of
sound. That the last one is marked as the end is not asked for: Android's own writer, and with it
many a voice message, leaves the mark out.
"""

import zlib
from typing import BinaryIO

from langchain_voxtral.audio.mp3 import id3_size
from langchain_voxtral.errors import VoxtralTruncatedAudioError

__all__ = ["check_ogg"]

_MARK = b"OggS"
_HEADER = 27
_TYPE, _SERIAL, _NUMBER, _CHECKSUM = 5, slice(14, 18), slice(18, 22), slice(22, 26)
_BEGINS, _ENDS = 2, 4
_ALL = 0xFFFF_FFFF
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


def check_ogg(file: BinaryIO) -> None:
    """Return if all pages of an Ogg file are there, each whole.

    Raises:
        VoxtralTruncatedAudioError: It is cut off within a page, or damaged.
    """
    file.seek(0)
    file.seek(id3_size(file.read(10)))
    open_streams: set[bytes] = set()
    last: dict[bytes, int] = {}  # numbers of pages
    while page := _page(file):
        at = file.tell() - len(page)
        if not page.startswith(_MARK):
            if last and not open_streams:
                return  # what follows the end is no part of it
            raise VoxtralTruncatedAudioError(f"it is damaged at byte {at}")
        kind, serial = page[_TYPE], page[_SERIAL]
        if _checksum(page) != int.from_bytes(page[_CHECKSUM], "little"):
            raise VoxtralTruncatedAudioError(f"its page at byte {at} is damaged or cut off")
        number = int.from_bytes(page[_NUMBER], "little")
        if kind & _BEGINS:
            open_streams.add(serial)
        elif number > last.get(serial, number) + 1:
            raise VoxtralTruncatedAudioError(
                f"{number - last[serial] - 1} pages before byte {at} are missing: it is damaged "
                "there"
            )
        if kind & _ENDS:
            open_streams.discard(serial)
        last[serial] = number


def _page(file: BinaryIO) -> bytes:
    head = file.read(_HEADER)
    lengths = file.read(head[-1]) if head.startswith(_MARK) and len(head) == _HEADER else b""
    return head + lengths + file.read(sum(lengths))


def _checksum(page: bytes) -> int:
    """Return a page's CRC: as zlib's, but with the bits in the other order, and begun with 0."""
    blank = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    crc = zlib.crc32(blank.translate(_REVERSED), _ALL) ^ _ALL
    return int(f"{crc:032b}"[::-1], 2)
