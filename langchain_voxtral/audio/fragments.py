"""Fragmented MP4 files (ISO/IEC 14496-12), as browsers record them: damage between fragments.

FFmpeg ends in silence where a box has no head; a box `free` in place of it lets it go on.
"""

import io
import struct
from typing import BinaryIO

from langchain_voxtral.audio.patches import FileCheck, Patch, ReportDamage
from langchain_voxtral.errors import VoxtralTruncatedAudioError

_HEAD = struct.Struct(">I4s")
_LONG_HEAD = 16
_FRAGMENT, _FRAGMENT_HEADER, _TRACK = b"moof", b"mfhd", b"traf"
_CHILDREN = {_FRAGMENT: {_FRAGMENT_HEADER, _TRACK}, _TRACK: {b"tfhd"}}
"""Boxes of a fragment, and what each must have."""
_MAX_FRAGMENT_BYTES = 1 << 24
_BLOCK_BYTES = 1 << 20


def check_mp4(file: BinaryIO, report_damage: ReportDamage) -> FileCheck:
    """Report where a fragmented file has no boxes, and return what lets decoding go on."""
    end, at = file.seek(0, io.SEEK_END), 0
    patches: list[Patch] = []
    is_fragmented = False
    while at < end:
        name, size = _box(file, at, end)
        following = at + size if name else _find_fragment(file, at + 1, end)
        is_fragment = name == _FRAGMENT or _has_fragment_header(file, at)
        is_fragmented = is_fragmented or is_fragment or (not name and following is not None)
        if following is None:
            if is_fragmented and not _is_blank(file, at):
                report_damage(_damage_error(at))
            break
        if not name or (is_fragment and not _is_whole(file, at, size)):
            report_damage(_damage_error(at))
            patches.append((at, _HEAD.pack(min(following - at, 0xFFFF_FFFF), b"free")))
        at = following
    return FileCheck(patches=tuple(patches))


def _damage_error(at: int) -> VoxtralTruncatedAudioError:
    return VoxtralTruncatedAudioError(
        f"its part at byte {at} is no box of MP4: it is cut off or damaged there"
    )


def _box(file: BinaryIO, at: int, end: int) -> tuple[bytes, int]:
    """Return name and size of the box at a place; no name if there is none."""
    file.seek(at)
    head = file.read(_LONG_HEAD)
    if len(head) < _HEAD.size:
        return b"", 0
    size, name = _HEAD.unpack_from(head)
    if size == 0 and name == b"mdat":
        size = end - at
    elif size == 1 and len(head) == _LONG_HEAD:
        size = int.from_bytes(head[8:], "big")
    is_box = _is_name(name) and _HEAD.size <= size <= end - at
    return (name, size) if is_box else (b"", 0)


def _is_name(name: bytes) -> bool:
    return name.isascii() and name.decode().isprintable()


def _has_fragment_header(file: BinaryIO, at: int) -> bool:
    """Return whether the box at a place has a fragment's header, whatever its name."""
    file.seek(at + _HEAD.size)
    return file.read(_HEAD.size) == _HEAD.pack(16, _FRAGMENT_HEADER)


def _is_whole(file: BinaryIO, at: int, size: int) -> bool:
    """Return whether a fragment, and what it is made of, has all heads."""
    file.seek(at)
    return size <= _MAX_FRAGMENT_BYTES and _is_whole_box(file.read(size))


def _is_whole_box(box: bytes) -> bool:
    size, name = _HEAD.unpack_from(box)
    if name not in _CHILDREN or size != len(box):
        return False
    at, missing = _HEAD.size, set(_CHILDREN[name])
    while at + _HEAD.size <= len(box):
        size, child = _HEAD.unpack_from(box, at)
        if not _HEAD.size <= size <= len(box) - at or not _is_name(child):
            return False
        if child in _CHILDREN and not _is_whole_box(box[at : at + size]):
            return False
        missing.discard(child)
        at += size
    return at == len(box) and not missing


def _find_fragment(file: BinaryIO, at: int, end: int) -> int | None:
    """Return where a fragment begins at or after a place."""
    while at < end:
        file.seek(at)
        block = file.read(_BLOCK_BYTES)
        place = block.find(_FRAGMENT)
        while place >= 0:
            begin = at + place - 4
            if begin >= at - 4 and _box(file, begin, end)[0] and _has_fragment_header(file, begin):
                return begin
            place = block.find(_FRAGMENT, place + 1)
        at += max(len(block) - 3, 1)
    return None


def _is_blank(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    return not any(block.strip(b"\0") for block in iter(lambda: file.read(_BLOCK_BYTES), b""))
