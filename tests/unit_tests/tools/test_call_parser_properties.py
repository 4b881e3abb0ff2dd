"""Tool calls in text: any answer, split anywhere."""

import json
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.parsed_calls import parse

from langchain_voxtral.messages.turns import ToolCall
from langchain_voxtral.prompts.formats import LLAMA3, MISTRAL, PromptFormat
from langchain_voxtral.prompts.render import render_calls

NAMES = st.text(min_size=1, max_size=8)
ARGUMENTS = st.dictionaries(
    st.text(max_size=5),
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.text(max_size=9)
        | st.just('{"]}[TOOL_CALLS]'),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
        ),
        max_leaves=6,
    ),
    max_size=3,
)
CALLS = st.lists(
    st.builds(ToolCall, st.from_regex("[a-z0-9]{9}", fullmatch=True), NAMES, ARGUMENTS),
    min_size=1,
    max_size=3,
)
# Text in which no call can begin; it may end in anything but what separates it from one: a carriage
# return and the newline before a call are one end of a line.
TEXTS = st.text(st.characters(blacklist_characters="{[<")).filter(
    lambda text: text == "" or (text.strip() and not text.endswith("\r"))
)


@pytest.mark.parametrize("fmt", [LLAMA3, MISTRAL], ids=lambda fmt: fmt.name)
@given(text=TEXTS, calls=CALLS, size=st.integers(1, 40))
def test_written_calls_are_read_back(
    fmt: PromptFormat, text: str, calls: list[ToolCall], size: int
) -> None:
    if fmt is MISTRAL:
        text = text.rstrip(" \t\n")
    written = [fmt.calls.open + json_text for json_text in render_calls(calls, fmt.calls)]
    answer = fmt.calls.separator.join([text, *written] if text else written)
    pieces = [answer[at : at + size] for at in range(0, len(answer), size)]
    spoken, found = parse(*pieces, names={call.name for call in calls})
    assert spoken == text
    assert [(name, arguments) for _, name, arguments in found] == [
        (call.name, json.dumps(call.arguments, ensure_ascii=False)) for call in calls
    ]


PIECES = st.sampled_from(
    [
        "[TOOL_CALLS]",
        "[ARGS]",
        "[CALL_ID]",
        "<|python_tag|>",
        '{"name": "f"',
        '"name"',
        '"f"',
        '"parameters"',
        '"arguments"',
        '"id"',
        '"type"',
        '"function"',
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        ";",
        " ",
        "\n",
        '"',
        "\\",
        "f",
        "1",
        '{"name": "f", "parameters": {',
        '{"name": "f", "parameters": {"a": 1}}',
        "text",
    ]
)
ANSWERS = st.lists(PIECES | st.text(max_size=3), max_size=25).map("".join)


@given(answer=ANSWERS, cuts=st.lists(st.integers(0, 200)), forced=st.booleans())
@example(answer='[TOOL_CALLS]\n{"name": "f", "parameters": {}}', cuts=[3], forced=False)
def test_how_an_answer_is_split_makes_no_difference(
    answer: str, cuts: list[int], forced: bool
) -> None:
    pieces = [answer[start:end] for start, end in pairwise((0, *sorted(cuts), len(answer)))]
    whole = parse(answer, forced=forced)
    assert parse(*pieces, forced=forced) == whole
    assert parse(*answer, forced=forced) == whole


@given(st.text() | ANSWERS)
def test_an_answer_without_calls_comes_out_unchanged(answer: str) -> None:
    text, calls = parse(answer)
    if not calls:
        assert text == answer
