"""Whether a file is whole where FFmpeg would not notice: Ogg and Matroska (WebM)."""

import io
import re
import zlib
from itertools import pairwise
from typing import BinaryIO

from langchain_voxtral.audio.formats import EBML
from langchain_voxtral.audio.mp3 import skip_id3
from langchain_voxtral.audio.patches import FileCheck, Patch, ReportDamage
from langchain_voxtral.errors import VoxtralTruncatedAudioError

_PAGE_MARK, _PAGE_HEADER = b"OggS", 27
_TYPE, _SERIAL, _NUMBER, _CHECKSUM = 5, slice(14, 18), slice(18, 22), slice(22, 26)
_BEGINS, _ENDS = 2, 4
_ALL_BITS = 0xFFFF_FFFF
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))

_SEGMENT, _CLUSTER = b"\x18\x53\x80\x67", b"\x1f\x43\xb6\x75"
_TRACKS, _BLOCK, _VOID = b"\x16\x54\xae\x6b", b"\xa3", b"\xec"
_TRACK_NUMBER = re.compile(rb"\xd7\x81(.)", re.DOTALL)
"""Numbers of tracks below 127, which blocks begin with, with a bit that tells their length."""
_BEGINNINGS = re.compile(b"\xa3|\x1f\x43\xb6\x75")
_CLUSTER_BEGINS = (b"\xe7", b"\xbf", b"\xec", b"\xa7", b"\xab")
_MIN_BLOCKS = 3
"""Blocks in a row with which sound goes on behind damage."""
_MAX_TRACKS_BYTES, _SEARCHED_BYTES = 1 << 20, 1 << 20
_SHORT_IDS = {_BLOCK, _VOID, b"\xbf", b"\xe7", b"\xa7", b"\xab", b"\xa0", b"\xaf", b"\x58\x54"}
"""Elements of clusters; those around clusters have numbers of four bytes."""
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
    links: list[tuple[int, list[bytes]]] = []
    is_head = False
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
        was_head, is_head = is_head, bool(page_type & _BEGINS)
        if is_head:
            open_streams.add(serial)
            if not was_head:
                links.append((at, []))
            links[-1][1].append(page[_PAGE_HEADER:])
        elif number > last_numbers.get(serial, number) + 1:
            missing = number - last_numbers[serial] - 1
            message = f"{missing} pages before byte {at} are missing: it is damaged there"
            report_damage(VoxtralTruncatedAudioError(message))
        if page_type & _ENDS:
            open_streams.discard(serial)
        last_numbers[serial] = number
    # FFmpeg decodes streams one after the other only if they have the same form.
    cuts = [at for (_, before), (at, heads) in pairwise(links) if heads != before]
    bounds = [0, *cuts, file.seek(0, io.SEEK_END)]
    return FileCheck(parts=tuple(pairwise(bounds)) if cuts else ())


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
    patches: list[Patch] = []
    tracks: set[bytes] = set()
    while at < file_end:
        name, start, end = _element(file, at)
        if at == segment_end > 0 and name != EBML:
            break  # what follows the segment is no part of it
        if not name or end > file_end:
            report_damage(
                VoxtralTruncatedAudioError(
                    f"its part at byte {at} goes {end - file_end} bytes beyond its end: "
                    "it is cut off or damaged there"
                    if name
                    else f"it is damaged or cut off at byte {at}"
                )
            )
            # Parts that hold others are read as far as they go; before the tracks nothing is.
            following = _find_blocks(file, at + 1, file_end, tracks) if tracks else None
            if following is None or name in (_SEGMENT, _CLUSTER):
                break
            patches.append((at, _void(following - at)))
            at = following
            continue
        if name == _TRACKS:
            file.seek(start)
            found = _TRACK_NUMBER.findall(file.read(min(end - start, _MAX_TRACKS_BYTES)))
            tracks |= {bytes([number[0] | 0x80]) for number in found}
        elif name == _BLOCK:
            file.seek(start)
            if tracks and file.read(1) not in tracks:
                report_damage(VoxtralTruncatedAudioError(f"it is damaged or cut off at byte {at}"))
                patches.append((at, _VOID))
        if name == _SEGMENT:
            segment_end = end if end > start else 0
        at = start if name in (_SEGMENT, _CLUSTER) else end
    return FileCheck(patches=tuple(patches))


def _element(file: BinaryIO, at: int) -> tuple[bytes, int, int]:
    """Return an element's name, and where its content begins and ends; no name if it is none.

    What is streamed has no length, and ends where it begins.
    """
    file.seek(at)
    head = file.read(_MAX_ID + _MAX_SIZE)
    name = head[: _number_length(head)]
    size_bytes = head[len(name) :][: _number_length(head[len(name) :])]
    is_known = len(name) == _MAX_ID or name in _SHORT_IDS
    if not is_known or not 0 < len(size_bytes) <= _MAX_SIZE:
        return b"", at, at
    start = at + len(name) + len(size_bytes)
    unknown = (1 << 7 * len(size_bytes)) - 1
    size = int.from_bytes(size_bytes, "big") & unknown
    is_streamed = name in (_SEGMENT, _CLUSTER) and size == unknown
    return name, start, start if is_streamed else start + size


def _find_blocks(file: BinaryIO, at: int, file_end: int, tracks: set[bytes]) -> int | None:
    """Return where a cluster, or several blocks in a row, begin at or after a place."""
    while at < file_end:
        file.seek(at)
        data = file.read(_SEARCHED_BYTES)
        for found in _BEGINNINGS.finditer(data):
            if _begins_blocks(file, at + found.start(), file_end, tracks):
                return at + found.start()
        at += max(len(data) - _MAX_ID + 1, 1)
    return None


def _begins_blocks(file: BinaryIO, at: int, file_end: int, tracks: set[bytes]) -> bool:
    for _ in range(_MIN_BLOCKS):
        name, start, end = _element(file, at)
        file.seek(start)
        if name == _CLUSTER and start < file_end:
            return file.read(1) in _CLUSTER_BEGINS
        if name != _BLOCK or end > file_end or file.read(1) not in tracks:
            return at == file_end
        at = end
    return True


def _void(size: int) -> bytes:
    """Return the head of an element of a size that holds nothing."""
    short = 128
    if size < short:
        return _VOID + bytes([0x80 | max(size - 2, 0)])
    return _VOID + b"\x01" + (size - 9).to_bytes(7, "big")


def _number_length(head: bytes) -> int:
    """Return how many bytes a number has, which its first byte tells by its leading zeros."""
    return 9 - head[0].bit_length() if head else 0
