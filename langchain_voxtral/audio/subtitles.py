"""Segments written as subtitle files, SubRip (.srt) and WebVTT (.vtt)."""

import html
from collections.abc import Iterable, Iterator
from typing import Protocol

from langchain_voxtral.errors import VoxtralAudioError


class TimedText(Protocol):
    """A text with a start and an end in seconds, such as a segment of a transcript."""

    @property
    def start(self) -> float: ...  # noqa: D102
    @property
    def end(self) -> float: ...  # noqa: D102
    @property
    def text(self) -> str: ...  # noqa: D102


def to_srt(segments: Iterable[TimedText]) -> str:
    """Return segments, in the order of time, as a SubRip file; those without text are left out.

    Raises:
        VoxtralAudioError: A segment ends before it begins, or begins before 0.
    """
    return "\n".join(
        f"{number}\n{_clock(start, ',')} --> {_clock(end, ',')}\n{text}\n"
        for number, (start, end, text) in enumerate(_cues(segments), 1)
    )


def to_vtt(segments: Iterable[TimedText]) -> str:
    """Return segments as a WebVTT file (W3C), like `to_srt`; `&`, `<` and `>` are escaped."""
    return "WEBVTT\n" + "".join(
        f"\n{_clock(start, '.')} --> {_clock(end, '.')}\n{html.escape(text, quote=False)}\n"
        for start, end, text in _cues(segments)
    )


def _cues(segments: Iterable[TimedText]) -> Iterator[tuple[float, float, str]]:
    """Yield start, end and text, without the blank lines that would end a cue."""
    for segment in segments:
        if not 0 <= segment.start <= segment.end:
            raise VoxtralAudioError(
                f"A subtitle cannot go from {segment.start} s to {segment.end} s: "
                f"{segment.text[:80]!r}."
            )
        lines = (line.strip() for line in segment.text.splitlines())
        if text := "\n".join(filter(None, lines)):
            yield segment.start, segment.end, text


def _clock(seconds: float, point: str) -> str:
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{point}{milliseconds:03}"
