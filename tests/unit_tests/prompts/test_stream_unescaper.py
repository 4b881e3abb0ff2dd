"""Answers are unescaped, however the stream is split."""

from hypothesis import given
from hypothesis import strategies as st
from support.conversations import MARKERS, texts

from langchain_voxtral.prompts import StreamUnescaper, escape, unescape
from langchain_voxtral.prompts.escaping import WORD_JOINER
from langchain_voxtral.tools.call_accumulator import ToolCallChunk

escaped_texts = st.lists(
    texts.map(escape)
    | st.sampled_from([f"<{WORD_JOINER}", f"[{WORD_JOINER}", WORD_JOINER, "s>", "|x"])
).map("".join)


@st.composite
def split_texts(draw: st.DrawFn) -> list[str]:
    text = draw(escaped_texts)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def fed(pieces: list[str]) -> list[str]:
    unescaper = StreamUnescaper()
    return [*(unescaper.feed(piece) for piece in pieces), "".join(map(str, unescaper.finish()))]


@given(split_texts())
def test_however_it_is_split_a_stream_is_unescaped_as_the_whole_is(pieces: list[str]) -> None:
    assert "".join(fed(pieces)) == unescape("".join(pieces))


@given(escaped_texts)
def test_a_stream_of_single_characters_is_unescaped_as_the_whole_is(text: str) -> None:
    assert "".join(fed(list(text))) == unescape(text)


@given(split_texts(), split_texts(), split_texts())
def test_text_and_each_call_are_unescaped_by_themselves(
    text: list[str], first: list[str], second: list[str]
) -> None:
    parts: list[str | ToolCallChunk] = [*text]
    parts += [ToolCallChunk(0, arguments=piece) for piece in first]
    parts += [ToolCallChunk(1, arguments=piece) for piece in second]
    unescaper = StreamUnescaper()
    shown = [*unescaper.feed_parts(parts), *unescaper.finish()]
    calls = [part for part in shown if isinstance(part, ToolCallChunk)]
    assert "".join(part for part in shown if isinstance(part, str)) == unescape("".join(text))
    for index, pieces in enumerate((first, second)):
        arguments = "".join(part.arguments for part in calls if part.index == index)
        assert arguments == unescape("".join(pieces))


def test_every_token_is_unescaped_at_every_split() -> None:
    for token in MARKERS:
        text = f"a {escape(token)} b"
        for cut in range(len(text)):
            assert "".join(fed([text[:cut], text[cut:]])) == f"a {token} b"


def test_text_without_a_word_joiner_is_never_held_back() -> None:
    pieces = ["if a <", "", " b", " [", "INST", "] </", "s", ">"]
    assert fed(pieces) == [*pieces, ""]


def test_text_is_held_back_from_a_word_joiner_after_a_first_character_on() -> None:
    pieces = ["see <", WORD_JOINER, "/", "s>", " and"]
    assert fed(pieces) == ["see <", "", "", "/s>", " and", ""]


def test_an_empty_piece_between_changes_nothing() -> None:
    assert fed(["<", "", f"{WORD_JOINER}/s>"]) == ["<", "", "/s>", ""]


def test_text_that_turns_out_to_be_no_token_is_released_at_once() -> None:
    assert fed([f"<{WORD_JOINER}", "/", "sup> x"]) == ["<", "", f"{WORD_JOINER}/sup> x", ""]


def test_what_is_undecided_at_the_end_is_released_as_it_is() -> None:
    assert fed(["a [", f"{WORD_JOINER}INS"]) == ["a [", "", f"{WORD_JOINER}INS"]


def test_43_characters_are_held_back_at_most() -> None:
    unescaper = StreamUnescaper()
    longest = f"{WORD_JOINER}|{'x' * 40}|"
    assert unescaper.feed("<") == "<"
    assert [unescaper.feed(character) for character in longest] == [""] * 43
    assert unescaper.feed("!") == f"{longest}!"
    assert unescaper.feed(f"<{WORD_JOINER}|{'x' * 40}") == "<"
    assert unescaper.feed("x") == f"{WORD_JOINER}|{'x' * 41}"


@given(split_texts())
def test_only_the_beginning_of_a_broken_token_is_ever_held(pieces: list[str]) -> None:
    """Held text could still become a token."""
    unescaper = StreamUnescaper()
    text = shown = ""
    for piece in pieces:
        text += piece
        shown += unescaper.feed(piece)
        held = text[text.rindex(WORD_JOINER) :] if unescape(text) != shown else ""
        assert shown + held == unescape(text)
        assert len(held) <= 43
