"""Whether a file is whole where FFmpeg would not notice: Ogg and Matroska (WebM)."""

import io
import zlib
from typing import BinaryIO

from langchain_voxtral.audio.formats import EBML
from langchain_voxtral.audio.mp3 import skip_id3
from langchain_voxtral.audio.patches import FileCheck, ReportDamage
from langchain_voxtral.errors import VoxtralTruncatedAudioError

_PAGE_MARK, _PAGE_HEADER = b"OggS", 27
_TYPE, _SERIAL, _NUMBER, _CHECKSUM = 5, slice(14, 18), slice(18, 22), slice(22, 26)
_BEGINS, _ENDS = 2, 4
_ALL_BITS = 0xFFFF_FFFF
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_SEGMENT, _CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_MAX_ID, _MAX_SIZE = 4, 8


def check_ogg(file: BinaryIO, report_damage: ReportDamage) -> FileCheck:
    """Report if not all pages of an Ogg file (RFC 3533) are there, each whole.

    The last one need not be marked as the end: Android's writer, and with it many a voice message,
    leaves the mark out.
    """
    start, _ = skip_id3(file)
    file.seek(start)
    open_streams: set[bytes] = set()
    last_numbers: dict[bytes, int] = {}
    while page := _read_page(file):
        at = file.tell() - len(page)
        if not page.startswith(_PAGE_MARK):
            if last_numbers and not open_streams:
                break  # what follows the end is no part of it
            report_damage(VoxtralTruncatedAudioError(f"it is damaged at byte {at}"))
            break
        page_type, serial = page[_TYPE], page[_SERIAL]
        if _checksum(page) != int.from_bytes(page[_CHECKSUM], "little"):
            report_damage(
                VoxtralTruncatedAudioError(f"its page at byte {at} is damaged or cut off")
            )
        number = int.from_bytes(page[_NUMBER], "little")
        if page_type & _BEGINS:
            open_streams.add(serial)
        elif number > last_numbers.get(serial, number) + 1:
            missing = number - last_numbers[serial] - 1
            message = f"{missing} pages before byte {at} are missing: it is damaged there"
            report_damage(VoxtralTruncatedAudioError(message))
        if page_type & _ENDS:
            open_streams.discard(serial)
        last_numbers[serial] = number
    return FileCheck()


def _read_page(file: BinaryIO) -> bytes:
    head = file.read(_PAGE_HEADER)
    is_page = head.startswith(_PAGE_MARK) and len(head) == _PAGE_HEADER
    sizes = file.read(head[-1]) if is_page else b""
    return head + sizes + file.read(sum(sizes))


def _checksum(page: bytes) -> int:
    """Return a page's CRC: as zlib's, but with the bits in the other order, and begun with 0."""
    blank = page[: _CHECKSUM.start] + bytes(4) + page[_CHECKSUM.stop :]
    crc = zlib.crc32(blank.translate(_REVERSED), _ALL_BITS) ^ _ALL_BITS
    return int(f"{crc:032b}"[::-1], 2)


def check_matroska(file: BinaryIO, report_damage: ReportDamage) -> FileCheck:
    """Report if not all elements of a Matroska file (RFC 8794, RFC 9559) are there.

    Its duration proves nothing: browsers write none, and repair tools write what a clock showed.
    """
    at, segment_end, file_end = 0, 0, file.seek(0, io.SEEK_END)
    while at < file_end:
        file.seek(at)
        head = file.read(_MAX_ID + _MAX_SIZE)
        if at == segment_end > 0 and not head.startswith(EBML):
            break  # what follows the segment is no part of it
        name = head[: _number_length(head)]
        size_bytes = head[len(name) :][: _number_length(head[len(name) :])]
        if not 0 < len(name) <= _MAX_ID or not 0 < len(size_bytes) <= _MAX_SIZE:
            report_damage(VoxtralTruncatedAudioError(f"it is damaged or cut off at byte {at}"))
            break
        is_container = name in (_SEGMENT, _CLUSTER)
        unknown = (1 << 7 * len(size_bytes)) - 1
        size = int.from_bytes(size_bytes, "big") & unknown
        start = at + len(name) + len(size_bytes)
        is_streamed = is_container and size == unknown
        if start + size > file_end and not is_streamed:
            report_damage(
                VoxtralTruncatedAudioError(
                    f"its part at byte {at} goes {start + size - file_end} bytes beyond its end: "
                    "it is cut off or damaged there"
                )
            )
            break
        at = start if is_container else start + size
        if name == _SEGMENT:
            segment_end = 0 if is_streamed else start + size
    return FileCheck()


def _number_length(head: bytes) -> int:
    """Return how many bytes a number has, which its first byte tells by its leading zeros."""
    return 9 - head[0].bit_length() if head else 0
