"""The stop sequence filter, compared with a reference that sees the whole text."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from langchain_voxtral.prompts.stop_sequences import StopSequenceFilter

# Few letters, so that stop sequences touch, overlap and contain each other.
texts = st.text("abc", max_size=30)
stops_of = st.lists(st.text("abc", min_size=1, max_size=5), max_size=4)


def filtered(pieces: list[str], stops: list[str]) -> tuple[list[str], bool]:
    """The pieces of output, including the end's, and whether a stop was found."""
    stop_filter = StopSequenceFilter(stops)
    out = [stop_filter.feed(piece) for piece in pieces]
    return [*out, stop_filter.finish()], stop_filter.stopped


def oracle(text: str, stops: list[str]) -> tuple[str, bool]:
    """Read on until the text ends with a stop; the longest of those is cut off."""
    for end in range(len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - max(map(len, complete))], True
    return text, False


@st.composite
def split_texts(draw: st.DrawFn) -> list[str]:
    text = draw(texts)
    places = draw(st.sets(st.integers(0, len(text))))
    return [text[start:end] for start, end in pairwise([0, *sorted(places), len(text)])]


@given(split_texts(), stops_of)
def test_every_split_gives_the_reference_result(pieces: list[str], stops: list[str]) -> None:
    out, stopped = filtered(pieces, stops)
    assert ("".join(out), stopped) == oracle("".join(pieces), stops)


@given(split_texts(), stops_of)
def test_what_is_held_back_is_the_longest_end_that_may_become_a_stop(
    pieces: list[str], stops: list[str]
) -> None:
    """So never more than the longest stop less one character, and nothing without need."""
    stop_filter, seen, shown = StopSequenceFilter(stops), "", ""
    for piece in pieces:
        shown += stop_filter.feed(piece)
        seen += piece
        if stop_filter.stopped:
            break
        beginnings = [stop[:length] for stop in stops for length in range(len(stop))]
        held = max((each for each in beginnings if seen.endswith(each)), key=len, default="")
        assert shown == seen.removesuffix(held)


@given(split_texts(), stops_of, split_texts())
def test_nothing_comes_out_after_a_stop(
    pieces: list[str], stops: list[str], later: list[str]
) -> None:
    stop_filter = StopSequenceFilter(stops)
    for piece in pieces:
        stop_filter.feed(piece)
    if stop_filter.stopped:
        assert [stop_filter.feed(piece) for piece in later] == [""] * len(later)
        assert stop_filter.finish() == ""


@pytest.mark.parametrize(
    ("pieces", "stops", "out", "stopped"),
    [
        (["one ", "ST", "OP", " two"], ["STOP"], ["one ", "", "", "", ""], True),
        (["one ST", "ART"], ["STOP"], ["one ", "START", ""], False),
        (["one ST"], ["STOP"], ["one ", "ST"], False),
        (["a]b^c-d\\e"], ["]x", "^x", "-x", "\\x"], ["a]b^c-d\\e", ""], False),
        (["abcd"], ["abcd", "bc"], ["a", ""], True),
        (["xaab"], ["ab", "aab"], ["x", ""], True),
        (["é\U0001f600", "!"], ["\U0001f600!"], ["é", "", ""], True),
        (["any", "thing"], [], ["any", "thing", ""], False),
    ],
    ids=[
        "across pieces",
        "released when it turns out not to be a stop",
        "released at the end",
        "characters that mean something in a pattern",
        "the stop that is complete first",
        "of two complete at once the longer",
        "beyond the basic plane",
        "no stops",
    ],
)
def test_examples(pieces: list[str], stops: list[str], out: list[str], stopped: bool) -> None:
    assert filtered(pieces, stops) == (out, stopped)
