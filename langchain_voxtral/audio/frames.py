"""Files that are one frame after the other: what is no frame between them is damage, or a tag.

AAC in ADTS (ISO/IEC 13818-7) and MP3 (ISO/IEC 11172-3 and 13818-3) have no other structure.
"""

import io
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import lru_cache
from typing import BinaryIO

from langchain_voxtral.audio.mp3 import find_frame, frame_at, read_mp3_header, skip_id3
from langchain_voxtral.audio.patches import FileCheck, ReportDamage
from langchain_voxtral.errors import VoxtralTruncatedAudioError

_BLOCK_BYTES = 1 << 20
_MARGIN_BYTES = 1 << 15
"""Bytes that are looked at together: a few frames, or a tag's header."""
_MIN_FRAMES = 3
"""Frames in a row with which sound goes on behind something else."""
_TAGS = (b"TAG", b"APETAGEX", b"LYRICS")
_ID3, _ID3_HEADER = b"ID3", 10
_FIRST_FRAME_MARKS, _FIRST_FRAME_BYTES = (b"Xing", b"Info", b"VBRI"), 64
_AAC_RATES = (
    *(96_000, 88_200, 64_000, 48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 11_025),
    *(8_000, 7_350),
)
_ADTS_HEADER, _MP3_HEADER = 7, 4
Frame = tuple[int, float]
"""A frame's bytes and seconds."""
ReadFrame = Callable[[bytes], Frame | None]
"""Returns the frame with a header; None if it is none."""


@lru_cache(1024)
def _mp3_frame(header: bytes) -> Frame | None:
    frame = frame_at(header, 0)
    return None if frame is None else (frame.size, frame.samples / frame.rate)


def _adts_frame(header: bytes) -> Frame | None:
    if len(header) < _ADTS_HEADER or header[0] != 0xFF or header[1] & 0xF6 != 0xF0:  # noqa: PLR2004 - sync bits
        return None
    rate = header[2] >> 2 & 15
    size = (header[3] & 3) << 11 | header[4] << 3 | header[5] >> 5
    if rate >= len(_AAC_RATES) or size < _ADTS_HEADER:
        return None
    return size, 1024 * (1 + (header[6] & 3)) / _AAC_RATES[rate]


def check_mp3(file: BinaryIO, report_damage: ReportDamage) -> FileCheck:
    """Return the length of an MP3 file, and what is missing in it."""
    seconds = None
    try:
        seconds = read_mp3_header(file).seconds
    except VoxtralTruncatedAudioError as error:
        report_damage(error)
    start, head = skip_id3(file)
    walk = _Walk(file, start + (find_frame(head) or 0), _mp3_frame, _MP3_HEADER)
    return replace(_find_holes(walk, report_damage), seconds=seconds)


def check_adts(file: BinaryIO, report_damage: ReportDamage) -> FileCheck:
    """Return what is missing in an AAC file."""
    start, _ = skip_id3(file)
    return _find_holes(_Walk(file, start, _adts_frame, _ADTS_HEADER), report_damage)


def _find_holes(walk: "_Walk", report_damage: ReportDamage) -> FileCheck:
    between = list(walk.between())
    holes = [(begin, end) for begin, end, is_tag in between if not is_tag]
    for begin, end in holes:
        report_damage(
            VoxtralTruncatedAudioError(
                f"its {end - begin} bytes from byte {begin} on are no sound: it is cut off or "
                "damaged there"
            )
        )
    mean = walk.seconds / walk.frame_bytes if walk.frame_bytes else 0.0
    return FileCheck(
        # What looks like a frame within them would hide true ones behind them.
        patches=tuple((begin, end - begin) for begin, end, _ in between),
        holes=tuple((begin, (end - begin) * mean) for begin, end in holes),
    )


class _Walk:
    """A walk from frame to frame, in blocks of a file."""

    def __init__(
        self, file: BinaryIO, start: int, read_frame: ReadFrame, header_bytes: int
    ) -> None:
        self.frame_bytes, self.seconds = 0, 0.0
        self._file = file
        self._read_frame = read_frame
        self._header_bytes = header_bytes
        self._end = file.seek(0, io.SEEK_END)
        self._base, self._data = start, b""

    def between(self) -> Iterator[tuple[int, int, bool]]:
        """Yield begin and end of what stands between frames, and whether it is a tag or padding."""
        at = self._base
        read_frame, header_bytes = self._read_frame, self._header_bytes
        while at < self._end:
            data, base = self._load(at), self._base
            limit = len(data) - _MARGIN_BYTES if base + len(data) < self._end else len(data)
            place = at - base
            seconds = 0.0
            while place < limit and (frame := read_frame(data[place : place + header_bytes])):
                place += frame[0]
                seconds += frame[1]
            self.frame_bytes += base + place - at
            self.seconds += seconds
            at = base + place
            if place < limit:
                end = self._skip_tag(at) or self._find_frames(at + 1)
                if end is None:
                    return
                yield at, end, self._is_tag(at, end)
                at = end

    def _load(self, at: int) -> bytes:
        """Return the block that begins at a place, or that has enough behind it."""
        block_end = self._base + len(self._data)
        if not self._base <= at < block_end - _MARGIN_BYTES and not (
            self._base <= at and block_end == self._end and self._data
        ):
            self._file.seek(at)
            self._base, self._data = at, self._file.read(_BLOCK_BYTES)
        return self._data

    def _skip_tag(self, at: int) -> int | None:
        """Return the end of an ID3v2 tag, whose pictures may look like frames."""
        head = self._load(at)[at - self._base :][:_ID3_HEADER]
        if not head.startswith(_ID3) or len(head) < _ID3_HEADER:
            return None
        size = head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9]
        return min(at + _ID3_HEADER + size, self._end)

    def _find_frames(self, at: int) -> int | None:
        """Return where frames or a tag begin, at a place or behind it; None if nowhere."""
        while at < self._end:
            data = self._load(at)
            place = at - self._base
            limit = len(data) - _MARGIN_BYTES if self._base + len(data) < self._end else len(data)
            while 0 <= place < limit:
                if self._begins(data, place):
                    return self._base + place
                places = [data.find(mark, place + 1) for mark in (b"\xff", _ID3)]
                place = min((found for found in places if found >= 0), default=-1)
            at = self._base + (limit if place < 0 else place)
        return None

    def _begins(self, data: bytes, place: int) -> bool:
        """Return whether several frames or an ID3v2 tag begin at a place."""
        if data.startswith(_ID3, place):
            return True
        for count in range(_MIN_FRAMES):
            frame = self._read_frame(data[place : place + self._header_bytes])
            if frame is None:
                return count > 0 and (place == len(data) or data.startswith((*_TAGS, _ID3), place))
            place += frame[0]
        return True

    def _is_tag(self, begin: int, end: int) -> bool:
        """Return whether a tag, or zeros and a new beginning, stand between joined files."""
        head = self._load(begin)[begin - self._base :]
        if head.startswith((_ID3, *_TAGS)):
            return True
        rest = head[: end - begin].lstrip(b"\0")
        if rest:
            return head.startswith(b"\0") and rest.startswith(_TAGS)
        behind = self._load(end)[end - self._base :][:_FIRST_FRAME_BYTES]
        return behind.startswith(_ID3) or any(mark in behind for mark in _FIRST_FRAME_MARKS)
