"""The cues of a subtitle file, read without our own code."""

import html
import re
from typing import NamedTuple

_CLOCK = r"(\d+):(\d\d):(\d\d)[.,](\d{3})"
_CUE = re.compile(rf"(?:\d+\n)?{_CLOCK} --> {_CLOCK}\n(.+)", re.DOTALL | re.ASCII)


class Cue(NamedTuple):
    """One subtitle; times in seconds."""

    start: float
    end: float
    text: str


def read_cues(file: str) -> list[Cue]:
    """Return the cues of a SubRip or WebVTT file; nothing else may be in it."""
    is_vtt = file.startswith("WEBVTT\n")
    cues = []
    for block in filter(None, re.split(r"\n\n|\n$", file.removeprefix("WEBVTT\n"))):
        found = _CUE.fullmatch(block.removeprefix("\n"))
        assert found, block
        *digits, text = found.groups()
        start, end = (_seconds(*digits[:4]), _seconds(*digits[4:]))
        cues.append(Cue(start, end, html.unescape(text) if is_vtt else text))
    return cues


def _seconds(hours: str, minutes: str, seconds: str, milliseconds: str) -> float:
    whole = (int(hours) * 60 + int(minutes)) * 60 + int(seconds)
    return (whole * 1000 + int(milliseconds)) / 1000
