"""Whether a recording is all there, as far as its file says how long it is.

libsndfile and FFmpeg decode what they find and say nothing; so this is asked before.
"""

from collections.abc import Callable
from typing import BinaryIO

from langchain_voxtral.audio.boxes import Layout, boxes, size_of
from langchain_voxtral.audio.errors import VoxtralTruncatedAudioError
from langchain_voxtral.audio.kinds import AIFF, AU, CAF, MP3, OGG, OPUS, WAV, Kind
from langchain_voxtral.audio.mp3 import mp3_facts
from langchain_voxtral.audio.wav import wav_header_facts

__all__ = ["check_whole"]

_LONGEST_PAGE = 27 + 255 + 255 * 255
_END_OF_STREAM = 4


def check_whole(file: BinaryIO, kind: Kind) -> None:
    """Return if the file is as long as it says, or does not say.

    Webm, m4a and flac are not looked at here: how long they are is seen while they are decoded.

    Raises:
        VoxtralTruncatedAudioError: It is cut off.
        VoxtralAudioError: It is broken otherwise.
    """
    if kind in _CHECKS:
        _CHECKS[kind](file)


def _check_boxes(name: bytes, layout: Layout) -> Callable[[BinaryIO], None]:
    def check(file: BinaryIO) -> None:
        there = size_of(file)
        for box in boxes(file, layout):
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


def _check_ogg(file: BinaryIO) -> None:
    """The last page of an Ogg file is marked as the end and is whole (RFC 3533)."""
    size = size_of(file)
    file.seek(max(size - 2 * _LONGEST_PAGE, 0))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    segments = page[27 : 27 + page[26]] if len(page) > 26 else b""  # noqa: PLR2004 - a header's length
    whole = (
        segments and len(page) >= 27 + len(segments) + sum(segments) and len(segments) == page[26]
    )
    if not (whole and page[5] & _END_OF_STREAM):
        raise VoxtralTruncatedAudioError(
            "its last page is not the end of an Ogg stream: it is cut off"
        )


_CHECKS: dict[Kind, Callable[[BinaryIO], object]] = {
    WAV: wav_header_facts,
    MP3: mp3_facts,
    AU: _check_au,
    OGG: _check_ogg,
    OPUS: _check_ogg,
    AIFF: _check_boxes(b"SSND", Layout(start=12, size=">I", pad=2)),
    CAF: _check_boxes(b"data", Layout(start=8, size=">q")),
}
