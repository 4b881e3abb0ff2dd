"""Answers with calls in their text: code fences around them, and calls of unknown tools."""

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from support.parsed_calls import Found, parse, parse_answer

from langchain_voxtral.tools.answer_parser import AnswerParser

F = '{"name": "f", "parameters": {"a": 1}}'
CALL_F = (None, "f", '{"a": 1}')
G = '{"name": "getF", "parameters": {"a": 1}}'
CALL_G = (None, "getF", '{"a": 1}')
FENCE = "```"


@pytest.mark.parametrize("call", [CALL_F, CALL_G], ids=["known tool", "unknown tool"])
@pytest.mark.parametrize(
    "answer",
    [
        "```json\nCALL\n```",
        "```\nCALL\n```\n",
        "```tool_call\nCALL\n```\n\n",
        "~~~\nCALL\n~~~",
        "````json\nCALL\n````",
        " \n``` json \n\n  CALL\n\n  ``` \n",
        "```json\r\nCALL\r\n```\r\n",
        "\tCALL",
        "```JSON\n[CALL]\n```",
        "```\n<|python_tag|>CALL\n```",
        "```json\nCALL",
        "```json\nCALL\n``",
    ],
)
def test_a_fence_with_nothing_but_a_call_leaves_no_text(
    answer: str, call: tuple[None, str, str]
) -> None:
    written = answer.replace("CALL", F if call is CALL_F else G)
    assert parse_answer(written) == parse_answer(*written) == ("", [call])


@pytest.mark.parametrize(
    ("answer", "text", "calls"),
    [
        (f"Here:\n```json\n{F}\n```\nDone.", "Here:\nDone.", 1),
        (f"Here:\r\n```json\r\n{F}\r\n```\r\nDone.", "Here:\r\nDone.", 1),
        (f"Here:\n\n~~~\n{F}\n~~~\n\n\nDone.\n", "Here:\n\n\n\nDone.\n", 1),
        (f"1.\n   ```json\n   {F}\n   ```\n2.", "1.\n2.", 1),
        (f"Here:\n```json\n{F}\n``` Done.", "Here: Done.", 1),
        (f"```json\n{F}\n{F}\n```", "", 2),
        (f"```json\n{F}\n```\n\n```json\n{F}\n```\n", "", 2),
        (f"```json\n{F}\n```json\n{F}\n```", "", 2),
        (f"{F}\n```json\n{F}\n```\nDone.", "\nDone.", 2),
        (f"```json\n{F}\n```\n{F}", "", 2),
        ("a\r" + f"\n{F}", "a", 1),
        # A fence that is not empty stays.
        (f"```json\n{F}\n// or\n```", "```json\n// or\n```", 1),
        (f"````\n{F}\n```\n````", "````\n```\n````", 1),
        (f"Here:\n```json\n{F}\n\nor\n```\nso", "Here:\n```json\n\nor\n```\nso", 1),
        (f"```py\nx = 1\n{F}\n```\n", "```py\nx = 1\n```\n", 1),
        (f"```py\nx = 1\n```\n{F}", "```py\nx = 1\n```", 1),
        (f"```py\nx = 1\n```\n```json\n{F}\n```", "```py\nx = 1\n```", 1),
        (f"{F}\n```py\nx = 1\n```", "\n```py\nx = 1\n```", 1),
        (f"```so it is\n{F}\n```", "```so it is\n```", 1),
    ],
)
def test_text_around_and_in_fences_stays(answer: str, text: str, calls: int) -> None:
    assert parse_answer(answer) == parse_answer(*answer) == (text, [CALL_F] * calls)


@pytest.mark.parametrize(
    ("answer", "calls"),
    [
        (G, [CALL_G]),
        (f"\n {G} \n", [CALL_G]),
        ('{"name": "getF", "arguments": {"a": 1}}', [CALL_G]),
        ('{"arguments": {"a": 1}, "name": "getF"}', [CALL_G]),
        ('{"type": "function", "name": "getF", "parameters": {"a": 1}}', [CALL_G]),
        (f"<|python_tag|>{G}", [CALL_G]),
        (f"[{G}, {F}]", [CALL_G, CALL_F]),
        (f"[{F}, {G}]", [CALL_F, CALL_G]),
        (f"{F}\n{G};\n{F}", [CALL_F, CALL_G, CALL_F]),
        (f"{G}\n```json\n{G}\n```", [CALL_G, CALL_G]),
        ('{"name": "a.b/c:d-e_1", "parameters": {}}', [(None, "a.b/c:d-e_1", "{}")]),
        ('{"name": "Get F", "parameters": {}}', [(None, "Get F", "{}")]),
        ('{"name": "f()", "parameters": {}}', [(None, "f()", "{}")]),
        ('{"name": "\\u0066!", "parameters": {}}', [(None, "f!", "{}")]),
    ],
)
@pytest.mark.parametrize("forced", [False, True])
def test_an_answer_that_is_wholly_calls_may_name_any_tool(
    answer: str, calls: object, forced: bool
) -> None:
    assert parse_answer(answer, forced=forced) == ("", calls)
    assert parse_answer(*answer, forced=forced) == ("", calls)
    if not forced:
        # Where the server parses calls, and left this one.
        assert parse_answer(*answer, beside_text=False) == ("", calls)


TEXTS = [
    '{"name": "Anna", "age": 3}',
    '{"name": "Anna"}',
    '{"name": "Anna", "parameters": {}, "age": 3}',
    '{"age": 3, "name": "Anna", "parameters": {}}',
    '{"name": "", "parameters": {}}',
    '{"name": "getF", "parameters": null}',
    '{"name": "getF", "parameters": [1]}',
    '{"name": "getF", "parameters": {a: 1}}',
    f"{G}\nThis is the call.",
    f"I would call\n{G}",
    f"[{G}, 1]",
    f"[{G}",
    G[:-1],
    G[:-4],
    f"```json\n{G}\n```\nThis is the call.",
    f"```json\n{G}\n// the call\n```",
    f"```json\n{G[:-1]}\n```",
]


@pytest.mark.parametrize("answer", TEXTS)
def test_all_else_with_an_unknown_name_is_text(answer: str) -> None:
    assert parse_answer(answer) == parse_answer(*answer) == (answer, [])
    assert parse_answer(*answer, beside_text=False) == (answer, [])


@pytest.mark.parametrize("answer", [G, f"```json\n{G}\n```", f"[{G}]"])
def test_names_can_be_limited_to_those_on_offer(answer: str) -> None:
    assert parse_answer(*answer, any_name=False) == (answer, [])


@pytest.mark.parametrize("answer", [F, f"Look:\n{F}", f"{F}\nLook.", "[TOOL_CALLS]f[ARGS]{}"])
def test_where_the_server_parses_calls_only_a_whole_answer_is_one(answer: str) -> None:
    found = parse_answer(*answer, beside_text=False)
    assert found == (parse(answer) if answer[0] != "L" and answer[-1] == "}" else (answer, []))


@pytest.mark.parametrize(
    ("pieces", "shown"),
    [
        (['{"name": "getF"', ', "parameters": {"a": 1}', "}", "\n", "So"], ["", "", "", "", "all"]),
        (['{"name": "getF"', ', "x": 1}'], ["", "all"]),
        (['{"name": "get F', '"}'], ["", "all"]),
        (["```", "json\n", '{"name": "getF"', ', "x": 1}'], ["", "", "", "all"]),
        (["Hi\n", "```py", "\n", "x = 1", " y"], ["Hi", "", "", "\n```py\nx = 1", " y"]),
        (["Hi ``` ", "{"], ["Hi ``` ", "{"]),
    ],
)
def test_text_is_shown_as_soon_as_it_cannot_be_a_call(pieces: list[str], shown: list[str]) -> None:
    parser = AnswerParser(["f"], any_name=True)
    came = ["".join(str(part) for part in parser.feed(piece)) for piece in pieces]
    assert came == [("".join(pieces) if text == "all" else text) for text in shown]
    assert parser.close() == []


def test_a_known_call_is_passed_on_while_it_is_written() -> None:
    parser = AnswerParser(["f"], any_name=True)
    pieces = ["```json\n", '{"name": "f", ', '"parameters": {', '"a": ', "1}}", "\n```"]
    assert [len(parser.feed(piece)) for piece in pieces] == [0, 0, 2, 1, 1, 0]
    assert parser.close() == []


@pytest.mark.parametrize("begin", ["\n```", "```json\n" + F, ""])
@pytest.mark.parametrize("filler", [" ", "`", " \n"])
def test_long_runs_take_no_backtracking(begin: str, filler: str) -> None:
    answer = f"{begin}{filler * 50_000}x"
    text, _ = parse_answer(answer)
    assert text.endswith("x")


# Properties

CALLS = [F, G, "[TOOL_CALLS]", '{"name": "', '"getF"', '"parameters": ', *"{}[],;"]
FENCES = ["```", "~~~", "`", "json", "\n```json\n", "\n```\n"]
PIECES = st.sampled_from([*CALLS, *FENCES, "\n", "\r\n", "\r", " ", "text"])
ANSWERS = st.lists(PIECES, max_size=12).map("".join)


@given(answer=ANSWERS, cuts=st.lists(st.integers(0, 200), max_size=6), forced=st.booleans())
@example(answer=f"```json\n{G}\n```", cuts=[], forced=False)
def test_how_an_answer_is_split_makes_no_difference(
    answer: str, cuts: list[int], forced: bool
) -> None:
    pieces = [answer[start:end] for start, end in pairwise((0, *sorted(cuts), len(answer)))]
    whole = parse_answer(answer, forced=forced)
    assert parse_answer(*pieces, forced=forced) == whole
    assert parse_answer(*answer, forced=forced) == whole


@given(ANSWERS)
def test_only_fences_and_calls_are_taken_out(answer: str) -> None:
    text, calls = parse_answer(answer, any_name=False)
    without_fences: Found = parse(answer)
    assert calls == without_fences[1]
    if not calls:
        assert text == answer
    kept = "".join(text.split()).replace(FENCE, "").replace("json", "")
    before = "".join(without_fences[0].split()).replace(FENCE, "").replace("json", "")
    assert kept.replace("`", "").replace("~", "") == before.replace("`", "").replace("~", "")
