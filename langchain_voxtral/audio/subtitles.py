"""Subtitle files, SubRip (.srt) and WebVTT (.vtt), from segments and back."""

import html
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Protocol

from langchain_voxtral.errors import VoxtralAudioError

__all__ = ["Cue", "Timed", "read_subtitles", "to_srt", "to_vtt"]


class Timed(Protocol):
    """What has a beginning, an end (in seconds) and a text: a cue, a segment of a transcript."""

    @property
    def start(self) -> float:
        """Where it begins."""

    @property
    def end(self) -> float:
        """Where it ends."""

    @property
    def text(self) -> str:
        """What is said."""


@dataclass(frozen=True, slots=True)
class Cue:
    """One subtitle.

    Args:
        start: Where it begins, in seconds.
        end: Where it ends, in seconds.
        text: What is said.
    """

    start: float
    end: float
    text: str


_CLOCK = r"(?:(\d{1,6}):)?([0-5]?\d):([0-5]?\d)(?:[.,](\d{1,3}))?"
_TIMING = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?", re.ASCII)
_VTT_OTHERS = re.compile(r"(WEBVTT|NOTE|STYLE|REGION)(\s.*)?")
_VTT_TAG = re.compile(r"</?(?:c|i|b|u|v|lang|ruby|rt)(?:[.\s][^>]*)?>|<\d[\d:.]*>")
"""Who speaks, how it looks, when a word is said. Other `<` are text of writers that escape none."""


def to_srt(segments: Iterable[Timed]) -> str:
    r"""Return segments as a SubRip file.

    A blank line would end a cue, so those inside a text are left out; a segment without text has
    no cue.

    Args:
        segments: What has `start`, `end` and `text`, in the order of time.

    Raises:
        VoxtralAudioError: A segment ends before it begins, or begins before 0.

    Example:
        ```python
        from langchain_voxtral.audio.subtitles import Cue, to_srt

        assert to_srt([Cue(0.0, 1.5, "Hello")]) == "1\n00:00:00,000 --> 00:00:01,500\nHello\n"
        ```
    """
    cues = enumerate(_lines(segments), 1)
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n"
        for number, cue in cues
    )


def to_vtt(segments: Iterable[Timed]) -> str:
    r"""Return segments as a WebVTT file (W3C); as `to_srt`, and `&`, `<` and `>` are escaped.

    Args:
        segments: What has `start`, `end` and `text`, in the order of time.

    Raises:
        VoxtralAudioError: A segment ends before it begins, or begins before 0.

    Example:
        ```python
        from langchain_voxtral.audio.subtitles import Cue, to_vtt

        assert to_vtt([Cue(0.0, 1.5, "Hi")]) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHi\n"
        ```
    """
    escape = partial(html.escape, quote=False)
    cues = (
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{escape(cue.text)}\n"
        for cue in _lines(segments)
    )
    return "WEBVTT\n" + "".join(cues)


def read_subtitles(text: str) -> tuple[Cue, ...]:
    r"""Return the cues of a SubRip or WebVTT file.

    Args:
        text: The file's text.

    Raises:
        VoxtralAudioError: There is text that is no cue: neither of the two is this file.

    Example:
        ```python
        from langchain_voxtral.audio.subtitles import Cue, read_subtitles

        assert read_subtitles("1\n00:00:00,000 --> 00:00:01,500\nHello\n") == (
            Cue(0.0, 1.5, "Hello"),
        )
        ```
    """
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    is_vtt = text.startswith("WEBVTT")
    cues = []
    for block in filter(str.strip, re.split(r"\n\s*\n", text.strip("\n"))):
        lines = block.split("\n")
        timings = enumerate(map(_TIMING.fullmatch, lines))
        at, timing = next(((n, found) for n, found in timings if found), (0, None))
        is_other = is_vtt and _VTT_OTHERS.fullmatch(lines[0])
        if (at > 1 or not timing) and not is_other:  # a number or a name may stand before
            raise VoxtralAudioError(
                f"These are no subtitles: {block[:80]!r} has no line like "
                "'00:00:01,000 --> 00:00:02,500' at its beginning."
            )
        if timing:
            clocks, said = timing.groups(), "\n".join(lines[at + 1 :])
            said = html.unescape(_VTT_TAG.sub("", said)) if is_vtt else said
            cues.append(Cue(_seconds(clocks[:4]), _seconds(clocks[4:]), said))
    return tuple(cues)


def _lines(segments: Iterable[Timed]) -> Iterator[Cue]:
    for segment in segments:
        if not 0 <= segment.start <= segment.end:
            raise VoxtralAudioError(
                f"A subtitle cannot go from {segment.start} s to {segment.end} s: "
                f"{segment.text[:80]!r}."
            )
        lines = (line.strip() for line in segment.text.splitlines())
        if text := "\n".join(filter(None, lines)):
            yield Cue(segment.start, segment.end, text)


def _clock(seconds: float, point: str) -> str:
    whole, thousandths = divmod(round(seconds * 1000), 1000)
    minutes, second = divmod(whole, 60)
    return f"{minutes // 60:02}:{minutes % 60:02}:{second:02}{point}{thousandths:03}"


def _seconds(clock: tuple[str | None, ...]) -> float:
    hours, minutes, seconds, fraction = clock
    whole = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
    return (whole * 1000 + int((fraction or "0").ljust(3, "0"))) / 1000
