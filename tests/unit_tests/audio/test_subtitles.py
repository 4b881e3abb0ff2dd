"""Segments are written as subtitle files."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.subtitle_cues import Cue, read_cues

from langchain_voxtral.audio.subtitles import to_srt, to_vtt
from langchain_voxtral.errors import VoxtralAudioError

CUES = (Cue(0.0, 2.5, "Ever tried."), Cue(3661.25, 3662.0, "Ever failed.\nNo <matter> & so."))


def test_subrip() -> None:
    assert to_srt(CUES) == (
        "1\n00:00:00,000 --> 00:00:02,500\nEver tried.\n\n"
        "2\n01:01:01,250 --> 01:01:02,000\nEver failed.\nNo <matter> & so.\n"
    )


def test_webvtt() -> None:
    assert to_vtt(CUES) == (
        "WEBVTT\n\n00:00:00.000 --> 00:00:02.500\nEver tried.\n\n"
        "01:01:01.250 --> 01:01:02.000\nEver failed.\nNo &lt;matter&gt; &amp; so.\n"
    )


def test_segments_without_text_have_no_cue_and_blank_lines_end_none() -> None:
    assert to_srt([Cue(0, 1, " "), Cue(1, 2, "\n one \n\n two\n")]) == (
        "1\n00:00:01,000 --> 00:00:02,000\none\ntwo\n"
    )


@pytest.mark.parametrize(("start", "end"), [(2.0, 1.0), (-1.0, 1.0), (0.0, float("nan"))])
def test_a_segment_that_ends_before_it_begins_is_refused(start: float, end: float) -> None:
    for write in (to_srt, to_vtt):
        with pytest.raises(VoxtralAudioError, match="A subtitle cannot go from"):
            write([Cue(start, end, "text")])


TEXTS = st.lists(
    st.text(st.characters(codec="utf-8", categories=("L", "N", "P", "S")), min_size=1),
    min_size=1,
    max_size=3,
).map("\n".join)
TIMES = st.lists(st.integers(0, 400_000_000), min_size=2, max_size=2).map(sorted)


@given(st.lists(st.builds(lambda t, text: Cue(t[0] / 1000, t[1] / 1000, text), TIMES, TEXTS)))
def test_what_is_written_is_read_back(cues: list[Cue]) -> None:
    assert read_cues(to_srt(cues)) == cues
    assert read_cues(to_vtt(cues)) == cues
