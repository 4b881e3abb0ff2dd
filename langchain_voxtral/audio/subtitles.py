"""Subtitle files, SubRip (.srt) and WebVTT (.vtt), from segments and back."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from langchain_voxtral.audio.errors import VoxtralAudioError

__all__ = ["Cue", "Timed", "read_subtitles", "srt", "vtt"]


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


_CLOCK = r"(?:(\d+):)?(\d{1,2}):(\d{1,2})[.,](\d{1,3})"
_TIMING = re.compile(rf"\s*{_CLOCK}\s*-->\s*{_CLOCK}(?:\s.*)?")
_VTT_OTHERS = ("WEBVTT", "NOTE", "STYLE", "REGION")
_ESCAPES = (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;"))


def srt(segments: Iterable[Timed]) -> str:
    r"""Return segments as a SubRip file.

    A blank line would end a cue, so those inside a text are left out; a segment without text has
    no cue.

    Args:
        segments: What has `start`, `end` and `text`, in the order of time.

    Raises:
        VoxtralAudioError: A segment ends before it begins, or begins before 0.

    Example:
        ```python
        from langchain_voxtral.audio.subtitles import Cue, srt

        assert srt([Cue(0.0, 1.5, "Hello")]) == "1\n00:00:00,000 --> 00:00:01,500\nHello\n"
        ```
    """
    cues = enumerate(_lines(segments), 1)
    return "\n".join(
        f"{number}\n{_clock(cue.start, ',')} --> {_clock(cue.end, ',')}\n{cue.text}\n"
        for number, cue in cues
    )


def vtt(segments: Iterable[Timed]) -> str:
    r"""Return segments as a WebVTT file (W3C); as `srt`, and `&`, `<` and `>` are escaped.

    Args:
        segments: What has `start`, `end` and `text`, in the order of time.

    Raises:
        VoxtralAudioError: A segment ends before it begins, or begins before 0.

    Example:
        ```python
        from langchain_voxtral.audio.subtitles import Cue, vtt

        assert vtt([Cue(0.0, 1.5, "Hi")]) == "WEBVTT\n\n00:00:00.000 --> 00:00:01.500\nHi\n"
        ```
    """
    cues = (
        f"\n{_clock(cue.start, '.')} --> {_clock(cue.end, '.')}\n{_escaped(cue.text)}\n"
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
    for block in re.split(r"\n\s*\n", text.strip("\n")):
        lines = block.split("\n")
        if not block.strip() or (is_vtt and lines[0].startswith(_VTT_OTHERS)):
            continue
        at = next((n for n, line in enumerate(lines[:2]) if _TIMING.fullmatch(line)), None)
        if at is None:
            raise VoxtralAudioError(
                f"These are no subtitles: {block[:80]!r} has no line like "
                "'00:00:01,000 --> 00:00:02,500'."
            )
        clocks = _TIMING.fullmatch(lines[at])
        said = "\n".join(lines[at + 1 :])
        groups = clocks.groups() if clocks else ()
        cues.append(
            Cue(_seconds(groups[:4]), _seconds(groups[4:]), _unescaped(said) if is_vtt else said)
        )
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


def _escaped(text: str) -> str:
    for plain, escape in _ESCAPES:
        text = text.replace(plain, escape)
    return text


def _unescaped(text: str) -> str:
    for plain, escape in reversed(_ESCAPES):
        text = text.replace(escape, plain)
    return text
