"""Subtitle files are written and read back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.audio.subtitles import Cue, read_subtitles, to_srt, to_vtt
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
    assert read_subtitles(to_srt(cues)) == tuple(cues)
    assert read_subtitles(to_vtt(cues)) == tuple(cues)


def test_what_servers_write_is_read() -> None:
    written = (
        "\ufeffWEBVTT - made by a server\r\nKind: captions\r\n\r\nNOTE a remark\r\n\r\n"
        "STYLE\r\n::cue { color: red }\r\n\r\nintro\r\n00:01.000 --> 00:02.500 align:start\r\n"
        "Hello &amp; welcome\r\n\r\n\r\n100:00:00.000 --> 100:00:01.000\r\nThe end"
    )
    assert read_subtitles(written) == (
        Cue(1.0, 2.5, "Hello & welcome"),
        Cue(360_000.0, 360_001.0, "The end"),
    )


@pytest.mark.parametrize(
    ("written", "cue"),
    [
        ("WEBVTT\n00:01.000 --> 00:02.000\nHi", Cue(1.0, 2.0, "Hi")),
        ("WEBVTT\nX-MAP=0\nKind: x\n00:01.000 --> 00:02.000\nHi", Cue(1.0, 2.0, "Hi")),
        ("WEBVTT\n\nNOTES\n00:01.000 --> 00:02.000\nHi", Cue(1.0, 2.0, "Hi")),
        ("WEBVTT\n\nREGION\nid:x\n\n00:01.000 --> 00:02.000\nHi", Cue(1.0, 2.0, "Hi")),
        (
            "WEBVTT\n\n00:01.000 --> 00:02.000\n<v Ann><b>a</b> < b<00:01.5>, &nbsp;c --&gt; d</v>",
            Cue(1.0, 2.0, "a < b, \xa0c --> d"),
        ),
        ("7\n00:00:01 --> 00:00:02,5 X1:40 X2:600\nHi --> you", Cue(1.0, 2.5, "Hi --> you")),
        ("\ufeff1\r\n00:59:59,999 --> 123:00:00,000\r\nHi\r\n", Cue(3599.999, 442_800.0, "Hi")),
        ("1\n00:00:01,000 --> 00:00:02,000\n\n", Cue(1.0, 2.0, "")),
    ],
)
def test_subtitles_as_others_write_them(written: str, cue: Cue) -> None:
    assert read_subtitles(written) == (cue,)


@pytest.mark.parametrize("nothing", ["", "\n\n", "WEBVTT", "WEBVTT\n\n"])
def test_files_without_cues_have_none(nothing: str) -> None:
    assert read_subtitles(nothing) == ()


@pytest.mark.parametrize(
    "text",
    [
        "Hello",
        '{"text": "Hello"}',
        to_srt(CUES) + "\nand so on\n",
        to_vtt(CUES) + "\nand so on\n",
        "a\nb\n" + to_srt(CUES),
        "00:00:61,000 --> 00:00:62,000\nHello",
        "9" * 5_000 + ":00:00,000 --> 00:00:01,000\nHello",
    ],
)
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(VoxtralAudioError, match="These are no subtitles: "):
        read_subtitles(text)
